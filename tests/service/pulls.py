"""What tests of reading look at, whichever CRM is read."""

from collections.abc import Callable

from crmsync.v1 import contact_pb2, contact_service_pb2, session_item_pb2, session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from tests.eventually import eventually
from tests.service.starting import items

SUCCEEDED = session_pb2.SESSION_STATE_SUCCEEDED
ERROR = session_item_pb2.SESSION_ITEM_OUTCOME_ERROR
SKIPPED = session_item_pb2.SESSION_ITEM_OUTCOME_SKIPPED


async def contacts(client: CrmsyncClient) -> dict[str, contact_pb2.Contact]:
    """Return every contact by its email, page by page."""
    request = contact_service_pb2.ListContactsRequest(page_size=1000)
    found: list[contact_pb2.Contact] = []
    while True:
        listed = await client.contacts.ListContacts(request)
        found += listed.contacts
        if not listed.next_page_token:
            return {one.email: one for one in found}
        request.page_token = listed.next_page_token


async def edit(client: CrmsyncClient, contact_id: str, **fields: str) -> None:
    """Change a contact here."""
    contact = contact_pb2.Contact(id=contact_id, **fields)  # type: ignore[arg-type]  # texts
    await client.contacts.UpdateContact(contact_service_pb2.UpdateContactRequest(contact=contact))


async def codes(client: CrmsyncClient, session_id: str) -> dict[str, str]:
    """Return the code of each record that was not taken in, by the CRM's id for it."""
    found = await items(client, session_id)
    return {one.crm_contact_id: one.error.code for one in found if one.error.code}


async def waiting(client: CrmsyncClient, session_id: str) -> session_pb2.Session:
    """Return a session once it says why it waits."""

    async def says_why() -> session_pb2.Session:
        request = pb.GetSessionRequest(session_id=session_id)
        session = (await client.sessions.GetSession(request)).session
        assert session.pull.waiting.code, session
        return session

    return await eventually(says_why)


def calls(sandbox: Sandbox, crm: str) -> dict[tuple[str, str], int]:
    """Return how often each path of a CRM was called, by path and answer."""
    told = sandbox.simulators[crm].calls.as_json()["calls"]
    assert isinstance(told, list)
    found: dict[tuple[str, str], int] = {}
    for one in told:
        key = (str(one["path"]), str(one["status"]))
        found[key] = found.get(key, 0) + int(one["count"])
    return found


def asked(sandbox: Sandbox, crm: str, path: str) -> Callable[[], None]:
    """Return a look whether a path of a CRM was called and has answered."""

    def look() -> None:
        assert any(called == path for called, _ in calls(sandbox, crm)), calls(sandbox, crm)

    return look
