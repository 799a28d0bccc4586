"""The simulated Zoho's query language."""

import time

import httpx
import pytest

from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.zoho_client import COQL, asking, person, query, zoho

PEOPLE: list[dict[str, object]] = [
    {"Last_Name": "Lovelace", "First_Name": "Ada", "Email": "ada@example.com", "Title": "Countess"},
    {"Last_Name": "O'Hara", "Email": "kim@example.com", "Email_Opt_Out": True},
    {"Last_Name": "Hopper", "First_Name": "Grace", "Date_of_Birth": "1906-12-09"},
]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ("Last_Name = 'hopper'", ["Hopper"]),
        ("Last_Name = 'O''Hara'", ["O'Hara"]),
        ("Last_Name != 'Hopper'", ["Lovelace", "O'Hara"]),
        ("Email in ('ada@example.com', 'KIM@example.com')", ["Lovelace", "O'Hara"]),
        ("Email not in ('ada@example.com')", ["O'Hara", "Hopper"]),
        ("Last_Name like '%o%'", ["Lovelace", "O'Hara", "Hopper"]),
        ("Last_Name like 'h%'", ["Hopper"]),
        ("Last_Name not like 'h%'", ["Lovelace", "O'Hara"]),
        ("First_Name is null", ["O'Hara"]),
        ("First_Name is not null", ["Lovelace", "Hopper"]),
        ("Email_Opt_Out = true", ["O'Hara"]),
        ("Date_of_Birth < '1907-01-01'", ["Hopper"]),
        ("Date_of_Birth between '1906-12-09' and '1906-12-09'", ["Hopper"]),
        ("First_Name = 'Ada' and Title = 'Countess'", ["Lovelace"]),
        ("First_Name = 'Ada' or (Email is null and Last_Name > 'a')", ["Lovelace", "Hopper"]),
        ("((First_Name = 'Ada' or Email is null) and (Last_Name >= 'I'))", ["Lovelace"]),
        ("id > 0", ["Lovelace", "O'Hara", "Hopper"]),
        ("Last_Name = 'Nobody'", []),
    ],
)
async def test_criteria_find_what_they_say(
    sandbox: Sandbox, criteria: str, expected: list[str]
) -> None:
    """Text in any case of letters; what has no value meets few of them."""
    sandbox.zoho.user.load(PEOPLE)
    async with asking(sandbox) as client:
        found = await query(client, f"select Last_Name from Contacts where {criteria}")  # noqa: S608 - COQL
    assert [one["Last_Name"] for one in found] == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("select Email from Contacts", "SYNTAX_ERROR"),
        ("select Email from Leads where id > 0", "INVALID_QUERY"),
        ("select Nonsense from Contacts where id > 0", "INVALID_QUERY"),
        ("select Email from Contacts where Nonsense = 1", "INVALID_QUERY"),
        ("select Email from Contacts where Modified_Time > 'today'", "INVALID_QUERY"),
        ("select Email from Contacts where Modified_Time > '2026-01-01T00:00:00'", "INVALID_QUERY"),
        ("select Email from Contacts where id > 0 and id > 1 and id > 2", "SYNTAX_ERROR"),
        ("select Email from Contacts where (id > 0 or id > 1 or id > 2)", "SYNTAX_ERROR"),
        ("select Email from Contacts where Last_Name = 'O'Hara'", "SYNTAX_ERROR"),
        ("select Email from Contacts where Last_Name = Hopper", "SYNTAX_ERROR"),
        ("select Email from Contacts where id > 0 limit 2001", "LIMIT_EXCEEDED"),
        ("select Email from Contacts where id > 0 limit 99000, 2000", "LIMIT_EXCEEDED"),
        ("select Email from Contacts where id > 0 order by id, id", "DUPLICATE_DATA"),
        ("select id" + ",id" * 50 + " from Contacts where id > 0", "LIMIT_EXCEEDED"),
        ("select id from Contacts where id in (1" + ",1" * 50 + ")", "LIMIT_EXCEEDED"),
        ("drop table Contacts", "SYNTAX_ERROR"),
        ("select Email from Contacts where", "SYNTAX_ERROR"),
    ],
)
async def test_a_query_that_will_not_do_is_a_400(sandbox: Sandbox, text: str, code: str) -> None:
    """More than two criteria need brackets in pairs."""
    async with asking(sandbox) as client:
        refused = await client.post(COQL, json={"select_query": text})
    assert (refused.status_code, refused.json()["code"]) == (400, code)


