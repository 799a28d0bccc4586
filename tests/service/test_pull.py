"""Reading a CRM through a real channel: full, incremental and manual sessions."""

from datetime import timedelta

import sqlalchemy as sa

from crmsync.v1 import admin_service_pb2 as admin_pb
from crmsync.v1 import contact_pb2, contact_service_pb2, session_item_pb2, session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.schedule_pb2 import Schedule, SyncAction
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from tests.service.calls import create, failure, finished
from tests.service.starting import BOTH, PULL, changes, done, full, items, manual, start

SUCCEEDED = session_pb2.SESSION_STATE_SUCCEEDED


async def contacts(client: CrmsyncClient) -> dict[str, contact_pb2.Contact]:
    """Return every contact by its email."""
    request = contact_service_pb2.ListContactsRequest(page_size=1000)
    listed = await client.contacts.ListContacts(request)
    return {one.email: one for one in listed.contacts}


async def edit(client: CrmsyncClient, contact_id: str, **fields: str) -> None:
    """Change a contact here."""
    contact = contact_pb2.Contact(id=contact_id, **fields)  # type: ignore[arg-type]  # texts
    await client.contacts.UpdateContact(contact_service_pb2.UpdateContactRequest(contact=contact))


async def test_a_full_reading_brings_every_record_once(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """As contacts here, that agree with what the CRM holds; the second time nothing moves."""
    sandbox.hubspot.user.seed(250)
    session = await done(client, full())
    assert session.state == SUCCEEDED
    assert (session.pull.created, session.pull.read) == (250, 250)
    assert (session.progress.total, session.progress.synced) == (250, 250)
    assert len(await contacts(client)) == 250
    again = await done(client, full())
    assert (again.pull.unchanged, again.pull.read) == (250, 250)
    pushed = await done(client, full(direction=BOTH))
    assert pushed.progress.skipped == 250
    assert sandbox.hubspot.calls.as_json()["writes"] == 0


async def test_an_incremental_reading_brings_what_has_changed_since(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """New records, changed ones and deleted ones."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    bob = sandbox.hubspot.user.add({"email": "bob@example.com", "firstname": "Bob"})
    await done(client, full())
    sandbox.hubspot.user.edit(ada, {"company": "Analytical Engines"})
    sandbox.hubspot.user.remove(bob)
    sandbox.hubspot.user.add({"email": "cid@example.com"})
    session = await done(client, changes())
    assert session.pull.HasField("since")
    pulled = session.pull
    assert (pulled.created, pulled.updated, pulled.deleted) == (1, 1, 1)
    assert (await contacts(client))["ada@example.com"].company == "Analytical Engines"


async def test_a_change_of_ours_is_delivered_and_one_of_theirs_is_taken(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """In one session that goes both ways, field by field."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full())
    contact = (await contacts(client))["ada@example.com"]
    sandbox.hubspot.user.edit(ada, {"company": "Analytical Engines"})
    await edit(client, contact.id, phone="+442071838750")
    session = await done(client, changes(direction=BOTH))
    assert session.state == SUCCEEDED
    held = next(one for one in sandbox.hubspot.contacts() if one["id"] == ada)
    assert held["properties"]["phone"] == "+442071838750"
    assert held["properties"]["company"] == "Analytical Engines"
    after = (await contacts(client))["ada@example.com"]
    assert (after.phone, after.company) == ("+442071838750", "Analytical Engines")
    quiet = await done(client, changes(direction=BOTH))
    assert quiet.pull.updated == quiet.pull.conflicts == 0
    assert quiet.progress.synced == 0


async def test_a_manual_reading_lists_ids_that_do_not_exist_and_takes_the_rest(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """By the CRM's ids and by ours."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com"})
    session = await done(client, manual(crm_contact_ids=(ada, "99999999")))
    assert session.state == SUCCEEDED
    found = {one.crm_contact_id: one for one in await items(client, session.id)}
    assert found[ada].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_CREATED
    assert found["99999999"].error.code == "NOT_FOUND"
    assert found["99999999"].outcome == session_item_pb2.SESSION_ITEM_OUTCOME_ERROR
    contact = (await contacts(client))["ada@example.com"]
    sandbox.hubspot.user.edit(ada, {"firstname": "Augusta"})
    again = await done(client, manual(contact.id))
    assert again.pull.updated == 1


async def test_faults_of_the_crm_are_waited_out(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """And nothing is counted twice."""
    sandbox.hubspot.user.seed(120)
    sandbox.hubspot.faults.script(ScriptedFault(kind="status", status=502, times=2))
    session = await done(client, full())
    assert (session.state, session.pull.created) == (SUCCEEDED, 120)


async def test_refused_credentials_end_a_session_and_are_said(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Nothing is taken in."""
    sandbox.hubspot.user.seed(3)
    sandbox.hubspot.faults.script(ScriptedFault(kind="status", status=401, times=50))
    session = await done(client, full())
    assert session.state == session_pb2.SESSION_STATE_FAILED
    assert session.error.code == "CREDENTIALS_REFUSED"
    assert not await contacts(client)


async def test_a_crm_that_cannot_be_read_is_not_supported(client: CrmsyncClient) -> None:
    """Before anything is opened: n8n holds no contacts."""
    failed = await failure(client.sessions.StartSession(full("n8n", PULL)))
    assert failed.reason in {"NOT_SUPPORTED", "CRM_DISABLED"}


async def test_a_dry_run_changes_nothing_and_its_plan_does_exactly_that(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """With every field that would change."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full())
    sandbox.hubspot.user.edit(ada, {"firstname": "Augusta"})
    sandbox.hubspot.user.add({"email": "new@example.com"})
    request = full()
    request.dry_run = True
    planned = await done(client, request)
    assert (planned.plan.contacts_created, planned.plan.contacts_updated) == (1, 1)
    assert set(await contacts(client)) == {"ada@example.com"}
    changed = [one for one in await items(client, planned.id) if one.crm_contact_id == ada]
    [difference] = changed[0].differences
    assert (difference.field, difference.ours, difference.theirs, difference.result) == (
        "first_name",
        "Ada",
        "Augusta",
        "Augusta",
    )
    apply = pb.StartSessionRequest(crm="hubspot", apply=pb.ApplyPlan(session_id=planned.id))
    applied = await done(client, apply)
    assert applied.state == SUCCEEDED, applied.error
    assert (applied.pull.created, applied.pull.updated) == (1, 1)
    assert (await contacts(client))["ada@example.com"].first_name == "Augusta"


async def test_what_a_plan_counts_is_told_without_its_records(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """Whoever looks at sessions would have all of them counted again."""
    sandbox.hubspot.user.seed(3)
    request = full()
    request.dry_run = True
    planned = await done(client, request)
    async with database.everyone() as connection:
        await connection.execute(sa.text("DELETE FROM session_records"))
    asked = pb.GetSessionRequest(session_id=planned.id)
    told = (await client.sessions.GetSession(asked)).session
    assert (told.plan, told.plan.contacts_created) == (planned.plan, 3)


async def test_a_plan_of_both_ways_delivers_what_the_session_itself_would(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Who agrees with a record is not made there once more, and what a record lacks it gets."""
    sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    sandbox.hubspot.user.add({"email": "bob@example.com"})
    await create(client, "ada@example.com", first_name="Ada")
    bob = await create(client, "bob@example.com", first_name="Bob")
    eve = await create(client, "eve@example.com")
    request = full(direction=BOTH)
    request.dry_run = True
    planned = await done(client, request)
    assert (planned.plan.records_created, planned.plan.records_updated) == (1, 1)
    pushed = {
        one.contact_id: one.outcome
        for one in await items(client, planned.id)
        if one.direction == session_pb2.SYNC_DIRECTION_PUSH
    }
    assert pushed == {
        bob: session_item_pb2.SESSION_ITEM_OUTCOME_UPDATED,
        eve: session_item_pb2.SESSION_ITEM_OUTCOME_CREATED,
    }
    apply = pb.StartSessionRequest(crm="hubspot", apply=pb.ApplyPlan(session_id=planned.id))
    applied = await done(client, apply)
    assert (applied.state, applied.progress.synced) == (SUCCEEDED, 2)
    held = {one["properties"]["email"]: one["properties"] for one in sandbox.hubspot.contacts()}
    assert (len(held), held["bob@example.com"]["firstname"]) == (3, "Bob")


async def test_a_plan_is_not_applied_where_the_crm_has_changed_since(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """It fails and names the record, and nothing is changed here."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    request = full()
    request.dry_run = True
    planned = await done(client, request)
    sandbox.hubspot.user.edit(ada, {"firstname": "Augusta"})
    apply = pb.StartSessionRequest(crm="hubspot", apply=pb.ApplyPlan(session_id=planned.id))
    failed = await done(client, apply)
    assert (failed.state, failed.error.code) == (
        session_pb2.SESSION_STATE_FAILED,
        "PLAN_DRIFTED",
    )
    assert ada in failed.error.message
    assert not await contacts(client)


async def test_too_many_deletions_stop_a_session_before_the_first_one(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Unless the caller allows them."""
    ids = sandbox.hubspot.user.seed(40)
    await done(client, full())
    for one in ids[:20]:
        sandbox.hubspot.user.remove(one)
    stopped = await done(client, changes())
    assert stopped.error.code == "TOO_MANY_DELETIONS"
    assert stopped.pull.deleted == 0
    allowed = changes()
    allowed.max_deletion_share = 1.0
    assert (await done(client, allowed)).pull.deleted == 20


async def test_contacts_that_were_deleted_here_are_no_deletions(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Although their records are gone as well, and were linked to them."""
    ids = sandbox.hubspot.user.seed(40)
    await done(client, full())
    linked = {one["properties"]["email"]: one["id"] for one in sandbox.hubspot.contacts()}
    theirs = {linked[email]: one.id for email, one in (await contacts(client)).items()}
    for one in ids[:20]:
        request = contact_service_pb2.DeleteContactRequest(contact_id=theirs[one])
        await client.contacts.DeleteContact(request)
        sandbox.hubspot.user.remove(one)
    session = await done(client, changes())
    assert (session.state, session.pull.deleted) == (SUCCEEDED, 0), session.error


async def test_a_plan_that_deletes_too_much_is_not_applied_unless_that_is_allowed(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The one that was stopped has applied nothing, so that the plan still can be."""
    ids = sandbox.hubspot.user.seed(40)
    await done(client, full())
    for one in ids[:20]:
        sandbox.hubspot.user.remove(one)
    request = full()
    request.dry_run = True
    planned = await done(client, request)
    apply = pb.StartSessionRequest(crm="hubspot", apply=pb.ApplyPlan(session_id=planned.id))
    stopped = await done(client, apply)
    assert stopped.error.code == "TOO_MANY_DELETIONS"
    assert stopped.pull.deleted == 0
    apply.max_deletion_share = 0.5
    assert (await done(client, apply)).pull.deleted == 20
    failed = await failure(client.sessions.StartSession(apply))
    assert failed.reason == "PLAN_NOT_READY"


async def test_cancelling_takes_effect_before_the_next_page(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """What was stored stays."""
    sandbox.hubspot.user.seed(3000)
    session = await start(client, full())
    request = pb.CancelSessionRequest(session_id=session.id)
    cancelled = (await client.sessions.CancelSession(request)).session
    ended = await finished(client, session.id)
    assert ended.state == session_pb2.SESSION_STATE_CANCELLED
    assert ended.pull.read == cancelled.pull.read


async def test_a_paused_reading_goes_on_where_it_stood(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And every record is counted once."""
    sandbox.hubspot.user.seed(1500, over=timedelta(hours=1))
    session = await start(client, full())
    await client.sessions.PauseSession(pb.PauseSessionRequest(session_id=session.id))
    await client.sessions.ResumeSession(pb.ResumeSessionRequest(session_id=session.id))
    ended = await finished(client, session.id)
    assert (ended.state, ended.pull.created) == (SUCCEEDED, 1500)


async def test_a_reading_from_nothing_of_ours_links_what_was_delivered_before(
    client: CrmsyncClient,
) -> None:
    """The record that a delivery made is no stranger."""
    contact_id = await create(client, first_name="Ada")
    await done(client, manual(contact_id, direction=session_pb2.SYNC_DIRECTION_PUSH))
    session = await done(client, full())
    assert (session.pull.unchanged, session.pull.read) == (1, 1)


async def test_a_schedule_synchronizes_both_ways(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """Its session is one as StartSession opens it; while that runs another is left out."""
    sandbox.hubspot.user.add({"email": "ada@example.com"})
    await create(client, "bob@example.com")
    schedule = Schedule(
        cron="0 0 1 1 *", time_zone="UTC", sync=SyncAction(crm="hubspot", direction=BOTH)
    )
    made = await client.admin.CreateSchedule(admin_pb.CreateScheduleRequest(schedule=schedule))
    assert made.schedule.sync == schedule.sync
    ran = await client.admin.RunSchedule(admin_pb.RunScheduleRequest(schedule_id=made.schedule.id))
    session = await finished(client, ran.session.id)
    assert session.kind == session_pb2.SESSION_KIND_INCREMENTAL_SYNC
    assert session.creator == f"schedule:{made.schedule.id}"
    assert (session.pull.created, session.progress.synced) == (1, 2)
    assert len(list(sandbox.hubspot.contacts())) == 2


async def test_the_brake_holds_for_schedules_as_well(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Nobody watches them, and nobody has said that so much may be deleted."""
    ids = sandbox.hubspot.user.seed(40)
    await done(client, full())
    for one in ids[:20]:
        sandbox.hubspot.user.remove(one)
    schedule = Schedule(
        cron="0 0 1 1 *", time_zone="UTC", sync=SyncAction(crm="hubspot", direction=PULL)
    )
    made = await client.admin.CreateSchedule(admin_pb.CreateScheduleRequest(schedule=schedule))
    ran = await client.admin.RunSchedule(admin_pb.RunScheduleRequest(schedule_id=made.schedule.id))
    session = await finished(client, ran.session.id)
    assert (session.error.code, session.pull.deleted) == ("TOO_MANY_DELETIONS", 0)
