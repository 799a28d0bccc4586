"""Field mappings: what an organization wants a CRM to be told instead of the contact's own fields.

Pure: rules in, deliveries in and out. What a rule takes it takes from the contact as it was
claimed, never from another rule's result, so the order of the rules does not matter.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.transforms import Transform

STANDARD = ("email", "first_name", "last_name", "phone", "company", "tags")
PROPERTY = "properties."

_BETWEEN_TAGS = ";"
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field of a CRM is told.

    target: a contact field (`company`), or the CRM's own name of a property.
    source: a contact field or `properties.x`; None with a constant.
    constant: what is told of every contact; None with a source.
    transforms: what is done to the source's value, in order.
    default: what is told instead of an empty value; it is not transformed.
    write_empty: whether an empty value erases what the CRM has; else it says nothing.
    """

    target: str
    source: str | None = None
    constant: str | None = None
    transforms: Sequence[Transform] = ()
    default: str = ""
    write_empty: bool = False

    def values(self, delivery: Delivery) -> Sequence[str]:
        """Return what the target is told: tags may be several, anything else is one or none."""
        if self.constant is not None:
            return _some(self.constant)
        read = _read(delivery, self.source or "")
        return _some(*map(self._transformed, read)) or _some(self.default)

    def _transformed(self, value: str) -> str:
        for transform in self.transforms:
            value = transform.apply(value)
        return value


@dataclass(frozen=True)
class FieldMapping:
    """The rules of one organization for one CRM.

    rules: valid ones (crm.mapping_rules), each target once.
    custom_properties: which of the contact's properties are told under their own names besides
        the standard fields; None means all. Rules read any property all the same.
    """

    rules: Sequence[Rule] = ()
    custom_properties: frozenset[str] | None = None

    def apply(self, delivery: Delivery) -> Delivery:
        """Return what the CRM is told; contact_id, attempt and crm_contact_id stay.

        A field that a rule reads is renamed: it is told under its own name no more, unless a rule
        has that name as its target. The email is told in any case, for it says who the contact is.
        """
        if not self.salt:
            return delivery
        fields = dict(self._dropped)
        properties = {
            name: value for name, value in delivery.properties.items() if self._passes(name)
        }
        for rule in self.rules:
            told = rule.values(delivery)
            if rule.target == "tags":
                fields["tags"] = _parted(rule, told)
            elif rule.target == "email":
                fields["email"] = _joined(told) or delivery.email
            elif rule.target in STANDARD:
                fields[rule.target] = _joined(told)
            elif told or rule.write_empty:
                properties[rule.target] = _joined(told)
        blank = delivery.blank | self._blank
        return replace(delivery, **fields, properties=properties, blank=blank)

    @cached_property
    def salt(self) -> bytes:
        """Return a digest of what the rules say, the same in every process; b"" when nothing."""
        if not self.rules and self.custom_properties is None:
            return b""
        custom = None if self.custom_properties is None else sorted(self.custom_properties)
        told = [_spelled(rule) for rule in sorted(self.rules, key=lambda rule: rule.target)]
        content = json.dumps([told, custom], ensure_ascii=False).encode()
        return blake2b(content, digest_size=_SALT_BYTES).digest()

    def _passes(self, name: str) -> bool:
        chosen = self.custom_properties is None or name in self.custom_properties
        return chosen and f"{PROPERTY}{name}" not in self._renamed and name not in self._targets

    @cached_property
    def _targets(self) -> frozenset[str]:
        return frozenset(rule.target for rule in self.rules)

    @cached_property
    def _renamed(self) -> frozenset[str]:
        return frozenset(rule.source for rule in self.rules if rule.source is not None)

    @cached_property
    def _dropped(self) -> Mapping[str, str | Sequence[str]]:
        gone = self._renamed.intersection(STANDARD) - {"email"}
        return {name: () if name == "tags" else "" for name in gone}

    @cached_property
    def _blank(self) -> frozenset[str]:
        return frozenset(rule.target for rule in self.rules if rule.write_empty)


def _read(delivery: Delivery, source: str) -> Sequence[str]:
    if source == "tags":
        return delivery.tags
    if source.startswith(PROPERTY):
        return (delivery.properties.get(source.removeprefix(PROPERTY), ""),)
    return (getattr(delivery, source),)


def _some(*values: str) -> Sequence[str]:
    return tuple(value for value in values if value)


def _joined(values: Sequence[str]) -> str:
    return _BETWEEN_TAGS.join(values)


def _parted(rule: Rule, values: Sequence[str]) -> Sequence[str]:
    # The contact's own tags are told as they are, whatever they hold.
    if rule.source == "tags":
        return values
    parts = (part.strip() for value in values for part in value.split(_BETWEEN_TAGS))
    return _some(*dict.fromkeys(parts))


def _spelled(rule: Rule) -> Sequence[object]:
    transforms = [transform.spelled() for transform in rule.transforms]
    return [
        rule.target,
        rule.source,
        rule.constant,
        transforms,
        rule.default,
        rule.write_empty,
    ]
