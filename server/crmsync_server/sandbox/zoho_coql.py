"""Zoho's query language, COQL: from its text to what is asked.

`select <columns> from Contacts where <criteria> [order by …] [limit [offset,] n] [offset n]`. More
than two criteria need brackets in pairs; a quote within a text is doubled.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crmsync_server.sandbox.zoho_columns import Value, column
from crmsync_server.sandbox.zoho_criteria import Criterion, Group, Test, count
from crmsync_server.sandbox.zoho_errors import ZohoError, limit_exceeded
from crmsync_server.sandbox.zoho_fields import Field

MAX_LIMIT = 2000
MAX_REACH = 100_000
_MAX_COLUMNS = 50
_MAX_CRITERIA = 25
_MAX_LISTED = 50
_DEFAULT_LIMIT = 200
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|>=|<=|!=|[=<>(),]|[\w.+:-]+)")
_OPERATORS = ("=", "!=", ">", ">=", "<", "<=")


@dataclass(frozen=True, slots=True)
class Query:
    """What a query asks for; `order` is column names, each with whether it descends."""

    columns: tuple[str, ...]
    criterion: Criterion
    order: tuple[tuple[str, bool], ...]
    limit: int
    offset: int


def parse(text: str, fields: Mapping[str, Field]) -> Query:
    """Read a query.

    Raises:
        ZohoError: 400, with what is wrong, near which word.
    """
    reading = _Reading(text, fields)
    reading.expect("select")
    columns = reading.columns()
    reading.expect("from")
    if reading.take() != "Contacts":
        raise ZohoError(400, "INVALID_QUERY", "the module is not known", {"clause": "from"})
    if not reading.is_next("where"):
        raise ZohoError(400, "SYNTAX_ERROR", "a clause is missing", {"clause": "where"})
    reading.expect("where")
    criterion = reading.criteria()
    if count(criterion) > _MAX_CRITERIA:
        raise limit_exceeded(_MAX_CRITERIA, "too many criteria", clause="where")
    order = reading.order()
    limit, offset = reading.limits()
    reading.expect("")
    return Query(columns, criterion, order, limit, offset)


class _Reading:
    """A query's words, read from the left."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._words = _split(text)
        self._fields = fields
        self._at = 0

    def columns(self) -> tuple[str, ...]:
        names = [self._column()]
        while self._accept(","):
            names.append(self._column())
        if len(names) > _MAX_COLUMNS:
            raise limit_exceeded(_MAX_COLUMNS, "too many columns", clause="select")
        return tuple(dict.fromkeys([*names, "id"]))

    def criteria(self) -> Criterion:
        """Read one criterion, or a pair of them; a third one needs brackets."""
        first = self._criterion()
        for word in ("and", "or"):
            if self._accept(word):
                return Group(word, (first, self._criterion()))
        return first

    def order(self) -> tuple[tuple[str, bool], ...]:
        if not self._accept("order"):
            return ()
        self.expect("by")
        order = [self._ordered()]
        while self._accept(","):
            order.append(self._ordered())
        if len({name for name, _ in order}) < len(order):
            raise ZohoError(400, "DUPLICATE_DATA", "a column is named twice", {"clause": "order"})
        return tuple(order)

    def limits(self) -> tuple[int, int]:
        limit, offset = _DEFAULT_LIMIT, 0
        if self._accept("limit"):
            limit = self._number()
            if self._accept(","):
                offset, limit = limit, self._number()
        if self._accept("offset"):
            offset = self._number()
        if limit > MAX_LIMIT:
            raise limit_exceeded(MAX_LIMIT, "too many records asked for", clause="limit")
        if offset + limit > MAX_REACH:
            raise limit_exceeded(MAX_REACH, "the offset reaches too far", clause="limit")
        return limit, offset

    def take(self) -> str:
        word = self._words[self._at]
        self._at = min(self._at + 1, len(self._words) - 1)
        return word

    def is_next(self, word: str) -> bool:
        return self._words[self._at].lower() == word

    def expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._error()

    def _accept(self, word: str) -> bool:
        if not self.is_next(word):
            return False
        self.take()
        return True

    def _criterion(self) -> Criterion:
        if self._accept("("):
            criterion = self.criteria()
            self.expect(")")
            return criterion
        field = self._fields[self._column()]
        return self._test(field)

    def _test(self, field: Field) -> Criterion:
        if self._accept("is"):
            kind = "is not null" if self._accept("not") else "is null"
            self.expect("null")
            return Test(column(field), kind)
        if self._accept("between"):
            low = self._value(field)
            self.expect("and")
            tests = (self._made(field, ">=", low), self._made(field, "<=", self._value(field)))
            return Group("and", tests)
        negated = "not " if self._accept("not") else ""
        if self._accept("in"):
            return Test(column(field), f"{negated}in", self._listed(field))
        if self._accept("like"):
            return self._made(field, f"{negated}like", self._value(field))
        word = self.take()
        if negated or word not in _OPERATORS:
            raise self._error()
        return self._made(field, word, self._value(field))

    def _made(self, field: Field, kind: str, value: Value) -> Test:
        return Test(column(field), kind, (value,))

    def _listed(self, field: Field) -> tuple[Value, ...]:
        self.expect("(")
        values = [self._value(field)]
        while self._accept(","):
            values.append(self._value(field))
        self.expect(")")
        if len(values) > _MAX_LISTED:
            raise limit_exceeded(_MAX_LISTED, "too many values in a list", clause="where")
        return tuple(values)

    def _value(self, field: Field) -> Value:
        word = self.take()
        text = word[1:-1].replace("''", "'") if word.startswith("'") else word
        bare = word.startswith("'") or word in {"true", "false"} or _is_number(word)
        if not bare:
            raise self._error()
        try:
            return column(field).read(text)
        except ValueError as error:
            details = {"column_name": field.api_name, "reason": str(error)}
            message = "the value does not suit the column"
            raise ZohoError(400, "INVALID_QUERY", message, details) from error

    def _column(self) -> str:
        name = self.take()
        if not name:
            raise self._error()
        if name not in self._fields:
            message = "the column is not known"
            raise ZohoError(400, "INVALID_QUERY", message, {"column_name": name})
        return name

    def _ordered(self) -> tuple[str, bool]:
        name = self._column()
        descending = self._accept("desc")
        if not descending:
            self._accept("asc")
        return name, descending

    def _number(self) -> int:
        word = self.take()
        if not word.isdecimal():
            raise self._error()
        return int(word)

    def _error(self) -> ZohoError:
        near = self._words[max(0, self._at - 1)] or self._words[-2]
        details = {"near": near, "line": 1, "column": self._at}
        return ZohoError(400, "SYNTAX_ERROR", "the query could not be read", details)


def _split(text: str) -> list[str]:
    """Return the words of a query, and an empty one as its end."""
    words, at, text = [], 0, text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            details = {"near": text[at : at + 10], "line": 1, "column": at}
            raise ZohoError(400, "SYNTAX_ERROR", "the query could not be read", details)
        words.append(found[1])
        at = found.end()
    return [*words, ""]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", word) is not None
