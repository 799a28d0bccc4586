"""Removes contacts from a Brevo account, one by one."""

from http import HTTPStatus
from urllib.parse import quote

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.brevo_calls import Brevo, judge
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.outcomes import Outcome, Synced
from crmsync_server.crm.replies import Reply, text

Ended = Outcome | Faulted[Outcome]

_DONE = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})


async def delete(brevo: Brevo, one: Delivery) -> Ended:
    """Remove one contact; raises CredentialsRefusedError.

    Our own id comes first, which an address that somebody changed there does not touch. Under the
    address may be somebody else by now, whom their own id tells.
    """
    ours = str(one.contact_id)
    known = deliverable(one.crm_contact_id or one.email) or one.crm_contact_id or ""
    gone = Synced(known)
    ended = await _deleted(brevo, ours, "ext_id", gone)
    if ended is None and known:
        ended = await _deleted_if_ours(brevo, known, ours, gone)
    return ended or gone


async def _deleted_if_ours(brevo: Brevo, known: str, ours: str, gone: Synced) -> Ended | None:
    # One that had no address when it was read is known by its number.
    kind = "contact_id" if known.isdecimal() else "email_id"
    path, params = f"/{quote(known, safe='')}", {"identifierType": kind}
    reply = await brevo.contacts("GET", path, params=params)
    if not isinstance(reply, Reply):
        return Faulted(reply)
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    if reply.status != HTTPStatus.OK:
        return judge(reply, brevo)
    if (text(reply.fields.get("ext_id")) or ours) != ours:
        return None
    return await _deleted(brevo, known, kind, gone)


async def _deleted(brevo: Brevo, identifier: str, kind: str, gone: Synced) -> Ended | None:
    """Delete by one kind of identifier; None when there is no such contact."""
    path = f"/{quote(identifier, safe='')}"
    reply = await brevo.contacts("DELETE", path, params={"identifierType": kind})
    if not isinstance(reply, Reply):
        return Faulted(reply)
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    return gone if reply.status in _DONE else judge(reply, brevo)
