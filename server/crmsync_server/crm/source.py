"""Reading a CRM: what an adapter offers beyond delivering, where its CRM can be read.

An adapter that can be pulled from has an attribute `source`; one without it cannot, and says so by
not having it. A source knows neither database nor engine: it is given a cursor and answers a page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from crmsync_server.crm.outcomes import Postponed, Rejected, Retry

Cursor: TypeAlias = Mapping[str, object]
"""Where a reading stands: JSON that only its source reads; empty at the beginning.

It is kept in the database between two pages, so that another server can go on.
"""

Trouble: TypeAlias = Postponed | Retry | Rejected
"""Why nothing was read: the CRM asks to wait, a fault that may pass, or one that stays."""


@dataclass(frozen=True, slots=True)
class Record:
    """One contact as its CRM holds it.

    crm_contact_id: the CRM's id for it.
    email, first_name, last_name, phone, company, tags: None where this CRM, or this reading, does
        not tell; empty where it tells that there is nothing.
    properties: custom properties by the CRM's own names, as text; those that were asked for, empty
        ones included.
    modified_time: when it last changed, by the CRM's clock; None where the CRM does not tell.
    deleted: it is gone there; nothing but the id and perhaps the time is told then.
    merged_into: the id of the record that took its place; empty unless it was merged away.
    contact_id: our own id of the contact, where the CRM keeps it; empty where it does not, or was
        never told.
    """

    crm_contact_id: str
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    company: str | None = None
    tags: Sequence[str] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    modified_time: datetime | None = None
    deleted: bool = False
    merged_into: str = ""
    contact_id: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to read.

    since: only what changed at or after this time by the CRM's clock, deletions included; None
        means everything there is (and, where `SourceTraits.tells_deletions`, what was deleted).
    names: which custom properties to read, by the CRM's own names; None means all that it has.
    """

    since: datetime | None = None
    names: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What one reading brought.

    records: in any order; the same record may come twice, in one page or in two.
    cursor: where to go on; None after the last page.
    total: how many records the whole reading will bring, as far as the CRM says.
    ready_time: the next page is not there before this time (an export that the CRM still makes).
    """

    records: Sequence[Record]
    cursor: Cursor | None
    total: int | None = None
    ready_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceTraits:
    """What a source can do.

    tells_deletions: whether deleted records come along by themselves; where they do not, what a
        whole reading does not bring is gone.
    tells_times: whether records carry their modified_time.
    overlap: how long a change may take until a reading shows it (a search index that lags): a
        reading begins so much before the end of the last one.
    fetch_batch: how many ids or addresses one `fetch` or `find` takes at most.
    """

    tells_deletions: bool
    tells_times: bool
    overlap: timedelta
    fetch_batch: int = 100


class Source(Protocol):
    """The contacts of one CRM account, to be read."""

    @property
    def traits(self) -> SourceTraits:
        """What this CRM can do."""

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Read the page at a cursor, in a few calls at most.

        Reading it again with the same cursor is safe: nothing that is there throughout is missed,
        whatever else changes in between. A cursor that the CRM no longer takes (an expired page
        token) is gone on from by other means, not an error. Raises CredentialsRefusedError.
        """

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read records by the CRM's ids; None for an id that the CRM does not know.

        A deleted one comes as such where the CRM still knows it; one that was merged away comes as
        the record that took its place, under the id that was asked for.
        Raises CredentialsRefusedError.
        """

    async def find(
        self, emails: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read records by their email, in lower case; None where no record has it.

        Raises CredentialsRefusedError.
        """


def source_of(adapter: object) -> Source | None:
    """Return the source of an adapter, None where its CRM cannot be read."""
    found: Source | None = getattr(adapter, "source", None)
    return found
