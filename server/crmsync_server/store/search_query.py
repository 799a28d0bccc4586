"""What a search looks for, as SQL: every value that a caller wrote is a parameter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.contact_search import Position, SortField
from crmsync_server.store.filter import Compiled, compile_search
from crmsync_server.store.filter_fields import of_records
from crmsync_server.store.filter_narrowing import Narrowing, both, either, number, words
from crmsync_server.store.filter_terms import Clause
from crmsync_server.store.tables import schema

_NUMBER = re.compile(r"[\d\s()+./-]+")
_LEAST_DIGITS = 3
_NULLABLE = frozenset({SortField.LAST_MESSAGE_TIME, SortField.NAME, SortField.EMAIL})
_UUIDS = pg.ARRAY(sa.Uuid())


@dataclass(frozen=True, slots=True)
class Query:
    """Which contacts of an organization, and in which order.

    text: words to find; empty means any.
    filter: as its caller wrote it; empty means any.
    crms: those whose standings filters may name.
    """

    org_id: str
    text: str = ""
    filter: str = ""
    crms: Sequence[str] = ()
    field: SortField = SortField.CREATE_TIME
    descending: bool = True

    def ranges(self, after: Position | None) -> Sequence[bool]:
        """Return which parts of the order are left: with a value, and then without."""
        if after is not None and after.value is None:
            return (False,)
        return (True, False) if self.field in _NULLABLE else (True,)


@dataclass(frozen=True)
class Matching:
    """A query at a moment.

    written: contacts whose terms are not made yet: these are compared themselves.
    unknown: how many contacts besides are not known to the index.
    """

    query: Query
    written: Sequence[UUID] = ()
    unknown: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    @cached_property
    def any(self) -> bool:
        """Whether every contact matches."""
        return not self.query.text and not self.query.filter.strip()

    def ordered(self, valued: bool, after: Position | None) -> sa.Select[Any]:  # noqa: FBT001 - as below
        """Return all that match in one part of the order, by way of the index where that helps."""
        contacts = _contacts().alias("c")
        query = self._narrowed(self._selected(contacts, valued, after), contacts)
        return self._in_order(query, contacts)

    def rows(self) -> sa.Select[Any]:
        """Return all that match, in no order."""
        contacts = _contacts().alias("c")
        return self._narrowed(self._selected(contacts), contacts)

    def exported(
        self, contacts: sa.FromClause, columns: Sequence[sa.ColumnElement[Any]]
    ) -> sa.Select[Any]:
        """Return these columns of all that match, in order, those without a value last."""
        query = self._narrowed(self._selected(contacts), contacts).with_only_columns(*columns)
        value, contact_id = self._order(_sort_value(contacts, self.query.field), contacts.c.id)
        if self.query.field in _NULLABLE:
            value = sa.nulls_last(value)
        return query.order_by(value, contact_id)

    def walked(
        self,
        valued: bool,  # noqa: FBT001 - one of two parts of the order
        after: Position | None,
        length: int,
    ) -> sa.Select[Any]:
        """Return what matches among so many contacts, and how many those are, as match_count."""
        every = self._selected(_contacts(), valued, after)
        head = self._in_order(every, _contacts()).limit(length).subquery("c")
        query = sa.select(head, sa.func.count().over().label("match_count"))
        if (compiled := self._compiled(head)) is not None:
            query = query.where(compiled.clause)
        if (text := self._text()) is not None:
            indexed = sa.exists().where(
                _terms().c.org_id == self.query.org_id,
                _terms().c.contact_id == head.c.id,
                _terms().c.terms.op("@@")(text),
            )
            query = query.where(self._unless_written(head, indexed, text))
        return query.order_by(*self._order(head.c.sort_value, head.c.id))

    def _narrowed(self, query: sa.Select[Any], contacts: sa.FromClause) -> sa.Select[Any]:
        compiled, text = self._compiled(contacts), self._text()
        if compiled is not None:
            query = query.where(compiled.clause)
        narrowing = both([text, compiled.narrowing if compiled else None])
        if narrowing is None:
            return query
        query = query.where(contacts.c.id.in_(sa.select(self._found(narrowing).c.contact_id)))
        if text is not None and self.written:
            query = query.where(self._unless_written(contacts, sa.true(), text))
        return query

    def _found(self, narrowing: Narrowing) -> sa.CTE:
        """Return the ids of the contacts that may match."""
        terms = _terms()
        found = sa.select(terms.c.contact_id).where(
            terms.c.org_id == self.query.org_id, terms.c.terms.op("@@")(narrowing)
        )
        written = sa.select(sa.func.unnest(self._bind(list(self.written), _UUIDS)))
        return sa.union_all(found, written).cte("found").prefix_with("MATERIALIZED")

    def _unless_written(
        self, contacts: sa.FromClause, otherwise: Clause, text: Narrowing
    ) -> Clause:
        """Return whether a contact has the words: by the index, unless that lacks it."""
        if not self.written:
            return otherwise
        c = contacts.c
        said = sa.func.concat_ws(" ", c.name, c.first_name, c.last_name, c.email, c.company)
        terms = sa.func.search_terms(
            c.org_id, said, c.phone, c.tags, c.properties, c.domain_id, type_=pg.TSVECTOR()
        )
        is_written = c.id == sa.any_(self._bind(list(self.written), _UUIDS))
        return sa.case((is_written, terms.op("@@")(text)), else_=otherwise)

    def _selected(
        self,
        contacts: sa.FromClause,
        valued: bool | None = None,  # noqa: FBT001 - one of two parts of the order, or both
        after: Position | None = None,
    ) -> sa.Select[Any]:
        c, value = contacts.c, _sort_value(contacts, self.query.field)
        query = sa.select(contacts, value.label("sort_value")).where(
            c.org_id == self.query.org_id, c.delete_time.is_(None)
        )
        if valued is not None and self.query.field in _NULLABLE:
            query = query.where(value.is_not(None) if valued else value.is_(None))
        if after is None:
            return query
        here, there = sa.tuple_(c.id), sa.tuple_(after.contact_id)
        if valued:
            here, there = sa.tuple_(value, c.id), sa.tuple_(after.value, after.contact_id)
        return query.where(here < there if self.query.descending else here > there)

    def _in_order(self, query: sa.Select[Any], contacts: sa.FromClause) -> sa.Select[Any]:
        value = _sort_value(contacts, self.query.field)
        return query.order_by(*self._order(value, contacts.c.id))

    def _order(
        self, value: sa.ColumnElement[Any], contact_id: sa.ColumnElement[Any]
    ) -> Sequence[sa.ColumnElement[Any]]:
        directed = sa.desc if self.query.descending else sa.asc
        return (directed(value), directed(contact_id))

    def _compiled(self, contacts: sa.FromClause) -> Compiled | None:
        fields = of_records(contacts, self.query.crms)
        return compile_search(self.query.filter, fields, "filter", self.query.org_id)

    def _text(self) -> Narrowing | None:
        text = self.query.text
        if not text:
            return None
        found: Narrowing | None = words(self.query.org_id, text, self._bind)
        digits = re.sub(r"\D", "", text)
        if _NUMBER.fullmatch(text) and len(digits) >= _LEAST_DIGITS:
            found = either([found, number(self.query.org_id, digits, self._bind)])
        return found

    def _bind(self, value: object, kind: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
        return sa.bindparam(f"search_{next(self._numbers)}", value, kind)


def _sort_value(contacts: sa.FromClause, field: SortField) -> sa.ColumnElement[Any]:
    if field is SortField.NAME:
        return sa.func.nullif(contacts.c.name, sa.literal_column("''"))
    if field is SortField.EMAIL:
        return contacts.c.email_key  # addresses compare without regard to case
    return contacts.c[field]


@cache
def _contacts() -> sa.Table:
    return schema().tables["contacts"]


@cache
def _terms() -> sa.Table:
    return schema().tables["contact_terms"]
