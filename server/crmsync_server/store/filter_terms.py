"""One comparison of a filter as an SQL expression; every value is a bound parameter."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, auto
from operator import eq, ge, gt, le, lt
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

Clause = sa.ColumnElement[bool]
# Returns a new parameter with this value, of this type.
Bind = Callable[[object, sa.types.TypeEngine[Any]], sa.BindParameter[Any]]

_HAS = ":"
_ESCAPE = "/"
_TEXT = sa.Text()
_LONGEST_KEY = 100  # characters, as the contract has it
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FLAGS = {"true": True, "false": False}
_ORDERS: Mapping[str, Callable[[Any, Any], Clause]] = {
    "=": eq,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_WILD = re.compile(r"\\(.)|(\*)", re.DOTALL)


class Kind(Enum):
    """What a field holds, which decides how it compares.

    TEXT: compares without regard to case.
    MAP: texts by key, a jsonb object; its members are the fields `name.key`.
    CHOICE: one of a closed list of words.
    """

    TEXT = auto()
    NUMBER = auto()
    TIME = auto()
    FLAG = auto()
    ID = auto()
    TAGS = auto()
    MAP = auto()
    CHOICE = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """What a filter may name.

    column: where the value is; of a MAP, the object.
    folded: a column that has the text in lower case, without spaces around it; None without one.
    term: what those of a contact's terms begin with that hold the field; None where none do.
    choices: of a CHOICE, by each word it can hold, the condition that it does.
    """

    column: sa.ColumnElement[Any]
    kind: Kind
    folded: sa.ColumnElement[str] | None = None
    term: str | None = None
    choices: Mapping[str, Clause] = dataclass_field(default_factory=dict)


class Value(NamedTuple):
    """What a field is compared with: the texts between its wildcards, so one more than those."""

    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the value where a wildcard means nothing."""
        return "*".join(self.parts)

    @property
    def is_anything(self) -> bool:
        """Return whether it is a wildcard and nothing else."""
        return self.parts == ("", "")


class ExpectedError(Exception):
    """Something else was expected, in place of the operator or of the value."""

    def __init__(self, what: str, *, of_operator: bool = False) -> None:
        """Say what would be right."""
        self.what = what
        self.of_operator = of_operator
        super().__init__(what)


def value_of(token: str) -> Value:
    """Read a value as it is written: bare or quoted, a backslash before what is meant literally."""
    if token[0] in "\"'":
        token = token[1:-1]
    parts, part, end = [], "", 0
    for found in _WILD.finditer(token):
        part += token[end : found.start()] + (found[1] or "")
        end = found.end()
        if found[2]:
            parts.append(part)
            part = ""
    return Value((*parts, part + token[end:]))


def comparison(field: Field, operator: str, value: Value, bind: Bind) -> Clause:
    """Return the condition that one comparison states; NULL where a row has no such value.

    Raises:
        ExpectedError: the field does not compare so, or not with this.
    """
    if operator == _HAS and value.is_anything:
        return _is_set(field)
    if operator == "!=":
        return negated(comparison(field, "=", value, bind))
    return _COMPARE.get(field.kind, _scalar)(field, operator, value, bind)


def negated(clause: Clause) -> Clause:
    """Return what is true wherever the condition is not: where it is NULL, too."""
    return sa.not_(sa.func.coalesce(clause, sa.false()))


def operators(kind: Kind) -> Sequence[str]:
    """Return the operators that a kind of field takes; `:` with `*` alone goes with each."""
    match kind:
        case Kind.TEXT:
            return ("=", "!=", _HAS)
        case Kind.TAGS | Kind.MAP:
            return (_HAS,)
        case Kind.CHOICE:
            return (*_EQUAL, _HAS)
        case _:
            return (*_SCALARS[kind][2], _HAS)


def member(field: Field, key: str, bind: Bind) -> Field:
    """Return what a MAP has by this key; raises ExpectedError for one that none can have."""
    _refuse_long(key)
    value = field.column.op("->>", return_type=_TEXT)(bind(key, _TEXT))
    term = f"{field.term}{key}=" if field.term else None
    return Field(value, Kind.TEXT, term=term)


