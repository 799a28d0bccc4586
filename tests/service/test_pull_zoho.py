"""Reading Zoho through a real channel: lists past 2,000, tokens that expire, bulk jobs, credits."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from crmsync.v1 import connection_service_pb2, session_item_pb2, session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.service import accounts
from tests.service.calls import create, finished
from tests.service.pulls import SUCCEEDED, calls, codes, contacts, edit, waiting
from tests.service.starting import BOTH, PUSH, changes, done, full, items, manual, start

CRM = "zoho"
LIST, COQL, JOB = "/crm/v8/Contacts", "/crm/v8/coql", "/crm/bulk/v8/read"
DELETED = f"{LIST}/deleted"
YESTERDAY = timedelta(days=1)
PLENTY = {"burst_calls": "100000", "daily_credits": "100000", "timeout_seconds": "5"}


@pytest.fixture
def organization() -> ZohoSettings:
    """Return how Zoho is set up; tests set it up otherwise by parametrizing this."""
    return ZohoSettings()


@pytest.fixture
async def sandbox(organization: ZohoSettings) -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs."""
    async with Sandbox(zoho=organization) as running:
        yield running


async def connect(client: CrmsyncClient, sandbox: Sandbox, **options: str) -> None:
    """Connect to the simulated Zoho, with limits that no test reaches by accident."""
    account = accounts.good(sandbox, CRM)
    await replace(account, options=PLENTY | options).connect(client)


def person(name: str, **fields: object) -> dict[str, object]:
    """Return what somebody is at Zoho."""
    return {"Email": f"{name}@example.com", "Last_Name": name.title(), **fields}


def ago(time: timedelta) -> datetime:
    """Return an instant in the past."""
    return datetime.now(UTC) - time


