"""What the index of terms can find of a comparison: a query that no row passing it fails.

It is looked up before the comparison itself is made, which stays what decides.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.store.filter_terms import Bind, Field, Kind, Value

Narrowing = sa.ColumnElement[str]

_HAS = ":"
_TEXT = sa.Text()
_SEPARATORS = re.compile(r"""[\s!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]+""")


def words(org_id: str, text: str, bind: Bind) -> Narrowing:
    """Return the query for words that begin as those of a text, each of them."""
    asked = sa.func.search_words(bind(text, _TEXT))
    return _query(bind(f"{org_id}/w:", _TEXT), asked, partial=True)


def number(org_id: str, digits: str, bind: Bind) -> Narrowing:
    """Return the query for a phone number that begins with these digits."""
    asked = bind([digits], pg.ARRAY(_TEXT))
    return _query(bind(f"{org_id}/w:", _TEXT), asked, partial=True)


def narrowing(
    field: Field, operator: str, value: Value, bind: Bind, org_id: str
) -> Narrowing | None:
    """Return what the index finds of a comparison; None where it cannot help.

    The comparison is one that `comparison` accepts.
    """
    if operator == "!=" or field.term is None:
        return None
    if field.kind is Kind.TEXT:
        is_property = field.term != "w:"
        narrowed = _member if is_property else _words
        return narrowed(f"{org_id}/{field.term}", operator, value, bind)
    if value.is_anything:
        return None
    if field.kind is Kind.MAP:
        return _one(f"{org_id}/{field.term}{value.text}=", "", bind)
    return _one(f"{org_id}/{field.term}", value.text, bind, partial=False)


def both(some: Sequence[Narrowing | None]) -> Narrowing | None:
    """Return what all of them find together; None where none can help."""
    known = [one for one in some if one is not None]
    return reduce(lambda left, right: left.op("&&")(right), known) if known else None


def either(some: Sequence[Narrowing | None]) -> Narrowing | None:
    """Return what any of them finds; None where one cannot help."""
    known = [one for one in some if one is not None]
    if len(known) < len(some):
        return None
    return reduce(lambda left, right: left.op("||")(right), known)


def _member(begin: str, operator: str, value: Value, bind: Bind) -> Narrowing:
    """Return the query for a property, whose whole value is one term."""
    if operator == _HAS:
        return _one(begin, "", bind)
    if len(value.parts) == 1:
        return _one(begin, value.text, bind, partial=False)
    first = value.parts[0]
    return _one(begin, first if first.isascii() else "", bind)


def _words(begin: str, operator: str, value: Value, bind: Bind) -> Narrowing | None:
    if operator == "=" and len(value.parts) == 1:
        asked = sa.func.search_words(bind(value.text, _TEXT))
        # Some letters are folded to nothing, and a query of no words finds nothing.
        has_words = any(map(str.isalnum, unicodedata.normalize("NFKD", value.text)))
        return _query(bind(begin, _TEXT), asked, partial=False) if has_words else None
    found = list(_certain(value, is_within=operator == _HAS))
    return both(
        [
            _query(
                bind(begin, _TEXT),
                bind([word for word, partial in found if partial is open_ended], pg.ARRAY(_TEXT)),
                partial=open_ended,
            )
            for open_ended in (False, True)
            if any(partial is open_ended for _, partial in found)
        ]
    )


def _certain(value: Value, *, is_within: bool) -> Iterator[tuple[str, bool]]:
    """Yield the words that a text with these parts has for certain, and whether each goes on.

    A word that a wildcard cuts off at its beginning is none.
    """
    last = len(value.parts) - 1
    for place, part in enumerate(value.parts):
        # What is folded may differ from its parts where accents are involved.
        if not part.isascii():
            continue
        pieces = _SEPARATORS.split(part.lower())
        for index, piece in enumerate(pieces):
            begins = index > 0 or (place == 0 and not is_within)
            ends = index < len(pieces) - 1 or (place == last and not is_within)
            if piece and begins:
                yield piece, not ends


def _one(begin: str, value: str, bind: Bind, *, partial: bool = True) -> Narrowing:
    folded: sa.ColumnElement[Any] = pg.array([sa.func.search_folded(bind(value, _TEXT))])
    return _query(bind(begin, _TEXT), folded, partial=partial)


def _query(
    begin: sa.ColumnElement[str], asked: sa.ColumnElement[Any], *, partial: bool
) -> Narrowing:
    flag = sa.true() if partial else sa.false()
    return sa.func.search_query(begin, asked, flag, type_=pg.TSQUERY())
