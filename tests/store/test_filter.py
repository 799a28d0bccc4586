"""Filters: what they find, what they refuse and where, and that their text never becomes SQL."""

import asyncio
import re
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pg

from crmsync_server.errors import InvalidFilterError
from crmsync_server.store import contact
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.filter import compile_filter
from crmsync_server.store.filter_fields import of_contacts, of_failures
from crmsync_server.store.tables import schema
from tests.postgres import Postgres

ORG = "acme"
CONTACTS = schema().tables["contacts"].alias("c")
STANDINGS = schema().tables["contact_syncs"].alias("cs")
FIELDS = of_contacts(CONTACTS)
ALL_FIELDS = of_failures(STANDINGS, CONTACTS, 5)

PEOPLE = (
    Content("Ada@Example.com", name="ada", company="Acme", tags=("VIP", 'a "b", {c}')),
    Content("bob@example.org", name="bob", company="ACME Ltd", properties={"plan": "Gold"}),
    Content(None, name="cy", phone="+4930901820", tags=("vip2",), properties={"Big deal": "yes"}),
    Content("50%_off@shop.com", name="dee", company="100% * [a\\b] 'x'", properties={"plan": ""}),
)


@pytest.fixture
async def contacts(database: Database) -> Database:
    """Keep four contacts, none of which was ever written to."""
    async with database.org(ORG) as connection:
        for content in PEOPLE:
            await contact.create(connection, ORG, content)
    return database


def compiled(text: str) -> sa.ColumnElement[bool]:
    """Compile a filter that is not empty."""
    clause = compile_filter(text, FIELDS, "filter")
    assert clause is not None
    return clause


async def found(database: Database, text: str) -> set[str]:
    """Return the names of the contacts that a filter finds."""
    query = sa.select(CONTACTS.c.name).where(CONTACTS.c.org_id == ORG, compiled(text))
    async with database.org(ORG) as connection:
        return set(await connection.scalars(query))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("email = ada@example.com", "ada"),
        ('email = "ADA@EXAMPLE.COM"', "ada"),
        ("email = *@example.*", "ada bob"),
        ("email:example", "ada bob"),
        ("email:*", "ada bob dee"),
        ("NOT email:*", "cy"),
        ("-email:*", "cy"),
        ("email != ada@example.com", "bob cy dee"),
        ("NOT email:example", "cy dee"),
        ("company = acme", "ada"),
        ("company = acme*", "ada bob"),
        ('company = "acme ltd"', "bob"),
        ("company = \"100% \\* [a\\\\b] 'x'\"", "dee"),
        ("company = '100% *'", "dee"),
        ("company:%", "dee"),
        ("email:50%_", "dee"),
        ("email:5__", ""),
        ("tags:vip", "ada"),
        ("tags:*", "ada cy"),
        ('tags:"A \\"B\\", {C}"', "ada"),
        ("properties.plan = gold", "bob"),
        ("properties.plan:*", "bob"),
        ("properties:plan", "bob dee"),
        ("properties:*", "bob cy dee"),
        ('properties."Big deal" = y*', "cy"),
        ("unread_count = 0 AND version >= 1", "ada bob cy dee"),
        ("unread_count > -0.5", "ada bob cy dee"),
        ("version > 123456789012345678901234567890", ""),
        ("last_message_time:*", ""),
        ("last_message_time < 2999-01-01", ""),
        ("NOT last_message_time < 2999-01-01", "ada bob cy dee"),
        ("create_time > 2020-02-29T12:00:00+02:00", "ada bob cy dee"),
        ("create_time > 2999-01-01T00:00:00.123456789Z", ""),
        ("domain_id = 0191c6ab-7c00-7000-8000-000000000001", ""),
        ("domain_id != 0191c6ab-7c00-7000-8000-000000000001", "ada bob cy dee"),
        ("name = ada OR name = bob AND company = acme*", "ada bob"),
        ("name = ada OR (name = bob AND company = nobody)", "ada"),
        ("NOT (name = ada OR name = bob)", "cy dee"),
        ("NOT (NOT email = ada@example.com)", "ada"),
        ("name=ada OR name=cy AND phone:+49", "cy"),
    ],
)
async def test_a_filter_finds_what_it_says(contacts: Database, text: str, names: str) -> None:
    """Texts without regard to case, by wildcards; what a row does not have compares as false."""
    assert await found(contacts, text) == set(names.split())


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_filter_is_none(text: str) -> None:
    """It finds all."""
    assert compile_filter(text, FIELDS, "filter") is None


