"""Calls: what was surely not sent, what may have arrived, and what is never repeated."""

from datetime import timedelta

import aiohttp
import httpx
import pytest

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.http import caller
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


def test_an_impossible_timeout_is_refused_at_once() -> None:
    """The option is named."""
    wrong = Account("org-1", "hubspot", "https://x.test", {}, {"timeout_seconds": "soon"})
    with pytest.raises(ValueError, match="timeout_seconds"):
        caller("HubSpot", wrong, ScriptedCrm(lambda _: httpx.Response(200)).tools(), {})
