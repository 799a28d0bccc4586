"""How fast a million contacts are searched, by one caller after the other, through a channel.

The contacts are copied in, and indexed as the server does it.
"""

import json
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from benchmarks import postgres
from benchmarks.figures import Bar, Figure, say
from benchmarks.people import people
from benchmarks.service import Service, client
from crmsync.v1.search_service_pb2 import SearchRecordsRequest, SuggestRecordsRequest
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.tokens import DEFAULT_ORG
from crmsync_server.store import search_index
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_ids

COUNT = 1_000_000
_ROUNDS = 20
_BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
_APART = timedelta(seconds=20)
_SYLLABLES = ("ka", "lo", "mi", "ra", "ne", "to", "shi", "bel", "dor", "fan", "gu", "hel", "jor")
_COLUMNS = (
    *("org_id", "id", "email", "name", "first_name", "last_name", "phone", "company", "tags"),
    *("properties", "content_hash", "create_time", "update_time"),
)
# One contact in five hundred has failed, the others are delivered.
_STAND = """
INSERT INTO contact_syncs (org_id, contact_id, crm, sync_status, processing_status, error_code)
SELECT org_id, id, 'hubspot', status, status, CASE WHEN status = 'ERROR' THEN 'X' END
FROM (
    SELECT *, CASE WHEN random() < 0.002 THEN 'ERROR' ELSE 'COMPLETE' END AS status FROM contacts
) AS c
"""
_NOTE = """
INSERT INTO unindexed_contacts (org_id, contact_ids)
SELECT org_id, array_agg(id)
FROM (SELECT org_id, id, row_number() OVER (ORDER BY id) / 1000 AS part FROM contacts) AS c
GROUP BY org_id, part
"""
_TEXTS = ("rosa", "ka", "rosa ross", "kalomi", "acme", "søren", "+49123", "mail7 mar", "zz")
_FILTERS = (
    "tags:vip",
    "properties.plan = team",
    'company = "Kalomi Inc"',
    "company = Kalo*",
    'name = "Rosa Rossi"',
    "last_name = Rossi AND tags:vip",
    "phone = +49123*",
    "create_time > 2025-06-01 AND has_phone = true",
    "sync.hubspot = ERROR",
    "sync.hubspot = COMPLETE AND NOT tags:lead",
    "(tags:vip OR tags:partner) AND properties.plan = free",
    "tags:nobody",
)


async def measure(service: Service, scale: float) -> list[Figure]:
    """Fill, and then search by texts, by filters, and page by page."""
    count = max(20_000, int(COUNT * scale))
    await fill(service.database, count)
    async with client(service) as caller:
        texts = [await _timed(caller, SearchRecordsRequest(text=one)) for one in _rounds(_TEXTS)]
        filters = [
            await _timed(caller, SearchRecordsRequest(filter=one)) for one in _rounds(_FILTERS)
        ]
        suggested = [await _suggest(caller, one) for one in _rounds(_TEXTS)]
        first, deep = await _pages(caller, count)
    say(f"  texts {_p95(texts):.0f} ms, filters {_p95(filters):.0f} ms")
    return [
        Figure(f"SearchRecords by text at {count:,} contacts, p50", _p50(texts), "ms"),
        Figure("SearchRecords by text, p95", _p95(texts), "ms", Bar(50, most=True)),
        Figure("SearchRecords by filter, p50", _p50(filters), "ms"),
        Figure("SearchRecords by filter, p95", _p95(filters), "ms", Bar(50, most=True)),
        Figure("SuggestRecords, p95", _p95(suggested), "ms"),
        Figure("page 10,000 of 50 over page 1", deep / first, bar=Bar(1.5, most=True)),
    ]


async def fill(place: postgres.Database, count: int) -> None:
    """Copy so many contacts in, deliver them, index them, and bring the tables to rest."""
    connection = await asyncpg.connect(place.admin_url)
    try:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM contacts)"):
            return
        started = time.perf_counter()
        await connection.copy_records_to_table(
            "contacts", records=_rows(count), columns=list(_COLUMNS)
        )
        await connection.execute("ANALYZE contacts")
        await connection.execute(_STAND)
        await connection.execute(_NOTE)
        say(f"  copied after {time.perf_counter() - started:.0f} s")
    finally:
        await connection.close()
    database = Database(place.url)
    await _index(database)
    await database.close()
    say(f"  indexed after {time.perf_counter() - started:.0f} s")
    await place.settle()


def since(number: int) -> str:
    """Return the filter for the contacts from one of a number on."""
    return f"create_time >= {_BEGINNING + number * _APART:%Y-%m-%dT%H:%M:%SZ}"


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    """Yield people half of whom have a last name and a company of their own."""
    chance = random.Random(7)  # noqa: S311 - test data
    ids = iter(new_ids(count))
    for number, one in enumerate(people(count)):
        made = "".join(chance.choices(_SYLLABLES, k=3)).capitalize()
        last = one.last_name if chance.random() < 0.5 else made  # noqa: PLR2004 - a half
        company = one.company if chance.random() < 0.5 else f"{made} Inc"  # noqa: PLR2004 - a half
        moment = _BEGINNING + number * _APART
        yield (
            *(DEFAULT_ORG, next(ids), one.email, f"{one.first_name} {last}", one.first_name, last),
            *(one.phone, company, one.tags, json.dumps(one.properties), b"benchmark"),
            *(moment, moment),
        )


def _rounds(asked: Sequence[str]) -> Iterator[str]:
    for _ in range(_ROUNDS):
        yield from asked


async def _index(database: Database) -> None:
    """Index all, some thousand to a transaction, as the server does."""
    left = 1
    while left:
        async with database.everyone() as connection:
            left = (await search_index.follow(connection)).statement_count
    async with database.everyone() as connection:
        await search_index.tidy(connection)


async def _timed(caller: CrmsyncClient, request: SearchRecordsRequest) -> float:
    """Return the milliseconds of a first page of 50, with its total and standings."""
    started = time.perf_counter()
    await caller.search.SearchRecords(request)
    return (time.perf_counter() - started) * 1000


async def _suggest(caller: CrmsyncClient, text: str) -> float:
    started = time.perf_counter()
    await caller.search.SuggestRecords(SuggestRecordsRequest(text=text))
    return (time.perf_counter() - started) * 1000


async def _pages(caller: CrmsyncClient, count: int) -> tuple[float, float]:
    """Return the medians of a page near the beginning and of one 10,000 pages on."""
    request = SearchRecordsRequest(filter="has_phone = true", page_size=50)
    page = await caller.search.SearchRecords(request)
    deep = await _deep(caller, min(count // 2, 500_000))
    request.page_token = page.next_page_token
    found: Mapping[str, list[float]] = {"first": [], "deep": []}
    for _ in range(4 * _ROUNDS):
        found["first"].append(await _timed(caller, request))
        found["deep"].append(await _timed(caller, deep))
    return statistics.median(found["first"]), statistics.median(found["deep"])


async def _deep(caller: CrmsyncClient, skipped: int) -> SearchRecordsRequest:
    """Return the request for a page of 50 so many contacts on, by pages of a thousand."""
    request = SearchRecordsRequest(filter="has_phone = true", page_size=1000)
    for _ in range(skipped // 1000):
        page = await caller.search.SearchRecords(request)
        request.page_token = page.next_page_token
    request.page_size = 50  # no part of what a token is bound to
    return request


def _p50(latencies: Sequence[float]) -> float:
    return statistics.median(latencies)


def _p95(latencies: Sequence[float]) -> float:
    return statistics.quantiles(latencies, n=20)[18]
