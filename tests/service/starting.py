"""Short ways to start synchronizations and to look at them."""

from crmsync.v1 import session_item_pb2, session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from tests.service.calls import finished

PUSH = session_pb2.SYNC_DIRECTION_PUSH
PULL = session_pb2.SYNC_DIRECTION_PULL
BOTH = session_pb2.SYNC_DIRECTION_BOTH


def full(
    crm: str = "hubspot", direction: session_pb2.SyncDirection.ValueType = PULL
) -> pb.StartSessionRequest:
    """Ask for everything."""
    return pb.StartSessionRequest(crm=crm, direction=direction, full=pb.FullSync())


def changes(
    crm: str = "hubspot", direction: session_pb2.SyncDirection.ValueType = PULL
) -> pb.StartSessionRequest:
    """Ask for what has changed."""
    return pb.StartSessionRequest(crm=crm, direction=direction, incremental=pb.IncrementalSync())


def manual(
    *contact_ids: str,
    crm: str = "hubspot",
    direction: session_pb2.SyncDirection.ValueType = PULL,
    crm_contact_ids: tuple[str, ...] = (),
) -> pb.StartSessionRequest:
    """Ask for single records."""
    wanted = pb.ManualSync(contact_ids=contact_ids, crm_contact_ids=crm_contact_ids)
    return pb.StartSessionRequest(crm=crm, direction=direction, manual=wanted)


async def start(client: CrmsyncClient, request: pb.StartSessionRequest) -> session_pb2.Session:
    """Start a session, and return it as it is at first."""
    return (await client.sessions.StartSession(request)).session


async def done(client: CrmsyncClient, request: pb.StartSessionRequest) -> session_pb2.Session:
    """Start a session, and return it as it is at its end."""
    return await finished(client, (await start(client, request)).id)


async def items(
    client: CrmsyncClient, session_id: str, page_size: int = 1000
) -> list[session_item_pb2.SessionItem]:
    """List all items of a session, page by page."""
    found: list[session_item_pb2.SessionItem] = []
    request = pb.ListSessionItemsRequest(session_id=session_id, page_size=page_size)
    while True:
        page = await client.sessions.ListSessionItems(request)
        found += page.items
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
