"""What a token may do in a portal: as HubSpot lists it, or as harmless reads show it."""

from collections.abc import Sequence
from http import HTTPStatus

from crmsync_server.crm.adapter import Token
from crmsync_server.crm.directory import Permission
from crmsync_server.crm.hubspot_access import OAuth
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.hubspot_questions import Trouble, ask, unanswered
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.replies import Reply, texts

# What each is for, the scope that allows it, and whether syncing needs it.
_SCOPES = (
    ("contacts.read", "crm.objects.contacts.read", True),
    ("contacts.write", "crm.objects.contacts.write", True),
    ("fields.read", "crm.schemas.contacts.read", True),
    ("fields.write", "crm.schemas.contacts.write", False),
)
_READS = {"contacts.read": CONTACTS, "fields.read": PROPERTIES}


async def granted_scopes(oauth: OAuth) -> frozenset[str] | Trouble | None:
    """Return the scopes of an application's token, None where HubSpot does not list them.

    Raises CredentialsRefusedError.
    """
    token = await oauth.token()
    if not isinstance(token, Token):
        return unanswered(token)
    told = await oauth.introspect(token.value)
    if not isinstance(told, Reply):
        return unanswered(told)
    scopes = told.fields.get("scopes") or told.fields.get("scope")
    # OAuth's own way is one text with blanks between them.
    listed = scopes.split() if isinstance(scopes, str) else texts(scopes)
    return frozenset(listed) if told.status == HTTPStatus.OK and listed else None


async def permissions(
    portal: Portal, scopes: frozenset[str] | None
) -> Sequence[Permission] | Trouble:
    """Return what the token may do; without scopes, whether it may write is not known.

    Raises CredentialsRefusedError.
    """
    found: list[Permission] = []
    for name, scope, needed in _SCOPES:
        granted = scope in scopes if scopes is not None else await _may_read(portal, name)
        if isinstance(granted, Trouble):
            return granted
        found.append(Permission(name, granted, scope, needed))
    return found


async def _may_read(portal: Portal, name: str) -> bool | Trouble | None:
    """Return whether reading works; None for what is no reading: it is not tried."""
    path = _READS.get(name)
    if path is None:
        return None
    one = {"limit": "1"} if path == CONTACTS else None
    reply = await ask(portal, "GET", path, params=one, besides=(HTTPStatus.FORBIDDEN,))
    return reply.status != HTTPStatus.FORBIDDEN if isinstance(reply, Reply) else reply
