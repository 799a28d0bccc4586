"""Reads HubSpot's reply to one batch call, input by input."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.hubspot_errors import (
    Culprits,
    Result,
    correlation_of,
    credentials_error,
    is_not_found,
    judge,
)
from crmsync_server.crm.hubspot_times import instant
from crmsync_server.crm.hubspot_writes import Write
from crmsync_server.crm.outcomes import Outcome, Retry, Synced, Unknown
from crmsync_server.crm.replies import Reply, brief, mappings, text

_DONE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.MULTI_STATUS})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# A gateway answers these in HubSpot's place: it does not know what HubSpot did.
_GATEWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


def answer(
    call: Sequence[Write], reply: Reply
) -> Sequence[Result] | Refused[Result] | Faulted[Outcome]:
    """Turn the reply to a call into its results; raises CredentialsRefusedError."""
    if reply.status in _DONE:
        return _account(call, reply)
    if reply.status in _REFUSED:
        raise credentials_error(reply)
    if _blames_records(call, reply):
        return _refusal(call, reply)
    return _fault(reply)


def _blames_records(call: Sequence[Write], reply: Reply) -> bool:
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    if reply.status == HTTPStatus.NOT_FOUND and not call[0].record_id:
        return False  # No record id was asked for: it is the path that was not found.
    if reply.status == HTTPStatus.REQUEST_TIMEOUT:
        return False
    return HTTPStatus(400) <= reply.status < HTTPStatus(500) and bool(reply.fields)


def _account(call: Sequence[Write], reply: Reply) -> list[Result]:
    """Match results and errors to inputs; what stays unmatched was not accounted for."""
    culprits, correlation_id = Culprits(call), correlation_of(reply)
    errors = mappings(reply.fields.get("errors"))
    found: dict[int, Result] = {}

    def blame(named: Iterable[int], error: Mapping[str, object]) -> None:
        for at in named:
            found.setdefault(at, judge(error, call[at], correlation_id))

    for error in errors:
        blame(culprits.traced(error), error)
    for result in mappings(reply.fields.get("results")):
        record_id, changed = text(result.get("id")), instant(result.get("updatedAt"))
        for at in culprits.returned(result) if record_id else ():
            found.setdefault(at, Synced(record_id, correlation_id, call[at].note, changed))
    for error in errors:
        blame(culprits.named(error), error)
    missing = _unaccounted(reply, errors)
    return [found.get(at, missing) for at in range(len(call))]


def _unaccounted(reply: Reply, errors: Sequence[Mapping[str, object]]) -> Retry:
    status = text(reply.fields.get("status")) or f"HTTP {reply.status}"
    words = "; ".join(text(error.get("message")) for error in errors)
    message = f"HubSpot's reply ({status}) does not account for this record. {words}"
    return Retry("UNACCOUNTED", brief(message), request_id=correlation_of(reply))


def _refusal(call: Sequence[Write], reply: Reply) -> Refused[Result]:
    """Read a reply that applied nothing: who is named, and what a lone record gets."""
    culprits, correlation_id = Culprits(call), correlation_of(reply)
    body = _with_category(reply)
    named: dict[int, Result] = {}
    for error in (*mappings(body.get("errors")), body):
        for at in culprits.named(error):
            named.setdefault(at, judge({**body, **error}, call[at], correlation_id))
    return Refused(judge(body, call[0], correlation_id), named)


def _with_category(reply: Reply) -> Mapping[str, object]:
    body = dict(reply.fields) or {"message": reply.text}
    if reply.status == HTTPStatus.NOT_FOUND and not is_not_found(body):
        return {**body, "category": "OBJECT_NOT_FOUND"}
    return body if text(body.get("category")) else {**body, "category": f"HTTP_{reply.status}"}


def _fault(reply: Reply) -> Faulted[Outcome]:
    words = brief(text(reply.fields.get("message"))) or reply.text
    message = brief(f"HubSpot answered {reply.status}: {words}")
    if reply.status in _GATEWAY:
        return Faulted(Unknown(message, correlation_of(reply)))
    return Faulted(Retry("CRM_FAULT", message, request_id=correlation_of(reply)))
