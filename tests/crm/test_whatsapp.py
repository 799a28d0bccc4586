"""WhatsApp's account: what it takes, how it is read, and that it keeps no contacts."""

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Standing
from crmsync_server.crm.messaging import AccountFound, NumberFound, messaging_of
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from tests.crm.support import NOW, SECRET, Rations, ScriptedCrm, delivery
from tests.crm.whatsapp_script import NUMBER, OWNER, SECRETS, WABA, adapter, answering, error

TOLD = {"id": WABA, "name": "Lucky Shrub", "owner_business_info": {"id": OWNER, "name": "Shrub"}}


def number(number_id: str = NUMBER, **more: str) -> dict[str, str]:
    """Return a phone number as the Graph API tells it."""
    return {
        "id": number_id,
        "display_phone_number": "+1 555-078-3881",
        "verified_name": "Lucky Shrub",
        "quality_rating": "GREEN",
        "status": "CONNECTED",
        "name_status": "APPROVED",
    } | more


def graph(request: httpx.Request) -> httpx.Response:
    """Answer as the Graph API of an account with one number."""
    if request.url.path.endswith("/phone_numbers"):
        return httpx.Response(200, json={"data": [number()], "paging": {"cursors": {"after": "x"}}})
    return httpx.Response(200, json=TOLD)


async def test_contacts_are_rejected_with_what_to_do_instead() -> None:
    """Nothing is called for them, and the adapter says beforehand that it takes none."""
    owner, crm = answering(graph)
    assert not owner.capabilities.takes_contacts
    (outcome,) = await owner.push([delivery(1)])
    assert isinstance(outcome, Rejected)
    assert outcome.code == "NOT_SUPPORTED"
    assert "SendMessage" in outcome.message
    assert await owner.read_back([delivery(1)]) == [None]
    assert await owner.settle("t", [delivery(1)]) == [outcome]
    assert messaging_of(owner) is owner.messaging
    assert crm.requests == []


@pytest.mark.parametrize(
    ("base_url", "version", "called"),
    [
        ("https://graph.test/v23.0", "", "https://graph.test/v23.0"),
        ("https://graph.test/v24.0/", "", "https://graph.test/v24.0"),
        ("https://graph.test/v23.0", "v25.0", "https://graph.test/v25.0"),
        ("https://graph.test/meta", "", "https://graph.test/meta/v23.0"),
        ("https://graph.test", "v22.0", "https://graph.test/v22.0"),
    ],
)
async def test_the_version_is_the_option_s_or_the_url_s_or_ours(
    base_url: str, version: str, called: str
) -> None:
    """Never none: Meta would take the oldest one."""
    crm = ScriptedCrm(graph)
    await adapter(crm.tools(), base_url=base_url, version=version).check()
    (request,) = crm.requests
    assert str(request.url).startswith(f"{called}/{WABA}?")
    assert request.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"version": "23"}, "'version'"),
        ({"waba_id": "../me"}, "'waba_id'"),
        ({"business_id": "x"}, "'business_id'"),
        ({"messages_per_second": "0"}, "'messages_per_second'"),
        ({"timeout_seconds": "soon"}, "'timeout_seconds'"),
        ({"base_url": "https://graph.test/v23.0?x=1"}, "without a query"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, str], wrong: str) -> None:
    """Before anything is called."""
    with pytest.raises(ValueError, match=wrong):
        adapter(ScriptedCrm(graph).tools(), None, **options)


@pytest.mark.parametrize("token", ["", " ", "two words", "é"])
def test_a_token_that_cannot_be_one_is_refused(token: str) -> None:
    """By its name alone."""
    with pytest.raises(ValueError, match="'access_token'"):
        adapter(ScriptedCrm(graph).tools(), {"access_token": token})


