"""Reading Brevo through a real channel: pages that shift, deletions untold, made-up addresses."""

from dataclasses import replace

import pytest

from crmsync.v1 import session_item_pb2, session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from tests.eventually import eventually
from tests.service import accounts
from tests.service.calls import create, failure, finished
from tests.service.pulls import SUCCEEDED, asked, calls, codes, contacts, edit, waiting
from tests.service.starting import BOTH, PUSH, changes, done, full, items, manual, start

CRM = "brevo"
LIST = "/v3/contacts"


@pytest.fixture(autouse=True)
async def connection(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """Connect to the simulated Brevo, with limits that no test reaches by accident."""
    account = accounts.good(sandbox, CRM)
    plenty = {"contacts_calls": "100000", "other_calls": "100000", "timeout_seconds": "5"}
    await replace(account, options=plenty | {"list_id": "1"}).connect(client)


def person(name: str, **fields: object) -> dict[str, object]:
    """Return what somebody is at Brevo."""
    return {"email": f"{name}@example.com", "FIRSTNAME": name.title(), **fields}


async def test_everything_is_read_once_and_nothing_moves_the_second_time(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Pages overlap; what comes twice is counted once, and nothing is written back."""
    sandbox.brevo.user.seed(2_150)
    session = await done(client, full(CRM))
    assert (session.state, session.pull.created, session.pull.read) == (SUCCEEDED, 2_150, 2_150)
    assert (session.pull.expected, session.progress.total) == (2_150, 2_150)
    assert len(await contacts(client)) == 2_150
    again = await done(client, full(CRM, BOTH))
    assert (again.pull.unchanged, again.pull.read, again.pull.deleted) == (2_150, 2_150, 0)
    assert again.progress.skipped == 2_150
    assert sandbox.brevo.calls.as_json()["writes"] == 0


async def test_nobody_is_missed_when_contacts_are_deleted_while_they_are_read(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The page after them begins too far on, and is read from further back."""
    ids = sandbox.brevo.user.seed(1_300)
    on_time = ScriptedFault(kind="delay", path=LIST)
    late = ScriptedFault(kind="delay", delay_seconds=0.5, path=LIST)
    sandbox.brevo.faults.script(on_time, late)
    session = await start(client, full(CRM))
    await eventually(asked(sandbox, CRM, LIST))
    for one in ids[:200]:
        sandbox.brevo.user.remove(one)
    ended = await finished(client, session.id)
    assert ended.state == SUCCEEDED
    left = {str(one["email"]) for one in sandbox.brevo.contacts()}
    assert len(left) == 1_100
    assert left <= (await contacts(client)).keys()
    assert calls(sandbox, CRM)[LIST, "200"] >= 3


async def test_what_has_changed_since_is_read(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """New contacts and changed ones, by the time of their change."""
    ada = sandbox.brevo.user.add(person("ada"))
    await done(client, full(CRM))
    sandbox.brevo.user.edit(ada, {"LASTNAME": "Lovelace"})
    sandbox.brevo.user.add(person("bob"))
    session = await done(client, changes(CRM))
    assert session.pull.HasField("since")
    assert (session.pull.created, session.pull.updated) == (1, 1)
    assert (await contacts(client))["ada@example.com"].last_name == "Lovelace"
    quiet = await done(client, changes(CRM))
    assert quiet.pull.created == quiet.pull.updated == 0


async def test_a_whole_reading_finds_what_is_gone_and_asks_for_each_before_it_is_let_go(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Brevo tells of no deletion; an incremental session therefore knows of none."""
    ids = sandbox.brevo.user.seed(30)
    await done(client, full(CRM))
    for one in ids[:3]:
        sandbox.brevo.user.remove(one)
    assert (await done(client, changes(CRM))).pull.deleted == 0
    session = await done(client, full(CRM))
    assert (session.pull.deleted, session.pull.unchanged) == (3, 27)
    assert calls(sandbox, CRM)["/v3/contacts/{identifier}", "404"] == 3
    assert len(await contacts(client)) == 30
    assert (await done(client, full(CRM))).pull.deleted == 0


async def test_too_much_that_is_gone_stops_a_session_before_anything_is_let_go(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Unless the caller allows it."""
    ids = sandbox.brevo.user.seed(40)
    await done(client, full(CRM))
    for one in ids[:20]:
        sandbox.brevo.user.remove(one)
    stopped = await done(client, full(CRM))
    assert (stopped.error.code, stopped.pull.deleted) == ("TOO_MANY_DELETIONS", 0)
    allowed = full(CRM)
    allowed.max_deletion_share = 1.0
    assert (await done(client, allowed)).pull.deleted == 20


async def test_a_contact_without_an_address_is_known_by_its_number(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The address that Brevo makes up for it is taken in nowhere, and never goes out."""
    number = sandbox.brevo.user.add({"SMS": "+33612345678", "FIRSTNAME": "Ada"})
    session = await done(client, full(CRM, BOTH))
    assert (session.state, session.pull.created) == (SUCCEEDED, 1)
    [contact] = (await contacts(client)).values()
    assert (contact.email, contact.phone) == ("", "+33612345678")
    sandbox.brevo.user.edit(number, {"FIRSTNAME": "Augusta"})
    assert (await done(client, manual(contact.id, crm=CRM))).pull.updated == 1
    again = await done(client, full(CRM, BOTH))
    assert (again.pull.unchanged, again.progress.synced) == (1, 0)
    assert sandbox.brevo.calls.as_json()["writes"] == 0
    assert "mailin-sms" not in str(await contacts(client))


async def test_a_contact_whose_address_has_changed_at_brevo_stays_the_same(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Brevo keeps our own id with it: no second contact is made, and none is let go."""
    contact_id = await create(client, "ada@example.com", first_name="Ada")
    await done(client, manual(contact_id, crm=CRM, direction=PUSH))
    await done(client, full(CRM, BOTH))
    [held] = sandbox.brevo.contacts()
    sandbox.brevo.user.edit(str(held["id"]), {"EMAIL": "augusta@example.com"})
    session = await done(client, full(CRM, BOTH))
    assert (session.pull.updated, session.pull.created, session.pull.deleted) == (1, 0, 0)
    found = await contacts(client)
    assert {one.id: email for email, one in found.items()} == {contact_id: "augusta@example.com"}
    await edit(client, contact_id, last_name="King")
    await done(client, changes(CRM, BOTH))
    [held] = sandbox.brevo.contacts()
    assert (held["email"], held["attributes"]["LASTNAME"]) == ("augusta@example.com", "King")


async def test_both_sides_changes_meet_in_one_session(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Field by field; the next session finds nothing to do."""
    ada = sandbox.brevo.user.add(person("ada"))
    await done(client, full(CRM))
    contact = (await contacts(client))["ada@example.com"]
    sandbox.brevo.user.edit(ada, {"LASTNAME": "Lovelace"})
    await edit(client, contact.id, first_name="Augusta")
    session = await done(client, changes(CRM, BOTH))
    assert session.state == SUCCEEDED
    [held] = sandbox.brevo.contacts()
    attributes = held["attributes"]
    assert (attributes["FIRSTNAME"], attributes["LASTNAME"]) == ("Augusta", "Lovelace")
    after = (await contacts(client))["ada@example.com"]
    assert (after.first_name, after.last_name) == ("Augusta", "Lovelace")
    quiet = await done(client, changes(CRM, BOTH))
    assert quiet.pull.updated == quiet.pull.conflicts == quiet.progress.synced == 0


async def test_a_contact_that_was_merged_away_is_gone_and_the_other_has_what_it_had(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """A whole reading finds the first, and any the second."""
    ada = sandbox.brevo.user.add(person("ada"))
    twin = sandbox.brevo.user.add(person("twin", LASTNAME="Lovelace"))
    await done(client, full(CRM))
    sandbox.brevo.user.merge(twin, ada)
    session = await done(client, full(CRM))
    assert (session.pull.updated, session.pull.deleted) == (1, 1)
    assert (await contacts(client))["ada@example.com"].last_name == "Lovelace"


async def test_single_records_are_read_and_ids_that_are_none_are_listed(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """By address, and by ours."""
    ada = sandbox.brevo.user.add(person("ada"))
    asked_for = ("ada@example.com", "nobody@example.com")
    session = await done(client, manual(crm=CRM, crm_contact_ids=asked_for))
    found = {one.crm_contact_id: one for one in await items(client, session.id)}
    assert found["ada@example.com"].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_CREATED
    assert found["nobody@example.com"].error.code == "NOT_FOUND"
    assert found["nobody@example.com"].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_ERROR
    contact = (await contacts(client))["ada@example.com"]
    sandbox.brevo.user.edit(ada, {"FIRSTNAME": "Augusta"})
    assert (await done(client, manual(contact.id, crm=CRM))).pull.updated == 1


async def test_of_a_contact_whose_record_is_gone_a_manual_reading_says_so(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And leaves it linked: it may have another address at Brevo by now."""
    ada = sandbox.brevo.user.add(person("ada"))
    await done(client, full(CRM))
    contact = (await contacts(client))["ada@example.com"]
    sandbox.brevo.user.remove(ada)
    session = await done(client, manual(contact.id, crm=CRM))
    assert (session.state, session.pull.errors, session.pull.deleted) == (SUCCEEDED, 1, 0)
    [gone] = await items(client, session.id)
    assert (gone.contact_id, gone.crm_contact_id) == (contact.id, "ada@example.com")
    assert gone.error.code == "NOT_FOUND"


async def test_a_rate_limit_is_waited_out_as_long_as_brevo_says(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Meanwhile the session says why it waits; nothing is read twice or lost."""
    sandbox.brevo.user.seed(1_200)
    refused = ScriptedFault(kind="status", status=429, path=LIST, retry_after_seconds=2)
    sandbox.brevo.faults.script(refused)
    session = await start(client, full(CRM))
    told = (await waiting(client, session.id)).pull
    assert told.waiting.code
    assert told.HasField("next_page_time")
    ended = await finished(client, session.id)
    assert (ended.state, ended.pull.created) == (SUCCEEDED, 1_200)
    assert not await codes(client, session.id)


async def test_what_would_keep_a_reading_from_going_well_is_found_without_writing(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And a second session is refused while one runs, which is named."""
    request = pb.ValidateSessionRequest(crm=CRM, direction=BOTH)
    told = await client.sessions.ValidateSession(request)
    assert told.valid, told.checks
    assert sandbox.brevo.calls.as_json()["writes"] == 0
    sandbox.brevo.user.seed(10)
    slow = ScriptedFault(kind="delay", delay_seconds=0.5, path=LIST)
    sandbox.brevo.faults.script(slow)
    session = await start(client, full(CRM))
    failed = await failure(client.sessions.StartSession(full(CRM)))
    assert (failed.reason, failed.metadata["session_id"]) == ("SESSION_ACTIVE", session.id)
    ended = await finished(client, session.id)
    assert ended.state == session_pb2.SESSION_STATE_SUCCEEDED
