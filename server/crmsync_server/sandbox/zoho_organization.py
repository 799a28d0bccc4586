"""What a simulated Zoho holds: contacts, accounts, fields, deleted contacts, a search index."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_companies import Accounts
from crmsync_server.sandbox.zoho_fields import EMAIL, default_fields
from crmsync_server.sandbox.zoho_table import Contact, Table, User

INTEGRATION = User("554023000000235011", "Integration", "integration@sandbox.example")
PERSON = User("554023000000235012", "Patricia", "patricia@sandbox.example")
SECONDARY_EMAIL = "Secondary_Email"
_FIRST_ID = 554023000001000001  # more than a double can hold exactly
DeletedType: TypeAlias = Literal["recycle", "permanent"]


@dataclass(frozen=True, slots=True)
class Deleted:
    """A contact that is no more: in the recycle bin, or gone for good."""

    id: int
    name: str
    type: DeletedType
    at: datetime
    by: User
    created_by: User


class Organization:
    """Contacts of one organization. What is written is checked before, not here."""

    def __init__(
        self, clock: Clock, *, time_zone: str, lag_seconds: float, unique_fields: tuple[str, ...]
    ) -> None:
        """Start empty.

        Args:
            clock: where the times of writes come from.
            time_zone: the zone in which times are printed.
            lag_seconds: how far search and COQL lag behind.
            unique_fields: system fields of which no two contacts may share a value.
        """
        self._clock = clock
        self._zone = ZoneInfo(time_zone)
        self._lag = timedelta(seconds=lag_seconds)
        self._unique = unique_fields
        self.clear()

    def clear(self) -> None:
        """Forget all contacts, deleted ones too, all accounts and the fields added."""
        self.fields = default_fields()
        for name in self._unique:
            self.fields[name] = replace(self.fields[name], unique=True)
        looked_up = tuple(dict.fromkeys((EMAIL, SECONDARY_EMAIL, *self._unique)))
        self.live = Table(looked_up)
        self.accounts = Accounts()
        self.deleted: list[Deleted] = []
        self.locked: set[int] = set()
        self.workflows_run = 0
        self.seeded = 0
        self._indexed = Table(looked_up) if self._lag else self.live
        self._unindexed: deque[tuple[datetime, int, Contact | None]] = deque()
        self._issued = 0

    def now(self) -> datetime:
        """Return the present instant as Zoho keeps it: in UTC, to the second."""
        return self._clock().astimezone(UTC).replace(microsecond=0)

    def stamp(self, instant: datetime) -> str:
        """Return an instant as Zoho prints it: in the organization's zone, to the second."""
        return instant.astimezone(self._zone).isoformat(timespec="seconds")

    def issue_id(self) -> int:
        """Return an id that nothing has yet."""
        self._issued += 1
        return _FIRST_ID + self._issued

    def index(self) -> Table:
        """Return what search and COQL see now."""
        now = self._clock()
        while self._unindexed and self._unindexed[0][0] <= now:
            _, contact_id, contact = self._unindexed.popleft()
            if contact is None:
                self._indexed.drop(contact_id)
            else:
                self._indexed.put(contact)
        return self._indexed

    def is_behind(self) -> bool:
        """Tell whether there are changes that search and COQL do not show yet."""
        self.index()
        return bool(self._unindexed)

    def insert(self, values: Mapping[str, object], by: User, at: datetime | None = None) -> Contact:
        """Add a contact, as of now or of another instant; a value of None counts as absent."""
        moment = at or self.now()
        held = {name: value for name, value in values.items() if value is not None}
        contact = Contact(self.issue_id(), held, moment, moment, by, by)
        self._put(contact)
        return contact

    def update(self, contact: Contact, changes: Mapping[str, object], by: User) -> Contact:
        """Change some of a contact's values; None clears one. Modified_Time moves in any case."""
        merged = {**contact.values, **changes}
        after = replace(
            contact,
            values={name: value for name, value in merged.items() if value is not None},
            modified=self.now(),
            modified_by=by,
            times_updated=contact.times_updated + 1,
        )
        self._put(after)
        return after

    def delete(self, contact: Contact, by: User, kind: DeletedType = "recycle") -> None:
        """Delete a contact."""
        self.live.drop(contact.id)
        self.locked.discard(contact.id)
        self._note(contact.id, None)
        name = full_name(contact.values)
        gone = Deleted(contact.id, name, kind, self.now(), by, contact.created_by)
        self.deleted.append(gone)

    def holder(self, name: str, value: object, besides: Contact | None) -> Contact | None:
        """Return another contact that has this value in a field."""
        others = self.live.find(name, value)
        return next((one for one in others if besides is None or one.id != besides.id), None)

    def unique_fields(self) -> list[str]:
        """Return the fields of which no two contacts may share a value."""
        return [field.api_name for field in self.fields.values() if field.unique]

    def as_json(self) -> Iterator[JsonObject]:
        """Yield `{id, email, fields, times_created, times_updated}` of each, oldest first."""
        for contact in list(self.live.contacts.values()):
            yield {
                "id": str(contact.id),
                "email": contact.values.get(EMAIL),
                "fields": dict(contact.values),
                "times_created": 1,
                "times_updated": contact.times_updated,
            }

    def _put(self, contact: Contact) -> None:
        self.live.put(contact)
        self._note(contact.id, contact)

    def _note(self, contact_id: int, contact: Contact | None) -> None:
        if self._lag:
            self._unindexed.append((self._clock() + self._lag, contact_id, contact))


def full_name(values: Mapping[str, object]) -> str:
    """Return first and last name as one."""
    parts = (values.get("First_Name"), values.get("Last_Name"))
    return " ".join(str(part) for part in parts if part)
