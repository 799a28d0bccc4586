"""Reads contacts by their ids or addresses, a hundred in a call."""

from collections.abc import Sequence
from http import HTTPStatus

from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.hubspot_errors import is_not_found
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_questions import Trouble, ask, unreadable
from crmsync_server.crm.hubspot_reads import READ
from crmsync_server.crm.hubspot_records import Result, by_id
from crmsync_server.crm.outcomes import Retry
from crmsync_server.crm.replies import Reply, mappings, text

BATCH = 100
_UNTAKEN = Retry("UNACCOUNTED", "HubSpot does not take ids of contacts that it may well have")


async def read_batch(
    portal: Portal,
    keys: Sequence[str],
    properties: Sequence[str],
    *,
    by_email: bool = False,
    archived: bool = False,
) -> list[Result] | Refused[None] | Trouble:
    """Return those that exist of a hundred ids or addresses, in any order; one call at most.

    archived: look for deleted ones, and for no other. Refused where HubSpot takes one of the keys
    for none. Raises CredentialsRefusedError.
    """
    if not keys:
        return []
    body = {
        "inputs": [{"id": key} for key in keys],
        "properties": list(properties),
        **({"idProperty": "email"} if by_email else {}),
    }
    reply = await ask(
        portal,
        "POST",
        READ,
        json=body,
        params={"archived": "true"} if archived else None,
        besides=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
    )
    if not isinstance(reply, Reply):
        return reply
    if "results" in reply.fields:
        results = mappings(reply.fields["results"])
        return [one for one in results if (one.get("archived") is True) is archived]
    if reply.status == HTTPStatus.NOT_FOUND and is_not_found(reply.fields):
        return []
    refused = reply.status == HTTPStatus.BAD_REQUEST and reply.fields
    return Refused(None) if refused else unreadable(reply, "results")


async def read_ids(
    portal: Portal, ids: Sequence[str], properties: Sequence[str], *, archived: bool = False
) -> list[Result] | Trouble:
    """Return those that exist of a hundred ids, in any order. Raises CredentialsRefusedError."""
    found = await read_batch(portal, ids, properties, archived=archived)
    return _UNTAKEN if isinstance(found, Refused) else found


async def living(
    portal: Portal, ids: Sequence[str], properties: Sequence[str]
) -> dict[str, Result] | Trouble:
    """Return the contacts that a hundred ids lead to, by what was asked for.

    The id of one that was merged away leads to the one that is left. That one says of whom it
    consists; where it does not, every id that is still without a contact is asked for alone.
    Raises CredentialsRefusedError.
    """
    results = await read_ids(portal, ids, properties)
    if not isinstance(results, list):
        return results
    found = {one: result for one, result in by_id(results).items() if one in ids}
    told = {text(result.get("id")) for result in found.values()}
    if all(text(result.get("id")) in told for result in results):
        return found
    for one in (one for one in ids if one not in found):
        alone = await read_ids(portal, [one], properties)
        if not isinstance(alone, list):
            return alone
        if alone:
            found[one] = alone[0]
    return found
