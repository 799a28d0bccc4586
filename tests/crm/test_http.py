"""Calls: what was surely not sent, what may have arrived, and what is never repeated."""

import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import aiohttp
import httpx
import pytest

from crmsync_server.crm.adapter import Account, Allowance, Standing
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.http import caller, checked
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Unknown
from crmsync_server.crm.replies import Reply
from tests.crm.support import NOW, SECRET, Rations, ScriptedCrm, account


def failing(fault: Exception, cause: Exception | None = None) -> ScriptedCrm:
    """Return a CRM that cannot be called for this reason."""

    def respond(_: httpx.Request) -> httpx.Response:
        raise fault from cause

    return ScriptedCrm(respond)


async def call(crm: ScriptedCrm, quota: Rations | None = None) -> Reply | Outcome:
    """Make a call."""
    headers = {"authorization": f"Bearer {SECRET}"}
    calls = caller("HubSpot", account("hubspot"), crm.tools(quota), headers)
    return await calls.call("POST", "/x", buckets=("daily", "burst"), json={})


@pytest.mark.parametrize(
    ("fault", "cause", "kind"),
    [
        (httpx.ConnectError(SECRET), None, Retry),
        (httpx.ConnectTimeout(SECRET), None, Retry),
        (httpx.PoolTimeout(SECRET), None, Retry),
        (httpx.ConnectTimeout(SECRET), aiohttp.ConnectionTimeoutError(), Retry),
        (httpx.ConnectTimeout(SECRET), aiohttp.ServerDisconnectedError(), Unknown),
        (httpx.ConnectTimeout(SECRET), aiohttp.ClientOSError(104, "reset"), Unknown),
        (httpx.ReadTimeout(SECRET), aiohttp.SocketTimeoutError(), Unknown),
        (httpx.ReadError(SECRET), None, Unknown),
        (httpx.WriteError(SECRET), None, Unknown),
        (httpx.RemoteProtocolError(SECRET), None, Unknown),
        (aiohttp.ClientPayloadError(SECRET), None, Unknown),
        (TimeoutError(SECRET), None, Unknown),
    ],
)
async def test_only_what_was_surely_not_sent_applied_nothing(
    fault: Exception, cause: Exception | None, kind: type[Outcome]
) -> None:
    """A lost connection is unknown, even when the transport calls it a connect time-out."""
    found = await call(failing(fault, cause))
    assert isinstance(found, kind)
    assert SECRET not in repr(found)


async def test_quota_is_taken_before_the_call() -> None:
    """In the order of the buckets; none is left untaken."""
    quota = Rations()
    crm = ScriptedCrm(lambda _: httpx.Response(200, json={"a": 1}))
    reply = await call(crm, quota)
    assert isinstance(reply, Reply)
    assert reply.fields == {"a": 1}
    assert quota.taken == ["daily", "burst"]


async def test_a_call_without_quota_is_not_made() -> None:
    """It is postponed until the allowance is back."""
    crm = ScriptedCrm(lambda _: httpx.Response(200))
    until = NOW + timedelta(hours=1)
    found = await call(crm, Rations(1, until))
    assert isinstance(found, Postponed)
    assert found.until == until
    assert crm.requests == []


class Told:
    """Limits that a CRM tells in two headers."""

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterable[Allowance]:
        """Return what the header says of the last bucket."""
        assert now == NOW
        return [Allowance(buckets[-1], remaining=int(reply.headers["left"]))]

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Close the first bucket for as long as the header says."""
        return buckets[0], now + timedelta(seconds=int(reply.headers["wait"]))


@pytest.mark.parametrize("status", [200, 404, 429, 500])
async def test_the_quota_learns_from_every_reply_and_gives_way_to_a_429(status: int) -> None:
    """As the vendor's own reader understands it; the reply is returned all the same."""
    crm = ScriptedCrm(lambda _: httpx.Response(status, headers={"left": "7", "wait": "3"}))
    quota = Rations()
    calls = caller("HubSpot", account("hubspot"), crm.tools(quota), {})
    reply = await replace(calls, limits=Told()).call("GET", "/x", buckets=("daily", "burst"))
    assert isinstance(reply, Reply)
    assert quota.told == [Allowance("burst", remaining=7)]
    assert quota.refusals == ([("daily", NOW + timedelta(seconds=3))] if status == 429 else [])


@pytest.mark.parametrize(("headers", "wait"), [({}, 10), ({"retry-after": "120"}, 120)])
async def test_without_a_reader_a_429_closes_the_last_bucket(
    headers: dict[str, str], wait: int
) -> None:
    """For as long as Retry-After says."""
    quota = Rations()
    await call(ScriptedCrm(lambda _: httpx.Response(429, headers=headers)), quota)
    assert quota.told == []
    assert quota.refusals == [("burst", NOW + timedelta(seconds=wait))]