_LISTED = (
    "one of company, create_time, domain_id, email, first_name, last_message_time, last_name, "
)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("company", 8, "one of = != < <= > >= :"),
        ("company = ", 11, "a value"),
        ("company == x", 10, "a value"),
        ("company = AND", 11, "a value"),
        ('company = "x', 13, 'a closing "'),
        ("company = 'x\"", 14, "a closing '"),
        ("(company = x", 13, "AND, OR or )"),
        ("company = x)", 12, "AND, OR or the end"),
        ("company = x name = y", 13, "AND, OR or the end"),
        ("company = x AND", 16, "a field, NOT or ("),
        ("AND company = x", 1, "a field, NOT or ("),
        ("NOT NOT company = x", 5, "a field or ("),
        ("@", 1, "a field, NOT or ("),
        ("1 = 1", 1, "a field, NOT or ("),
        ("name = ada OR city = Rome", 15, _LISTED),
        ("name.first = ada", 1, _LISTED),
        ("org_id = globex", 1, _LISTED),
        ("company > x", 9, "one of = != :"),
        ("unread_count: 3", 13, "one of = != < <= > >="),
        ("unread_count > many", 16, "a number such as 3"),
        ("unread_count = 1e9", 16, "a number such as 3"),
        ("create_time > yesterday", 15, "a time such as 2026-01-31T12:00:00Z"),
        ("create_time > 2026-02-30T12:00:00Z", 15, "a time such as"),
        ("create_time > 2026-01-31T12:00:00", 15, "a time such as"),
        ("create_time > 0001-01-01T00:00:00+23:59", 15, "a time such as"),
        ("domain_id = 1", 13, "a UUID"),
        ("domain_id > 1", 11, "one of = !="),
        ("tags = vip", 6, ":"),
        ("tags:v*", 6, "a whole tag"),
        ("properties = x", 12, ":, or a key behind a dot"),
        ('properties."a"."b" = x', 15, "one of = != < <= > >= :"),
        ('properties.a."b" = x', 13, "one of = != < <= > >= :"),
        ('properties."a".b = x', 15, "one of = != < <= > >= :"),
        (f"name = x AND properties.{'k' * 101} = x", 14, "a key of at most 100 characters"),
        (f"properties:{'é' * 1_100}", 12, "a key of at most 100 characters"),
        ("company = a\0b", 12, "a character other than NUL"),
    ],
)
def test_a_wrong_filter_is_told_where_and_what_would_be_right(
    text: str, position: int, expected: str
) -> None:
    """The first wrong character, counted from 1; the fields that there are; the type."""
    with pytest.raises(InvalidFilterError) as raised:
        compiled(text)
    metadata = raised.value.metadata
    assert (metadata["field"], metadata["position"]) == ("filter", str(position))
    assert metadata["expected"].startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "name = x" + " " * 1993,
        "(" * 21 + "name = x" + ")" * 21,
        " OR ".join(["name = x"] * 101),
    ],
    ids=["2,001 characters", "21 parentheses", "101 comparisons"],
)
def test_what_is_too_much_is_refused(text: str) -> None:
    """Too long, too deep, too many; one less is accepted."""
    with pytest.raises(InvalidFilterError):
        compiled(text)
    compiled(text.replace(" OR name = x", "", 1).replace("(", "", 1).replace(")", "", 1).strip())


# What the SQL of any filter consists of, but for the names of columns.
_VOCABULARY = re.compile(
    r"\s+|[(),.]|:filter_\d+|:retry_count_1|c\.|cs\.|lower|btrim|coalesce|cardinality|CAST"
    r"|AS TEXT\[\]|AS TEXT|ANY|AND|OR|NOT|LIKE|ESCAPE '/'|IS|NULL|false|''|'\{\}'|0"
    r"|->>|\?|!=|<=|>=|[=<>]"
)
_COLUMNS = {one.name for table in (CONTACTS, STANDINGS) for one in table.columns}
_DIALECT = pg.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy's own


def of_fixed_words(clause: sa.ColumnElement[bool]) -> bool:
    """Tell whether a clause consists of known words and the names of columns alone."""
    text = re.sub(r"::[A-Z]+( WITH TIME ZONE)?", "", str(clause.compile(dialect=_DIALECT)))
    left = _VOCABULARY.sub(" ", re.sub(r"\b[a-z_]+\b", _unless_column, text))
    return not left.strip()


