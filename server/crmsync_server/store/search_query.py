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
from crmsync_server.store.filter_fields import bare_columns, record_fields
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

    @property
    def by_columns(self) -> bool:
        """Whether columns tell if a contact matches, though the index could narrow it down."""
        compiled = self._compiled
        return self._text is None and compiled is not None and compiled.narrowing is not None

    def ordered(self, valued: bool, after: Position | None) -> sa.Select[Any]:  # noqa: FBT001 - as below
        """Return all that match in one part of the order, by way of the index where that helps."""
        return self.rows().where(*self._part(valued, after)).order_by(*self._order())

    def rows(self) -> sa.Select[Any]:
        """Return all that match, in no order."""
        narrowing = self._narrowing
        return self._passing(self._all() if narrowing is None else self._among(narrowing))

    def rows_among(self, length: int) -> sa.Select[Any] | None:
        """Return what matches among so many contacts by their ids; None where terms do not help.

        Their terms lie side by side: each costs a hundredth of what it costs to look one up.
        """
        narrowing = self._narrowing
        return None if narrowing is None else self._passing(self._among(narrowing, length))

    def _passing(self, query: sa.Select[Any]) -> sa.Select[Any]:
        if self._compiled is not None:
            query = query.where(self._compiled.clause)
        if self._text is not None and self.written:
            query = query.where(self._unless_written(sa.true(), self._text))
        return query

    def places(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """Return the ids alone of what a query finds, and their place in the order."""
        return query.with_only_columns(bare_columns().id, self._sort_value.label("sort_value"))

    def by_id(self, contact_ids: Sequence[UUID]) -> sa.Select[Any]:
        """Return these contacts, which were found a moment ago; one deleted since keeps its row."""
        contacts = _contacts().alias("c")
        asked = self._bind(list(contact_ids), _UUIDS)
        return sa.select(contacts, self._sort_value.label("sort_value")).where(
            contacts.c.org_id == self.query.org_id, contacts.c.id == sa.any_(asked)
        )

    def exported(self, columns: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
        """Return these columns of all that match, in order, those without a value last."""
        value, contact_id = self._order()
        if self.query.field in _NULLABLE:
            value = sa.nulls_last(value)
        return self.rows().with_only_columns(*columns).order_by(value, contact_id)

    def walked(
        self,
        valued: bool,  # noqa: FBT001 - one of two parts of the order
        after: Position | None,
        length: int,
    ) -> sa.Select[Any]:
        """Return what matches among so many contacts along the order."""
        head = self._all().where(*self._part(valued, after)).order_by(*self._order()).limit(length)
        every = head.subquery("c")
        query = sa.select(every)
        if self._compiled is not None:
            query = query.where(self._compiled.clause)
        if self._text is not None:
            query = query.where(self._unless_written(self._has_words(self._text), self._text))
        return query.order_by(*self._order())

    def counted(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """Return with each row how many a query finds in all, as match_count."""
        return query.add_columns(sa.func.count().over().label("match_count"))

    def _has_words(self, text: Narrowing) -> Clause:
        """Return whether the terms of a contact pass a query.

        Of one contact after the other: as a join it would be free to find all that pass it first.
        """
        terms = _terms()
        passes: sa.ScalarSelect[bool] = (
            sa.select(terms.c.terms.op("@@", return_type=sa.Boolean())(text))
            .where(terms.c.org_id == self.query.org_id, terms.c.contact_id == bare_columns().id)
            .limit(1)
            .scalar_subquery()
        )
        return sa.func.coalesce(passes, sa.false())

    def _all(self) -> sa.Select[Any]:
        """Return every contact of the organization, as `c`."""
        contacts = _contacts().alias("c")
        return sa.select(contacts, self._sort_value.label("sort_value")).where(
            contacts.c.org_id == self.query.org_id, contacts.c.delete_time.is_(None)
        )

    def _among(self, narrowing: Narrowing, length: int | None = None) -> sa.Select[Any]:
        """Return, as `c`, the contacts that the index finds, and those that it does not know yet.

        Each is looked up by its key, one after the other: whoever wants only some reads no others.

        length: among how many by their ids, instead of by the index.
        """
        contacts = _contacts()
        terms = self._terms_of(length)
        found = sa.select(terms.c.contact_id).where(terms.c.terms.op("@@")(narrowing))
        if self.written:
            written = self._bind(list(self.written), _UUIDS)
            found = found.where(terms.c.contact_id != sa.all_(written))
            either_way = sa.union_all(found, sa.select(sa.func.unnest(written))).subquery("found")
        else:
            either_way = found.subquery("found")
        looked_up = (
            sa.select(contacts)
            .where(contacts.c.org_id == self.query.org_id, contacts.c.id == either_way.c.contact_id)
            .limit(1)
            .lateral("c")
        )
        return (
            sa.select(looked_up, self._sort_value.label("sort_value"))
            .select_from(either_way.join(looked_up, sa.true()))
            .where(bare_columns().delete_time.is_(None))
        )

    def _terms_of(self, length: int | None) -> sa.Subquery:
        terms = _terms()
        own = sa.select(terms.c.contact_id, terms.c.terms).where(
            terms.c.org_id == self.query.org_id
        )
        if length is not None:
            own = own.order_by(terms.c.contact_id).limit(length)
        return own.subquery("t")

    def _unless_written(self, otherwise: Clause, text: Narrowing) -> Clause:
        """Return whether a contact has the words: by the index, unless that lacks it."""
        if not self.written:
            return otherwise
        c = bare_columns()
        said = sa.func.concat_ws(" ", c.name, c.first_name, c.last_name, c.email, c.company)
        terms = sa.func.search_terms(
            c.org_id, said, c.phone, c.tags, c.properties, c.domain_id, type_=pg.TSVECTOR()
        )
        is_written = c.id == sa.any_(self._bind(list(self.written), _UUIDS))
        return sa.case((is_written, terms.op("@@")(text)), else_=otherwise)

    def _part(self, valued: bool, after: Position | None) -> Iterator[Clause]:  # noqa: FBT001 - as above
        """Yield what makes one part of the order, after a place."""
        contact_id, value = bare_columns().id, self._sort_value
        if self.query.field in _NULLABLE:
            yield value.is_not(None) if valued else value.is_(None)
        if after is None:
            return
        here, there = sa.tuple_(contact_id), sa.tuple_(self._id(after))
        if valued:
            place = sa.literal(after.value, value.type)
            here, there = sa.tuple_(value, contact_id), sa.tuple_(place, self._id(after))
        yield here < there if self.query.descending else here > there

    @staticmethod
    def _id(after: Position) -> sa.BindParameter[UUID]:
        return sa.literal(after.contact_id, sa.Uuid())

    def _order(self) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
        directed = sa.desc if self.query.descending else sa.asc
        return (directed(self._sort_value), directed(bare_columns().id))

    @cached_property
    def _sort_value(self) -> sa.ColumnElement[Any]:
        c, field = bare_columns(), self.query.field
        if field is SortField.NAME:
            return sa.func.nullif(c.name, sa.literal_column("''"), type_=sa.Text())
        if field is SortField.EMAIL:
            return c.email_key  # addresses compare without regard to case
        return c[field]

    @cached_property
    def _narrowing(self) -> Narrowing | None:
        return both([self._text, self._compiled.narrowing if self._compiled else None])

    @cached_property
    def _compiled(self) -> Compiled | None:
        fields = record_fields(tuple(self.query.crms))
        return compile_search(self.query.filter, fields, "filter", self.query.org_id)

    @cached_property
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


@cache
def _contacts() -> sa.Table:
    return schema().tables["contacts"]


@cache
def _terms() -> sa.Table:
    return schema().tables["contact_terms"]