async def test_an_answer_says_whether_there_is_more(sandbox: Sandbox) -> None:
    """200 records unless more are asked for; of a user only the id is told."""
    sandbox.zoho.user.load(person(number) for number in range(450))
    text = "select Email, Modified_By from Contacts where id > 0 order by id desc"
    async with asking(sandbox) as client:
        first = (await client.post(COQL, json={"select_query": text})).json()
        last = (await client.post(COQL, json={"select_query": f"{text} limit 400, 100"})).json()
        none = await client.post(COQL, json={"select_query": f"{text} limit 10 offset 450"})
    assert first["info"] == {"count": 200, "more_records": True}
    assert first["data"][0]["Email"] == "p449@example.com"
    assert first["data"][0]["Modified_By"] == {"id": "554023000000235012"}
    assert last["info"] == {"count": 50, "more_records": False}
    assert last["data"][-1]["Email"] == "p0@example.com"
    assert none.status_code == 204


@pytest.mark.parametrize("order", ["Title asc, Email desc", "Modified_Time desc, id asc"])
async def test_any_columns_order(sandbox: Sandbox, clock: MovableClock, order: str) -> None:
    """What has no value comes first."""
    sandbox.zoho.user.load([person(1, Title="a"), person(2, Title="a")])
    clock.move(seconds=1)
    sandbox.zoho.user.load([person(3)])
    text = f"select Email from Contacts where id > 0 order by {order}"  # noqa: S608 - COQL
    async with asking(sandbox) as client:
        found = [one["Email"] for one in await query(client, text)]
    expected = [3, 2, 1] if "Title" in order else [3, 1, 2]
    assert found == [f"p{number}@example.com" for number in expected]


async def walk_by_key(client: httpx.AsyncClient, size: int) -> list[str]:
    """Read all by Modified_Time and id, each page from where the last one ended."""
    found: list[str] = []
    where = "Modified_Time >= '2000-01-01T00:00:00+00:00'"
    while True:
        page = await query(
            client,
            f"select Modified_Time from Contacts where {where} "  # noqa: S608 - COQL
            f"order by Modified_Time asc, id asc limit {size}",
        )
        found += [one["id"] for one in page]
        if len(page) < size:
            return found
        at, last = page[-1]["Modified_Time"], page[-1]["id"]
        where = f"(Modified_Time > '{at}' or (Modified_Time = '{at}' and id > {last}))"


async def test_a_walk_by_key_meets_each_contact_once(sandbox: Sandbox, clock: MovableClock) -> None:
    """Though many share a second."""
    ids = sandbox.zoho.user.load(person(number) for number in range(70))
    clock.move(seconds=1)
    sandbox.zoho.user.touch(*ids[:30])
    async with asking(sandbox) as client:
        assert await walk_by_key(client, 7) == ids[30:] + ids[:30]


async def test_a_query_sees_what_is_indexed(clock: MovableClock) -> None:
    """Later than a list does."""
    async with zoho(ZohoSettings(lag_seconds=30), clock) as (sandbox, client):
        contact = sandbox.zoho.user.add(person(1))
        text = "select Phone from Contacts where id > 0"
        assert await query(client, text) == []
        clock.move(seconds=30)
        sandbox.zoho.user.edit(contact, {"Phone": "1"})
        assert await query(client, text) == [{"id": contact, "Phone": None}]
        clock.move(seconds=30)
        assert await query(client, text) == [{"id": contact, "Phone": "1"}]


async def test_a_walk_through_two_hundred_thousand_does_not_slow_down(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """Every page is found by the order it is asked in."""
    sandbox.zoho.user.load(person(number) for number in range(200_000))
    later = clock.now.isoformat()
    text = (
        f"select Email from Contacts where Modified_Time = '{later}' "  # noqa: S608 - COQL
        "and id > {} order by Modified_Time, id limit 200"
    )
    async with asking(sandbox) as client:
        every = sandbox.zoho.organization.live.order("id")
        started = time.process_time()
        for at in range(0, 200_000, 20_000):
            (first, *_) = await query(client, text.format(every[at][-1]))
            assert first["Email"] == f"p{at + 1}@example.com"
        assert time.process_time() - started < 10 * 0.02