def _unless_column(word: re.Match[str]) -> str:
    return "" if word[0] in _COLUMNS else word[0]


_SPECIAL = st.sampled_from(
    [*"\"'\\;%_*:()=<>!?$-/[]{},.", "--", "/*", "::", " OR ", "'; DROP TABLE contacts", "$1", ":a"]
)
_TEXTS = st.lists(_SPECIAL | st.text(max_size=4), max_size=6).map("".join)
_BARE = st.from_regex(r"[^\s()\"'=<>!:\0][^\s()\"'\0]{0,12}", fullmatch=True)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'([\\"])', r"\\\1", text.replace("\0", "")) + '"'


def _comparison(name: str) -> st.SearchStrategy[str]:
    values = {
        "NUMBER": st.decimals(-9, 9, places=2).map(str),
        "TIME": st.datetimes().map(lambda one: one.isoformat(timespec="microseconds") + "Z"),
        "FLAG": st.sampled_from(["true", "false"]),
        "ID": st.uuids().map(str),
        "TAGS": _TEXTS.map(lambda text: _quoted(text.replace("*", ""))),
        "TEXT": _TEXTS.map(_quoted) | _BARE,
    }
    operators = {"TEXT": ["=", "!=", ":"], "TAGS": [":"], "ID": ["=", "!="], "FLAG": ["=", "!="]}
    kind = ALL_FIELDS[name].kind.name
    if kind == "MAP":
        keys = _TEXTS.filter(lambda key: key.strip("\0")).map(_quoted)
        member = st.builds(
            "{}.{} {} {}".format, st.just(name), keys, st.sampled_from("=:"), values["TEXT"]
        )
        return member | values["TAGS"].map(f"{name}:{{}}".format)
    ordered = operators.get(kind, ["=", "!=", "<", "<=", ">", ">="])
    known = st.builds("{} {} {}".format, st.just(name), st.sampled_from(ordered), values[kind])
    return known | st.just(f"{name}:*")


_FILTERS = st.recursive(
    st.sampled_from(sorted(ALL_FIELDS)).flatmap(_comparison),
    lambda inner: (
        st.builds("({} AND {})".format, inner, inner)
        | st.builds("({} OR {})".format, inner, inner)
        | inner.map("NOT ({})".format)
    ),
    max_leaves=6,
)
_WRITTEN = _TEXTS | _FILTERS | st.builds("{}{}{}".format, _FILTERS, _SPECIAL, _TEXTS)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(_WRITTEN)
def test_no_text_becomes_sql(text: str) -> None:
    """Whatever is written is refused at one of its characters, or becomes fixed words."""
    refused: list[InvalidFilterError] = []
    try:
        clause = compile_filter(text, ALL_FIELDS, "filter")
    except InvalidFilterError as error:
        refused.append(error)
    else:
        assert clause is None or of_fixed_words(clause)
    for one in refused:
        assert 1 <= int(one.metadata["position"]) <= len(text) + 1
        assert one.metadata["expected"]


Count = Callable[[sa.ColumnElement[bool]], int]


@pytest.fixture
def count(postgres: Postgres, template: str) -> Iterator[Count]:
    """Count contacts, of which there are four, in a loop of its own."""
    with asyncio.Runner() as runner:
        making = postgres.database(template)
        database = Database(runner.run(making.__aenter__()), Pool(size=1))

        async def fill() -> None:
            async with database.org(ORG) as connection:
                for content in PEOPLE:
                    await contact.create(connection, ORG, content)

        async def number(clause: sa.ColumnElement[bool]) -> int:
            joined = CONTACTS.outerjoin(STANDINGS, sa.false())
            query = sa.select(sa.func.count()).select_from(joined).where(clause)
            async with database.org(ORG) as connection:
                return int((await connection.execute(query)).scalar_one())

        runner.run(fill())
        yield lambda clause: runner.run(number(clause))
        runner.run(database.close())
        runner.run(making.__aexit__(None, None, None))


def test_every_filter_runs_and_its_negation_finds_the_rest(count: Count) -> None:
    """Of any filter, against Postgres itself."""

    @settings(
        max_examples=300,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(_FILTERS)
    def holds(text: str) -> None:
        clauses = [
            compile_filter(one, ALL_FIELDS, "filter")
            for one in (text, f"NOT ({text})", f"({text}) AND NOT ({text})")
        ]
        some, others, none = (count(clause) for clause in clauses if clause is not None)
        assert (some + others, none) == (len(PEOPLE), 0)

    holds()
