"""The rules of new fields that no single field of a request can tell by itself."""

from collections.abc import Iterator, Sequence

from crmsync.v1 import crm_field_pb2
from crmsync.v1.crm_field_pb2 import NewCrmField
from crmsync_server.errors import InvalidRequestError, Violation

_TEXTS = (crm_field_pb2.CRM_FIELD_TYPE_TEXT, crm_field_pb2.CRM_FIELD_TYPE_LONG_TEXT)
_PICKLISTS = (
    crm_field_pb2.CRM_FIELD_TYPE_PICKLIST,
    crm_field_pb2.CRM_FIELD_TYPE_MULTI_PICKLIST,
)


def check_new_fields(fields: Sequence[NewCrmField]) -> None:
    """Refuse fields that could not be made as they are.

    Raises:
        InvalidRequestError: it lists every rule that is broken.
    """
    broken = [*_named_twice([one.name for one in fields])]
    for place, one in enumerate(fields):
        broken += _misfits(one, f"fields[{place}]")
    if broken:
        raise InvalidRequestError(broken)


def _named_twice(names: Sequence[str]) -> Iterator[Violation]:
    # CRMs do not tell capitals apart, so that the second would be the first.
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        before = first.setdefault(name.strip().casefold(), place)
        if before != place:
            told = f"must be another than that of fields[{before}], {names[before]}"
            yield Violation(f"fields[{place}].name", "field.unique", told)


def _misfits(field: NewCrmField, path: str) -> Iterator[Violation]:
    if field.name != field.name.strip():
        yield Violation(f"{path}.name", "field.name", "must not begin or end with a blank")
    if field.max_length and field.type not in _TEXTS:
        told = "must not be set but for TEXT and LONG_TEXT"
        yield Violation(f"{path}.max_length", "field.length", told)
    if field.type in _PICKLISTS and not field.choices:
        yield Violation(f"{path}.choices", "field.choices", "must not be empty for a picklist")
    if field.choices and field.type not in _PICKLISTS:
        told = "must not be set but for PICKLIST and MULTI_PICKLIST"
        yield Violation(f"{path}.choices", "field.choices", told)
    first: dict[str, int] = {}
    for place, choice in enumerate(field.choices):
        before = first.setdefault(choice.value, place)
        if before != place:
            told = f"must be another than that of choices[{before}]"
            yield Violation(f"{path}.choices[{place}].value", "field.choices", told)
