"""The examples of the Trading CRM's document, with the same values, through a real channel."""

from pathlib import Path

import grpc
import pytest

from crmsync.v1 import admin_service_pb2, schedule_pb2, session_pb2
from crmsync.v1 import lead_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.trading_user import TradingUser
from crmsync_server.settings import Settings
from tests.service import accounts, leads
from tests.service.calls import failure

JOHN = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
JANE = "b2c3d4e5-f6a7-8901-bcde-f12345678901"
BREAKDOWN = {"New": 15, "Contact": 12, "FTD": 8, "Demo": 5, "Not Interested": 5}
_CODES = {"New": 1, "Contact": 3, "FTD": 9, "Demo": 8, "Not Interested": 6}
_UNTOUCHED = 3
CODES = {
    1: "New",
    2: "Attempted",
    3: "Contact",
    4: "No Answer",
    5: "Callback",
    6: "Not Interested",
    7: "Invalid Number",
    8: "Demo",
    9: "FTD",
    10: "Retention",
    11: "Deposited",
    12: "Withdrawn",
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database."""
    return leads.settings_of(database_url, tmp_path)


@pytest.fixture
async def broker(client: CrmsyncClient, sandbox: Sandbox) -> TradingUser:
    """Connect the organization to a broker, and return somebody at work there."""
    await accounts.good(sandbox, "trading").connect(client)
    return sandbox.trading.user


async def forty_five(client: CrmsyncClient, broker: TradingUser) -> session_pb2.Session:
    """Bring 45 leads to where the document has them; return the session in which 42 moved."""
    await leads.register(client, JOHN, "john@example.com")
    await leads.register(client, JANE, "jane@example.com")
    others = [f"signup-{number}" for number in range(43)]
    await leads.register_all(client, others)
    for lead_id in [JOHN, JANE, *others[: 42 - 2]]:
        broker.move(lead_id, 2)
    assert (await leads.sync_all(client, 7)).leads.synced == 45
    wanted = [name for name, count in BREAKDOWN.items() for _ in range(count)]
    moves = [name for name in wanted if name != "New"] + ["New"] * (15 - _UNTOUCHED)
    moves.sort(key=lambda name: name != "FTD")
    moves.remove("Contact")
    moves.insert(1, "Contact")  # John made a deposit, Jane is being talked to
    for lead_id, name in zip([JOHN, JANE, *others], moves, strict=False):
        broker.move(lead_id, _CODES[name])
    return await leads.sync_all(client, 7)


async def test_statistics_are_those_of_the_document(
    client: CrmsyncClient, broker: TradingUser
) -> None:
    """45 leads, 8 conversions, a rate of 17.78 %, and five statuses; asking the CRM nothing."""
    session = await forty_five(client, broker)
    told = await leads.stats(client)
    assert (told.total_synced, told.conversions) == (45, 8)
    assert told.conversion_rate == 0.1778
    assert f"{told.conversion_rate:.2%}" == "17.78%"
    assert dict(told.status_counts) == BREAKDOWN
    assert told.last_sync_time.ToDatetime() >= session.create_time.ToDatetime()


async def test_all_recent_leads_are_synced_with_the_documents_counts(
    client: CrmsyncClient, broker: TradingUser
) -> None:
    """Synced 45, updated 42, conversions 8; and the leads that it lists."""
    session = await forty_five(client, broker)
    assert session.state == session_pb2.SESSION_STATE_SUCCEEDED
    assert session.kind == session_pb2.SESSION_KIND_LEAD_STATUS_SYNC
    found = session.leads
    assert (found.synced, found.updated, found.conversions) == (45, 42, 8)
    assert found.new_conversions == 8
    listed = await leads.listed(client, pb.ListLeadsRequest(session_id=session.id, page_size=20))
    shown = {one.id: (one.email, one.status, one.ftd_exists) for one in listed}
    assert len(shown) == 45
    assert shown[JOHN] == ("john@example.com", "FTD", True)
    assert shown[JANE] == ("jane@example.com", "Contact", False)


async def test_a_single_lead_with_a_deposit_is_synced(
    client: CrmsyncClient, broker: TradingUser
) -> None:
    """The reply of the document, field by field."""
    await leads.register(client, JOHN, "john@example.com")
    broker.move(JOHN, 9, tp_account="MT4-123456")
    told = await leads.sync(client, JOHN)
    assert told.lead.id == "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
    assert (told.lead.status, told.lead.status_code) == ("FTD", 9)
    assert told.lead.ftd_exists
    assert told.lead.tp_account == "MT4-123456"
    assert told.updated
    again = await leads.sync(client, JOHN)
    assert not again.updated
    assert again.lead.status == "FTD"


async def test_a_lead_that_the_crm_does_not_have_is_not_found(
    client: CrmsyncClient, broker: TradingUser, sandbox: Sandbox
) -> None:
    """Whether it is known here or not; which of both, the reason says."""
    await leads.register(client, JOHN, "john@example.com")
    sandbox.trading.accounts.clear()
    told = await failure(leads.sync(client, JOHN))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "LEAD_NOT_AT_CRM")
    assert told.metadata == {"lead_id": JOHN, "crm": "trading"}
    unknown = await failure(leads.sync(client, JANE))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "LEAD_NOT_FOUND")
    with pytest.raises(KeyError):
        broker.move(JOHN, 2)


async def test_the_conversions_of_yesterday_are_read_off_the_session(
    client: CrmsyncClient, broker: TradingUser
) -> None:
    """A second run counts them as conversions, but as none that is new."""
    await leads.register_all(client, ["s-1", "s-2", "s-3"])
    broker.move("s-2", 9)
    first, second = [(await leads.sync_all(client, 1)).leads for _ in range(2)]
    assert (first.conversions, first.new_conversions) == (1, 1)
    assert (second.conversions, second.new_conversions, second.updated) == (1, 0, 0)


async def test_a_weekly_check_is_a_schedule(client: CrmsyncClient, broker: TradingUser) -> None:
    """Every Monday at nine, for seven days."""
    await leads.register(client)
    broker.move("s-1", 3)
    action = schedule_pb2.SyncRecentLeadsAction(crm="trading", days=7)
    weekly = schedule_pb2.Schedule(cron="0 9 * * 1", sync_recent_leads=action)
    request = admin_service_pb2.CreateScheduleRequest(schedule=weekly)
    made = (await client.admin.CreateSchedule(request)).schedule
    assert made.sync_recent_leads == action
    assert made.next_run_time.ToDatetime().weekday() == 0
    ran = await client.admin.RunSchedule(admin_service_pb2.RunScheduleRequest(schedule_id=made.id))
    states = [state async for state in client.watch_session(ran.session.id)]
    assert (states[-1].leads.synced, states[-1].leads.updated) == (1, 1)


@pytest.mark.parametrize(("code", "name"), CODES.items())
async def test_every_code_has_the_documents_name(
    client: CrmsyncClient, broker: TradingUser, code: int, name: str
) -> None:
    """All twelve; a conversion is the deposit, not the code."""
    await leads.register(client)
    broker.move("s-1", code)
    told = (await leads.sync(client)).lead
    assert (told.status_code, told.status) == (code, name)
    assert told.ftd_exists == (name == "FTD")


async def test_a_request_that_names_no_lead_is_refused(client: CrmsyncClient) -> None:
    """The document's 400: it says which field, and what would be right."""
    told = await failure(client.leads.SyncLead(pb.SyncLeadRequest()))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [one.field for one in told.violations] == ["lead_id"]


async def test_wrong_credentials_are_told_as_such(
    client: CrmsyncClient, sandbox: Sandbox, broker: TradingUser
) -> None:
    """The document's `Trading CRM API returned 401`."""
    await leads.register(client)
    broker.move("s-1", 2)
    settings = sandbox.trading.faults.settings
    sandbox.trading.faults.settings = settings.model_copy(update={"token_expired": True})
    told = await failure(leads.sync(client))
    assert told.code == grpc.StatusCode.FAILED_PRECONDITION
    assert told.reason == "CREDENTIALS_REFUSED"
    assert "401" in told.message
