"""Nothing that a caller writes becomes SQL, and the index finds what comparing finds."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.errors import InvalidFilterError
from crmsync_server.store import contact, search, search_facets
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.filter_fields import record_fields
from crmsync_server.store.filter_terms import Kind
from crmsync_server.store.search_query import Matching, Query
from crmsync_server.store.tables import schema
from tests.postgres import Postgres
from tests.store.indexing import index_all

ORG = "o'rg \\ & :*"
CRMS = ("hubspot",)
PEOPLE = (
    Content("ada@example.com", name="Ada 'A' \\ B", tags=("a'b", "c\\d", "e:*"), company="x & y"),
    Content("zoë@example.com", name="Zoë", properties={"k'ey": "v\\al", "plan": "g:*"}),
    Content(None, name="%_*", phone="+49 30 901820"),
)

_SPECIAL = st.sampled_from(
    [
        *"\"'\\;%_*:&|!<>()=-/[]{},.$?@#",
        "--",
        "/*",
        "::",
        ":*",
        " & ",
        " | ",
        "'; DROP TABLE x",
        "$1",
    ]
)
_TEXTS = st.lists(_SPECIAL | st.text(max_size=4), max_size=6).map("".join)
_VALUES = _TEXTS.map(lambda text: text.replace("\0", ""))
_FIELDS = record_fields(CRMS)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'([\\"])', r"\\\1", text) + '"'


def _comparison(name: str, text: str) -> str:
    match _FIELDS[name].kind:
        case Kind.TEXT:
            return f"{name} = {_quoted(text)}"
        case Kind.MAP:
            return f"{name}.{_quoted(text or 'k')} = {_quoted(text)}"
        case Kind.TAGS:
            return f"{name}:{_quoted(text.replace('*', ''))}"
        case _:
            return f"{name}:*"


_KNOWN = st.builds(_comparison, st.sampled_from(sorted(_FIELDS)), _VALUES)
_FILTERS = st.recursive(
    _KNOWN,
    lambda inner: (
        st.builds("({} AND {})".format, inner, inner)
        | st.builds("({} OR {})".format, inner, inner)
        | inner.map("NOT ({})".format)
    ),
    max_leaves=4,
)
_DIALECT = pg.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy's own
_WORDS = frozenset(
    re.findall(
        r"\w+",
        "select from where and or not limit order by desc asc as join on true false is null lateral"
        " union all any case when then else end exists over count coalesce lower btrim like escape"
        " cast text uuid boolean tsquery concat_ws search_query search_words search_folded"
        " search_terms unnest array cardinality found c cs t sort_value match_count"
        " varchar numeric integer timestamp with time zone anon_1 anon_2",
    )
)
_NAMES = {column.name for table in schema().tables.values() for column in table.columns}
_PARAMETERS = re.compile(r":(search|filter|param|org_id|crm|contact_id|concat_ws|coalesce)\w*")
_LITERALS = re.compile(r"'(|/|\{\}|SELECTED|QUEUED|PROCESSING|COMPLETE|ERROR|SKIPPED)'")
_TOKENS = re.compile(r"[^\W\d]\w*|['\"\\;]|--|/\*")


def strange(query: sa.Select[Any]) -> set[str]:
    """Return the words of a statement that are none of ours."""
    text = _PARAMETERS.sub(" ", str(query.compile(dialect=_DIALECT)))
    known = _WORDS | _NAMES | {*schema().tables}
    return {word for word in _TOKENS.findall(_LITERALS.sub(" ", text)) if word.lower() not in known}


@pytest.mark.slow
@settings(max_examples=500, deadline=None, derandomize=True)
@given(_VALUES, _FILTERS | _TEXTS)
def test_no_text_becomes_sql(text: str, filter_text: str) -> None:
    """It is refused, or bound."""
    matching = Matching(Query(ORG, text, filter_text, CRMS))
    with suppress(InvalidFilterError):
        walked = matching.walked(valued=True, after=None, length=10)
        for query in (matching.rows(), matching.counted(walked), matching.rows_among(10)):
            assert query is None or strange(query) == set()


Find = Callable[[str, str], tuple[int, int]]


@pytest.fixture
def find(postgres: Postgres, template: str) -> Iterator[Find]:
    """Search among three contacts, two of which are indexed, in a loop of its own."""
    with asyncio.Runner() as runner:
        making = postgres.database(template)
        database = Database(runner.run(making.__aenter__()), Pool(size=1))

        async def fill() -> None:
            for content in PEOPLE[:2]:
                async with database.org(ORG) as connection:
                    await contact.create(connection, ORG, content)
            await index_all(database)
            async with database.org(ORG) as connection:
                await contact.create(connection, ORG, PEOPLE[2])

        async def number(text: str, filter_text: str) -> tuple[int, int]:
            async with database.org(ORG) as connection:
                asked = Query(ORG, text, filter_text, CRMS)
                matching = await search.prepare(connection, asked)
                page = await search.page(connection, matching, size=10)
                await search_facets.facets(connection, matching, ["tags", "company"])
                narrow = (await connection.execute(matching.ordered(valued=True, after=None))).all()
            return len(page.rows), len(narrow)

        runner.run(fill())
        yield lambda text, filter_text: runner.run(number(text, filter_text))
        runner.run(database.close())
        runner.run(making.__aexit__(None, None, None))


def test_the_index_finds_what_the_comparison_does(find: Find) -> None:
    """Against Postgres itself: a filter and its negation part the contacts, by index or without."""

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(_VALUES.filter(lambda text: any(map(str.isalnum, text))), _FILTERS)
    def holds(text: str, filter_text: str) -> None:
        walked, indexed = find("", filter_text)
        others, _ = find("", f"NOT ({filter_text})")
        assert walked == indexed
        assert walked + others == len(PEOPLE)
        assert len(set(find(text, filter_text))) == 1

    holds()


def test_every_value_finds_its_contact(find: Find) -> None:
    """Whatever characters are in it; the last contact is not indexed yet."""
    for content in PEOPLE:
        asked = [f"name = {_quoted(content.name)}"]
        asked += [f"tags:{_quoted(tag)}" for tag in content.tags]
        asked += [
            f"properties.{_quoted(key)} = {_quoted(value)}"
            for key, value in content.properties.items()
        ]
        literal = [one.replace("*", "\\*") for one in asked]
        assert [find("", one) for one in literal] == [(1, 1)] * len(asked)
