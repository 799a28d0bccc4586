"""Leads through a real channel to a simulated broker: registered once, followed, and counted."""

import asyncio
from pathlib import Path

import grpc
import pytest

from crmsync.v1 import connection_service_pb2, lead_pb2, sync_service_pb2
from crmsync.v1 import lead_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.trading import Trading
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from tests.service import accounts, leads
from tests.service.calls import create, failure, new_uuid
from tests.service.starting import full
from tests.store.leads import sound


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database."""
    return leads.settings_of(database_url, tmp_path)


@pytest.fixture
async def broker(client: CrmsyncClient, sandbox: Sandbox) -> Trading:
    """Connect the organization to a broker, and return it."""
    await accounts.good(sandbox, "trading").connect(client)
    return sandbox.trading


# --- registering ---


async def test_a_signup_is_registered_and_its_lead_returned(
    client: CrmsyncClient, broker: Trading
) -> None:
    """With where the person is logged in; nothing is known of its status yet."""
    done = await leads.register(client, "s-1", "ada@example.com")
    assert done.created
    assert done.login_url.startswith("https://trade.sandbox.example/")
    assert done.lead.registration == lead_pb2.LEAD_REGISTRATION_REGISTERED
    assert (done.lead.crm, done.lead.crm_lead_id) == ("trading", "1001")
    assert (done.lead.status, done.lead.HasField("sync_time")) == ("", False)
    (held,) = broker.contacts()
    assert held["affiliateTransactionId"] == "s-1"
    assert (await leads.get(client)).email == "ada@example.com"
    told = await leads.stats(client)
    assert (told.total_leads, told.total_synced, told.conversion_rate) == (1, 0, 0.0)


async def test_a_signup_is_registered_once_however_often_it_is_asked_for(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """By its id, by its request, and by many at once."""
    request_id = new_uuid()
    first = await leads.register(client, "s-1", request_id=request_id)
    assert await leads.register(client, "s-1", request_id=request_id) == first
    other = await leads.register(client, "s-1", "new@example.com")
    assert (other.created, other.login_url, other.lead.email) == (False, "", "new@example.com")

    async def answer() -> str:
        try:
            await leads.register(client, "s-2")
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "done"

    broker.faults.settings = FaultSettings(latency_seconds=0.2)
    answers = await asyncio.gather(*(answer() for _ in range(6)))
    assert "done" in answers
    assert set(answers) <= {"done", "ABORTED"}
    broker.faults.settings = FaultSettings()
    assert [held["affiliateTransactionId"] for held in broker.contacts()] == ["s-1", "s-2"]
    assert (await leads.stats(client)).total_leads == 2
    await sound(database)


async def test_a_lost_answer_is_settled_by_a_look(client: CrmsyncClient, broker: Trading) -> None:
    """The caller does not notice, and the broker has one."""
    broker.faults.script(ScriptedFault(kind="drop", applied=True, path=leads.REGISTRATION))
    assert (await leads.register(client)).created
    assert len(broker.accounts) == 1


async def test_an_unknown_outcome_is_looked_up_before_it_is_repeated(
    client: CrmsyncClient, broker: Trading
) -> None:
    """The lead is kept, and says that it is not known."""
    broker.faults.script(
        ScriptedFault(kind="drop", path=leads.REGISTRATION),
        ScriptedFault(kind="status", status=500, path="/accounts"),
    )
    lost = await failure(leads.register(client))
    assert (lost.code, lost.reason) == (grpc.StatusCode.UNAVAILABLE, "CRM_UNAVAILABLE")
    assert lost.metadata["crm_code"] == "UNKNOWN_OUTCOME"
    kept = await leads.get(client)
    assert kept.registration == lead_pb2.LEAD_REGISTRATION_UNKNOWN
    assert kept.registration_error.code == "UNKNOWN_OUTCOME"
    broker.user.add("s-1", email="s-1@example.com")  # it had come through
    again = await leads.register(client)
    assert not again.created
    assert again.lead.registration == lead_pb2.LEAD_REGISTRATION_REGISTERED
    assert (len(broker.accounts), leads.count(broker, leads.REGISTRATION)) == (1, 1)


async def test_what_the_broker_refuses_is_told_in_its_words_and_can_be_mended(
    client: CrmsyncClient, broker: Trading
) -> None:
    """The lead is kept with its error until then."""
    broker.faults.settings = FaultSettings(reject_share=1)
    refused = await failure(leads.register(client, "s-1", "bad@example.com"))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CRM_REFUSED",
    )
    assert "The lead bad@example.com is not acceptable." in refused.message
    kept = await leads.get(client)
    assert kept.registration == lead_pb2.LEAD_REGISTRATION_REFUSED
    assert kept.registration_error.code == "HTTP_400"
    broker.faults.settings = FaultSettings()
    assert (await leads.register(client, "s-1", "good@example.com")).created
    assert not (await leads.get(client)).HasField("registration_error")


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (ScriptedFault(kind="status", status=429, retry_after_seconds=0), "EXHAUSTED", "CRM_BUSY"),
        (ScriptedFault(kind="status", status=401, times=9), "PRECONDITION", "CREDENTIALS_REFUSED"),
    ],
)
async def test_a_signup_that_was_not_taken_waits_for_another_call(
    client: CrmsyncClient, broker: Trading, fault: ScriptedFault, code: str, reason: str
) -> None:
    """It surely was not applied: then it is just sent again."""
    broker.faults.script(fault)
    told = await failure(leads.register(client))
    assert (code in told.code.name, told.reason) == (True, reason)
    assert (await leads.get(client)).registration == lead_pb2.LEAD_REGISTRATION_PENDING
    broker.faults.clear_script()
    assert (await leads.register(client)).created


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "two words"),
        ("id", "x" * 65),
        ("email", ""),
        ("email", "nobody"),
        ("first_name", ""),
        ("last_name", "x" * 101),
        ("country", "Germany"),
        ("ip_address", "300.1.1.1"),
        ("tag", "x" * 201),
    ],
)
async def test_bad_input_is_refused_by_its_field_and_changes_nothing(
    client: CrmsyncClient, broker: Trading, field: str, value: str
) -> None:
    """Neither here nor at the broker."""
    given = leads.lead()
    setattr(given, field, value)
    told = await failure(client.leads.RegisterLead(pb.RegisterLeadRequest(lead=given)))
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert {one.field for one in told.violations} == {f"lead.{field}"}
    assert (await leads.stats(client)).total_leads == 0
    assert broker.calls.as_json()["total"] == 0


async def test_a_crm_that_keeps_no_leads_or_is_none_is_refused(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Each for its own reason."""
    without = await failure(leads.register(client))
    assert without.reason == "CRM_DISABLED"
    await accounts.good(sandbox, "hubspot").connect(client)
    lacking = pb.RegisterLeadRequest(lead=leads.lead(crm="hubspot"))
    assert (await failure(client.leads.RegisterLead(lacking))).reason == "NOT_SUPPORTED"
    unknown = pb.RegisterLeadRequest(lead=leads.lead(crm="tradign"))
    assert (await failure(client.leads.RegisterLead(unknown))).reason == "UNKNOWN_CRM"
    days = pb.SyncRecentLeadsRequest(days=3651)
    assert (await failure(client.leads.SyncRecentLeads(days))).reason == "INVALID_REQUEST"


