"""Conflicts from end to end: found by a reading, watched, resolved, and delivered to the CRM."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from typing import cast

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from crmsync.v1 import admin_service_pb2 as admin_pb
from crmsync.v1 import analytics_service_pb2 as pb
from crmsync.v1 import conflict_pb2, contact_pb2, contact_service_pb2, crm_config_pb2, session_pb2
from crmsync.v1.analytics_service_pb2 import FieldResolution
from crmsync.v1.crm_config_pb2 import CrmConfig, MergeSettings
from crmsync_client import CrmsyncClient
from crmsync_client.errors import Failure
from crmsync_server.app import authenticator_of, serving
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.service.calls import finished
from tests.service.starting import BOTH, changes, done, full

OURS = conflict_pb2.CONFLICT_CHOICE_OURS
THEIRS = conflict_pb2.CONFLICT_CHOICE_THEIRS
NEWEST = conflict_pb2.CONFLICT_CHOICE_NEWEST
OPEN = conflict_pb2.CONFLICT_STATE_OPEN
RESOLVED = conflict_pb2.CONFLICT_STATE_RESOLVED
SETTLED = conflict_pb2.CONFLICT_STATE_SETTLED
SUCCEEDED = session_pb2.SESSION_STATE_SUCCEEDED


async def configure(client: CrmsyncClient, policy: crm_config_pb2.MergePolicy.ValueType) -> None:
    """Choose what becomes of fields that both sides have changed."""
    config = CrmConfig(crm="hubspot", merge_settings=MergeSettings(policy=policy))
    await client.admin.UpdateCrmConfig(admin_pb.UpdateCrmConfigRequest(config=config))


@pytest.fixture
async def ada(client: CrmsyncClient, sandbox: Sandbox) -> str:
    """Have a record that is a contact as well, and return its id at HubSpot."""
    fields = {"email": "ada@example.com", "firstname": "Ada", "company": "Acme"}
    record = sandbox.hubspot.user.add(fields)
    await configure(client, crm_config_pb2.MERGE_POLICY_MANUAL)
    await done(client, full())
    return record


async def contact_of(client: CrmsyncClient) -> contact_pb2.Contact:
    """Return the only contact."""
    request = contact_service_pb2.ListContactsRequest()
    [contact] = (await client.contacts.ListContacts(request)).contacts
    return contact


async def disagree(client: CrmsyncClient, sandbox: Sandbox, record: str) -> conflict_pb2.Conflict:
    """Change the company on both sides, read, and return the conflict."""
    sandbox.hubspot.user.edit(record, {"company": "Acme Inc"})
    contact = await contact_of(client)
    changed = contact_pb2.Contact(id=contact.id, company="Acme Ltd", phone="+442071838750")
    request = contact_service_pb2.UpdateContactRequest(contact=changed)
    await client.contacts.UpdateContact(request)
    session = await done(client, changes(direction=BOTH))
    assert (session.state, session.progress.conflicts) == (SUCCEEDED, 1)
    [conflict] = await conflicts(client, OPEN)
    assert conflict.session_id == session.id
    return conflict


async def conflicts(
    client: CrmsyncClient, state: conflict_pb2.ConflictState.ValueType
) -> list[conflict_pb2.Conflict]:
    """List the conflicts in a state."""
    request = pb.ListConflictsRequest(state=state)
    return list((await client.analytics.ListConflicts(request)).conflicts)


async def resolve(
    client: CrmsyncClient,
    conflict: conflict_pb2.Conflict,
    choice: conflict_pb2.ConflictChoice.ValueType = OURS,
    **values: str,
) -> conflict_pb2.Conflict:
    """Resolve a conflict."""
    fields = {name: FieldResolution(value=value) for name, value in values.items()}
    request = pb.ResolveConflictRequest(conflict_id=conflict.id, choice=choice, fields=fields)
    return (await client.analytics.ResolveConflict(request)).conflict


async def some(client: CrmsyncClient, count: int, resume_token: str = "") -> list[tuple[str, int]]:
    """Watch until so many conflicts have been told."""
    told: list[tuple[str, int]] = []
    async with (
        asyncio.timeout(20),
        aclosing(client.watch_conflicts(resume_token=resume_token)) as watch,
    ):
        async for message in watch:
            told.append((message.conflict.id, message.conflict.state))
            if len(told) == count:
                break
    return told


def held(sandbox: Sandbox) -> dict[str, str]:
    """Return the properties of the only record."""
    [one] = sandbox.hubspot.contacts()
    return cast("dict[str, str]", one["properties"])


async def quiet(client: CrmsyncClient) -> None:
    """Read once more, and find nothing to do on either side."""
    session = await done(client, full(direction=BOTH))
    assert session.state == SUCCEEDED
    assert (session.progress.conflicts, session.progress.synced) == (0, 0)
    assert not await conflicts(client, OPEN)


async def test_fields_in_conflict_stay_as_they_are_on_both_sides_and_others_pass(
    client: CrmsyncClient, sandbox: Sandbox, ada: str
) -> None:
    """Also when the contact is delivered."""
    conflict = await disagree(client, sandbox, ada)
    [field] = conflict.fields
    assert (field.field, field.base) == ("company", "Acme")
    assert (field.ours, field.theirs) == ("Acme Ltd", "Acme Inc")
    assert (held(sandbox)["company"], held(sandbox)["phone"]) == ("Acme Inc", "+442071838750")
    assert (await contact_of(client)).company == "Acme Ltd"
    again = await done(client, full(direction=BOTH))
    assert (again.progress.conflicts, again.progress.synced) == (1, 0)
    assert [one.id for one in await conflicts(client, OPEN)] == [conflict.id]


@pytest.mark.parametrize(
    ("choice", "values", "expected"),
    [(OURS, {}, "Acme Ltd"), (OURS, {"company": "Acme AG"}, "Acme AG"), (NEWEST, {}, "Acme Ltd")],
)
async def test_what_the_crm_lacks_of_the_result_is_delivered(
    client: CrmsyncClient,
    sandbox: Sandbox,
    ada: str,
    choice: conflict_pb2.ConflictChoice.ValueType,
    values: dict[str, str],
    expected: str,
) -> None:
    """In a session of its own, and both sides agree from then on."""
    conflict = await disagree(client, sandbox, ada)
    told = await resolve(client, conflict, choice, **values)
    session = await finished(client, told.resolve_session_id)
    assert session.kind == session_pb2.SESSION_KIND_RESOLVE_CONFLICT
    assert (session.state, session.progress.synced) == (SUCCEEDED, 1)
    assert held(sandbox)["company"] == (await contact_of(client)).company == expected
    await quiet(client)


async def test_what_the_crm_has_is_taken_and_not_delivered(
    client: CrmsyncClient, sandbox: Sandbox, ada: str
) -> None:
    """And both sides agree from then on."""
    conflict = await disagree(client, sandbox, ada)
    writes = sandbox.hubspot.calls.as_json()["writes"]
    assert not (await resolve(client, conflict, THEIRS)).resolve_session_id
    assert (await contact_of(client)).company == "Acme Inc"
    await quiet(client)
    assert sandbox.hubspot.calls.as_json()["writes"] == writes
    assert held(sandbox)["company"] == "Acme Inc"


async def test_a_result_is_not_undone_by_a_reading_before_its_delivery(
    client: CrmsyncClient, sandbox: Sandbox, ada: str
) -> None:
    """What the CRM still has is no change of theirs."""
    conflict = await disagree(client, sandbox, ada)
    await client.admin.PauseCrm(admin_pb.PauseCrmRequest(crm="hubspot", reason="to read first"))
    told = await resolve(client, conflict)
    session = await done(client, full())
    assert session.progress.conflicts == 0
    assert (await contact_of(client)).company == "Acme Ltd"
    await client.admin.ResumeCrm(admin_pb.ResumeCrmRequest(crm="hubspot"))
    assert (await finished(client, told.resolve_session_id)).progress.synced == 1
    assert held(sandbox)["company"] == "Acme Ltd"
    await quiet(client)


async def test_a_conflict_is_settled_by_a_policy_that_decides_it(
    client: CrmsyncClient, sandbox: Sandbox, ada: str
) -> None:
    """At the next reading, and watchers hear of it."""
    conflict = await disagree(client, sandbox, ada)
    await configure(client, crm_config_pb2.MERGE_POLICY_CRM_WINS)
    await done(client, full())
    assert (await contact_of(client)).company == "Acme Inc"
    [settled] = await conflicts(client, SETTLED)
    assert (settled.id, settled.resolver) == (conflict.id, "")
    assert await some(client, 1, conflict.resume_token) == [(conflict.id, SETTLED)]


async def test_a_watch_hears_of_a_conflict_and_of_its_end(
    client: CrmsyncClient, sandbox: Sandbox, ada: str
) -> None:
    """From the moment that it began."""
    watch = client.watch_conflicts()
    async with asyncio.timeout(20), aclosing(watch):
        first = asyncio.ensure_future(anext(watch))
        conflict = await disagree(client, sandbox, ada)
        assert ((await first).conflict.id, (await first).conflict.state) == (conflict.id, OPEN)
        await resolve(client, conflict)
        async for message in watch:
            if message.conflict.state == RESOLVED:
                break
        assert message.conflict.id == conflict.id
        [field] = message.conflict.fields
        assert field.result == "Acme Ltd"


async def test_a_drain_ends_the_watch_with_a_token_to_go_on_with(
    client: CrmsyncClient, settings: Settings, sandbox: Sandbox, ada: str
) -> None:
    """In the trailers, and nothing is missed by going on elsewhere."""
    conflict = await disagree(client, sandbox, ada)
    async with AsyncExitStack() as stack:
        async with serving(settings, authenticator_of(settings, None)) as leaving:
            target = f"127.0.0.1:{leaving.port}"
            watcher = await stack.enter_async_context(CrmsyncClient(target))
            call = watcher.analytics.WatchConflicts(pb.WatchConflictsRequest())
            first = cast("pb.WatchConflictsResponse", await call.read())
            assert first.conflict.id == conflict.id
            beat = cast("pb.WatchConflictsResponse", await call.read())
            assert beat.HasField("heartbeat")
            waiting = asyncio.ensure_future(call.read())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await waiting
    failed = Failure.of(ended.value)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    trailers = cast("grpc.aio.Metadata", ended.value.trailing_metadata())
    left = trailers["crmsync-resume-token"]
    assert isinstance(left, str)
    await resolve(client, conflict, THEIRS)
    assert await some(client, 1, left) == [(conflict.id, RESOLVED)]


async def test_an_email_taken_away_here_can_be_what_a_conflict_ends_with(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """No delivery takes one away, so that nothing is delivered, and it is not found again."""
    fields = {"email": "ada@example.com", "firstname": "Ada", "phone": "+442071838750"}
    record = sandbox.hubspot.user.add(fields)
    await configure(client, crm_config_pb2.MERGE_POLICY_MANUAL)
    await done(client, full())
    contact = contact_pb2.Contact(id=(await contact_of(client)).id)
    mask = FieldMask(paths=["email"])
    request = contact_service_pb2.UpdateContactRequest(contact=contact, update_mask=mask)
    await client.contacts.UpdateContact(request)
    sandbox.hubspot.user.edit(record, {"email": "b@example.com"})
    await done(client, changes(direction=BOTH))
    [conflict] = await conflicts(client, OPEN)
    assert [one.field for one in conflict.fields] == ["email"]
    resolved = await resolve(client, conflict)
    assert (resolved.state, resolved.resolve_session_id) == (RESOLVED, "")
    await quiet(client)
    assert (await contact_of(client)).email == ""
    assert held(sandbox)["email"] == "b@example.com"


async def test_an_email_given_here_reaches_a_record_without_one(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Also when a session reads the record before it is delivered."""
    sandbox.hubspot.user.add({"firstname": "Ada", "phone": "+442071838750"})
    await done(client, full())
    contact = contact_pb2.Contact(id=(await contact_of(client)).id, email="ada@example.com")
    request = contact_service_pb2.UpdateContactRequest(contact=contact)
    await client.contacts.UpdateContact(request)
    await done(client, full(direction=BOTH))
    assert held(sandbox)["email"] == "ada@example.com"
    await quiet(client)
