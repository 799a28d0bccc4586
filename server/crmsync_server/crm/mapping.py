"""Field mappings: what an organization wants a CRM to be told of a contact, and under which name.

Pure: rules in, deliveries in and out. What a rule takes it takes from the contact as it was
claimed, never from another rule's result, so the order of the rules does not matter.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
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
    source: `id`, a contact field or `properties.x`; None with a constant.
    constant: what is told of every contact; None with a source.
    default: what stands in for an empty value.
    transforms: what is done to the value, in order; an empty one stays empty.
    write_empty: whether an empty value erases what the CRM has; else it says nothing.
    """

    target: str
    source: str | None = None
    constant: str | None = None
    default: str = ""
    transforms: Sequence[Transform] = ()
    write_empty: bool = False

    def values(self, delivery: Delivery) -> Sequence[str]:
        """Return what the target is told: tags may be several, anything else is one or none.

        Raises:
            ValueError: the contact's value cannot be transformed.
        """
        read = (self.constant,) if self.constant is not None else _read(delivery, self.source or "")
        given = [value for value in read if not _empty(value)] or [self.default]
        return _some(map(self._transformed, given))

    def _transformed(self, value: str) -> str:
        try:
            for transform in self.transforms:
                value = transform.apply(value) if value else value
        except ValueError as error:
            message = f"{self.target} cannot be mapped: {error}"
            raise ValueError(message) from error
        return value


@dataclass(frozen=True)
class FieldMapping:
    """The rules of one organization for one CRM.

    rules: valid ones (crm.mapping_rules), each target once.
    custom_properties: which of the contact's properties are told under their own names besides
        the standard fields; None means all. Rules read any property, and are told, all the same.
    """

    rules: Sequence[Rule] = ()
    custom_properties: frozenset[str] | None = None

    def apply(self, delivery: Delivery) -> Delivery:
        """Return what the CRM is told; contact_id, attempt and crm_contact_id stay.

        A rule replaces what its target would be told without it; what no rule targets is told as
        ever, also where a rule reads it. Without a value the email stays the contact's own.

        Raises:
            ValueError: a value of this contact cannot be mapped; it names the target.
        """
        if not self.salt:
            return delivery
        told = {rule.target: rule.values(delivery) for rule in self.rules}
        return replace(
            delivery,
            email=_text(told, "email", delivery.email) or delivery.email,
            first_name=_text(told, "first_name", delivery.first_name),
            last_name=_text(told, "last_name", delivery.last_name),
            phone=_text(told, "phone", delivery.phone),
            company=_text(told, "company", delivery.company),
            tags=self._tags(told, delivery),
            properties=self._properties(told, delivery),
            blank=delivery.blank | self._blank,
        )

    @cached_property
    def salt(self) -> bytes:
        """Return a digest of what the rules say, the same in every process; b"" when nothing.

        It is hashed with a contact's content: another mapping makes another content.
        """
        if not self.rules and self.custom_properties is None:
            return b""
        custom = None if self.custom_properties is None else sorted(self.custom_properties)
        told = [_spelled(rule) for rule in sorted(self.rules, key=lambda rule: rule.target)]
        content = json.dumps([told, custom]).encode()
        return blake2b(content, digest_size=_SALT_BYTES).digest()

    def _tags(self, told: Mapping[str, Sequence[str]], delivery: Delivery) -> Sequence[str]:
        if "tags" not in told:
            return delivery.tags
        # The contact's own tags are told one by one, whatever they hold.
        if self._splits_tags:
            parts = (part.strip() for value in told["tags"] for part in value.split(_BETWEEN_TAGS))
            return _some(dict.fromkeys(parts))
        return told["tags"]

    def _properties(
        self, told: Mapping[str, Sequence[str]], delivery: Delivery
    ) -> Mapping[str, str]:
        chosen = self.custom_properties
        kept = {
            name: value
            for name, value in delivery.properties.items()
            if name not in told and (chosen is None or name in chosen)
        }
        own = {
            name: _BETWEEN_TAGS.join(values)
            for name, values in told.items()
            if name not in STANDARD and (values or name in self._blank)
        }
        return kept | own

    @cached_property
    def _splits_tags(self) -> bool:
        return any(rule.target == "tags" and rule.source != "tags" for rule in self.rules)

    @cached_property
    def _blank(self) -> frozenset[str]:
        return frozenset(rule.target for rule in self.rules if rule.write_empty)


def _read(delivery: Delivery, source: str) -> Sequence[str]:
    if source == "tags":
        return delivery.tags
    if source == "id":
        return (str(delivery.contact_id),)
    if source.startswith(PROPERTY):
        return (delivery.properties.get(source.removeprefix(PROPERTY), ""),)
    value: str = getattr(delivery, source)
    return (value,)


def _empty(value: str) -> bool:
    return not value or value.isspace()


def _some(values: Iterable[str]) -> Sequence[str]:
    return tuple(value for value in values if value)


def _text(told: Mapping[str, Sequence[str]], name: str, own: str) -> str:
    return _BETWEEN_TAGS.join(told[name]) if name in told else own


def _spelled(rule: Rule) -> Sequence[object]:
    transforms = [transform.spelled() for transform in rule.transforms]
    return [rule.target, rule.source, rule.constant, rule.default, transforms, rule.write_empty]
