"""The criteria of a bulk read: JSON in which groups hold groups, down to one comparison."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from crmsync_server.sandbox.zoho_columns import Value, column
from crmsync_server.sandbox.zoho_criteria import Criterion, Group, Test
from crmsync_server.sandbox.zoho_errors import ZohoError
from crmsync_server.sandbox.zoho_fields import Field
from crmsync_server.sandbox.zoho_table import Contact

Holds: TypeAlias = Callable[[Contact], bool]
_OPERATORS = {
    "equal": "=",
    "not_equal": "!=",
    "greater_than": ">",
    "greater_equal": ">=",
    "less_than": "<",
    "less_equal": "<=",
    "in": "in",
    "not_in": "not in",
}


def read_criteria(given: object, fields: Mapping[str, Field]) -> Holds:
    """Return what says whether a contact meets the criteria; without any, all do.

    Raises:
        ZohoError: 400, they cannot be read.
    """
    return (lambda _: True) if given is None else _criterion(given, fields).holds


def _criterion(given: object, fields: Mapping[str, Field]) -> Criterion:
    if not isinstance(given, dict):
        raise _invalid(given, "an object")
    if "group" in given:
        members, word = given["group"], str(given.get("group_operator", "and")).lower()
        if not isinstance(members, list) or word not in {"and", "or"}:
            raise _invalid(given, "a list as the group, and `and` or `or` as its operator")
        return Group(word, tuple(_criterion(member, fields) for member in members))
    return _comparison(given, fields)


def _comparison(given: Mapping[str, object], fields: Mapping[str, Field]) -> Criterion:
    named = given.get("field")
    name = named.get("api_name") if isinstance(named, dict) else given.get("api_name")
    field = fields.get(str(name))
    if field is None:
        message = f"there is no field {name}"
        raise ZohoError(400, "FIELD_IN_CRITERIA_NOT_AVAILABLE", message, {"api_name": name})
    word, value = given.get("comparator"), given.get("value")
    values = _values(field, value if isinstance(value, list) else [value])
    if word == "between" and len(values) == len(("low", "high")):
        low, high = (
            Test(column(field), sign, (one,))
            for sign, one in zip((">=", "<="), values, strict=True)
        )
        return Group("and", (low, high))
    if word not in _OPERATORS:
        raise _invalid(word, f"one of {', '.join(_OPERATORS)}")
    return Test(column(field), _OPERATORS[str(word)], values)


def _values(field: Field, given: list[object]) -> tuple[Value, ...]:
    try:
        return tuple(column(field).read(str(one)) for one in given)
    except ValueError as error:
        raise _invalid(given, f"values of a {field.data_type} field") from error


def _invalid(given: object, expected: str) -> ZohoError:
    message = f"{given!r} is not {expected}"
    return ZohoError(400, "INVALID_CRITERIA", message)
