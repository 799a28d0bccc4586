"""Which contact each record of a batch belongs to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from crmsync_server.crm.source import Record
from crmsync_server.store.base import Known
from crmsync_server.store.content import email_key
from crmsync_server.store.states import RecordAction
from crmsync_server.sync.channels import Channels, text_of
from crmsync_server.sync.storable import storable

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Match:
    """Where a record belongs.

    contact: None when to none yet. relinked: it was linked to another record, or to none.
    frees: whether the record was linked to a contact that was deleted.
    """

    contact: Known | None = None
    relinked: bool = False
    frees: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a record without looking at what it says; None: it is gone at the CRM."""

    action: RecordAction | None
    code: str | None = None
    message: str | None = None
    contact_id: UUID | None = None


def newest_of_each(records: Iterable[Record]) -> list[Record]:
    """Return each record once, in the order of their ids: of several readings the newest."""
    newest: dict[str, Record] = {}
    for record in records:
        kept = newest.setdefault(record.crm_contact_id, record)
        if kept is not record and _is_newer(record, kept):
            newest[record.crm_contact_id] = record
    return sorted(newest.values(), key=lambda one: _by_id(one.crm_contact_id))


def email_of(record: Record, channels: Channels) -> str:
    """Return what a record's email is compared by; empty when it tells none for the contact."""
    slot = channels.slot_of("email")
    if slot == "email":
        told = record.email or ""
    else:
        told = record.properties.get((slot or "").removeprefix("properties."), "")
    # What no database can hold no contact has; the record itself is refused for it later.
    return email_key(storable(text_of(told)).strip()) or ""


def named_in(record: Record) -> UUID | None:
    """Return the contact that a record says it is of; None where it says no id of ours."""
    try:
        return UUID(record.contact_id) if record.contact_id else None
    except ValueError:
        # The account may use the place for ids of its own.
        return None