async def test_a_call_that_takes_from_no_bucket_teaches_nothing() -> None:
    """There is none that a 429 could close."""
    quota = Rations()
    crm = ScriptedCrm(lambda _: httpx.Response(429))
    calls = caller("HubSpot", account("hubspot"), crm.tools(quota), {})
    assert isinstance(await calls.call("GET", "/x", buckets=()), Reply)
    assert quota.refusals == []


async def test_an_access_token_that_the_crm_repeats_is_hidden() -> None:
    """Like the account's own secrets; and it is in no repr."""
    crm = ScriptedCrm(lambda _: httpx.Response(401, json={"message": "bad token tok-123"}))
    plain = caller("HubSpot", account("hubspot"), crm.tools(), {})
    calls = replace(plain, hidden=("tok-123", ""))
    assert "tok-123" not in repr((await calls.call("GET", "/x", buckets=()), calls))


async def test_an_address_that_may_not_be_called_is_no_answer_to_a_check() -> None:
    """It says nothing about the credentials; a call raises it, and the lane pauses."""
    crm = failing(AddressRefusedError("crm.test leads to no public address"))
    with pytest.raises(AddressRefusedError):
        await call(crm)

    async def check() -> Standing:
        await call(crm)
        return Standing(valid=True, message="good")

    standing = await checked(check())
    assert standing == Standing(
        valid=False, message="crm.test leads to no public address", reachable=False
    )


async def test_a_secret_that_the_crm_repeats_is_hidden() -> None:
    """In the text, and in every field of the JSON."""
    body = {"message": f"the key {SECRET} is wrong", "deep": [{"key": SECRET}]}
    crm = ScriptedCrm(lambda _: httpx.Response(400, json=body))
    assert SECRET not in repr(await call(crm))


async def test_a_redirect_is_not_followed() -> None:
    """It could carry the credentials to another host."""
    crm = ScriptedCrm(lambda _: httpx.Response(302, headers={"location": "https://evil.test/"}))
    reply = await call(crm)
    assert isinstance(reply, Reply)
    assert reply.status == 302
    assert len(crm.requests) == 1


@pytest.mark.parametrize("told", ["soon", "0", "-1", "601", "9" * 15, "9" * 5_000, "٣"])
def test_an_impossible_timeout_is_refused_at_once(told: str) -> None:
    """The option is named."""
    wrong = Account("org-1", "hubspot", "https://x.test", {}, {"timeout_seconds": told})
    with pytest.raises(ValueError, match="timeout_seconds"):
        caller("HubSpot", wrong, ScriptedCrm(lambda _: httpx.Response(200)).tools(), {})


async def test_a_reply_without_end_is_no_answer() -> None:
    """A small packed one neither: what counts is how long it gets."""
    packed = gzip.compress(bytes(64 * 1024 * 1024))

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})

    found = await call(ScriptedCrm(respond))
    assert isinstance(found, Unknown)


async def test_a_packed_reply_is_read() -> None:
    """As many servers send it."""

    def respond(_: httpx.Request) -> httpx.Response:
        packed = gzip.compress(b'{"id": "7"}')
        return httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})

    found = await call(ScriptedCrm(respond))
    assert isinstance(found, Reply)
    assert found.fields == {"id": "7"}


async def fetched(reply: httpx.Response) -> tuple[Reply | Outcome, bytes]:
    """Fetch a file of ten bytes at most; return what came of it, and what was written."""
    crm = ScriptedCrm(lambda _: reply)
    calls = caller("HubSpot", account("hubspot"), crm.tools(), {})
    into = io.BytesIO()
    found = await calls.download("/x", into, buckets=("daily",), longest=10)
    return found, into.getvalue()


async def test_a_file_is_written_where_it_is_wanted() -> None:
    """The reply is without it; any other answer is read as usual, and not written."""
    found, written = await fetched(httpx.Response(200, content=b"0123456789"))
    assert isinstance(found, Reply)
    assert (found.status, found.text, written) == (200, "", b"0123456789")
    found, written = await fetched(httpx.Response(404, json={"message": f"not {SECRET}"}))
    assert isinstance(found, Reply)
    assert (found.fields["message"], written) == ("not [hidden]", b"")


async def test_a_file_that_is_too_long_is_a_fault() -> None:
    """It is not written to its end."""
    found, written = await fetched(httpx.Response(200, content=b"0123456789A"))
    assert isinstance(found, Unknown)
    assert len(written) <= 10
