"""Delivers contacts to Brevo one by one: an upsert, or a change of address."""

from http import HTTPStatus
from urllib.parse import quote

from crmsync_server.crm.brevo_calls import Brevo, judge
from crmsync_server.crm.brevo_rows import Row
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Fault
from crmsync_server.crm.outcomes import Outcome, Synced
from crmsync_server.crm.replies import Reply, text


async def upsert(brevo: Brevo, row: Row) -> Outcome | Faulted[Outcome]:
    """Deliver one row; raises CredentialsRefusedError."""
    if row.former_email:
        changed = await _change_address(brevo, row)
        if changed is not None:
            return changed
    body = {"email": row.email, "updateEnabled": True, **_content(brevo, row, row.attributes)}
    reply = await brevo.contacts("POST", json=body)
    return _outcome(brevo, row, reply)


async def _change_address(brevo: Brevo, row: Row) -> Outcome | Faulted[Outcome] | None:
    """Change the contact of an earlier delivery; None when Brevo no longer has it.

    Our own id comes first: when two contacts swap addresses, the former address of one is
    already the new address of the other.
    """
    attributes = {**row.attributes, "EMAIL": row.email}
    body = _content(brevo, row, attributes)
    # One that had no address when it was read is known by its number.
    former = "contact_id" if row.former_email.isdecimal() else "email_id"
    for identifier, kind in ((row.ext_id, "ext_id"), (row.former_email, former)):
        path = f"/{quote(identifier, safe='')}"
        reply = await brevo.contacts("PUT", path, json=body, params={"identifierType": kind})
        if not isinstance(reply, Reply) or reply.status != HTTPStatus.NOT_FOUND:
            return _outcome(brevo, row, reply)
    return None


def _content(brevo: Brevo, row: Row, attributes: object) -> dict[str, object]:
    lists = {} if brevo.list_id is None else {"listIds": [brevo.list_id]}
    return {"ext_id": row.ext_id, "attributes": attributes, **lists}


def _outcome(brevo: Brevo, row: Row, reply: Reply | Fault) -> Outcome | Faulted[Outcome]:
    if not isinstance(reply, Reply):
        return Faulted(reply)
    created = reply.status == HTTPStatus.CREATED and text(reply.fields.get("id"))
    updated = reply.status == HTTPStatus.NO_CONTENT
    if created or updated:
        return Synced(row.email, note=row.note)
    return judge(reply, brevo)
