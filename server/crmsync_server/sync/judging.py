"""What is to be done with a record and the contact that it belongs to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from crmsync_server.crm.source import Record
from crmsync_server.store.base import Base, Known, Standing
from crmsync_server.store.conflict import Conflict
from crmsync_server.store.content import Content, content_hash, email_key, named
from crmsync_server.store.states import RecordAction, SyncStatus
from crmsync_server.sync.acceptable import fault_of, unkeepable
from crmsync_server.sync.canonical import Value, empty, same
from crmsync_server.sync.channels import Channels, read_fields, slots_of, text_of, with_fields
from crmsync_server.sync.doubt import Doubt
from crmsync_server.sync.late import Seen, without_late
from crmsync_server.sync.matching import Fate, Match
from crmsync_server.sync.merge import Difference, Meeting, Merged, Ways, merge
from crmsync_server.sync.terms import Terms

Slots = Mapping[str, Value]

_UNDER_WAY = {SyncStatus.QUEUED, SyncStatus.PROCESSING}


@dataclass(slots=True)
class Decision:
    """What becomes of a record, and what is to be written for that.

    known: its contact as it was read; None for a new one.
    draft: what the contact is to say; None where it stays.
    settles: whether an open conflict has ended. pushes: whether the CRM lacks something.
    frees: whether its record is still linked to a contact that was deleted.
    defers: whether nothing is decided before its contact is locked.
    """

    record: Record
    action: RecordAction | None
    contact_id: UUID | None = None
    known: Known | None = None
    draft: Content | None = None
    standing: Standing | None = None
    base: Base | None = None
    conflict: Conflict | None = None
    settles: bool = False
    pushes: bool = False
    frees: bool = False
    defers: bool = False
    differences: Sequence[Difference] = field(default_factory=tuple)
    code: str | None = None
    message: str | None = None

    @property
    def email(self) -> str | None:
        """What its contact's email is from now on; None without one."""
        if self.draft is not None:
            return self.draft.email
        return self.known.email if self.known else None

    @property
    def writes(self) -> bool:
        """Whether anything is to be written of its contact, for all that is known."""
        written = self.draft or self.standing or self.base or self.conflict
        return bool(written or self.settles or self.defers)

    def documents(self) -> list[dict[str, Any]]:
        """Return the differences as they are kept."""
        return [_document(one) for one in self.differences]


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides by the terms.

    owners: which contact has each email of the batch.
    claims: which record of the batch will give a contact each email; added to.
    ids: of new contacts.
    glances: whether contacts are not locked yet: then none is merged with a record that may have
        changed, for it would be merged again.
    """

    terms: Terms
    channels: Channels
    owners: Mapping[str, UUID]
    claims: dict[str, str]
    ids: Iterator[UUID]
    glances: bool = False

    def judge(self, record: Record, found: Match | Fate) -> Decision:
        """Return what becomes of a record."""
        if isinstance(found, Fate):
            return Decision(
                record, found.action, found.contact_id, code=found.code, message=found.message
            )
        if found.contact is None:
            return self._new(record)
        if record.merged_into:
            return self._moved(record, found.contact)
        decision = self._known(record, found.contact, relinked=found.relinked)
        decision.frees = found.frees
        return decision

    def _new(self, record: Record) -> Decision:
        slots = slots_of(record)
        theirs = self.channels.of_slots(slots)
        draft = named(with_fields(Content(), theirs.here))
        if not (draft.email or draft.phone.strip()):
            told = "has neither an email nor a phone number, which is what tells contacts apart"
            return _left_out(record, RecordAction.SKIPPED, "NO_IDENTITY", told)
        if not self.terms.merging.create_contacts:
            told = "has no contact here, and merge_settings.create_contacts is off"
            return _left_out(record, RecordAction.SKIPPED, "NO_CONTACT", told)
        if fault := fault_of(draft):
            return _left_out(record, RecordAction.ERROR, "INVALID_RECORD", fault)
        contact_id = next(self.ids)
        base = dict(self.channels.by_slot(theirs.there))
        lacks = self._see_alone(draft, slots, base)
        hashed = None if lacks else content_hash(draft) + self.terms.salt
        return Decision(
            record,
            RecordAction.CREATED,
            contact_id,
            draft=draft,
            standing=Standing(contact_id, record.crm_contact_id, hashed),
            base=Base(contact_id, record.crm_contact_id, base, record.modified_time),
            pushes=lacks,
            differences=[
                Difference(name, None, "", theirs.there[name], value)
                for name, value in theirs.here.items()
                if self.terms.dry_run and not empty(value)
            ],
        )

    def _moved(self, loser: Record, contact: Known) -> Decision:
        """Link the contact of a record that was merged away to the one that took its place."""
        survivor = loser.merged_into
        unsettled = contact.unsettled if any(contact.unsettled) else ()
        return Decision(
            loser,
            RecordAction.UNCHANGED,
            contact.id,
            contact,
            standing=Standing(contact.id, survivor, None, unsettled),
            base=Base(contact.id, survivor, None, None),
            settles=bool(contact.conflicted),
        )

    def _known(self, record: Record, contact: Known, *, relinked: bool) -> Decision:
        told = slots_of(record)
        if not relinked and self._is_as_before(record, contact, told):
            return Decision(record, RecordAction.UNCHANGED, contact.id, contact)
        if self.glances:
            return Decision(record, None, contact.id, contact, defers=True)
        doubt = Doubt(contact.unsettled, self.channels.kind_at, self.terms.merging.phone_region)
        before = doubt.settled({} if relinked else self._agreed(contact), told)
        slots = told if relinked else self._news(record, contact, told, before)
        if slots is None:
            return Decision(record, RecordAction.UNCHANGED, contact.id, contact)
        if fault := self._unkeepable(slots):
            return _left_out(record, RecordAction.ERROR, "INVALID_RECORD", fault, contact)
        content = contact.content
        merged = self._merge(record, contact, slots, before)
        draft = content
        if merged.taken:
            draft = named(with_fields(content, merged.taken), content)
            if refused := self._refused(record, contact, draft):
                return refused
        decision = Decision(record, _action(merged, draft != content), contact.id, contact)
        decision.draft = draft if draft != content else None
        decision.differences = merged.differences
        base = {**before, **self.channels.by_slot(merged.base)}
        lacks = self._see_alone(draft, slots, base)
        decision.pushes = lacks or bool(merged.ahead)
        unmapped = self.channels.unmapped(draft)
        answered = doubt.is_answered(told)
        agreed = merged.agreed and answered and not lacks and not unmapped
        unsettled = () if answered else contact.unsettled
        standing = Standing(contact.id, record.crm_contact_id, None, unsettled)
        self._write(decision, base, merged, standing, agreed=agreed, whole=slots is told)
        return decision

    def _unkeepable(self, slots: Slots) -> str | None:
        """Return which value can be no part of a base or of a conflict, and why."""
        told = ((slot, text_of(value)) for slot, value in slots.items())
        return unkeepable((slot, slot + text) for slot, text in told if self.channels.is_told(slot))

    def _is_as_before(self, record: Record, contact: Known, told: Slots) -> bool:
        """Tell whether neither side has changed since both agreed: most records are so."""
        return (
            contact.sync_status == SyncStatus.COMPLETE
            and contact.synced_hash == contact.content_hash + self.terms.salt
            and contact.linked_id == contact.base_id == record.crm_contact_id
            and contact.base_time == contact.synced_time
            and not contact.conflicted
            and record.modified_time in {None, contact.crm_modified_time}
            and contact.fields is not None
            and told == read_fields(contact.fields)
        )

    def _merge(self, record: Record, contact: Known, slots: Slots, before: Slots) -> Merged:
        ours = self.channels.of_contact(contact.content)
        theirs = self.channels.of_slots(slots)
        for name in self.channels.unmapped(contact.content):
            theirs.there.pop(name, None)  # type: ignore[attr-defined]
        meeting = Meeting(
            ours,
            theirs,
            self.channels.of_slots(before),
            contact.update_time,
            record.modified_time,
        )
        naming = self.channels.field_at("email")
        return merge(meeting, Ways(self.terms.merging, self.channels.kind_of, naming))

    def _agreed(self, contact: Known) -> Slots:
        """Return what both last agreed on, by slot; nothing where that is not known."""
        if contact.fields is not None and contact.base_time == contact.synced_time:
            return read_fields(contact.fields)
        if contact.synced_hash != contact.content_hash + self.terms.salt:
            return {}
        ours = self.channels.of_contact(contact.content).there
        told = {name: value for name, value in ours.items() if not empty(value)}
        alone = {} if self.channels.plain else self.channels.ours_alone(contact.content)
        return {**self.channels.by_slot(told), **alone}

    def _news(self, record: Record, contact: Known, told: Slots, before: Slots) -> Slots | None:
        """Return what of a record may be news; None when nothing is."""
        if all(before.get(slot) == value for slot, value in told.items()):
            return told
        seen = Seen(contact.crm_modified_time, contact.synced_time, contact.echoes)
        ways = (self.channels.kind_at, self.terms.merging.phone_region)
        return without_late(told, seen, record.modified_time, ways)

    def _see_alone(self, content: Content, told: Slots, base: dict[str, Value]) -> bool:
        """Note in the base what the CRM has of what is ours alone; return whether it lacks any."""
        if self.channels.plain:
            return False
        lacks = False
        region = self.terms.merging.phone_region
        for slot, value in self.channels.ours_alone(content).items():
            kind = self.channels.kind_at(slot)
            if slot in told and same(value, told[slot], kind, region):
                base[slot] = told[slot]
            elif not (empty(value) or same(value, base.get(slot, ""), kind, region)):
                lacks = True
        return lacks

    def _refused(self, record: Record, contact: Known, draft: Content) -> Decision | None:
        if fault := fault_of(draft):
            return _left_out(record, RecordAction.ERROR, "INVALID_RECORD", fault, contact)
        key = email_key(draft.email)
        if key is None or key == contact.email_key:
            return None
        if (owner := self.owners.get(key)) is not None:
            told = f"its email is that of contact {owner}, and it belongs to contact {contact.id}"
        elif (first := self.claims.setdefault(key, record.crm_contact_id)) != record.crm_contact_id:
            told = f"its email is that of the record {first} as well"
        else:
            return None
        return _left_out(record, RecordAction.ERROR, "EMAIL_TAKEN", told, contact)

    def _write(
        self,
        decision: Decision,
        base: Slots,
        merged: Merged,
        standing: Standing,
        *,
        agreed: bool,
        whole: bool,
    ) -> None:
        """Decide what is to be written beside the contact; standing: where they do not agree."""
        record, contact = decision.record, decision.known
        if contact is None:
            return
        key, conflicted = record.crm_contact_id, sorted(merged.conflicts)
        if agreed:
            of_content = content_hash(decision.draft) if decision.draft else contact.content_hash
            standing = standing._replace(synced_hash=of_content + self.terms.salt)
        if not _stands(contact, standing, pushes=decision.pushes):
            decision.standing = standing
        changed = contact.crm_modified_time
        if whole and record.modified_time is not None:
            changed = record.modified_time
        after = Base(contact.id, key, base, changed, conflicted)
        if decision.standing or not _holds(contact, after):
            decision.base = after
        decision.settles = bool(contact.conflicted) and not conflicted
        if conflicted:
            documents = [_document(one) for one in merged.differences if one.result is None]
            decision.conflict = Conflict(
                contact.id, key, documents, contact.update_time, record.modified_time
            )


def _action(merged: Merged, changes: bool) -> RecordAction:  # noqa: FBT001 - what it says of a contact
    if merged.conflicts:
        return RecordAction.CONFLICT
    return RecordAction.UPDATED if changes else RecordAction.UNCHANGED


def _left_out(
    record: Record, action: RecordAction, code: str, message: str, contact: Known | None = None
) -> Decision:
    contact_id = contact.id if contact else None
    told = f"record {record.crm_contact_id}: {message}"
    return Decision(record, action, contact_id, contact, code=code, message=told)


def _stands(contact: Known, found: Standing, *, pushes: bool) -> bool:
    """Tell whether a contact's standing says already what was found."""
    hashed = found.synced_hash
    if contact.sync_status is None or contact.linked_id != found.crm_contact_id:
        return False
    if contact.sync_status == SyncStatus.PROCESSING:
        return not pushes
    if any(contact.unsettled) and not found.unsettled:
        return False
    if hashed is None:
        return contact.sync_status != SyncStatus.COMPLETE and contact.synced_hash == b""
    settled = contact.sync_status in {SyncStatus.COMPLETE, SyncStatus.QUEUED}
    return settled and contact.synced_hash == hashed


def _holds(contact: Known, base: Base) -> bool:
    """Tell whether a contact's base says already what both agree on."""
    return (
        contact.base_id == base.crm_contact_id
        and contact.base_time == contact.synced_time
        and contact.crm_modified_time == base.crm_modified_time
        and list(contact.conflicted) == list(base.conflicted)
        and contact.fields is not None
        and read_fields(contact.fields) == base.fields
    )


def _document(one: Difference) -> dict[str, Any]:
    told = {"field": one.field, "ours": text_of(one.ours), "theirs": text_of(one.theirs)}
    if one.base is not None:
        told["base"] = text_of(one.base)
    if one.result is not None:
        told["result"] = text_of(one.result)
    return told
