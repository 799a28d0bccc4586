"""Reading Mautic through a real channel: new contacts without a time, merges, deletions."""

from dataclasses import replace

import pytest

from crmsync.v1 import session_item_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from tests.service import accounts
from tests.service.calls import create, finished
from tests.service.pulls import SUCCEEDED, calls, codes, contacts, edit, waiting
from tests.service.starting import BOTH, PUSH, changes, done, full, items, manual, start

CRM = "mautic"
LIST = "/api/contacts"


@pytest.fixture(autouse=True)
async def connection(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """Connect to the simulated Mautic."""
    account = accounts.good(sandbox, CRM)
    await replace(account, options={"timeout_seconds": "5"}).connect(client)


def person(name: str, **fields: object) -> dict[str, object]:
    """Return what somebody is at Mautic."""
    return {"email": f"{name}@example.com", "firstname": name.title(), **fields}


async def test_everything_is_read_once_and_nothing_moves_the_second_time(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Page by page; visitors whom nobody knows are no contacts."""
    sandbox.mautic.user.seed(450)
    sandbox.mautic.user.add({})
    session = await done(client, full(CRM))
    assert (session.state, session.pull.created, session.pull.read) == (SUCCEEDED, 450, 450)
    assert (session.progress.total, session.progress.synced) == (450, 450)
    assert len(await contacts(client)) == 450
    again = await done(client, full(CRM, BOTH))
    assert (again.pull.unchanged, again.pull.read, again.pull.deleted) == (450, 450, 0)
    assert again.progress.skipped == 450
    assert sandbox.mautic.calls.as_json()["writes"] == 0


async def test_new_contacts_are_read_although_mautic_knows_no_time_of_their_change(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Their dateModified is empty until somebody changes them: they are asked for by dateAdded."""
    ada = sandbox.mautic.user.add(person("ada"))
    await done(client, full(CRM))
    sandbox.mautic.user.add(person("new"))
    sandbox.mautic.user.edit(ada, {"lastname": "Lovelace"})
    session = await done(client, changes(CRM))
    assert session.pull.HasField("since")
    assert (session.pull.created, session.pull.updated) == (1, 1)
    found = await contacts(client)
    assert found["ada@example.com"].last_name == "Lovelace"
    assert "new@example.com" in found
    quiet = await done(client, changes(CRM))
    assert quiet.pull.created == quiet.pull.updated == 0


async def test_a_whole_reading_finds_what_is_gone_and_asks_for_it_before_it_is_let_go(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Mautic tells of no deletion; an incremental session therefore knows of none."""
    ids = sandbox.mautic.user.seed(30)
    await done(client, full(CRM))
    for one in ids[:3]:
        sandbox.mautic.user.remove(one)
    assert (await done(client, changes(CRM))).pull.deleted == 0
    session = await done(client, full(CRM))
    assert (session.pull.deleted, session.pull.unchanged) == (3, 27)
    assert calls(sandbox, CRM)["/api/contacts/{id:int}", "404"] == 3
    assert len(await contacts(client)) == 30
    assert (await done(client, full(CRM))).pull.deleted == 0


async def test_a_contact_that_was_merged_into_another_is_no_deletion_of_that(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The one that is left has what only the other had."""
    ada = sandbox.mautic.user.add(person("ada"))
    twin = sandbox.mautic.user.add(person("twin", phone="+442071838750"))
    await done(client, full(CRM))
    sandbox.mautic.user.merge(twin, ada)
    session = await done(client, full(CRM))
    assert session.state == SUCCEEDED
    assert (session.pull.updated, session.pull.created) == (1, 0)
    assert (await contacts(client))["ada@example.com"].phone == "+442071838750"
    quiet = await done(client, full(CRM))
    assert quiet.pull.updated == quiet.pull.deleted == quiet.pull.created == 0


async def test_single_records_are_read_and_ids_that_are_none_are_listed(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """By Mautic's ids and by ours."""
    ada = sandbox.mautic.user.add(person("ada"))
    session = await done(client, manual(crm=CRM, crm_contact_ids=(ada, "99999")))
    found = {one.crm_contact_id: one for one in await items(client, session.id)}
    assert found[ada].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_CREATED
    assert found["99999"].error.code == "NOT_FOUND"
    assert found["99999"].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_ERROR
    contact = (await contacts(client))["ada@example.com"]
    sandbox.mautic.user.edit(ada, {"firstname": "Augusta"})
    assert (await done(client, manual(contact.id, crm=CRM))).pull.updated == 1


async def test_both_sides_changes_meet_in_one_session(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Field by field; the next session finds nothing to do."""
    ada = sandbox.mautic.user.add(person("ada"))
    await done(client, full(CRM))
    contact = (await contacts(client))["ada@example.com"]
    sandbox.mautic.user.edit(ada, {"company": "Analytical Engines"})
    await edit(client, contact.id, phone="+442071838750")
    session = await done(client, changes(CRM, BOTH))
    assert session.state == SUCCEEDED
    [held] = sandbox.mautic.contacts()
    assert (held["fields"]["phone"], held["fields"]["company"]) == (
        "+442071838750",
        "Analytical Engines",
    )
    after = (await contacts(client))["ada@example.com"]
    assert (after.phone, after.company) == ("+442071838750", "Analytical Engines")
    quiet = await done(client, changes(CRM, BOTH))
    assert quiet.pull.updated == quiet.pull.conflicts == quiet.progress.synced == 0


async def test_what_was_delivered_before_anything_was_read_is_no_stranger(
    client: CrmsyncClient,
) -> None:
    """The record that a delivery made is linked already."""
    contact_id = await create(client, first_name="Ada")
    await done(client, manual(contact_id, crm=CRM, direction=PUSH))
    session = await done(client, full(CRM))
    assert (session.pull.unchanged, session.pull.read) == (1, 1)


async def test_two_records_with_one_address_are_told_and_one_of_them_is_taken(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Mautic lets two contacts share one; the older is the contact, the other is listed."""
    older = sandbox.mautic.user.add(person("ada"))
    newer = sandbox.mautic.user.add(person("ada", lastname="Other"))
    session = await done(client, full(CRM))
    assert (session.pull.created, session.pull.skipped) == (1, 1)
    assert await codes(client, session.id) == {newer: "DUPLICATE_AT_CRM"}
    assert older != newer
    assert len(await contacts(client)) == 1


async def test_faults_are_waited_out_and_a_page_that_is_no_answer_is_none(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Nothing is counted twice; meanwhile the session says why it waits."""
    sandbox.mautic.user.seed(250)
    fault = ScriptedFault(kind="status", status=503, path=LIST, times=3)
    sandbox.mautic.faults.script(fault)
    session = await start(client, full(CRM))
    assert (await waiting(client, session.id)).pull.waiting.code
    ended = await finished(client, session.id)
    assert (ended.state, ended.pull.created) == (SUCCEEDED, 250)


async def test_what_would_keep_a_reading_from_going_well_is_found_without_writing(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Such as credentials that are refused."""
    request = pb.ValidateSessionRequest(crm=CRM, direction=BOTH)
    told = await client.sessions.ValidateSession(request)
    assert told.valid, told.checks
    sandbox.mautic.faults.settings = FaultSettings(token_expired=True)
    refused = await client.sessions.ValidateSession(request)
    failed = {one.name for one in refused.checks if one.result == pb.SESSION_CHECK_RESULT_FAILED}
    assert failed == {"credentials"}
    assert sandbox.mautic.calls.as_json()["writes"] == 0
