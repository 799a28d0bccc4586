"""What Mautic's answers to a whole call mean, when they are not what was asked for.

An error body is {errors: [{code, message, details, type}]}, in older versions {error: {…}}, and
{error, error_description} where OAuth2 speaks; behind a proxy it is a page.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.mautic_limits import wait_until
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.replies import (
    Reply,
    brief,
    count,
    mapping,
    mappings,
    retry_after,
    text,
    texts,
)

# Somebody has to change Mautic's configuration, or our address of it: nothing here is worth a
# retry, and the credentials are not to blame.
_MISCONFIGURED_WAIT = timedelta(minutes=15)
_API_DISABLED, _NO_API = "API_DISABLED", "NO_API"
MISCONFIGURED = frozenset({_API_DISABLED, _NO_API})
_SWITCHED_OFF = frozenset({"api_disabled", "access_denied"})
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})
_BLAMES_RECORDS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
# A gateway answers these in Mautic's place: it does not know what Mautic did.
_GATEWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_OK = HTTPStatus.OK
_REDIRECTION = HTTPStatus.MULTIPLE_CHOICES
_ERROR = HTTPStatus.BAD_REQUEST

Verdict = Faulted[Outcome] | Refused[Outcome]


def verdict(reply: Reply, now: datetime) -> Verdict:
    """Decide what becomes of the records of a call that Mautic did not answer as asked.

    Raises CredentialsRefusedError.
    """
    if is_refusal(reply):
        raise refused(reply)
    # A length that is too much is refused by the web server, with a page of its own.
    too_long = reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if too_long or (reply.status in _BLAMES_RECORDS and reply.fields):
        return Refused(Rejected(f"HTTP_{reply.status}", words(reply)))
    if reply.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Perhaps one record brings Mautic down, and the others would pass without it.
        return Refused(_fault(reply, now))
    return Faulted(_whole(reply, now))


def is_refusal(reply: Reply) -> bool:
    """Tell whether Mautic refuses the credentials, or what their user may do."""
    if reply.status == HTTPStatus.FORBIDDEN:
        return bool(reply.fields) and not _is_switched_off(reply)
    return reply.status == HTTPStatus.UNAUTHORIZED


def refused(reply: Reply) -> CredentialsRefusedError:
    """Say what Mautic refuses, and where else to look for the cause."""
    if reply.status == HTTPStatus.FORBIDDEN:
        told = f"Mautic does not allow its user this: {words(reply)}"
    else:
        told = (
            f"Mautic refuses the credentials: {words(reply)}"
            " (right ones are refused too where a web server strips the Authorization header)"
        )
    return CredentialsRefusedError(brief(told))


def _whole(reply: Reply, now: datetime) -> Outcome:
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Postponed(wait_until(reply, now), "RATE_LIMIT", words(reply))
    if what := misconfigured(reply):
        return Postponed(now + _MISCONFIGURED_WAIT, *what)
    return _fault(reply, now)


def misconfigured(reply: Reply) -> tuple[str, str] | None:
    """Return a code and what is to be changed, where it is Mautic's configuration or address."""
    if _is_switched_off(reply):
        told = f"switched off in Mautic's configuration, not refused: {words(reply)}"
        return _API_DISABLED, brief(told)
    if reply.status in _NOT_THERE or _REDIRECTION <= reply.status < _ERROR:
        elsewhere = reply.headers.get("location", "").partition("?")[0]
        aim = f", it points to {elsewhere}" if elsewhere else ""
        told = f"no API of Mautic at this address (HTTP {reply.status}{aim}): {words(reply)}"
        return _NO_API, brief(told)
    return None


def _is_switched_off(reply: Reply) -> bool:
    kind = text(_error(reply).get("type")).lower()
    return reply.status == HTTPStatus.FORBIDDEN and kind in _SWITCHED_OFF


def _fault(reply: Reply, now: datetime) -> Outcome:
    message = brief(f"Mautic answered {reply.status}: {words(reply)}")
    if reply.status in _GATEWAY:
        return Unknown(message)
    if reply.status < _ERROR:
        # A page of a proxy, say: 200 alone is no success.
        return Retry("UNACCOUNTED", message)
    return Retry("CRM_FAULT", message, retry_after(reply.headers, now))


def _error(reply: Reply) -> Mapping[str, object]:
    """Return the first error of a body, whichever of the shapes it has."""
    found = mappings(reply.fields.get("errors"))
    if found:
        return found[0]
    error = reply.fields.get("error")
    if isinstance(error, str):
        return {"type": error, "message": reply.fields.get("error_description") or error}
    return mapping(error)


def words(reply: Reply) -> str:
    """Return Mautic's own words, or the beginning of the body."""
    return reason(_error(reply)) or reply.text or f"HTTP {reply.status}"


def oauth_code(reply: Reply) -> str:
    """Return what the token endpoint calls its refusal (`invalid_grant`); empty for another."""
    return text(_error(reply).get("type")).lower()


def reason(error: Mapping[str, object]) -> str:
    """Return an error's message with the details that it does not repeat."""
    message = text(error.get("message"))
    details = [
        f"{alias}: {detail}"
        for alias, found in mapping(error.get("details")).items()
        for detail in texts(found)
        if detail not in message
    ]
    return brief("; ".join(part for part in (message, *details) if part))


def outcome_of(error: Mapping[str, object]) -> Outcome:
    """Decide what the error of one record means for it."""
    code = text(error.get("code"))
    status = count(code) or 0
    message = reason(error) or "Mautic gave no reason"
    if _ERROR <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        return Rejected(f"HTTP_{status}", message)
    return Retry(f"HTTP_{status}" if status else "UNACCOUNTED", message)


# Somebody edits the contact just now, or Mautic had no time for it.
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.LOCKED,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
