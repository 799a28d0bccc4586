"""Which field of a contact is which of its record, and how values pass between the two.

A *slot* is a field as the CRM has it: `company`, or `properties.x` by the CRM's own name x. A field
mapping tells what a slot gets; a *channel* is such a slot that can be read back as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.mapping import PROPERTY, STANDARD, FieldMapping, Rule
from crmsync_server.crm.source import Record
from crmsync_server.crm.transforms import Date
from crmsync_server.store.content import Content
from crmsync_server.sync.canonical import KINDS, Kind, Value, empty
from crmsync_server.sync.merge import Side

_NOBODY = UUID(int=0)
_BETWEEN_TAGS = ";"


@dataclass(frozen=True, slots=True)
class Channel:
    """One field of the contact and the slot that it is read back from."""

    field: str
    slot: str
    kind: Kind
    rule: Rule | None = None


class Channels:
    """The channels of a mapping; without one every field goes to itself.

    Where several slots are told the same field, it is read back from one of them: a standard field
    from its own, if it is told there, a property from that of a rule; else from the first by name.
    The others, and what is told a constant or the contact's id, are ours alone.
    """

    def __init__(self, mapping: FieldMapping | None) -> None:
        """Find the channels of a mapping."""
        self.plain = mapping is None or not mapping.salt
        rules = () if mapping is None else mapping.rules
        self._chosen = None if mapping is None else mapping.custom_properties
        self._ruled = {_slot(rule.target): rule for rule in rules}
        self._by_field = _channels(self._ruled)
        self._by_slot = {one.slot: one for one in self._by_field.values()}
        self._alone = [rule for slot, rule in self._ruled.items() if slot not in self._by_slot]

    def kind_of(self, name: str) -> Kind:
        """Return what kind a contact's field is of."""
        channel = self._by_field.get(name)
        return channel.kind if channel else Kind.TEXT

    def slot_of(self, name: str) -> str | None:
        """Return the slot that a contact's field is read back from; None where it is not."""
        if channel := self._by_field.get(name):
            return channel.slot
        return name if self._passes(name) else None

    def field_at(self, slot: str) -> str | None:
        """Return the contact's field that is read back from a slot; None where none is."""
        if channel := self._by_slot.get(slot):
            return channel.field
        return slot if self._passes(slot) else None

    def kind_at(self, slot: str) -> Kind:
        """Return what kind a slot is of."""
        channel = self._by_slot.get(slot)
        return channel.kind if channel else KINDS.get(slot, Kind.TEXT)

    def is_told(self, slot: str) -> bool:
        """Tell whether deliveries tell a slot at all: also one that is not read back."""
        return slot in self._ruled or slot in STANDARD or self._is_chosen(slot)

    def of_slots(self, slots: Mapping[str, Value]) -> Side:
        """Return what a record says, or a base, by the contact's fields."""
        if self.plain:
            return Side(slots, slots)
        there: dict[str, Value] = {}
        here: dict[str, Value] = {}
        for slot, value in slots.items():
            channel = self._by_slot.get(slot)
            name = channel.field if channel else slot
            if channel is None and not self._passes(slot):
                continue
            try:
                here[name] = _read_back(value, channel)
            except ValueError:
                # What the contact could not hold so that it is told again: nobody's change.
                continue
            there[name] = value
        return Side(there, here)

    def of_contact(self, content: Content) -> Side:
        """Return what a contact says; what cannot be mapped is left out of what the CRM is told."""
        here = fields_of(content)
        if self.plain:
            return Side(here, here)
        delivery = _delivery(content)
        there: dict[str, Value] = {}
        for channel in self._by_field.values():
            try:
                there[channel.field] = _told(channel, delivery, here)
            except ValueError:
                continue
        there |= {
            name: value
            for name, value in here.items()
            if name not in self._by_field and self._passes(name)
        }
        return Side(there, here)

    def unmapped(self, content: Content) -> frozenset[str]:
        """Return the fields of a contact that the mapping makes an error of."""
        if self.plain:
            return frozenset()
        return frozenset(self._by_field) - self.of_contact(content).there.keys()

    def ours_alone(self, content: Content) -> Mapping[str, Value]:
        """Return what is told in slots that are never read, by slot."""
        delivery = _delivery(content)
        told: dict[str, Value] = {}
        for rule in self._alone:
            try:
                text = _BETWEEN_TAGS.join(rule.values(delivery))
                instead = delivery.email if rule.target == "email" else ""
                told[_slot(rule.target)] = text or instead
            except ValueError:
                continue
        return told

    def by_slot(self, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        """Return values by slot instead of by the contact's field."""
        if self.plain:
            return fields
        return {slot: value for name, value in fields.items() if (slot := self.slot_of(name))}

    def _passes(self, slot: str) -> bool:
        """Tell whether a property goes to itself, and is read back from there."""
        return slot not in self._ruled and slot not in self._by_field and self._is_chosen(slot)

    def _is_chosen(self, slot: str) -> bool:
        if not slot.startswith(PROPERTY):
            return False
        return self._chosen is None or slot.removeprefix(PROPERTY) in self._chosen


def _channels(ruled: Mapping[str, Rule]) -> dict[str, Channel]:
    by_field: dict[str, Channel] = {}
    for name in STANDARD:
        if name not in ruled:
            by_field[name] = Channel(name, name, KINDS.get(name, Kind.TEXT))
    # Its own slot first, the others by name.
    for slot, rule in sorted(ruled.items(), key=lambda one: (one[0] != one[1].source, one[0])):
        source = rule.source
        if source is None or source == "id" or source in by_field:
            continue
        kind = KINDS.get(source) or KINDS.get(slot) or Kind.TEXT
        by_field[source] = Channel(source, slot, kind, rule)
    return by_field


def slots_of(record: Record) -> dict[str, Value]:
    """Return what a record tells, by slot."""
    slots: dict[str, Value] = {}
    for name in STANDARD:
        value = getattr(record, name)
        if value is not None:
            slots[name] = tuple(value) if name == "tags" else value
    for name, text in record.properties.items():
        slots[PROPERTY + name] = text
    return slots


def fields_of(content: Content) -> dict[str, Value]:
    """Return what a contact says, by its fields."""
    fields: dict[str, Value] = {
        "email": content.email or "",
        "first_name": content.first_name,
        "last_name": content.last_name,
        "phone": content.phone,
        "company": content.company,
        "tags": tuple(content.tags),
    }
    for name, text in content.properties.items():
        fields[PROPERTY + name] = text
    return fields


def with_fields(content: Content, taken: Mapping[str, Value]) -> Content:
    """Return a contact's content with other values of some of its fields."""
    told: dict[str, Any] = {}
    properties: dict[str, str] | None = None
    for name, value in taken.items():
        if name.startswith(PROPERTY):
            properties = dict(content.properties) if properties is None else properties
            _put(properties, name.removeprefix(PROPERTY), text_of(value))
        elif name == "tags":
            told[name] = tags_of(value)
        else:
            told[name] = text_of(value)
    if "email" in told:
        told["email"] = told["email"].strip() or None
    if properties is not None:
        told["properties"] = properties
    return content._replace(**told)


def text_of(value: Value) -> str:
    """Return a value as one text; tags are joined by semicolons."""
    return value if isinstance(value, str) else _BETWEEN_TAGS.join(value)


def tags_of(value: Value) -> Sequence[str]:
    """Return a value as tags, each once."""
    parts = value.split(_BETWEEN_TAGS) if isinstance(value, str) else value
    return tuple(dict.fromkeys(part for part in map(str.strip, parts) if part))


def read_fields(document: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values by slot that a base was written with."""
    read = dict(document)
    if "tags" in read:
        read["tags"] = tags_of(read["tags"])
    return read


def slots_delivered(delivery: Delivery) -> dict[str, Value]:
    """Return what a delivery says, by slot: what is empty and not to be cleared says nothing."""
    told: dict[str, Value] = {}
    for name in STANDARD:
        value = getattr(delivery, name)
        if name == "email" and delivery.keep_email:
            continue
        if not empty(value) or name in delivery.blank:
            told[name] = value if isinstance(value, str) else tuple(value)
    for name, text in delivery.properties.items():
        if not empty(text) or name in delivery.blank:
            told[PROPERTY + name] = text
    return told


def _put(properties: dict[str, str], name: str, text: str) -> None:
    if empty(text):
        properties.pop(name, None)
    else:
        properties[name] = text


def _slot(target: str) -> str:
    return target if target in STANDARD else PROPERTY + target


def _delivery(content: Content) -> Delivery:
    return Delivery(
        _NOBODY,
        0,
        None,
        content.email or "",
        content.first_name,
        content.last_name,
        content.phone,
        content.company,
        content.tags,
        content.properties,
    )


def _told(channel: Channel, delivery: Delivery, here: Mapping[str, Value]) -> Value:
    if channel.rule is None:
        return here[channel.field]
    told = channel.rule.values(delivery)
    if channel.slot == "tags":
        parts = told if channel.field == "tags" else _BETWEEN_TAGS.join(told).split(_BETWEEN_TAGS)
        return tags_of(parts)
    text = _BETWEEN_TAGS.join(told)
    # Without a value the email stays the contact's own.
    return text or delivery.email if channel.slot == "email" else text


def _read_back(value: Value, channel: Channel | None) -> Value:
    """Return a slot's value as the contact has it; raises ValueError when that cannot be told."""
    if channel is None:
        return value
    dates = [] if channel.rule is None else channel.rule.transforms
    text = text_of(value)
    for transform in reversed(dates):
        if isinstance(transform, Date) and not empty(text):
            text = _date_back(transform, text)
    if channel.field == "tags":
        return tags_of(value if channel.slot == "tags" else text)
    return text


def _date_back(date: Date, text: str) -> str:
    moment = datetime.strptime(text.strip(), date.writes)  # noqa: DTZ007 - as it is written
    if date.reads:
        return moment.strftime(date.reads)
    return moment.isoformat() if moment.time() != moment.min.time() else moment.date().isoformat()
