"""How an account stands as a whole: each aspect has a finding, and all together a verdict."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1 import crm_account_pb2 as account
from crmsync_server.crm.adapter import CredentialsRefusedError, Standing
from crmsync_server.crm.directory import Permission
from crmsync_server.crm.outcomes import Rejected
from crmsync_server.store.db import Database
from tests.rpc.directories import CANARY, NOW, House, telling
from tests.rpc.serving import failure_of

READ = Permission("contacts.read", granted=True)
GOOD = Standing(valid=True, message="it is Ada's", account_id="7")
ALL_GOOD = [("PASSED", ""), ("PASSED", ""), ("PASSED", ""), ("PASSED", "")]
NOT_CHECKED = ("UNKNOWN", "NOT_CHECKED")


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Run a service whose account is in order."""
    async with telling(database) as running:
        running.check(GOOD)
        running.tell(permissions=[READ])
        yield running


async def look(house: House, crm: str = "zoho") -> account.ConnectionStanding:
    """Look at an account."""
    return (await house.stub.ValidateConnection(pb.ValidateConnectionRequest(crm=crm))).standing


def found(standing: account.ConnectionStanding) -> tuple[str, list[tuple[str, str]]]:
    """Return the verdict, and the result and code of each finding."""
    assert [one.aspect for one in standing.findings] == [
        account.CONNECTION_ASPECT_REACHABILITY,
        account.CONNECTION_ASPECT_CREDENTIALS,
        account.CONNECTION_ASPECT_TOKEN,
        account.CONNECTION_ASPECT_PERMISSIONS,
    ]
    verdict = account.ConnectionVerdict.Name(standing.verdict)
    results = [
        (account.ConnectionResult.Name(one.result).removeprefix("CONNECTION_RESULT_"), one.code)
        for one in standing.findings
    ]
    return verdict.removeprefix("CONNECTION_VERDICT_"), results


async def test_an_account_in_order_is_ready(house: House) -> None:
    """With what is known of it; nothing is written at the CRM."""
    house.accounts.expire_time = NOW + timedelta(hours=1)
    standing = await look(house)
    assert found(standing) == ("READY", ALL_GOOD)
    assert (standing.crm, standing.account_id) == ("zoho", "7")
    assert standing.check_time.seconds == int(NOW.timestamp())
    assert standing.token.status == account.TOKEN_STATUS_VALID
    assert standing.token.expire_time.seconds == int(NOW.timestamp()) + 3600
    assert [one.name for one in standing.permissions] == ["contacts.read"]
    assert house.directory.asked == ["permissions"]
    assert house.accounts.zoho.pushed == []


async def test_credentials_without_a_token_need_none(house: House) -> None:
    """As an API key does."""
    standing = await look(house)
    assert found(standing) == ("READY", ALL_GOOD)
    assert standing.token.status == account.TOKEN_STATUS_NOT_USED


async def test_a_token_that_has_expired_is_a_warning(house: House) -> None:
    """It is renewed when it is needed."""
    house.accounts.expire_time = NOW - timedelta(seconds=1)
    standing = await look(house)
    verdict, results = found(standing)
    assert (verdict, results[2]) == ("DEGRADED", ("WARNING", "TOKEN_EXPIRED"))
    assert standing.token.status == account.TOKEN_STATUS_EXPIRED


async def test_refused_credentials_make_an_account_unusable(house: House) -> None:
    """The CRM was reached; nothing else is asked of it."""
    house.check(Standing(valid=False, message=f"no such key {CANARY}"))
    standing = await look(house)
    refused = ("FAILED", "CREDENTIALS_REFUSED")
    assert found(standing) == ("UNUSABLE", [("PASSED", ""), refused, NOT_CHECKED, NOT_CHECKED])
    assert standing.findings[1].message == "no such key [hidden]"
    assert standing.token.status == account.TOKEN_STATUS_UNKNOWN
    assert standing.account_id == ""
    assert house.directory.asked == []


async def test_an_api_that_is_switched_off_is_named(house: House) -> None:
    """It is no matter of the credentials themselves."""
    house.check(Standing(valid=False, message="the API is off", code="API_DISABLED"))
    verdict, results = found(await look(house))
    assert (verdict, results[1]) == ("UNUSABLE", ("FAILED", "API_DISABLED"))


async def test_a_crm_that_gives_no_answer_leaves_the_rest_unknown(house: House) -> None:
    """The credentials may be good or not; the token is what was last heard of it."""
    house.accounts.expire_time = NOW + timedelta(hours=1)
    house.check(Standing(valid=False, message="ConnectError", reachable=False))
    expected = [("FAILED", "UNREACHABLE"), NOT_CHECKED, ("PASSED", ""), NOT_CHECKED]
    assert found(await look(house)) == ("UNREACHABLE", expected)


async def test_a_connection_that_is_unfit_is_a_finding(house: House) -> None:
    """No call can be made with it."""
    misfit = ("FAILED", "MISCONFIGURED")
    standing = await look(house, "brevo")
    assert found(standing) == ("UNUSABLE", [NOT_CHECKED, misfit, NOT_CHECKED, NOT_CHECKED])
    assert standing.findings[1].message == "the URL of the brevo connection is missing"


async def test_a_crm_that_tells_no_permissions_is_none_the_worse(house: House) -> None:
    """It shows when it is tried."""
    house.accounts.n8n.standings = [GOOD]
    verdict, results = found(await look(house, "n8n"))
    assert (verdict, results[3]) == ("READY", ("UNKNOWN", "NOT_SUPPORTED"))


@pytest.mark.parametrize(
    ("answer", "verdict", "result", "word"),
    [
        ([Permission("contacts.write", granted=False)], "UNUSABLE", "FAILED", "contacts.write"),
        (
            [READ, Permission("users.read", granted=False, needed=False)],
            "DEGRADED",
            "WARNING",
            "users.read",
        ),
        ([READ, Permission("contacts.write", granted=None)], "READY", "UNKNOWN", "contacts.write"),
        (Rejected("NO_SCOPE", f"none for {CANARY}"), "READY", "UNKNOWN", "none for [hidden]"),
        (CredentialsRefusedError(f"not {CANARY}"), "UNUSABLE", "FAILED", "not [hidden]"),
        (RuntimeError(CANARY), "READY", "UNKNOWN", "the server's log says how"),
    ],
    ids=["denied", "optional", "untold", "unreadable", "refused", "fault"],
)
async def test_permissions_decide_by_whether_they_are_needed(
    house: House, answer: object, verdict: str, result: str, word: str
) -> None:
    """What cannot be found out is said, and is no failure."""
    house.tell(permissions=answer)
    standing = await look(house)
    told, results = found(standing)
    assert (told, results[3][0]) == (verdict, result)
    assert results[3][1]
    assert word in standing.findings[3].message
    assert CANARY not in str(standing)


async def test_only_a_crm_without_an_account_is_an_error(house: House) -> None:
    """There is nothing to look at."""
    assert (await failure_of(look(house, "mautic"))).info.reason == "CRM_DISABLED"
    assert (await failure_of(look(house, "salesforce"))).info.reason == "UNKNOWN_CRM"
