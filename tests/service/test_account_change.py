"""Another account at a CRM: the same id means somebody else there."""

from dataclasses import replace

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1 import contact_service_pb2
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.service.accounts import Account, good
from tests.service.starting import PULL, changes, done, full


async def names(client: CrmsyncClient) -> dict[str, str]:
    """Return the first name of every contact by email."""
    request = contact_service_pb2.ListContactsRequest(page_size=1000)
    listed = await client.contacts.ListContacts(request)
    return {one.email: one.first_name for one in listed.contacts}


def mautic(sandbox: Sandbox) -> Account:
    """Return an account by name and password: a refresh token works but once."""
    settings = sandbox.mautic.settings
    secrets = {"username": settings.username, "password": settings.password}
    return replace(good(sandbox, "mautic"), secrets=secrets)


async def test_an_account_that_is_exchanged_makes_nobody_somebody_else(
    client: CrmsyncClient, sandbox: Sandbox, database: Database
) -> None:
    """By deleting the connection, and by another address; readings begin anew."""
    sandbox.mautic.user.add({"email": "ada@example.com", "firstname": "Ada"})
    first = await mautic(sandbox).connect(client)
    await done(client, full("mautic", PULL))
    async with Sandbox() as other:
        other.mautic.user.add({"email": "zoe@example.com", "firstname": "Zoe"})
        await client.connections.DeleteConnection(
            pb.DeleteConnectionRequest(connection_id=first.id)
        )
        second = await mautic(other).connect(client)
        session = await done(client, changes("mautic", PULL))
        assert (session.pull.created, session.pull.updated) == (1, 0)
        assert await names(client) == {"ada@example.com": "Ada", "zoe@example.com": "Zoe"}
        back = mautic(sandbox)
        change = pb.UpdateConnectionRequest(
            connection=Connection(id=second.id, base_url=back.base_url),
            credentials=Credentials(secrets=back.secrets),
        )
        await client.connections.UpdateConnection(change)
        again = await done(client, full("mautic", PULL))
        assert (again.pull.created, again.pull.updated) == (0, 0)
        assert again.pull.unchanged == 1
    assert await names(client) == {"ada@example.com": "Ada", "zoe@example.com": "Zoe"}
    async with database.everyone() as connection:
        assert not await violations(connection)
