"""What Zoho's answers mean, of a whole call and of one record of it.

An error is {code, message, details, status}, of a call or of an entry of `data`; behind a proxy it
is a page. HTTP 2xx says nothing about any record.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.replies import Reply, brief, mapping, mappings, retry_after, text
from crmsync_server.crm.zoho_limits import wait_until

SCOPE_MISSING = "OAUTH_SCOPE_MISMATCH"
NO_PERMISSION = "NO_PERMISSION"
_LOCKED = "RECORD_LOCKED"
_LOCK_WAIT = timedelta(minutes=5)
_MISCONFIGURED_WAIT = timedelta(minutes=15)
_NO_API = "NO_API"
# The address is wrong, or the organization has no contacts: no record is to blame.
_MISCONFIGURED = frozenset(
    {"INVALID_URL_PATTERN", "INVALID_MODULE", "INVALID_REQUEST_METHOD", "NOT_SUPPORTED"}
)
_PASSING = frozenset(
    {"INTERNAL_ERROR", "INTERNAL_SERVER_ERROR", "TOO_MANY_REQUESTS", "CANNOT_PROCESS"}
)
_GONE = frozenset({"INVALID_DATA", "NOT_FOUND", "NO_RECORDS_FOUND", "RECORD_NOT_FOUND"})
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})
_BLAMES_RECORDS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    }
)
# A gateway answers these in Zoho's place: it does not know what Zoho did.
_GATEWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_OK = HTTPStatus.OK
_REDIRECTION = HTTPStatus.MULTIPLE_CHOICES
_ERROR = HTTPStatus.BAD_REQUEST

Trouble = Postponed | Retry | Rejected


def code(error: Mapping[str, object]) -> str:
    """Return what Zoho calls an error or a success, in capitals; empty where it does not say."""
    return text(error.get("code")).strip().upper()[:100]


def code_of(reply: Reply) -> str:
    """Return the code of a whole reply; empty where its body has none."""
    return code(reply.fields)


def words(reply: Reply) -> str:
    """Return Zoho's own words, or the beginning of the body."""
    return reason(reply.fields) or reply.text or f"HTTP {reply.status}"


def reason(error: Mapping[str, object]) -> str:
    """Return an error's code and message, and the field that it is about."""
    details = mapping(error.get("details"))
    about = text(details.get("api_name"))
    wanted = text(details.get("expected_data_type"))
    parts = (code(error), text(error.get("message")), about, wanted and f"expects {wanted}")
    return brief(": ".join(part for part in parts if part))


def verdict(reply: Reply, now: datetime) -> Faulted[Outcome] | Refused[Outcome]:
    """Decide what becomes of the records of a call that Zoho did not answer as asked.

    Raises CredentialsRefusedError.
    """
    if is_refusal(reply):
        raise refused(reply)
    blames = reply.status in _BLAMES_RECORDS and code_of(reply) not in _MISCONFIGURED
    if blames and (reply.fields or reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return Refused(Rejected(code_of(reply) or f"HTTP_{reply.status}", words(reply)))
    return Faulted(_whole(reply, now))


def is_refusal(reply: Reply) -> bool:
    """Tell whether Zoho refuses the credentials, their scopes, or what their user may do."""
    forbidden = reply.status == HTTPStatus.FORBIDDEN and bool(reply.fields)
    return reply.status == HTTPStatus.UNAUTHORIZED or forbidden


def lacks_right(reply: Reply) -> bool:
    """Tell whether the credentials are good, and yet do not allow this call."""
    named = code_of(reply) in {SCOPE_MISSING, NO_PERMISSION}
    return named or (reply.status == HTTPStatus.FORBIDDEN and bool(reply.fields))


def refused(reply: Reply) -> CredentialsRefusedError:
    """Say what Zoho refuses."""
    if code_of(reply) == SCOPE_MISSING:
        told = f"the token lacks a scope that this needs, its credentials are good: {words(reply)}"
    elif reply.status == HTTPStatus.FORBIDDEN:
        told = f"Zoho does not allow its user this: {words(reply)}"
    else:
        told = f"Zoho refuses the credentials: {words(reply)}"
    return CredentialsRefusedError(brief(told))


def trouble(found: object, now: datetime) -> Trouble:
    """Say why a question was not answered; one that the credentials do not allow is Rejected.

    Raises CredentialsRefusedError where the credentials themselves are refused.
    """
    if isinstance(found, Postponed | Retry):
        return found
    if not isinstance(found, Reply):
        said = found.message if isinstance(found, Unknown) else ""
        return Retry("UNREAD", brief(f"Zoho did not answer: {said}"))
    if lacks_right(found):
        return Rejected(code_of(found) or f"HTTP_{found.status}", words(found))
    judged = verdict(found, now)
    outcome = judged.outcome if isinstance(judged, Faulted) else judged.alone
    return outcome if isinstance(outcome, Trouble) else trouble(outcome, now)


def _whole(reply: Reply, now: datetime) -> Outcome:
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Postponed(wait_until(reply, now), "TOO_MANY_REQUESTS", words(reply))
    elsewhere = _REDIRECTION <= reply.status < _ERROR and reply.status != HTTPStatus.NOT_MODIFIED
    if elsewhere or reply.status in _NOT_THERE or code_of(reply) in _MISCONFIGURED:
        told = brief(f"no API of Zoho CRM at this address (HTTP {reply.status}): ")
        return Postponed(
            now + _MISCONFIGURED_WAIT, code_of(reply) or _NO_API, brief(told + words(reply))
        )
    message = brief(f"Zoho answered {reply.status}: {words(reply)}")
    if reply.status in _GATEWAY:
        return Unknown(message)
    if reply.status < _ERROR:
        # A page of a proxy, say: 200 alone is no success.
        return Retry("UNACCOUNTED", message)
    return Retry("CRM_FAULT", message, retry_after(reply.headers, now))


def outcome_of(error: Mapping[str, object], now: datetime) -> Outcome:
    """Decide what the error of one record means for it."""
    named = code(error)
    message = reason(error) or "Zoho gave no reason"
    if named == _LOCKED:
        return Postponed(now + _LOCK_WAIT, named, message, lane=False)
    if not named:
        return Retry("UNACCOUNTED", message)
    return Retry(named, message) if named in _PASSING else Rejected(named, message)


def is_gone(error: Mapping[str, object]) -> bool:
    """Tell whether an update finds no record under its id."""
    about = text(mapping(error.get("details")).get("api_name")).lower()
    return code(error) in _GONE and (about == "id" or code(error) != "INVALID_DATA")


def is_taken(error: Mapping[str, object], field: str) -> bool:
    """Tell whether another record has the value of this field, which is to be unique."""
    details = mapping(error.get("details"))
    named = text(details.get("api_name"))
    return code(error) == "DUPLICATE_DATA" and named == field


def entries(reply: Reply, name: str = "data") -> list[Mapping[str, object]]:
    """Return what a reply says of each record, in order; empty for one that says nothing of it."""
    found = reply.fields.get(name)
    return list(map(mapping, found)) if isinstance(found, list) else mappings(found)
