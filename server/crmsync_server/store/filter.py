"""Filters that callers write (AIP-160), compiled to SQL expressions.

Nothing that a caller wrote becomes part of a statement: a field is looked up in the table that
`compile_filter` is given, and a value becomes a bound parameter. docs/reference/filters.md
describes the language.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from lark import Token, Tree

from crmsync_server.store.filter_narrowing import Narrowing, both, either, narrowing
from crmsync_server.store.filter_syntax import Text, place
from crmsync_server.store.filter_terms import (
    Clause,
    ExpectedError,
    Field,
    Kind,
    comparison,
    member,
    negated,
    value_of,
)


class Compiled(NamedTuple):
    """What a filter states.

    narrowing: a query of the index of terms that every row passing the filter passes; None without.
    """

    clause: Clause
    narrowing: Narrowing | None


def compile_filter(text: str, fields: Mapping[str, Field], path: str) -> Clause | None:
    """Return the condition that a filter states; None for one that is empty.

    A comparison with what a row does not have is false, and its negation true. The parameters are
    called `filter_0`, `filter_1` and so on: a statement has room for one filter.

    Args:
        text: the filter as its caller wrote it, at most 2,000 characters.
        fields: what it may name.
        path: where it stands in the request, such as `filter.filter`.

    Raises:
        InvalidFilterError: it does not parse, names an unknown field or compares what cannot be
            compared; it says at which character, and what would be right there.
    """
    compiled = compile_search(text, fields, path)
    return None if compiled is None else compiled.clause


def compile_search(
    text: str, fields: Mapping[str, Field], path: str, org_id: str | None = None
) -> Compiled | None:
    """Return what a filter states, and what the index of terms finds of it; None for an empty one.

    Args:
        text: as for `compile_filter`.
        fields: as for `compile_filter`.
        path: as for `compile_filter`.
        org_id: whose terms are looked up; None leaves the index out.

    Raises:
        InvalidFilterError: as for `compile_filter`.
    """
    if not text.strip():
        return None
    written = Text(text, path)
    return _Compiler(written, fields, org_id).compiled(written.parse())


@dataclass(frozen=True, slots=True)
class _Compiler:
    written: Text
    fields: Mapping[str, Field]
    org_id: str | None
    numbers: Iterator[int] = field(default_factory=count)

    def compiled(self, tree: Tree[Token]) -> Compiled:
        if tree.data == "comparison":
            return self._comparison(*cast("list[Token]", tree.children))
        parts = [self.compiled(part) for part in cast("list[Tree[Token]]", tree.children)]
        if tree.data == "negation":
            return Compiled(negated(parts[0].clause), None)
        clauses, found = zip(*parts, strict=True)
        if tree.data == "conjunction":
            return Compiled(sa.and_(*clauses), both(found))
        return Compiled(sa.or_(*clauses), either(found))

    def _comparison(self, name: Token, operator: Token, value: Token) -> Compiled:
        compared, right = self._field(name), value_of(value)
        try:
            clause = comparison(compared, operator, right, self._bind)
        except ExpectedError as error:
            wrong = operator if error.of_operator else value
            raise self.written.wrong(place(wrong), error.what) from None
        if self.org_id is None:
            return Compiled(clause, None)
        found = narrowing(compared, operator, right, self._bind, self.org_id)
        return Compiled(clause, found)

    def _field(self, name: Token) -> Field:
        if name in self.fields:
            return self.fields[name]
        base, _, key = name.partition(".")
        if key and base in self.fields and self.fields[base].kind is Kind.MAP:
            return self._member(name, self.fields[base], key)
        siblings = [one for one in self.fields if one.startswith(f"{base}.")] if key else []
        known = ", ".join(sorted(siblings or self.fields))
        raise self.written.wrong(place(name), f"one of {known}")

    def _member(self, name: Token, of: Field, key: str) -> Field:
        try:
            return member(of, value_of(key).text, self._bind)
        except ExpectedError as error:
            raise self.written.wrong(place(name), error.what) from None

    def _bind(self, value: object, kind: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
        return sa.bindparam(f"filter_{next(self.numbers)}", value, kind)
