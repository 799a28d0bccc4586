"""The filters of HubSpot's search: reading them, and holding contacts against them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_index import epoch_milliseconds
from crmsync_server.sandbox.hubspot_portal import PortalContact
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.wire import JsonObject

ID = "hs_object_id"
MODIFIED = "lastmodifieddate"
CREATED = "createdate"
Comparable: TypeAlias = int | float | str
Bounds: TypeAlias = tuple[int | None, int | None]
"""The lowest and the highest value that a filter lets through; None is no bound."""
_WITHOUT_VALUE = frozenset({"HAS_PROPERTY", "NOT_HAS_PROPERTY"})
_WITH_VALUES = frozenset({"IN", "NOT_IN"})
_WITH_VALUE = frozenset(
    {"EQ", "NEQ", "GT", "GTE", "LT", "LTE", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}
)
_OPERATORS = _WITHOUT_VALUE | _WITH_VALUES | _WITH_VALUE | {"BETWEEN"}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one property; its values are as `comparable` gives them."""

    definition: PropertyDefinition
    operator: str
    values: tuple[Comparable, ...] = ()

    @classmethod
    def parse(cls, definitions: Mapping[str, PropertyDefinition], item: object) -> "Filter":
        """Read a filter.

        Raises:
            HubSpotError: 400, an unknown property or operator, or a value is missing or malformed.
        """
        if not isinstance(item, dict):
            raise HubSpotError(400, "Invalid input JSON: a filter must be an object")
        name, operator = str(item.get("propertyName")), str(item.get("operator"))
        if name not in definitions:
            raise HubSpotError(400, f"There is no property {name} to filter by")
        if operator not in _OPERATORS:
            raise HubSpotError(400, f"{operator} is not one of {sorted(_OPERATORS)}")
        definition = definitions[name]
        values = tuple(_parsed(definition, value) for value in _values(item, operator))
        return cls(definition, operator, values)

    def bounds(self) -> Bounds | None:
        """Return what this says about a property of whole numbers; None if it is more than that."""
        first = self.values[0] if self.values else 0
        if self.operator not in {"EQ", "GT", "GTE", "LT", "LTE", "BETWEEN"}:
            return None
        if not all(isinstance(value, int) for value in self.values):
            return None
        low = int(first) + 1 if self.operator == "GT" else int(first)
        high = int(first) - 1 if self.operator == "LT" else int(self.values[-1])
        return (
            None if self.operator in {"LT", "LTE"} else low,
            None if self.operator in {"GT", "GTE"} else high,
        )

    def holds(self, contact: PortalContact) -> bool:
        """Say whether a contact, as search shows it, meets the condition."""
        text = value_of(contact, self.definition.name)
        held = comparable(self.definition, text) if text else None
        if held is None:
            return self.operator in {"NOT_HAS_PROPERTY", "NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN"}
        return self._compares(held)

    def _compares(self, held: Comparable) -> bool:
        match self.operator:
            case "HAS_PROPERTY" | "NOT_HAS_PROPERTY":
                return self.operator == "HAS_PROPERTY"
            case "EQ" | "IN":
                return held in self.values
            case "NEQ" | "NOT_IN":
                return held not in self.values
            case "CONTAINS_TOKEN":
                return self._contains(held)
            case "NOT_CONTAINS_TOKEN":
                return not self._contains(held)
            case _:
                return self._lies(held)

    def _lies(self, held: Comparable) -> bool:
        # One type of property has values of one type; mypy cannot tell.
        key, values = _ordered(held), [_ordered(value) for value in self.values]
        return {
            "GT": key > values[0],
            "GTE": key >= values[0],
            "LT": key < values[0],
            "LTE": key <= values[0],
            "BETWEEN": values[0] <= key <= values[-1],
        }[self.operator]

    def _contains(self, held: Comparable) -> bool:
        sought = str(self.values[0]).strip("*")
        if "*" in str(self.values[0]):
            return sought in str(held)
        return sought in str(held).replace("@", " ").replace(".", " ").split() or sought == held


def comparable(definition: PropertyDefinition, value: str) -> Comparable | None:
    """Return what a value is compared by; None if its property takes no such value.

    Dates are milliseconds since 1970, numbers are numbers, and text is compared in lower case.
    """
    try:
        if definition.name == ID:
            return int(value)
        if definition.type in {"date", "datetime"}:
            return _milliseconds(value)
        if definition.type == "number":
            return float(value)
    except ValueError:
        return None
    return value.lower()


def value_of(contact: PortalContact, name: str) -> str:
    """Return a property of a contact, also one that HubSpot computes; empty if it has none."""
    match name:
        case "hs_object_id":
            return contact.id
        case "createdate":
            return contact.created_at
        case "lastmodifieddate":
            return contact.updated_at
        case _:
            return contact.properties.get(name, "")


def _values(item: JsonObject, operator: str) -> list[object]:
    if operator in _WITHOUT_VALUE:
        return []
    if operator in _WITH_VALUES:
        values = item.get("values")
        if not isinstance(values, list) or not values:
            raise HubSpotError(400, f"operator {operator} requires values")
        return values
    names = ("value", "highValue") if operator == "BETWEEN" else ("value",)
    found = [item.get(name) for name in names]
    if None in found:
        raise HubSpotError(400, f"operator {operator} requires {' and '.join(names)}")
    return found


def _parsed(definition: PropertyDefinition, value: object) -> Comparable:
    found = comparable(definition, str(value))
    if found is None:
        raise HubSpotError(400, f"{value!r} is not a valid {definition.type}")
    return found


def _milliseconds(value: str) -> int:
    if value.lstrip("-").isdecimal():
        return int(value)
    if value.endswith("Z"):
        return epoch_milliseconds(value)
    parsed = datetime.fromisoformat(value)
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def _ordered(value: Comparable) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (value, "")