async def test_everything_is_read_past_two_thousand_and_nothing_moves_the_second_time(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """By page tokens, since page numbers end there; nothing of it is written back."""
    await connect(client, sandbox)
    sandbox.zoho.user.seed(2_350)
    session = await done(client, full(CRM))
    assert (session.state, session.pull.created, session.pull.read) == (SUCCEEDED, 2_350, 2_350)
    assert (session.progress.total, session.progress.synced) == (2_350, 2_350)
    assert len(await contacts(client)) == 2_350
    again = await done(client, full(CRM, BOTH))
    assert (again.pull.unchanged, again.pull.read) == (2_350, 2_350)
    assert again.progress.skipped == 2_350
    assert sandbox.zoho.calls.as_json()["writes"] == 0
    assert (LIST, "400") not in calls(sandbox, CRM)


@pytest.mark.parametrize("organization", [ZohoSettings(page_token_seconds=0)])
async def test_page_tokens_that_expire_are_gone_on_from_by_a_query(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Every token does here, and nothing is missing."""
    await connect(client, sandbox)
    sandbox.zoho.user.seed(900)
    session = await done(client, full(CRM))
    assert (session.state, session.pull.created) == (SUCCEEDED, 900)
    assert calls(sandbox, CRM)[COQL, "200"] >= 3


async def test_an_empty_organization_is_read_as_empty(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Zoho answers 204, without a body."""
    await connect(client, sandbox)
    session = await done(client, full(CRM))
    assert (session.state, session.pull.read) == (SUCCEEDED, 0)
    assert calls(sandbox, CRM)[LIST, "204"] == 1


async def test_where_nothing_has_changed_nothing_is_read(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Zoho answers 304, to the list and to what was deleted."""
    await connect(client, sandbox)
    sandbox.zoho.user.load([person("ada"), person("bob")], ago(YESTERDAY))
    await done(client, full(CRM))
    session = await done(client, changes(CRM))
    assert (session.state, session.pull.read) == (SUCCEEDED, 0)
    assert calls(sandbox, CRM)[LIST, "304"] == 1


async def test_what_was_changed_and_deleted_since_is_read(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """A contact in the recycle bin stays here, and is linked to nothing any more."""
    await connect(client, sandbox)
    sandbox.zoho.user.load([person(f"old{number}") for number in range(5)], ago(YESTERDAY))
    ada = sandbox.zoho.user.add(person("ada"))
    bob = sandbox.zoho.user.add(person("bob"))
    await done(client, full(CRM))
    sandbox.zoho.user.edit(ada, {"First_Name": "Ada", "Phone": "+442071838750"})
    sandbox.zoho.user.remove(bob)
    sandbox.zoho.user.add(person("cid"))
    session = await done(client, changes(CRM))
    assert session.pull.HasField("since")
    pulled = session.pull
    assert (pulled.created, pulled.updated, pulled.deleted) == (1, 1, 1)
    found = await contacts(client)
    assert found["ada@example.com"].first_name == "Ada"
    assert "bob@example.com" in found
    quiet = await done(client, changes(CRM))
    assert quiet.pull.created == quiet.pull.updated == quiet.pull.deleted == 0


async def test_a_contact_that_was_merged_away_is_gone_and_the_other_has_what_it_had(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Zoho tells of a merge as of a deletion for good."""
    await connect(client, sandbox)
    ada = sandbox.zoho.user.add(person("ada"))
    twin = sandbox.zoho.user.add(person("twin", Phone="+442071838750"))
    await done(client, full(CRM))
    sandbox.zoho.user.merge(twin, ada)
    session = await done(client, changes(CRM))
    assert (session.pull.updated, session.pull.deleted) == (1, 1)
    assert (await contacts(client))["ada@example.com"].phone == "+442071838750"


async def test_single_records_are_read_and_ids_that_are_none_are_listed(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """By Zoho's ids and by ours; a deleted one is as unknown as one that never was."""
    await connect(client, sandbox)
    ada = sandbox.zoho.user.add(person("ada"))
    gone = sandbox.zoho.user.add(person("gone"))
    sandbox.zoho.user.remove(gone)
    session = await done(client, manual(crm=CRM, crm_contact_ids=(ada, gone)))
    found = {one.crm_contact_id: one for one in await items(client, session.id)}
    assert found[ada].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_CREATED
    assert found[gone].error.code == "NOT_FOUND"
    assert found[gone].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_ERROR
    contact = (await contacts(client))["ada@example.com"]
    sandbox.zoho.user.edit(ada, {"First_Name": "Augusta"})
    assert (await done(client, manual(contact.id, crm=CRM))).pull.updated == 1


async def test_both_sides_changes_meet_in_one_session(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Field by field; the next session finds nothing to do."""
    await connect(client, sandbox)
    ada = sandbox.zoho.user.add(person("ada"))
    await done(client, full(CRM))
    contact = (await contacts(client))["ada@example.com"]
    sandbox.zoho.user.edit(ada, {"First_Name": "Augusta"})
    await edit(client, contact.id, phone="+442071838750")
    session = await done(client, changes(CRM, BOTH))
    assert session.state == SUCCEEDED
    [held] = sandbox.zoho.contacts()
    assert (held["fields"]["Phone"], held["fields"]["First_Name"]) == ("+442071838750", "Augusta")
    after = (await contacts(client))["ada@example.com"]
    assert (after.phone, after.first_name) == ("+442071838750", "Augusta")
    quiet = await done(client, changes(CRM, BOTH))
    assert quiet.pull.updated == quiet.pull.conflicts == quiet.progress.synced == 0


async def test_what_was_delivered_before_anything_was_read_is_no_stranger(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The record that a delivery made is linked already."""
    await connect(client, sandbox)
    contact_id = await create(client, last_name="Lovelace")
    await done(client, manual(contact_id, crm=CRM, direction=PUSH))
    session = await done(client, full(CRM))
    assert (session.pull.unchanged, session.pull.read) == (1, 1)


async def test_a_record_without_an_address_or_a_number_is_listed_and_left_out(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """There is nothing to tell it apart by."""
    await connect(client, sandbox)
    nobody = sandbox.zoho.user.add({"Last_Name": "Nobody"})
    sandbox.zoho.user.add(person("ada"))
    session = await done(client, full(CRM))
    assert (session.pull.created, session.pull.skipped) == (1, 1)
    assert await codes(client, session.id) == {nobody: "NO_IDENTITY"}


async def test_a_token_that_has_expired_is_replaced_once_and_the_reading_goes_on(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Zoho gives ten in ten minutes."""
    await connect(client, sandbox)
    sandbox.zoho.user.seed(500)
    await done(client, full(CRM))
    sandbox.zoho.tokens.expire()
    before = sandbox.zoho.tokens.issued
    session = await done(client, full(CRM))
    assert (session.state, session.pull.unchanged) == (SUCCEEDED, 500)
    assert sandbox.zoho.tokens.issued == before + 1


async def test_too_many_calls_are_waited_out_and_nothing_is_lost(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Meanwhile the session says why it waits, and until when."""
    await connect(client, sandbox)
    sandbox.zoho.user.seed(450)
    sandbox.zoho.faults.script(ScriptedFault(kind="status", status=429, path=LIST))
    session = await start(client, full(CRM))
    told = (await waiting(client, session.id)).pull
    assert told.waiting.code == "TOO_MANY_REQUESTS"
    assert told.next_page_time.ToDatetime(UTC) > ago(timedelta())
    ended = await finished(client, session.id)
    assert (ended.state, ended.pull.created) == (SUCCEEDED, 450)


async def test_credits_that_are_used_up_are_waited_for(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Half an hour: they come back one by one. The session can be cancelled meanwhile."""
    await connect(client, sandbox)
    sandbox.zoho.user.seed(10)
    await done(client, full(CRM))
    sandbox.zoho.meter.credits.limit = sandbox.zoho.meter.credits.used
    session = await start(client, full(CRM))
    told = (await waiting(client, session.id)).pull
    assert told.waiting.code in {"TOO_MANY_REQUESTS", "QUOTA_EXHAUSTED"}
    wait = told.next_page_time.ToDatetime(UTC) - datetime.now(UTC)
    assert wait > timedelta(minutes=20)
    request = pb.CancelSessionRequest(session_id=session.id)
    await client.sessions.CancelSession(request)
    ended = await finished(client, session.id)
    assert ended.state == session_pb2.SESSION_STATE_CANCELLED


@pytest.mark.parametrize("organization", [ZohoSettings(bulk_seconds=0, bulk_page_size=700)])
async def test_much_is_read_by_bulk_jobs(
    client: CrmsyncClient, sandbox: Sandbox, settings: Settings
) -> None:
    """One job after the other; the session says when it looks for the next result."""
    await connect(client, sandbox, bulk_read_threshold="1000")
    sandbox.zoho.user.seed(1_500)
    session = await start(client, full(CRM))
    for _ in range(3):
        await eventually(lambda: rests(client, session.id))
        await hurry(settings)
    ended = await finished(client, session.id)
    assert (ended.state, ended.pull.created, ended.pull.read) == (SUCCEEDED, 1_500, 1_500)
    called = calls(sandbox, CRM)
    assert (called[JOB, "201"], called.get((LIST, "200"))) == (3, None)


async def rests(client: CrmsyncClient, session_id: str) -> None:
    """Look whether a session waits for a bulk job."""
    request = pb.GetSessionRequest(session_id=session_id)
    told = (await client.sessions.GetSession(request)).session
    ended = told.state == SUCCEEDED
    assert ended or told.pull.next_page_time.ToDatetime(UTC) > ago(timedelta(seconds=-5))


async def hurry(settings: Settings) -> None:
    """Let the time that sessions wait for be over."""
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    database = Database(url)
    async with database.everyone() as connection:
        await connection.execute(sa.text("UPDATE session_runs SET due_time = now()"))
    await database.close()


async def test_everything_that_could_go_wrong_is_found_before_anything_is_read(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """A scope that was not granted is named; nothing is written."""
    await connect(client, sandbox)
    told = await client.sessions.ValidateSession(pb.ValidateSessionRequest(crm=CRM, direction=BOTH))
    assert told.valid, told.checks
    sandbox.zoho.scopes = ("ZohoCRM.modules.contacts.READ",)
    lacking = await client.connections.GetPermissions(
        connection_service_pb2.GetPermissionsRequest(crm=CRM)
    )
    assert not lacking.sufficient
    narrow = await client.sessions.ValidateSession(
        pb.ValidateSessionRequest(crm=CRM, direction=BOTH)
    )
    assert not narrow.valid
    assert sandbox.zoho.calls.as_json()["writes"] == 0


class _Standstill:
    """A clock that stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


async def test_what_is_put_back_in_the_very_second_of_our_delivery_is_taken(
    client: CrmsyncClient,
) -> None:
    """Zoho's times cannot tell the two apart; what was there belongs to an earlier second."""
    clock = _Standstill()
    async with Sandbox(clock=clock) as zoho:
        await connect(client, zoho)
        record = zoho.zoho.user.add(person("ada", Phone="1"))
        await done(client, full(CRM, BOTH))
        clock.now += timedelta(seconds=5)
        await edit(client, (await contacts(client))["ada@example.com"].id, phone="2")
        assert (await done(client, changes(CRM, BOTH))).progress.synced == 1
        zoho.zoho.user.edit(record, {"Phone": "1"})
        assert (await done(client, changes(CRM, BOTH))).pull.updated == 1
        assert (await contacts(client))["ada@example.com"].phone == "1"