def _is_set(field: Field) -> Clause:
    match field.kind:
        case Kind.TEXT:
            return field.column != sa.literal_column("''")
        case Kind.TAGS:
            return sa.func.cardinality(field.column) > sa.literal_column("0")
        case Kind.MAP:
            return field.column != sa.literal_column("'{}'")
        case _:
            return field.column.is_not(None)


def _text(field: Field, operator: str, value: Value, bind: Bind) -> Clause:
    if operator not in {"=", _HAS}:
        _refuse("one of = != :", of_operator=True)
    if operator == "=" and len(value.parts) == 1:
        if field.folded is not None:
            return field.folded == sa.func.lower(sa.func.btrim(bind(value.text, _TEXT)))
        return sa.func.lower(field.column) == sa.func.lower(bind(value.text, _TEXT))
    pattern = "%".join(map(_literal, value.parts))
    pattern = f"%{pattern}%" if operator == _HAS else pattern
    return sa.func.lower(field.column).like(sa.func.lower(bind(pattern, _TEXT)), escape=_ESCAPE)


def _tags(field: Field, operator: str, value: Value, bind: Bind) -> Clause:
    if operator != _HAS:
        _refuse(_HAS, of_operator=True)
    if len(value.parts) > 1:
        _refuse("a whole tag, or * alone")
    # The text of an array has its quotes and commas outside of what lower() changes.
    folded = sa.cast(sa.func.lower(sa.cast(field.column, sa.Text)), pg.ARRAY(sa.Text))
    return sa.func.lower(bind(value.text, _TEXT)) == sa.any_(folded)


def _map(field: Field, operator: str, value: Value, bind: Bind) -> Clause:
    if operator != _HAS:
        _refuse(f"{_HAS}, or a key behind a dot", of_operator=True)
    if len(value.parts) > 1:
        _refuse("a whole key, or * alone")
    _refuse_long(value.text)
    return field.column.op("?", is_comparison=True)(bind(value.text, _TEXT))


def _choice(field: Field, operator: str, value: Value, _: Bind) -> Clause:
    if operator != "=":
        _refuse("one of = !=", of_operator=True)
    if (chosen := value.text.upper()) not in field.choices:
        _refuse(f"one of {', '.join(field.choices)}")
    return field.choices[chosen]


def _scalar(field: Field, operator: str, value: Value, bind: Bind) -> Clause:
    read, kind, orders = _SCALARS[field.kind]
    if operator not in orders:
        _refuse(f"one of {' '.join(orders)}", of_operator=True)
    return _ORDERS[operator](field.column, bind(read(value.text), kind))


def _refuse(what: str, *, of_operator: bool = False) -> NoReturn:
    raise ExpectedError(what, of_operator=of_operator)


def _refuse_long(key: str) -> None:
    """Refuse a key that nothing has: the index of terms takes none of any length."""
    if len(key) > _LONGEST_KEY:
        _refuse(f"a key of at most {_LONGEST_KEY} characters")


def _literal(text: str) -> str:
    """Return a pattern that matches this text and no other."""
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        _refuse("a number such as 3")
    return Decimal(text)


def _moment(text: str) -> datetime:
    what = "a time such as 2026-01-31T12:00:00Z"
    if not _TIME.fullmatch(text):
        _refuse(what)
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse(what)


def _flag(text: str) -> bool:
    if text not in _FLAGS:
        _refuse("true or false")
    return _FLAGS[text]


def _uuid(text: str) -> UUID:
    if not _UUID.fullmatch(text):
        _refuse("a UUID")
    return UUID(text)


_ORDERED = ("=", "!=", "<", "<=", ">", ">=")
_EQUAL = ("=", "!=")
# How a value is read, as what it is bound, and by what it compares.
_SCALARS: Mapping[Kind, tuple[Callable[[str], object], sa.types.TypeEngine[Any], Sequence[str]]] = {
    Kind.NUMBER: (_number, sa.Numeric(), _ORDERED),
    Kind.TIME: (_moment, pg.TIMESTAMP(timezone=True), _ORDERED),
    Kind.FLAG: (_flag, sa.Boolean(), _EQUAL),
    Kind.ID: (_uuid, sa.Uuid(), _EQUAL),
}
_COMPARE: Mapping[Kind, Callable[[Field, str, Value, Bind], Clause]] = {
    Kind.TEXT: _text,
    Kind.TAGS: _tags,
    Kind.MAP: _map,
    Kind.CHOICE: _choice,
}
