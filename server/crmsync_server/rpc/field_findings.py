"""Whether a CRM has the fields that are expected, or that a configuration writes. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crmsync.v1 import crm_field_pb2
from crmsync.v1.crm_field_pb2 import CrmFieldCheck, CrmFieldFinding, ExpectedCrmField
from crmsync_server.crm.directory import CrmField, FieldType
from crmsync_server.crm.hiding import keepable
from crmsync_server.crm.mapping import STANDARD
from crmsync_server.rpc import directory_messages as messages
from crmsync_server.store.config import Config

_PICKLISTS = (FieldType.PICKLIST, FieldType.MULTI_PICKLIST)
_MOST_NAMED = 5
# Every CRM keeps them in some way, if not as a field.
_APART = ("email", "tags")


@dataclass(frozen=True, slots=True)
class Expected:
    """A field that somebody wants a CRM to have.

    name: the CRM's own, or with `contact_field` a field of the contact (`company`).
    origin: who wants it, as a path.
    type: None where any will do; min_length and choices: what it must take at least.
    contact_field: whether it is the field that the CRM keeps that field of contacts in.
    """

    name: str
    origin: str
    type: FieldType | None = None
    min_length: int = 0
    choices: Sequence[str] = ()
    contact_field: bool = False


class Fields:
    """The fields of one CRM's contacts, to be found by name."""

    def __init__(self, fields: Iterable[CrmField]) -> None:
        """Take all of them."""
        self._exact: dict[str, CrmField] = {}
        self._alike: dict[str, CrmField] = {}
        self._mapped: dict[str, CrmField] = {}
        for one in fields:
            self._exact[one.name] = one
            self._alike.setdefault(one.name.casefold(), one)
            if one.maps_to:
                self._mapped.setdefault(one.maps_to, one)

    def find(self, expected: Expected) -> CrmField | None:
        """Return the field that is expected; None where the CRM has none."""
        if expected.contact_field:
            return self._mapped.get(expected.name)
        found = self._exact.get(expected.name)
        return self._alike.get(expected.name.casefold()) if found is None else found


def given(fields: Iterable[ExpectedCrmField]) -> list[Expected]:
    """Return what a request expects."""
    return [
        Expected(
            one.name,
            f"fields[{place}]",
            messages.type_of(one.type),
            one.min_length,
            tuple(one.choices),
        )
        for place, one in enumerate(fields)
    ]


def written(config: Config) -> list[Expected]:
    """Return what a configuration writes by name: targets of rules, then custom properties."""
    rules: Sequence[Mapping[str, Any]] = config.mapping
    targets = [rule["target"] for rule in rules]
    by_rules = [
        Expected(target, f"field_mapping.rules[{place}]", contact_field=target in STANDARD)
        for place, target in enumerate(targets)
    ]
    by_name = [
        Expected(name, f"custom_properties[{place}]")
        for place, name in enumerate(config.custom_properties)
        if name not in targets
    ]
    return [*by_rules, *by_name]


def findings(wanted: Iterable[Expected], fields: Fields) -> Iterator[CrmFieldFinding]:
    """Yield how the CRM has each of the fields, in their order."""
    for expected in wanted:
        field = fields.find(expected)
        if field is None and expected.contact_field and expected.name in _APART:
            continue
        yield _finding(expected, field)


def _finding(expected: Expected, field: CrmField | None) -> CrmFieldFinding:
    check, message = _judged(expected, field)
    return CrmFieldFinding(
        name=expected.name,
        check=check,
        origin=expected.origin,
        message=keepable(message),
        field=None if field is None else messages.field(field),
        expected_type=messages.field_type(expected.type),
    )


def _judged(expected: Expected, field: CrmField | None) -> tuple[CrmFieldCheck.ValueType, str]:
    """Return what is to be said of a field: the worst of it, and why."""
    if field is None:
        keeps = "no field for contacts'" if expected.contact_field else "no field called"
        return crm_field_pb2.CRM_FIELD_CHECK_MISSING, f"the CRM has {keeps} {expected.name}"
    if field.read_only:
        told = f"the CRM sets {field.name} itself, and takes no value for it"
        return crm_field_pb2.CRM_FIELD_CHECK_READ_ONLY, told
    if expected.type not in {None, field.type}:
        told = f"{field.name} is {field.type} ({field.vendor_type}), expected was {expected.type}"
        return crm_field_pb2.CRM_FIELD_CHECK_MISMATCH, told
    if field.max_length is not None and field.max_length < expected.min_length:
        told = f"{field.name} takes {field.max_length} characters, expected {expected.min_length}"
        return crm_field_pb2.CRM_FIELD_CHECK_TOO_SHORT, told
    if missing := _missing_choices(expected, field):
        some = ", ".join(missing[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        told = f"{field.name} does not take {some}{more}"
        return crm_field_pb2.CRM_FIELD_CHECK_CHOICES_MISSING, told
    return crm_field_pb2.CRM_FIELD_CHECK_EXISTS, ""


def _missing_choices(expected: Expected, field: CrmField) -> list[str]:
    if field.type not in _PICKLISTS:
        return []
    taken = {choice.value for choice in field.choices}
    return [value for value in expected.choices if value not in taken]
