"""Messages by WhatsApp: one call each, and what its answer means."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.messaging import (
    FaultKind,
    Refused,
    Scope,
    Sent,
    SlowDown,
    Template,
    Unanswered,
)
from tests.crm.support import NOW, SECRET, Rations
from tests.crm.whatsapp_script import (
    ADA,
    MESSAGE,
    NUMBER,
    TEMPLATE,
    answering,
    error,
    sent,
    taken,
)

ACCOUNT, RECIPIENT, NEVER = FaultKind.ACCOUNT, FaultKind.RECIPIENT, FaultKind.NEVER


async def test_a_text_is_sent_by_one_call_with_our_own_id() -> None:
    """Meta gives it back with every status."""
    owner, crm = answering(lambda _: taken())
    assert await owner.messaging.send(MESSAGE) == Sent("wamid.HBgL1")
    (request,) = crm.requests
    assert (request.method, request.url.path) == ("POST", f"/v23.0/{NUMBER}/messages")
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(request.content) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": ADA,
        "type": "text",
        "text": {"body": "Hello"},
        "biz_opaque_callback_data": str(MESSAGE.message_id),
    }


async def test_a_template_is_sent_with_what_goes_into_its_body() -> None:
    """In order; without anything to put in there is no part for it."""
    owner, crm = answering(lambda _: taken())
    await owner.messaging.send(TEMPLATE)
    await owner.messaging.send(replace(TEMPLATE, template=Template("hello_world", "en_US")))
    filled, plain = (json.loads(request.content)["template"] for request in crm.requests)
    assert filled == {
        "name": "order_sent",
        "language": {"code": "de"},
        "components": [
            {
                "type": "body",
                "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "7"}],
            }
        ],
    }
    assert plain == {"name": "hello_world", "language": {"code": "en_US"}}


@pytest.mark.parametrize(
    ("code", "scope", "seconds"),
    [
        (4, Scope.ACCOUNT, 60),
        (80007, Scope.ACCOUNT, 60),
        (130429, Scope.NUMBER, 5),
        (131048, Scope.NUMBER, 3600),
        (131056, Scope.RECIPIENT, 6),
        (2, Scope.ACCOUNT, 10),
        (131016, Scope.ACCOUNT, 10),
        (1, Scope.RECIPIENT, 10),
        (131000, Scope.RECIPIENT, 10),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 429])
async def test_who_is_to_slow_down_is_told_by_the_number(
    code: int, scope: Scope, seconds: int, status: int
) -> None:
    """Whatever HTTP's status is."""
    until = NOW + timedelta(seconds=seconds)
    expected = SlowDown(until, code, f"(#{code}) Something", scope)
    assert await sent(error(code, status)) == expected


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0, ACCOUNT),
        (3, ACCOUNT),
        (10, ACCOUNT),
        (190, ACCOUNT),
        (200, ACCOUNT),
        (299, ACCOUNT),
        (368, ACCOUNT),
        (131031, ACCOUNT),
        (131042, ACCOUNT),
        (131026, RECIPIENT),
        (131030, RECIPIENT),
        (131049, RECIPIENT),
        (100, NEVER),
        (131008, NEVER),
        (131047, NEVER),
        (131051, NEVER),
        (132000, NEVER),
        (132001, NEVER),
        (132999, NEVER),
        (133010, NEVER),
        (987654, NEVER),
    ],
)
async def test_what_a_refusal_is_about_is_told_by_the_number(code: int, kind: FaultKind) -> None:
    """With Meta's words, and what its support asks for."""
    details = {"messaging_product": "whatsapp", "details": "the details"}
    outcome = await sent(error(code, error_data=details))
    assert outcome == Refused(kind, code, f"(#{code}) Something: the details", "Atrace")


@pytest.mark.parametrize("status", [500, 503])
async def test_a_refusal_with_a_number_is_one_at_any_status(status: int) -> None:
    """The number is clear."""
    assert await sent(error(131026, status)) == Refused(
        RECIPIENT, 131026, "(#131026) Something", "Atrace"
    )


async def test_a_number_that_nobody_knows_waits_where_meta_says_that_it_passes() -> None:
    """A refusal that is known stays one; where it does not pass, it is one too."""
    passing = await sent(error(987654, 500, is_transient=True))
    assert isinstance(passing, SlowDown)
    assert (passing.code, passing.scope) == (987654, Scope.ACCOUNT)
    assert isinstance(await sent(error(131026, is_transient=True)), Refused)
    for code in (1, 131000):
        assert isinstance(await sent(error(code, is_transient=False)), Refused)
        assert isinstance(await sent(error(code, 500, is_transient=True)), SlowDown)


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(500, text="<html>"),
        httpx.Response(502, json={"error": {"message": "no number"}}),
        httpx.Response(503, json={"error": []}),
        httpx.Response(408),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"messages": []}),
        httpx.Response(200, json={"messages": [{"id": ""}]}),
        httpx.Response(200, json={"messages": {"id": "x"}}),
        httpx.Response(200, json={"messages": [{"id": "w" * 501}]}),
        httpx.Response(204),
        error(1, 500),
        error(1, 503, is_transient=False),
        error(987654, 500),
    ],
)
async def test_what_is_no_clear_answer_leaves_it_open(reply: httpx.Response) -> None:
    """It may have been taken: a failure without a word comes before or after that."""
    outcome = await sent(reply)
    assert isinstance(outcome, Unanswered)
    assert outcome.message