async def test_the_account_is_read_with_its_owner_and_its_numbers() -> None:
    """By questions only."""
    owner, crm = answering(graph)
    assert await owner.messaging.account() == AccountFound(
        "Lucky Shrub",
        WABA,
        OWNER,
        [NumberFound(NUMBER, "+1 555-078-3881", "Lucky Shrub", "green", True, True)],  # noqa: FBT003 - as shown
    )
    assert {request.method for request in crm.requests} == {"GET"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"quality_rating": "UNKNOWN"}, {"quality": "unknown"}),
        ({"quality_rating": "NA"}, {"quality": "unknown"}),
        ({"quality_rating": "YELLOW"}, {"quality": "yellow"}),
        ({"status": "PENDING"}, {"is_active": False}),
        ({"status": "BANNED"}, {"is_active": False}),
        ({"status": "FLAGGED"}, {"is_active": True}),
        ({"status": ""}, {"is_active": True}),
        ({"name_status": "PENDING_REVIEW"}, {"verified": False}),
        ({"name_status": "AVAILABLE_WITHOUT_REVIEW"}, {"verified": True}),
        ({"name_status": "", "unified_cert_status": "APPROVED"}, {"verified": True}),
        ({"name_status": ""}, {"verified": False}),
    ],
)
async def test_a_number_says_whether_it_can_be_used(
    told: dict[str, str], expected: dict[str, object]
) -> None:
    """In our words, whatever Meta's become."""

    def respond(request: httpx.Request) -> httpx.Response:
        numbers = httpx.Response(200, json={"data": [number(**told)]})
        return numbers if "phone_numbers" in request.url.path else graph(request)

    found = await answering(respond)[0].messaging.account()
    assert isinstance(found, AccountFound)
    (one,) = found.numbers
    assert {name: getattr(one, name) for name in expected} == expected


async def test_numbers_are_read_page_by_page_and_each_once() -> None:
    """A page that says it is the last one ends it, whatever its cursor."""

    def respond(request: httpx.Request) -> httpx.Response:
        if "phone_numbers" not in request.url.path:
            return graph(request)
        page = int(request.url.params.get("after", "0"))
        paging = {"cursors": {"after": str(page + 1)}}
        more = {"next": "https://graph.test/next"} if page < 2 else {}
        shown = [number(str(page)), number(str(page + 1))]
        return httpx.Response(200, json={"data": shown, "paging": paging | more})

    owner, crm = answering(respond)
    found = await owner.messaging.account()
    assert isinstance(found, AccountFound)
    assert [one.id for one in found.numbers] == ["0", "1", "2", "3"]
    assert len(crm.requests) == 4


async def test_pages_that_never_end_are_left() -> None:
    """A cursor that stays is no next page."""

    def respond(request: httpx.Request) -> httpx.Response:
        paging = {"cursors": {"after": "same"}, "next": "https://graph.test/next"}
        told = httpx.Response(200, json={"data": [number()], "paging": paging})
        return told if "phone_numbers" in request.url.path else graph(request)

    owner, crm = answering(respond)
    assert isinstance(await owner.messaging.account(), AccountFound)
    assert len(crm.requests) == 3


async def test_a_version_without_one_of_the_fields_is_asked_for_what_it_shows_by_itself() -> None:
    """Fields come and go; an id and a number there are always."""

    def respond(request: httpx.Request) -> httpx.Response:
        return error(100) if "fields" in request.url.params else graph(request)

    found = await answering(respond)[0].messaging.account()
    assert isinstance(found, AccountFound)
    assert [one.id for one in found.numbers] == [NUMBER]


@pytest.mark.parametrize(
    ("told", "option", "expected"),
    [
        ({"owner_business_info": {"id": OWNER}}, "9", OWNER),
        ({"on_behalf_of_business_info": {"id": "8"}}, "9", "9"),
        ({"on_behalf_of_business_info": {"id": "8"}}, "", "8"),
        ({"owner_business_info": []}, "", ""),
    ],
)
async def test_the_owner_is_whom_meta_names_or_else_the_option(
    told: dict[str, object], option: str, expected: str
) -> None:
    """Neither is made up."""

    def respond(request: httpx.Request) -> httpx.Response:
        shown = httpx.Response(200, json={"id": WABA, **told})
        return graph(request) if "phone_numbers" in request.url.path else shown

    tools = ScriptedCrm(respond).tools()
    found = await adapter(tools, business_id=option).messaging.account()
    assert isinstance(found, AccountFound)
    assert found.business_id == expected