async def test_an_address_that_may_not_be_called_is_said_and_nothing_was_sent(
    database_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The connection is wrong, not its credentials; the lead waits."""
    settings = leads.settings_of(
        database_url,
        tmp_path,
        allowed_networks="10.0.0.0/8",
        trading_base_url=sandbox.urls["trading"],
        trading_token=sandbox.trading.settings.static_key,
    )
    async with leads.running(settings) as client:
        told = await failure(leads.register(client))
        assert told.reason == "CONNECTION_MISCONFIGURED"
        assert "127.0.0.1 is not a public address" in told.message
        kept = await leads.get(client)
    assert kept.registration == lead_pb2.LEAD_REGISTRATION_PENDING
    assert kept.registration_error.code == "CONNECTION_MISCONFIGURED"


# --- one lead ---


async def test_a_lead_is_found_by_its_email_where_the_broker_knows_no_such_id(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """But not one that is another lead's."""
    await leads.put(database, 2)
    first, second = (leads.ID.format(one) for one in range(2))
    broker.user.add("from-elsewhere", email=f"{first.upper()}@example.com")
    found = await leads.sync(client, first)
    assert found.updated
    assert found.lead.registration == lead_pb2.LEAD_REGISTRATION_REGISTERED
    broker.user.add(first, email=f"{second}@example.com")
    assert (await failure(leads.sync(client, second))).reason == "LEAD_NOT_AT_CRM"


async def test_a_status_without_a_name_is_kept_and_shown(
    client: CrmsyncClient, broker: Trading
) -> None:
    """With its number, and in the broker's words."""
    await leads.register(client)
    broker.user.move("s-1", 17)
    told = (await leads.sync(client)).lead
    assert (told.status, told.status_code, told.status_text) == ("Unknown (17)", 17, "Status 17")
    assert dict((await leads.stats(client)).status_counts) == {"Unknown (17)": 1}
    listed = await leads.listed(client, pb.ListLeadsRequest(status_codes=[17]))
    assert [one.id for one in listed] == ["s-1"]


async def test_every_change_is_in_the_history_and_a_conversion_counts_once(
    client: CrmsyncClient, broker: Trading, database: Database
) -> None:
    """Newest first, page by page; a deposit that is taken back and made again is no second one."""
    await leads.register(client)
    for code in (1, 3, 9):
        broker.user.move("s-1", code)
        await leads.sync(client)
    broker.user.take_back("s-1")
    await leads.sync(client)
    broker.user.move("s-1", 9)
    session = await leads.sync_all(client)
    changes = await leads.history(client)
    assert [(one.previous_status, one.status) for one in changes] == [
        ("FTD", "FTD"),
        ("FTD", "FTD"),
        ("Contact", "FTD"),
        ("New", "Contact"),
        ("", "New"),
    ]
    assert [one.ftd_exists for one in changes] == [True, False, True, False, False]
    assert [one.conversion for one in changes] == [False, False, True, False, False]
    assert [one.session_id for one in changes] == [session.id, "", "", "", ""]
    assert (session.leads.conversions, session.leads.new_conversions) == (1, 0)
    assert (await leads.stats(client)).conversions == 1
    page = await client.leads.ListLeadHistory(pb.ListLeadHistoryRequest(lead_id="s-1", page_size=4))
    rest = await client.leads.ListLeadHistory(
        pb.ListLeadHistoryRequest(lead_id="s-1", page_size=4, page_token=page.next_page_token)
    )
    assert [one.sequence for one in (*page.changes, *rest.changes)] == [5, 4, 3, 2, 1]
    await sound(database)


# --- listing ---


async def test_leads_are_listed_newest_first_page_by_page(
    client: CrmsyncClient, broker: Trading
) -> None:
    """By status, deposit, email and registration; a token serves the list that it came from."""
    for number in range(5):
        await leads.register(client, f"s-{number}")
    broker.user.move("s-1", 9)
    await leads.sync_all(client)
    names = [one.id for one in await leads.listed(client, pb.ListLeadsRequest(page_size=2))]
    assert names == ["s-4", "s-3", "s-2", "s-1", "s-0"]
    paid = await leads.listed(client, pb.ListLeadsRequest(ftd_exists=True))
    assert [one.id for one in paid] == ["s-1"]
    named = await leads.listed(client, pb.ListLeadsRequest(email="S-3@example.com"))
    assert [one.id for one in named] == ["s-3"]
    refused = lead_pb2.LEAD_REGISTRATION_REFUSED
    assert not await leads.listed(client, pb.ListLeadsRequest(registration=refused))
    page = await client.leads.ListLeads(pb.ListLeadsRequest(page_size=2))
    other = pb.ListLeadsRequest(page_token=page.next_page_token, crm="trading")
    assert (await failure(client.leads.ListLeads(other))).reason == "INVALID_PAGE_TOKEN"


# --- contacts are none of its business ---


async def test_contacts_are_not_queued_for_it_and_the_error_says_why(
    client: CrmsyncClient, broker: Trading
) -> None:
    """By none of the ways in which they could be; nothing is called."""
    contact_id = await create(client)
    request = sync_service_pb2.QueueContactRequest(contact_id=contact_id, crm="trading")
    told = await failure(client.sync.QueueContact(request))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_SUPPORTED")
    assert told.metadata == {"crm": "trading", "feature": "contacts"}
    assert "trading does not offer contacts" in told.message
    everything = sync_service_pb2.QueueAllContactsRequest(crm="trading")
    assert (await failure(client.sync.QueueAllContacts(everything))).reason == "NOT_SUPPORTED"
    many = sync_service_pb2.BulkQueueContactsRequest(crm="trading", contact_ids=[contact_id])
    assert (await failure(client.sync.BulkQueueContacts(many))).reason == "NOT_SUPPORTED"
    for direction in (1, 2, 3):
        asked = full("trading", direction)  # type: ignore[arg-type]  # every direction there is
        told = await failure(client.sessions.StartSession(asked))
        assert told.reason == "NOT_SUPPORTED"
    assert broker.calls.as_json()["total"] == 0


async def test_its_credentials_are_tested_without_writing(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """As those of any other CRM, before and after they are stored."""
    good, bad = accounts.good(sandbox, "trading"), accounts.bad(sandbox, "trading")
    told = await client.connections.TestCredentials(good.given)
    assert told.status == connection_service_pb2.CREDENTIALS_STATUS_VALID
    told = await client.connections.TestCredentials(bad.given)
    assert told.status == connection_service_pb2.CREDENTIALS_STATUS_INVALID
    await good.connect(client)
    stored = connection_service_pb2.TestCredentialsRequest(crm="trading")
    told = await client.connections.TestCredentials(stored)
    assert told.status == connection_service_pb2.CREDENTIALS_STATUS_VALID
    assert sandbox.trading.calls.as_json()["writes"] == 0
