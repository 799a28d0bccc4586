"""Asks Brevo which contacts of an earlier delivery it already holds, one by one."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote

from crmsync_server.crm.brevo_calls import ACCOUNT_REFUSED, Brevo, judge, refused
from crmsync_server.crm.brevo_rows import Row, holds
from crmsync_server.crm.fanout import fan_out
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.outcomes import Outcome, Retry, Synced
from crmsync_server.crm.replies import Reply, text


async def found_back(brevo: Brevo, guard: Guard, rows: Sequence[Row]) -> dict[int, Synced]:
    """Return the rows that the account holds as they are, by position; a call for each row.

    Never raises: the guard keeps refused credentials to itself.
    """

    async def ask(row: Row) -> Outcome | Faulted[Outcome]:
        return await guard.call(lambda: _look_up(brevo, row))

    answers = await fan_out(rows, ask)
    return {
        row.position: answer
        for row, answer in zip(rows, answers, strict=True)
        if isinstance(answer, Synced)
    }


async def _look_up(brevo: Brevo, row: Row) -> Outcome | Faulted[Outcome]:
    path = f"/{quote(row.email, safe='')}"
    reply = await brevo.contacts("GET", path, params={"identifierType": "email_id"})
    if not isinstance(reply, Reply):
        return Faulted(reply)
    if reply.status == HTTPStatus.OK and _is_held(brevo, row, reply.fields):
        return Synced(row.email, note=row.note)
    if reply.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        return Retry("NOT_HELD", "Brevo does not hold the contact as it was delivered")
    if reply.status in ACCOUNT_REFUSED:
        raise refused(reply)
    return judge(reply, brevo)


def _is_held(brevo: Brevo, row: Row, contact: Mapping[str, object]) -> bool:
    """Tell whether it is our contact, with every value, in the list that it is to join."""
    owner = text(contact.get("ext_id")) or row.ext_id
    lists = contact.get("listIds")
    joined = brevo.list_id is None or not isinstance(lists, list) or brevo.list_id in lists
    return owner == row.ext_id and joined and holds(row, contact)