async def test_a_good_token_is_told_with_the_account_that_it_opens() -> None:
    """One question, and no message."""
    owner, crm = answering(graph)
    message = "WhatsApp shows the account Lucky Shrub"
    assert await owner.check() == Standing(valid=True, message=message, account_id=WABA)
    assert [request.method for request in crm.requests] == ["GET"]


@pytest.mark.parametrize(
    ("reply", "code", "reachable"),
    [
        (error(190, 401), "", True),
        (error(0, 401), "", True),
        (httpx.Response(401, text="no"), "", True),
        (error(10, 403), "NO_PERMISSION", True),
        (error(200, 403), "NO_PERMISSION", True),
        (error(299), "NO_PERMISSION", True),
        (error(3), "NO_PERMISSION", True),
        (error(100), "100", True),
        (error(131031), "131031", True),
        (httpx.Response(404, text="<html>"), "NO_API", True),
        (httpx.Response(302, headers={"location": "/"}), "NO_API", True),
        (error(4), "", False),
        (error(80008), "", False),
        (error(2, 500), "", False),
        (httpx.Response(502, text="<html>"), "", False),
        (httpx.Response(200, text="<html>"), "", False),
        (httpx.Response(200, json={"id": "1"}), "", False),
        (httpx.Response(429), "", False),
    ],
)
async def test_a_check_tells_refused_from_not_allowed_from_no_answer(
    reply: httpx.Response, code: str, *, reachable: bool
) -> None:
    """By the number of the error, and not by HTTP's status."""
    standing = await answering(lambda _: reply)[0].check()
    assert not standing.valid
    assert (standing.code, standing.reachable) == (code, reachable)


async def test_a_check_of_a_meta_that_cannot_be_reached_says_so() -> None:
    """It tells nothing of the token."""

    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(SECRET)

    standing = await answering(gone)[0].check()
    assert not standing.reachable
    assert SECRET not in standing.message


async def test_without_the_account_s_id_nothing_is_asked() -> None:
    """What is missing is named."""
    crm = ScriptedCrm(graph)
    owner = adapter(crm.tools(), waba_id="")
    standing = await owner.check()
    assert (standing.valid, standing.code) == (False, "NO_WABA_ID")
    assert "'waba_id'" in standing.message
    assert isinstance(await owner.messaging.account(), Rejected)
    assert crm.requests == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(error(80007), Postponed), (error(2, 500), Retry), (error(200, 403), Rejected)],
)
async def test_an_account_that_cannot_be_read_says_why(
    reply: httpx.Response, kind: type[object]
) -> None:
    """Also where it is its numbers that cannot be."""

    def numbers_only(request: httpx.Request) -> httpx.Response:
        return reply if "phone_numbers" in request.url.path else graph(request)

    for respond in (lambda _: reply, numbers_only):
        assert isinstance(await answering(respond)[0].messaging.account(), kind)


async def test_a_refused_token_is_raised_where_the_account_is_read() -> None:
    """It is shown to nobody, though Meta repeats it."""
    reply = error(190, 401, message=f"Error validating access token: {SECRET}")
    with pytest.raises(CredentialsRefusedError) as refused:
        await answering(lambda _: reply)[0].messaging.account()
    assert SECRET not in str(refused.value)


async def test_meta_says_when_a_limit_has_passed() -> None:
    """In minutes, for each account; the longest holds."""
    usage = '{"1":[{"type":"whatsapp","estimated_time_to_regain_access":7}],"2":[{}, 3], "3": 4}'
    reply = httpx.Response(
        400, json=error(80008).json(), headers={"x-business-use-case-usage": usage}
    )
    found = await answering(lambda _: reply)[0].messaging.account()
    assert isinstance(found, Postponed)
    assert (found.until - NOW).total_seconds() == 7 * 60


async def test_reading_takes_nothing_from_the_allowance_of_messages() -> None:
    """Messages go on while the account is looked at."""
    quota = Rations(calls=0)
    owner, _ = answering(graph, quota)
    assert isinstance(await owner.messaging.account(), AccountFound)
    assert owner.capabilities.limits[0].bucket == "messages"


def test_no_secret_is_shown() -> None:
    """By whatever prints an adapter."""
    owner, _ = answering(graph)
    assert not any(secret in repr(owner.messaging) + repr(owner) for secret in SECRETS.values())
