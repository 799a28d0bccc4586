"""What a CRM that keeps leads offers besides, or instead of, taking contacts.

An adapter that can has an attribute `leads`. A fault is an answer, never an exception, but for
refused credentials. What the CRM's filters let through is checked: nothing is told that was not
asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol, TypeAlias

from crmsync_server.crm.outcomes import Unknown
from crmsync_server.crm.questions import Trouble

Cursor: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Signup:
    """A person to be made known to the CRM; texts may be empty, but for id and email.

    id: the caller's own, which the CRM keeps with the lead and is asked by.
    country: ISO 3166-1 alpha-2.
    """

    id: str
    email: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    country: str = ""
    language: str = ""
    ip_address: str = ""
    campaign_id: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class LeadRecord:
    """A lead as the CRM tells of it.

    transaction_id: the id that it was registered with; empty where it has none.
    status_code: 0 where the CRM tells none.
    create_time, modify_time: by the CRM's clock; None where it does not tell.
    """

    crm_lead_id: str
    transaction_id: str
    email: str
    status_code: int
    status_text: str
    ftd_exists: bool
    tp_account: str = ""
    currency: str = ""
    create_time: datetime | None = None
    modify_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """The CRM has the lead.

    created: whether this call made it; False where it was there already.
    login_url: where the person is logged in at once; empty where there is none.
    """

    crm_lead_id: str
    created: bool
    login_url: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class LeadPage:
    """Leads in the order of the CRM. cursor: of the next page; None after the last one."""

    records: Sequence[LeadRecord]
    cursor: Cursor | None = None


class Leads(Protocol):
    """The leads of one account. Every method raises CredentialsRefusedError."""

    async def register(
        self, signup: Signup, *, perhaps_sent: bool = False
    ) -> Registered | Trouble | Unknown:
        """Make a signup known to the CRM, once.

        perhaps_sent: whether an earlier call may have done so: it is looked up before it is sent.
        Unknown: it was sent, and neither the answer nor a look tells what became of it.
        """

    def portions(self, ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """Part ids so that each part can be asked for by one call of `by_ids`."""

    async def by_ids(self, ids: Sequence[str]) -> Sequence[LeadRecord] | Trouble:
        """Return the leads that were registered with these ids; ids that it has not are left out.

        ids: a portion. Several leads may come of one id.
        """

    async def by_email(self, email: str) -> Sequence[LeadRecord] | Trouble:
        """Return the leads with this email, in any case."""

    async def recent(self, since: date, cursor: Cursor) -> LeadPage | Trouble:
        """Return a page of the leads that were taken in on a day, or later; {} is the first.

        The same lead may come on several pages.
        """


def leads_of(adapter: object) -> Leads | None:
    """Return the leads of an adapter, None where its CRM keeps none."""
    found: Leads | None = getattr(adapter, "leads", None)
    return found


def chosen(records: Sequence[LeadRecord]) -> LeadRecord | None:
    """Return the one that counts of several leads of one signup; None of none.

    The one with a deposit, else the one that changed last, else the one with the lowest id.
    """

    def rank(record: LeadRecord) -> tuple[bool, float, int, str]:
        changed = record.modify_time.timestamp() if record.modify_time else 0.0
        return (not record.ftd_exists, -changed, len(record.crm_lead_id), record.crm_lead_id)

    return min(records, key=rank, default=None)