@pytest.mark.parametrize(
    ("status", "kind"), [(302, NEVER), (400, NEVER), (401, ACCOUNT), (403, ACCOUNT), (404, NEVER)]
)
async def test_a_status_that_refuses_is_a_refusal_without_a_number_too(
    status: int, kind: FaultKind
) -> None:
    """Such as that of a gateway, or of an address where no Graph API is."""
    outcome = await sent(httpx.Response(status, text="<html>no</html>"))
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.code) == (kind, 0)
    assert str(status) in outcome.message


async def test_a_gateway_s_429_waits_as_it_says() -> None:
    """Ten seconds where it does not."""
    told = await sent(httpx.Response(429, headers={"retry-after": "30"}))
    assert isinstance(told, SlowDown)
    assert (told.until, told.scope) == (NOW + timedelta(seconds=30), Scope.ACCOUNT)
    silent = await sent(httpx.Response(429))
    assert isinstance(silent, SlowDown)
    assert silent.until == NOW + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (httpx.ConnectError("no"), SlowDown),
        (httpx.ConnectTimeout("no"), SlowDown),
        (httpx.PoolTimeout("no"), SlowDown),
        (httpx.ReadTimeout("no"), Unanswered),
        (httpx.WriteTimeout("no"), Unanswered),
        (httpx.RemoteProtocolError("no"), Unanswered),
        (httpx.DecodingError("no"), Unanswered),
        (TimeoutError(), Unanswered),
        (RuntimeError("no"), Unanswered),
        (AddressRefusedError("no"), Refused),
    ],
)
async def test_only_what_never_left_may_be_sent_again(fault: Exception, kind: type[object]) -> None:
    """Whatever strikes after that leaves it open; nothing is raised, and nothing is repeated."""

    def strike(_: httpx.Request) -> httpx.Response:
        raise fault

    owner, crm = answering(strike)
    assert isinstance(await owner.messaging.send(MESSAGE), kind)
    assert len(crm.requests) == 1


class Broken(Rations):
    """An allowance that cannot be asked."""

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Fail."""
        raise OSError(bucket, calls)


async def test_each_message_is_taken_from_the_allowance_first() -> None:
    """One that it does not allow, or that cannot be asked for, never leaves."""
    later = NOW + timedelta(seconds=3)
    for quota, until in ((Rations(0, later), later), (Broken(), NOW + timedelta(seconds=10))):
        owner, crm = answering(lambda _: taken(), quota)
        outcome = await owner.messaging.send(MESSAGE)
        assert isinstance(outcome, SlowDown)
        assert (outcome.until, outcome.code, outcome.scope) == (until, 0, Scope.ACCOUNT)
        assert crm.requests == []
    quota = Rations()
    await sent(taken(), quota)
    assert quota.taken == ["messages"]


@pytest.mark.parametrize(
    ("code", "refusals"),
    [
        (130429, [("messages", NOW + timedelta(seconds=5))]),
        (80007, [("messages", NOW + timedelta(minutes=1))]),
        (131056, []),
        (131048, []),
        (131026, []),
    ],
)
async def test_a_limit_of_all_messages_slows_every_server_down(
    code: int, refusals: list[tuple[str, datetime]]
) -> None:
    """One of a single recipient does not, though HTTP's status is the same."""
    quota = Rations()
    await sent(error(code, 429), quota)
    assert quota.refusals == refusals


@pytest.mark.parametrize("number_id", ["", "../x", "1/2", "\uff11", "1" * 65])
async def test_an_id_that_is_none_of_meta_s_is_refused_without_a_call(number_id: str) -> None:
    """It would lead elsewhere."""
    owner, crm = answering(lambda _: taken())
    outcome = await owner.messaging.send(replace(MESSAGE, phone_number_id=number_id))
    assert isinstance(outcome, Refused)
    assert outcome.kind is NEVER
    assert crm.requests == []


async def test_a_text_that_json_cannot_spell_is_sent_as_well_as_it_can_be() -> None:
    """Nothing is raised for half of a pair."""
    owner, crm = answering(lambda _: taken())
    odd = Template("a\ud800", "b\ud800", ("c\ud800\0",))
    for message in (
        replace(MESSAGE, text="x\ud800", to="1\ud800"),
        replace(TEMPLATE, template=odd),
    ):
        assert isinstance(await owner.messaging.send(message), Sent)
    assert all(b"\\u0000" not in request.content for request in crm.requests)


async def test_what_the_webhook_is_set_up_with_garbles_no_id() -> None:
    """It is any text, and may be a part of what Meta answers."""
    owner, _ = answering(lambda _: taken("wamid.any-text-7"))
    assert await owner.messaging.send(MESSAGE) == Sent("wamid.any-text-7")


async def test_meta_s_words_repeat_no_token_and_are_of_one_line() -> None:
    """At most 500 characters of them."""
    reply = error(100, message=f"line\none {SECRET} \x00 " + "w" * 600)
    outcome = await sent(reply)
    assert isinstance(outcome, Refused)
    assert outcome.message.startswith("line one [hidden] \ufffd w")
    assert len(outcome.message) == 500


@pytest.mark.parametrize(
    ("code", "kind", "number"),
    [
        ("131026", RECIPIENT, 131026),
        (131026.0, NEVER, 0),
        (None, NEVER, 0),
        (True, NEVER, 0),
        (10**30, NEVER, 0),
        (-1, NEVER, 0),
        ("²", NEVER, 0),
        (2**31, NEVER, 0),
    ],
)
async def test_a_number_is_read_whatever_it_comes_as(
    code: object, kind: FaultKind, number: int
) -> None:
    """One that can be kept; others count as none."""
    outcome = await sent(error(code))
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.code) == (kind, number)
