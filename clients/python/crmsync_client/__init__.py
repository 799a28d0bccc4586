"""A typed, asynchronous client of crmsync.

    async with CrmsyncClient("localhost:50051") as crmsync:
        queued = await crmsync.sync.QueueAllContacts(QueueAllContactsRequest(crm="hubspot"))
        async for session in crmsync.watch_session(queued.session.id):
            print(session.progress.percentage)

The stubs are the generated ones; messages come from `crmsync.v1`. What the client adds are the
calls that outlive a connection: watching a session, watching events, and importing contacts.
"""

from crmsync_client.client import CrmsyncClient
from crmsync_client.errors import Failure, Violation
from crmsync_client.importing import ImportEndedError
from crmsync_client.retry import RetryPolicy

__all__ = ["CrmsyncClient", "Failure", "ImportEndedError", "RetryPolicy", "Violation"]
