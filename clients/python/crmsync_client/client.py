"""The client: a channel, the stubs on it, and the calls that outlive a connection."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import uuid4

import grpc

from crmsync.v1.admin_service_pb2_grpc import AdminServiceStub
from crmsync.v1.analytics_service_pb2 import WatchConflictsRequest, WatchConflictsResponse
from crmsync.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from crmsync.v1.bulk_service_pb2_grpc import BulkServiceStub
from crmsync.v1.connection_service_pb2_grpc import ConnectionServiceStub
from crmsync.v1.contact_service_pb2 import ImportContactsResponse
from crmsync.v1.contact_service_pb2_grpc import ContactServiceStub
from crmsync.v1.conversation_service_pb2_grpc import ConversationServiceStub
from crmsync.v1.lead_service_pb2_grpc import LeadServiceStub
from crmsync.v1.search_service_pb2_grpc import SearchServiceStub
from crmsync.v1.session_pb2 import Session
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync.v1.sync_service_pb2 import WatchEventsRequest, WatchEventsResponse
from crmsync.v1.sync_service_pb2_grpc import SyncServiceStub
from crmsync.v1.user_service_pb2_grpc import UserServiceStub
from crmsync_client.channel import open_channel
from crmsync_client.events import watch_conflicts, watch_events
from crmsync_client.importing import Contacts, Import
from crmsync_client.retry import RetryPolicy
from crmsync_client.watching import SILENCE, watch

CHUNK = 500


class CrmsyncClient:
    """A connection to crmsync; use it as an async context manager, or call `close`.

    admin, analytics, bulk, connections, contacts, conversations, leads, search, sync, sessions,
        users: the generated stubs, for every call of the contract. Their errors are
        `grpc.aio.AioRpcError`; `Failure.of` reads them.
    """

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        retry: RetryPolicy | None = None,
        silence: timedelta = SILENCE,
    ) -> None:
        """Take an address; nothing is connected before the first call.

        Must be called inside the event loop that will make the calls.

        Args:
            target: `host:port`, or any other name that gRPC resolves.
            token: the bearer token sent with every call; None where the server asks for none.
            credentials: how the connection is secured. Default: in the clear to this machine's
                loopback interface, TLS with the public authorities to anywhere else.
            retry: when the watches and `import_contacts` try again.
            silence: a watch without a single message, heartbeats included, for this long is
                taken for dead.
        """
        self._channel = open_channel(target, token, credentials)
        self._retry = retry or RetryPolicy()
        self._silence = silence
        self.admin = AdminServiceStub(self._channel)
        self.analytics = AnalyticsServiceStub(self._channel)
        self.bulk = BulkServiceStub(self._channel)
        self.connections = ConnectionServiceStub(self._channel)
        self.contacts = ContactServiceStub(self._channel)
        self.conversations = ConversationServiceStub(self._channel)
        self.leads = LeadServiceStub(self._channel)
        self.search = SearchServiceStub(self._channel)
        self.sync = SyncServiceStub(self._channel)
        self.sessions = SessionServiceStub(self._channel)
        self.users = UserServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        """Return the client; the first call connects."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._channel.close(None)

    def watch_session(self, session_id: str) -> AsyncGenerator[Session, None]:
        """Yield a session as it is now, then each change, until it has ended.

        The last one yielded is SUCCEEDED, CANCELLED or FAILED. A broken or silent connection is
        made again by itself; what changed meanwhile comes as the newest state. Whoever leaves the
        loop before its end closes the watch with `contextlib.aclosing`.

        Args:
            session_id: a UUID, as QueueAllContacts and its like return it.

        Raises:
            grpc.aio.AioRpcError: the server refuses (NOT_FOUND, PERMISSION_DENIED …), or it was
                out of reach for longer than the retry policy's patience.
            ConnectionError: the stream stayed silent for longer than that.
        """
        return watch(self.sessions, session_id, self._retry, self._silence)

    def watch_events(
        self, *, crm: str = "", resume_token: str = "", from_beginning: bool = False
    ) -> AsyncGenerator[WatchEventsResponse, None]:
        """Yield each outcome of an attempt, once, in the order in which they became visible.

        Every message has a `sync_event` and, for a later call, the `resume_token` of the place
        after it. A broken or silent connection is made again by itself, and the watch goes on
        where it was. It has no end: whoever leaves the loop closes the watch with
        `contextlib.aclosing`.

        Args:
            crm: only events of this CRM, such as `hubspot`; empty means all.
            resume_token: of the last message that was handled, to go on right after it. Empty
                means now: from the server's first answer on, nothing is missed.
            from_beginning: begin with the oldest event that is kept; ignored with a resume_token.

        Raises:
            grpc.aio.AioRpcError: the server refuses (OUT_OF_RANGE with the reason
                RESUME_TOKEN_EXPIRED when what comes after the token is no longer kept), or it was
                out of reach for longer than the retry policy's patience.
            ConnectionError: the stream stayed silent for longer than that.
        """
        request = WatchEventsRequest(
            crm=crm, resume_token=resume_token, from_beginning=from_beginning
        )
        return watch_events(self.sync, request, self._retry, self._silence)

    def watch_conflicts(
        self, *, crm: str = "", resume_token: str = ""
    ) -> AsyncGenerator[WatchConflictsResponse, None]:
        """Yield the conflicts that are open, then each one that is found, changes or ends.

        Every message has a `conflict` and, for a later call, the `resume_token` of the place after
        it. None is left out; one that changes quickly may be told once for several changes. A
        broken or silent connection is made again by itself, and the watch goes on where it was. It
        has no end: whoever leaves the loop closes the watch with `contextlib.aclosing`.

        Args:
            crm: only conflicts at this CRM, such as `zoho`; empty means all.
            resume_token: of the last message that was handled, to go on right after it. Empty
                means to begin with those that are open.

        Raises:
            grpc.aio.AioRpcError: the server refuses (OUT_OF_RANGE with the reason
                RESUME_TOKEN_EXPIRED when the database was set back to before the token), or it
                was out of reach for longer than the retry policy's patience.
            ConnectionError: the stream stayed silent for longer than that.
        """
        request = WatchConflictsRequest(crm=crm, resume_token=resume_token)
        return watch_conflicts(self.analytics, request, self._retry, self._silence)

    async def import_contacts(
        self, contacts: Contacts, request_id: str | None = None, chunk: int = CHUNK
    ) -> ImportContactsResponse:
        """Create contacts, and update those whose email is known already.

        A broken connection is made again by itself, and the import goes on after the last record
        that the server has acknowledged.

        Args:
            contacts: any iterable. One that can be iterated again, such as a list, is read again
                after a break; of an iterator everything it gave is kept in memory until the end.
            request_id: a UUID that names the import. Another call with the same one resumes it,
                or returns the first answer if it was finished, within 24 hours. Default: a new
                one.
            chunk: how many contacts go in a message and are taken in by one transaction, 1 to
                1,000.

        Returns:
            What became of the records, over all parts of the import.

        Raises:
            grpc.aio.AioRpcError: the server refuses, or was out of reach for longer than the
                retry policy's patience. What was acknowledged is kept.
            ImportEndedError: a connection broke in a moment in which that looked like the end.
        """
        importing = Import(self.contacts, contacts, request_id or str(uuid4()), chunk)
        return await importing.run(self._retry)
