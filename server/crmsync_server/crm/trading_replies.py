"""What the Trading CRM's answers mean: leads as it tells of them, and refusals.

There is no public contract of this API: every value is read without trusting its shape, and an
answer that is no JSON, which has been seen with errors, is a failure whose words are kept.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.leads import LeadRecord
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.replies import Reply, brief, iso_time, mapping, retry_after, text

_REFUSED_WAIT = timedelta(minutes=1)
_LEAST_CODE, _LARGEST_CODE = -(2**31), 2**31 - 1
_REDIRECTION = HTTPStatus.MULTIPLE_CHOICES
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})
_MESSAGES = ("message", "Message", "error", "Error", "title", "detail")
_TRUE = frozenset({"true", "1", "yes"})


def record(account: Mapping[str, object]) -> LeadRecord | None:
    """Return a lead as the CRM tells of it; None without an id."""
    crm_lead_id = text(account.get("id")).strip()
    if not crm_lead_id:
        return None
    return LeadRecord(
        crm_lead_id=crm_lead_id,
        transaction_id=text(account.get("affiliateTransactionId")).strip(),
        email=text(account.get("email")).strip(),
        status_code=_code(account.get("leadStatusCode")),
        status_text=text(account.get("leadStatus")).strip(),
        ftd_exists=_flag(account.get("ftdExists")),
        tp_account=text(account.get("tpAccount")).strip(),
        currency=text(account.get("currency")).strip(),
        create_time=iso_time(account.get("createdOn")),
        modify_time=iso_time(account.get("modifiedOn")),
    )


def _code(value: object) -> int:
    """Return a status code, whatever its number, also where it is written like 9.0.

    0 where there is none; one that is too large for the contract is as large as that can tell, so
    that it is never taken for none.
    """
    try:
        found = Decimal(text(value).strip())
    except InvalidOperation:
        return 0
    if not found.is_finite() or found != found.to_integral_value():
        return 0
    return int(min(max(found, Decimal(_LEAST_CODE)), Decimal(_LARGEST_CODE)))


def _flag(value: object) -> bool:
    return value is True or text(value).strip().lower() in _TRUE


def refused(reply: Reply) -> CredentialsRefusedError:
    """Say what the CRM refuses, and where else to look for the cause."""
    told = f"the Trading CRM refuses the credentials (HTTP {reply.status}): {words(reply)}"
    if reply.status == HTTPStatus.FORBIDDEN:
        told += " (some brokers let in only the addresses that they know)"
    return CredentialsRefusedError(brief(told))


def is_refusal(reply: Reply) -> bool:
    """Tell whether the credentials, or whoever has them, are refused."""
    return reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def trouble(reply: Reply, now: datetime, *, writing: bool = False) -> Outcome:
    """Decide what a reply means that is none of what was asked for.

    writing: whether it may have been applied all the same, where the CRM itself does not deny it.
    Raises CredentialsRefusedError.
    """
    if is_refusal(reply):
        raise refused(reply)
    message = brief(f"the Trading CRM answered {reply.status}: {words(reply)}")
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        until = retry_after(reply.headers, now) or now + _REFUSED_WAIT
        return Postponed(until, "RATE_LIMIT", message)
    if reply.status in _NOT_THERE or _REDIRECTION <= reply.status < HTTPStatus.BAD_REQUEST:
        return Rejected("NO_API", message)
    denied = HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if denied and reply.status != HTTPStatus.REQUEST_TIMEOUT:
        return Rejected(f"HTTP_{reply.status}", message)
    if writing:
        return Unknown(message)
    code = "UNACCOUNTED" if reply.status < HTTPStatus.BAD_REQUEST else "CRM_FAULT"
    return Retry(code, message, retry_after(reply.headers, now))


def words(reply: Reply) -> str:
    """Return the CRM's own words, or the first 500 characters of whatever it sent."""
    told = mapping(reply.body)
    found = next((text(told[name]) for name in _MESSAGES if text(told.get(name))), "")
    return found or reply.text or f"HTTP {reply.status}"
