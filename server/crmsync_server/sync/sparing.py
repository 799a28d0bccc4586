"""Deliveries where the CRM is read as well: they spare what the CRM may have changed meanwhile.

A field that has not changed here since both sides last agreed is left out, and so is one in
conflict: whatever the CRM has in it stays. One that was emptied here is cleared there.
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any
from uuid import UUID

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.mapping import PROPERTY, STANDARD
from crmsync_server.crm.outcomes import Synced
from crmsync_server.store.base import Delivered, Held, Unanswered
from crmsync_server.store.claimed import Claimed
from crmsync_server.store.content import Content, content_hash
from crmsync_server.sync.canonical import Value, empty, same
from crmsync_server.sync.channels import Channels, read_fields, slots_delivered, text_of
from crmsync_server.sync.doubt import Doubt
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.late import digest

_EMAIL = "email"
_STANDARD = frozenset(STANDARD)
_NOTHING = Held(UUID(int=0), None, (), None, force=False, unsettled=(None,))


class Sparing:
    """What is known of the records of claimed contacts, and what is left of their deliveries."""

    def __init__(
        self,
        config: LaneConfig,
        held: Mapping[UUID, Held],
        *,
        late: bool = False,
        keeps_email: bool = False,
    ) -> None:
        """Spare what is held: by contact; of one that is missing nothing is known.

        late: whether it was read after the deliveries were made up, as an import's is.
        keeps_email: see Capabilities.
        """
        self._held = held
        self._late = late
        self._keeps_email = keeps_email
        self._salt = config.mapping.salt if config.mapping else b""
        self._region = config.merging.phone_region
        self._channels = Channels(config.mapping)

    def spared(self, delivery: Delivery) -> Delivery:
        """Return what is left of a delivery.

        The email always is, since it tells contacts apart; the record may keep its own still.
        """
        held = self._of(delivery.contact_id)
        base, doubt = read_fields(held.fields or {}), self._doubt(held)
        told = self._told(delivery, base.keys() | doubt.slots)
        left_out = self._in_conflict(held)
        if held.fields is not None and not held.force:
            left_out |= {
                slot
                for slot, value in told.items()
                if self._knows(base, slot, value) and not doubt.is_about(slot, base)
            }
        filled = {slot for slot in told if not empty(base.get(slot, "")) or doubt.may_fill(slot)}
        cleared = {
            slot
            for slot, value in told.items()
            if empty(value) and (slot in filled or _name(slot) in delivery.blank)
        }
        kept = _EMAIL in left_out and self._keeps_email and delivery.crm_contact_id is not None
        spared = _with(delivery, told, left_out - {_EMAIL}, cleared - left_out - {_EMAIL})
        return replace(spared, keep_email=kept)

    def says_nothing(self, delivery: Delivery) -> bool:
        """Tell whether the CRM has all of a spared delivery already, its email included."""
        held = self._of(delivery.contact_id)
        base = read_fields(held.fields or {})
        if held.fields is None or held.force or self._doubt(held).is_about(_EMAIL, base):
            return False
        told = slots_delivered(delivery)
        email = told.pop(_EMAIL, "")
        if told:
            return False
        return empty(email) or self._knows(base, _EMAIL, email) or self.must_wait(delivery)

    def must_wait(self, delivery: Delivery) -> bool:
        """Tell whether a delivery would put our email over one that is in conflict with it."""
        conflicted = _EMAIL in self._in_conflict(self._of(delivery.contact_id))
        linked = delivery.crm_contact_id is not None
        return conflicted and linked and not delivery.keep_email

    def confirmed(self, row: Claimed) -> Delivered | None:
        """Return what is written down of a contact that nothing had to be sent of.

        None where a field is in conflict: then the CRM does not have everything.
        """
        if self._of(row.contact_id).conflicted:
            return None
        return Delivered(row.contact_id, row.attempt, None, hash=self._hash(row))

    def delivered(self, row: Claimed, mapped: Delivery, outcome: Synced) -> Delivered:
        """Return what is written down of a contact that was delivered; mapped: before sparing."""
        held = self._of(row.contact_id)
        before, doubt = read_fields(held.fields or {}), self._doubt(held)
        told = slots_delivered(self.spared(mapped))
        if self._late:
            # What was left out then is not known any more. It was what it is here, all the same.
            left_out = self._in_conflict(held)
            whole = slots_delivered(mapped)
            told = {slot: value for slot, value in whole.items() if slot not in left_out} | told
        return Delivered(
            row.contact_id,
            row.attempt,
            told,
            held.synced_time,
            outcome.modified_time,
            None if held.fields is None else self._digest({**before, **doubt.newest}),
            self._digest({**before, **told}),
            self._hash(row) if self._late else None,
            checked=self._late,
        )

    def unanswered(self, row: Claimed, mapped: Delivery) -> Unanswered:
        """Return what is written down of a contact whose delivery nobody answered."""
        doubtful = None in self._of(row.contact_id).unsettled
        # What was left out then is not known any more.
        told = None if self._late else slots_delivered(self.spared(mapped))
        return Unanswered(row.contact_id, row.attempt, told, doubtful)

    def _doubt(self, held: Held) -> Doubt:
        return Doubt(held.unsettled, self._channels.kind_at, self._region)

    def _of(self, contact_id: UUID) -> Held:
        return self._held.get(contact_id, _NOTHING)

    def _told(self, delivery: Delivery, known: AbstractSet[str]) -> dict[str, Value]:
        """Return everything that a delivery may say, what the contact no longer has included."""
        told: dict[str, Value] = {name: getattr(delivery, name) for name in STANDARD}
        told |= {PROPERTY + name: text for name, text in delivery.properties.items()}
        gone = {slot for slot in known if slot not in told and self._channels.is_told(slot)}
        return told | dict.fromkeys(gone, "")

    def _in_conflict(self, held: Held) -> set[str]:
        slots = map(self._channels.slot_of, held.conflicted)
        return {slot for slot in slots if slot is not None}

    def _knows(self, base: Mapping[str, Value], slot: str, value: Value) -> bool:
        if slot not in base:
            return False
        return same(value, base[slot], self._channels.kind_at(slot), self._region)

    def _digest(self, slots: Mapping[str, Value]) -> bytes:
        return digest(slots, self._channels.kind_at, self._region)

    def _hash(self, row: Claimed) -> bytes:
        content = Content(
            row.email,
            "",
            row.first_name,
            row.last_name,
            row.phone,
            row.company,
            row.tags,
            properties=json.loads(row.properties) if row.properties else {},
        )
        return content_hash(content) + self._salt


def _with(
    delivery: Delivery, told: Mapping[str, Value], left_out: set[str], cleared: set[str]
) -> Delivery:
    properties = {
        _name(slot): text_of(value)
        for slot, value in told.items()
        if slot not in STANDARD and slot not in left_out and (slot in cleared or not empty(value))
    }
    nothing: dict[str, Any] = {slot: () if slot == "tags" else "" for slot in left_out & _STANDARD}
    blank = frozenset(map(_name, cleared))
    return replace(delivery, **nothing, properties=properties, blank=blank)


def _name(slot: str) -> str:
    return slot.removeprefix(PROPERTY)
