"""What an attempt to deliver one contact to one CRM can end in.

An adapter answers a batch with one outcome per delivery, in the order of the deliveries.
The lane matches on them once; nothing else in the engine knows what a CRM replied.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SkipReason(StrEnum):
    """Why a delivery needed no call, or must not be made."""

    UNCHANGED = "UNCHANGED"
    NO_EMAIL = "NO_EMAIL"
    CONTACT_DELETED = "CONTACT_DELETED"


@dataclass(frozen=True, slots=True)
class Synced:
    """The CRM confirmed that it holds the contact as delivered.

    note: what was left out because the CRM has no place for it; empty when nothing was.
    modified_time: when the record changed by that, by the CRM's clock; None where it does not tell.
    """

    crm_contact_id: str
    request_id: str = ""
    note: str = ""
    modified_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing was sent, on purpose."""

    reason: SkipReason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The CRM refused this record and would refuse it again; only an edit can help.

    code: the CRM's own code, upper case (`VALIDATION_ERROR`, `DUPLICATE_PARAMETER`).
    message: the CRM's own words, without secrets, at most 500 characters.
    request_id: what the CRM's support asks for (HubSpot's correlationId).
    """

    code: str
    message: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The CRM asked to wait (rate limit, lock, quota): nothing was applied, no retry is burnt.

    lane: whether everything else for this account must wait too.
    """

    until: datetime
    code: str
    message: str = ""
    lane: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """A fault that may pass: nothing was applied; the engine backs off and tries again.

    after: the CRM's own wish (Retry-After), if it gave one.
    """

    code: str
    message: str
    after: datetime | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request was sent and no answer came: the record may or may not be applied.

    ours: this server gave up waiting, the CRM is not to blame: no retry is burnt.
    """

    message: str
    request_id: str = ""
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The CRM took the record in for later (an asynchronous import): not delivered yet.

    ticket: what `Adapter.settle` needs to find the work again, stored with the record.
    check_time: when to ask; the engine asks once then, and again only as settle says.
    """

    ticket: str
    check_time: datetime


Outcome = Synced | Skipped | Rejected | Postponed | Retry | Unknown | Accepted
