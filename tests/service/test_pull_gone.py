"""Records that somebody removed at the CRM, or merged away: nothing brings them back unasked."""

from collections.abc import Awaitable, Callable

import pytest

from crmsync.v1 import session_pb2, sync_service_pb2
from crmsync.v1.bulk_record_pb2 import BulkRecord
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from tests.service.bulks import DELETE, apply
from tests.service.calls import finished
from tests.service.pulls import SUCCEEDED, contacts, edit
from tests.service.starting import BOTH, PUSH, changes, done, full, manual

Asking = Callable[[CrmsyncClient, str], Awaitable[session_pb2.Session]]


def held(sandbox: Sandbox) -> dict[str, str]:
    """Return the first name of every living record by its email."""
    found = [one.properties for one in sandbox.hubspot.portal.contacts.values() if not one.archived]
    return {one["email"]: one.get("firstname", "") for one in found}


async def gone(client: CrmsyncClient, sandbox: Sandbox) -> str:
    """Read a record, have it removed at the CRM, read that, and return the contact's id."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full(direction=BOTH))
    sandbox.hubspot.user.remove(ada)
    session = await done(client, changes(direction=BOTH))
    assert (session.state, session.pull.deleted) == (SUCCEEDED, 1)
    return (await contacts(client))["ada@example.com"].id


async def test_a_contact_whose_record_was_merged_away_does_not_overwrite_the_one_that_is_left(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The CRM would find that one by the email of the other."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    gus = sandbox.hubspot.user.add({"email": "gus@example.com", "firstname": "Augusta"})
    await done(client, full(direction=BOTH))
    sandbox.hubspot.user.merge(ada, gus)
    for request in (changes, changes, full):
        session = await done(client, request(direction=BOTH))
        assert session.state == SUCCEEDED, session.error
        assert held(sandbox) == {"gus@example.com": "Augusta"}
    assert sandbox.hubspot.calls.as_json()["writes"] == 0
    names = {email: one.first_name for email, one in (await contacts(client)).items()}
    assert names == {"ada@example.com": "Ada", "gus@example.com": "Augusta"}


async def test_a_record_that_was_merged_and_then_removed_is_gone_by_its_first_id_as_well(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Nobody has read it in between; a new record with the contact's email is the contact's."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full(direction=BOTH))
    gus = sandbox.hubspot.user.add({"email": "gus@example.com", "firstname": "Augusta"})
    sandbox.hubspot.user.remove(sandbox.hubspot.user.merge(gus, ada))
    session = await done(client, changes(direction=BOTH))
    assert (session.state, session.pull.deleted) == (SUCCEEDED, 1)
    again = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Countess"})
    await done(client, changes(direction=BOTH))
    sandbox.hubspot.user.edit(again, {"company": "Engines"})
    await done(client, changes(direction=BOTH))
    [contact] = (await contacts(client)).values()
    assert (contact.first_name, contact.company) == ("Countess", "Engines")


async def test_a_record_that_was_removed_at_the_crm_stays_removed(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Whatever goes both ways, and what only delivers changes."""
    await gone(client, sandbox)
    for request in (changes(direction=BOTH), full(direction=BOTH), changes(direction=PUSH)):
        session = await done(client, request)
        assert (session.state, session.progress.synced) == (SUCCEEDED, 0)
    assert held(sandbox) == {}


async def test_an_edit_makes_a_record_anew(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """The next session of changes delivers it, and both agree from then on."""
    contact_id = await gone(client, sandbox)
    await edit(client, contact_id, first_name="Augusta")
    session = await done(client, changes(direction=BOTH))
    assert session.progress.synced == 1
    assert held(sandbox) == {"ada@example.com": "Augusta"}
    quiet = await done(client, changes(direction=BOTH))
    assert (quiet.pull.unchanged, quiet.progress.synced) == (quiet.pull.read, 0)


async def test_an_edit_that_was_never_delivered_does_not_undo_a_removal(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The contact keeps it, and a plan says the same."""
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full(direction=BOTH))
    await edit(client, (await contacts(client))["ada@example.com"].id, first_name="Augusta")
    sandbox.hubspot.user.remove(ada)
    request = changes(direction=BOTH)
    request.dry_run = True
    planned = (await done(client, request)).plan
    assert (planned.contacts_deleted, planned.records_created, planned.records_updated) == (1, 0, 0)
    await done(client, changes(direction=BOTH))
    assert held(sandbox) == {}
    assert (await contacts(client))["ada@example.com"].first_name == "Augusta"


async def _named(client: CrmsyncClient, contact_id: str) -> session_pb2.Session:
    return await done(client, manual(contact_id, direction=BOTH))


async def _queued(client: CrmsyncClient, contact_id: str) -> session_pb2.Session:
    request = sync_service_pb2.QueueContactRequest(contact_id=contact_id, crm="hubspot")
    queued = await client.sync.QueueContact(request)
    return await finished(client, queued.session.id)


async def _all(client: CrmsyncClient, _: str) -> session_pb2.Session:
    return await done(client, full(direction=PUSH))


@pytest.mark.parametrize("asking", [_named, _queued, _all])
async def test_whoever_asks_for_a_removed_record_gets_it(
    client: CrmsyncClient, sandbox: Sandbox, asking: Asking
) -> None:
    """By the contact's name, or with all contacts."""
    session = await asking(client, await gone(client, sandbox))
    assert (session.state, session.progress.synced) == (SUCCEEDED, 1)
    assert held(sandbox) == {"ada@example.com": "Ada"}


async def test_a_record_that_was_removed_from_here_is_not_made_anew_either(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """Before somebody changes its contact."""
    sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full(direction=BOTH))
    await apply(client, BulkRecord(operation=DELETE, email="ada@example.com"))
    for request in (changes, full):
        assert (await done(client, request(direction=BOTH))).progress.synced == 0
    assert held(sandbox) == {}
    await edit(client, (await contacts(client))["ada@example.com"].id, first_name="Augusta")
    await done(client, changes(direction=BOTH))
    assert held(sandbox) == {"ada@example.com": "Augusta"}
