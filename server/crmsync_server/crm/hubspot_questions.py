"""Asks a portal something without writing: an answer that can be read, or why there is none."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from http import HTTPStatus

from crmsync_server.crm.http import Fault
from crmsync_server.crm.hubspot_day import BUCKETS, SEARCH_BUCKETS
from crmsync_server.crm.hubspot_errors import correlation_of, credentials_error
from crmsync_server.crm.hubspot_limits import WAITING, is_daily
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.replies import Reply, brief, retry_after, text

Trouble = Postponed | Retry | Rejected

SEARCH_PATH = f"{CONTACTS}/search"
MISSING_SCOPES = "MISSING_SCOPES"
_DONE = frozenset(
    {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT, HTTPStatus.MULTI_STATUS}
)


async def ask(
    portal: Portal,
    method: str,
    path: str,
    *,
    json: object = None,
    params: Mapping[str, str] | None = None,
    besides: Collection[int] = (),
) -> Reply | Trouble:
    """Make one call; a reply of success, or with one of the statuses `besides`, is returned.

    Raises CredentialsRefusedError where the token itself is refused; a scope that it lacks is
    Rejected, since everything else may be open to it.
    """
    searches = path == SEARCH_PATH
    buckets = SEARCH_BUCKETS if searches else BUCKETS
    reply = await portal.caller.call(method, path, buckets=buckets, json=json, params=params)
    if not isinstance(reply, Reply):
        return unanswered(reply)
    if reply.status in besides or (reply.status in _DONE and (reply.fields or not reply.text)):
        return reply
    found = await _trouble(portal, reply)
    if searches and isinstance(found, Postponed) and not is_daily(reply):
        return replace(found, lane=False)  # Searches have a limit of their own.
    return found


async def _trouble(portal: Portal, reply: Reply) -> Trouble:
    if reply.status in WAITING:
        return await portal.postponed(reply)
    message, correlation_id = _words(reply), correlation_of(reply)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        raise credentials_error(reply)
    if reply.status == HTTPStatus.FORBIDDEN:
        words = brief(str(credentials_error(reply)))
        return Rejected(_category(reply), words, correlation_id)
    if HTTPStatus(400) <= reply.status < HTTPStatus(500) and (
        reply.fields and reply.status != HTTPStatus.REQUEST_TIMEOUT
    ):
        return Rejected(_category(reply), message, correlation_id)
    after = retry_after(reply.headers, portal.caller.tools.clock())
    return Retry("CRM_FAULT", message, after=after, request_id=correlation_id)


def unanswered(fault: Fault) -> Postponed | Retry:
    """Return what a call without a reply means where only a question was asked."""
    if isinstance(fault, Postponed | Retry):
        return fault
    return Retry("NO_ANSWER", fault.message, request_id=fault.request_id)


def unreadable(reply: Reply, lacking: str) -> Retry:
    """Return what a reply means that lacks what was asked for."""
    message = f"HubSpot's answer has no {lacking} (HTTP {reply.status})"
    return Retry("UNACCOUNTED", message, request_id=correlation_of(reply))


def _category(reply: Reply) -> str:
    if reply.status == HTTPStatus.FORBIDDEN:
        return MISSING_SCOPES
    return text(reply.fields.get("category")).upper() or f"HTTP_{reply.status}"


def _words(reply: Reply) -> str:
    words = brief(text(reply.fields.get("message"))) or reply.text
    return brief(f"HubSpot answered {reply.status}: {words}")