class Matcher:
    """Matches the records of one batch, in the order of their ids.

    By the record that a contact is linked to, then by the contact that the record names, then by
    the email.

    taken: the contacts that have their record in this batch, by it; emails: likewise those that
        will be made, by their email.
    """

    def __init__(self, records: Sequence[Record], channels: Channels) -> None:
        """Match these records."""
        self._channels = channels
        self._gone = {one.crm_contact_id for one in records if one.deleted or one.merged_into}
        self._told = {one.crm_contact_id for one in records}
        self._names = {one.crm_contact_id: named_in(one) for one in records}
        self.taken: dict[UUID, str] = {}
        self.emails: dict[str, str] = {}

    def match(
        self, records: Sequence[Record], found: Sequence[Known]
    ) -> Mapping[str, Match | Fate]:
        """Return where each record belongs, by its id."""
        by_record = {one.base_id: one for one in found if one.base_id is not None}
        by_email = {one.email_key: one for one in found if one.email_key and not one.deleted}
        named_by = self._named_by(records, {one.id: one for one in found})
        matched: dict[str, Match | Fate] = {}
        for record in records:
            if record.merged_into:
                matched[record.crm_contact_id] = self._merged(record, by_record)
        for record in records:
            if not record.merged_into:
                linked = by_record.get(record.crm_contact_id)
                named = named_by.get(record.crm_contact_id)
                matched[record.crm_contact_id] = self._matched(record, linked, named, by_email)
        return matched

    def _named_by(
        self, records: Sequence[Record], by_id: Mapping[UUID, Known]
    ) -> Mapping[str, Known]:
        """Return the contacts that records name, unless another record of the batch is theirs."""
        named = {
            one.crm_contact_id: by_id[contact_id]
            for one in records
            if (contact_id := self._names[one.crm_contact_id]) and contact_id in by_id
        }
        return {
            key: contact
            for key, contact in named.items()
            if contact.record_id == key or not self._has_other(contact)
        }

    def _has_other(self, contact: Known) -> bool:
        """Tell whether the record that a contact is linked to is there, and claims no other."""
        held = contact.record_id
        if held is None or held not in self._told - self._gone:
            return False
        return self._names[held] in {None, contact.id}

    def _merged(self, loser: Record, by_record: dict[str, Known]) -> Match | Fate:
        """Give the loser's contact to the survivor, unless that has one."""
        contact = by_record.get(loser.crm_contact_id)
        if contact is None:
            return Fate(RecordAction.UNCHANGED)
        if contact.deleted or loser.merged_into in by_record:
            return Fate(None, contact_id=contact.id)
        by_record[loser.merged_into] = contact
        del by_record[loser.crm_contact_id]
        if loser.merged_into in self._told - self._gone:
            # The survivor's own record says what becomes of the contact.
            return Fate(RecordAction.UNCHANGED, contact_id=contact.id)
        return Match(contact, relinked=True)

    def _matched(
        self,
        record: Record,
        linked: Known | None,
        named: Known | None,
        by_email: Mapping[str, Known],
    ) -> Match | Fate:
        if record.deleted:
            # What neither side has is nothing to deal with.
            return Fate(None, contact_id=linked.id) if linked else Fate(RecordAction.UNCHANGED)
        if (known := self._by_id(record, linked, named)) is not None:
            return known
        key = email_of(record, self._channels)
        if (other := by_email.get(key)) is not None:
            return self._linked(record, other, frees=linked is not None)
        if (gone := linked or named) is not None and gone.deleted:
            told = f"record {record.crm_contact_id}: its contact {gone.id} was deleted here"
            return Fate(RecordAction.SKIPPED, "CONTACT_DELETED", told, gone.id)
        return self._claim(record, key)

    def _by_id(
        self, record: Record, linked: Known | None, named: Known | None
    ) -> Match | Fate | None:
        if named is not None and not named.deleted:
            if linked is None:
                # It is the contact's own record, under another id: what was agreed on holds.
                return self._take(record, Match(named))
            if named.id != linked.id and not linked.deleted:
                return _disputed(record, linked.id, named.id)
        if linked is None or linked.deleted:
            return None
        return self._take(record, Match(linked, linked.base_id != record.crm_contact_id))

    def _linked(self, record: Record, other: Known, *, frees: bool) -> Match | Fate:
        """Link a record to the contact with its email, unless that is linked to another."""
        if (held := other.record_id) not in {None, record.crm_contact_id} | self._gone:
            return _duplicate(record, str(held), other.id)
        is_known = record.crm_contact_id in {other.base_id, other.linked_id}
        return self._take(record, Match(other, relinked=not is_known, frees=frees))

    def _claim(self, record: Record, key: str) -> Match | Fate:
        """Let a record make a contact, unless another of the batch has its email."""
        first = self.emails.setdefault(key, record.crm_contact_id) if key else record.crm_contact_id
        return Match() if first == record.crm_contact_id else _duplicate(record, first, None)

    def _take(self, record: Record, match: Match) -> Match | Fate:
        contact_id = match.contact.id if match.contact else _NOBODY
        first = self.taken.setdefault(contact_id, record.crm_contact_id)
        return match if first == record.crm_contact_id else _duplicate(record, first, contact_id)


def _duplicate(record: Record, other: str, contact_id: UUID | None) -> Fate:
    whose = f"contact {contact_id}" if contact_id else "the same email"
    told = f"the records {other} and {record.crm_contact_id} both belong to {whose}; {other} has it"
    return Fate(RecordAction.SKIPPED, "DUPLICATE_AT_CRM", told, contact_id)


def _disputed(record: Record, linked: UUID, named: UUID) -> Fate:
    told = (
        f"record {record.crm_contact_id}: it is linked to contact {linked}, and says that it is "
        f"that of contact {named}"
    )
    return Fate(RecordAction.SKIPPED, "DUPLICATE_AT_CRM", told, linked)


def _is_newer(one: Record, other: Record) -> bool:
    if one.modified_time is None or other.modified_time is None:
        return True
    return one.modified_time >= other.modified_time


def _by_id(key: str) -> tuple[int, str]:
    return len(key), key
