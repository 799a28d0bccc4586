"""What the simulated Zoho lets in: credits in a day, and calls at once."""

import asyncio

import httpx
import pytest

from crmsync_server.sandbox.zoho import ZohoSettings
from crmsync_server.sandbox.zoho_limits import Price, price_of
from tests.sandbox.conftest import MovableClock
from tests.sandbox.zoho_client import BULK, CONTACTS, COQL, person, upsert, zoho

LEFT = "x-api-credits-remaining"
ONE = f"{CONTACTS}?fields=id"


async def test_credits_are_told_once_half_of_them_are_used(clock: MovableClock) -> None:
    """And come back 24 hours after they were used, not at midnight."""
    async with zoho(ZohoSettings(credits=20, token_seconds=2**20), clock) as (_, client):
        for _ in range(9):
            assert LEFT not in (await client.get(ONE)).headers
        clock.move(hours=12)
        reply = await upsert(client, *(person(number) for number in range(95)))
        assert reply.headers[LEFT] == "1"
        assert (await client.get(ONE)).headers[LEFT] == "0"
        refused = await client.get(ONE)
        assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert refused.headers[LEFT] == "0"
        assert "retry-after" not in refused.headers
        clock.move(hours=12)
        assert (await client.get(ONE)).headers[LEFT] == "8"
        clock.move(hours=12)
        assert LEFT not in (await client.get(ONE)).headers


async def test_a_call_that_costs_more_than_is_left_is_not_applied(clock: MovableClock) -> None:
    """A smaller one still is."""
    async with zoho(ZohoSettings(credits=5), clock) as (sandbox, client):
        records = [person(number) for number in range(60)]
        assert (await upsert(client, *records)).status_code == 429
        assert not list(sandbox.zoho.contacts())
        assert (await upsert(client, *records[:50])).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "price"),
    [
        ("GET", CONTACTS, b"", Price(1, heavy=False)),
        ("POST", f"{CONTACTS}/upsert", b'{"data": [1]}', Price(1, heavy=False)),
        ("POST", f"{CONTACTS}/upsert", b'{"data": [1,2,3,4,5,6,7,8,9,0,1]}', Price(2, heavy=True)),
        ("PUT", CONTACTS, b"garbled", Price(1, heavy=False)),
        ("POST", COQL, b"{... where id > 0}", Price(1, heavy=True)),
        ("POST", COQL, b"{... where id > 0 limit 1000}", Price(2, heavy=True)),
        ("POST", COQL, b"{... where id > 0 limit 200, 2000}", Price(3, heavy=True)),
        ("POST", BULK, b"{}", Price(50, heavy=False)),
        ("GET", f"{BULK}/1", b"", Price(1, heavy=False)),
    ],
)
def test_a_call_costs_what_it_carries(method: str, path: str, body: bytes, price: Price) -> None:
    """One credit for ten records written, and fifty for a bulk read."""
    assert price_of(method, path, body) == price


async def statuses(client: httpx.AsyncClient, number: int, records: int) -> list[int]:
    """Return the statuses of so many calls made at once, each of so many records."""
    batch = [person(one) for one in range(records)]
    replies = await asyncio.gather(*(upsert(client, *batch) for _ in range(number)))
    return sorted(reply.status_code for reply in replies)


async def test_only_so_many_calls_run_at_once(clock: MovableClock) -> None:
    """And fewer of those that write more than ten records."""
    settings = ZohoSettings(concurrency=8, sub_concurrency=4, working_seconds=0.5)
    async with zoho(settings, clock) as (sandbox, client):
        assert await statuses(client, 10, 1) == [200] * 8 + [429] * 2
        assert await statuses(client, 6, 11) == [200] * 4 + [429] * 2
        assert await statuses(client, 4, 11) == [200] * 4
        assert sandbox.zoho.meter.most_running == 8
