"""Reading the simulated Zoho's contacts: pages, tokens, what changed, what is gone, and search."""

import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.zoho_client import CONTACTS, asking, person, upsert, zoho

BY_CHANGE = {"fields": "Email,Modified_Time", "sort_by": "Modified_Time", "sort_order": "asc"}


async def walk(client: httpx.AsyncClient, **params: str | int) -> list[dict[str, Any]]:
    """Read a list to its end by page tokens."""
    asked: dict[str, str | int] = {"fields": "Email", "per_page": 200, **params}
    found: list[dict[str, Any]] = []
    while True:
        body = (await client.get(CONTACTS, params=asked)).json()
        found += body["data"]
        if not body["info"]["more_records"]:
            return found
        asked["page_token"] = body["info"]["next_page_token"]


def numbers(records: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of persons, from their emails."""
    return [int(one["Email"].removeprefix("p").partition("@")[0]) for one in records]


async def test_a_list_needs_fields_and_prints_those(sandbox: Sandbox) -> None:
    """And the id; a field without a value is null."""
    async with asking(sandbox) as client:
        assert (await client.get(CONTACTS)).json()["details"] == {"param_name": "fields"}
        assert (await client.get(CONTACTS, params={"fields": "id"})).status_code == 204
        contact = sandbox.zoho.user.add(person(1, First_Name="Ada"))
        names = "Full_Name,Phone,Email_Opt_Out,Created_Time,Owner,Nonsense"
        (shown,) = (await client.get(CONTACTS, params={"fields": names})).json()["data"]
        many = ",".join(f"F{number}" for number in range(51))
        refused = await client.get(CONTACTS, params={"fields": many})
    owner = shown.pop("Owner")
    assert owner["email"] == "patricia@sandbox.example"
    assert shown == {
        "id": contact,
        "Full_Name": "Ada P1",
        "Phone": None,
        "Email_Opt_Out": False,
        "Created_Time": "2026-03-02T17:30:00+05:30",
    }
    assert refused.json()["code"] == "LIMIT_EXCEEDED"


async def test_pages_by_number_end_at_two_thousand_records(sandbox: Sandbox) -> None:
    """Tokens go on from there; both together are refused."""
    sandbox.zoho.user.load(person(number) for number in range(2300))
    async with asking(sandbox) as client:
        asked = {"fields": "Email", "page": "10", "sort_order": "asc"}
        tenth = (await client.get(CONTACTS, params=asked)).json()
        assert numbers(tenth["data"]) == list(range(1800, 2000))
        refused = await client.get(CONTACTS, params=asked | {"page": "11"})
        assert refused.json()["code"] == "DISCRETE_PAGINATION_LIMIT_EXCEEDED"
        token = {"fields": "Email", "page_token": tenth["info"]["next_page_token"]}
        assert numbers((await client.get(CONTACTS, params=token)).json()["data"])[0] == 2000
        refused = await client.get(CONTACTS, params=token | {"page": "1"})
        assert refused.json()["code"] == "AMBIGUITY_DURING_PROCESSING"
        refused = await client.get(CONTACTS, params={"fields": "Email", "per_page": "201"})
        assert refused.json()["details"] == {"param_name": "per_page"}


@pytest.mark.parametrize("sort_by", ["id", "Created_Time", "Modified_Time"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_list_by_token_is_whole_and_in_order(
    sandbox: Sandbox, clock: MovableClock, sort_by: str, order: str
) -> None:
    """Also where many contacts share a second."""
    sandbox.zoho.user.load(person(number) for number in range(450))
    clock.move(seconds=1)
    sandbox.zoho.user.load(person(number) for number in range(450, 500))
    async with asking(sandbox) as client:
        found = await walk(client, sort_by=sort_by, sort_order=order)
    expected = list(range(500))
    assert numbers(found) == (expected if order == "asc" else expected[::-1])


async def test_the_newest_come_first_unless_asked_otherwise(sandbox: Sandbox) -> None:
    """By id, descending."""
    sandbox.zoho.user.load(person(number) for number in range(3))
    async with asking(sandbox) as client:
        listed = (await client.get(CONTACTS, params={"fields": "Email"})).json()
    assert numbers(listed["data"]) == [2, 1, 0]
    assert (listed["info"]["sort_by"], listed["info"]["sort_order"]) == ("id", "desc")


async def test_a_page_token_expires_and_ends_at_a_hundred_thousand(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """After a day; a list that is longer is not read to its end."""
    sandbox.zoho.user.load(person(number) for number in range(100_200))
    async with asking(sandbox) as client:
        body = (await client.get(CONTACTS, params={"fields": "id"})).json()
        asked = {"fields": "id", "page_token": body["info"]["next_page_token"]}
        read = 200
        while (reply := await client.get(CONTACTS, params=asked)).status_code == 200:
            read += len(reply.json()["data"])
            asked["page_token"] = reply.json()["info"]["next_page_token"]
    assert (read, reply.json()["code"]) == (100_000, "PAGINATION_LIMIT_EXCEEDED")
    clock.move(days=1)
    asked["page_token"] = body["info"]["next_page_token"]
    async with asking(sandbox) as client:
        late = await client.get(CONTACTS, params=asked)
        assert late.json()["code"] == "EXPIRED_VALUE"
        bad = await client.get(CONTACTS, params=asked | {"page_token": "x"})
        assert bad.json()["details"] == {"param_name": "page_token"}


@pytest.mark.parametrize("shifting", [False, True])
async def test_a_token_may_be_a_position_that_others_move_away_from(
    clock: MovableClock, *, shifting: bool
) -> None:
    """Then an edit between two pages hides a contact from the reader."""
    async with zoho(ZohoSettings(page_tokens_shift=shifting), clock) as (sandbox, client):
        ids = sandbox.zoho.user.load(person(number) for number in range(4))
        clock.move(seconds=1)
        first = (await client.get(CONTACTS, params=BY_CHANGE | {"per_page": "2"})).json()
        sandbox.zoho.user.edit(ids[0], {"Phone": "1"})
        asked = BY_CHANGE | {"per_page": "2", "page_token": first["info"]["next_page_token"]}
        second = (await client.get(CONTACTS, params=asked)).json()["data"]
    assert numbers(second) == ([3, 0] if shifting else [2, 3])


async def test_nothing_changed_is_a_304_and_nothing_held_a_204(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """What changed at that very second is not news."""
    since = {"If-Modified-Since": clock.now.isoformat()}
    async with asking(sandbox) as client:
        assert (await client.get(CONTACTS, params=BY_CHANGE, headers=since)).status_code == 204
        contact = sandbox.zoho.user.add(person(1))
        assert (await client.get(CONTACTS, params=BY_CHANGE, headers=since)).status_code == 304
        one = await client.get(f"{CONTACTS}/{contact}", headers=since)
        assert one.status_code == 304
        clock.move(seconds=1)
        sandbox.zoho.user.touch(contact)
        sandbox.zoho.user.load([person(2)], clock.now - timedelta(days=1))
        for order in ({}, {"sort_by": "id"}):
            reply = await client.get(CONTACTS, params=BY_CHANGE | order, headers=since)
            assert numbers(reply.json()["data"]) == [1]
        vague = {"If-Modified-Since": "2026-03-02T12:00:00"}
        refused = await client.get(CONTACTS, params=BY_CHANGE, headers=vague)
        assert refused.json()["code"] == "INVALID_DATA"


async def test_the_very_second_may_count(clock: MovableClock) -> None:
    """Nobody says whether it does."""
    since = {"If-Modified-Since": clock.now.isoformat()}
    async with zoho(ZohoSettings(since_inclusive=True), clock) as (sandbox, client):
        sandbox.zoho.user.add(person(1))
        assert (await client.get(CONTACTS, params=BY_CHANGE, headers=since)).status_code == 200


async def test_contacts_are_read_by_id(sandbox: Sandbox) -> None:
    """One with all its fields; several, as far as they exist."""
    ids = [sandbox.zoho.user.add(person(number)) for number in range(3)]
    async with asking(sandbox) as client:
        (one,) = (await client.get(f"{CONTACTS}/{ids[1]}")).json()["data"]
        params = {"ids": f"{ids[2]},{ids[0]},1", "fields": "Email"}
        some = (await client.get(CONTACTS, params=params)).json()["data"]
        assert (await client.get(f"{CONTACTS}/1")).status_code == 204
        assert (await client.get(CONTACTS, params={"ids": "1"})).status_code == 204
    assert (one["Email"], one["Mailing_City"]) == ("p1@example.com", None)
    assert numbers(some) == [2, 0]


async def test_what_is_gone_is_listed_by_kind(sandbox: Sandbox, clock: MovableClock) -> None:
    """In the recycle bin or for good; the loser of a merge is gone for good."""
    ids = [sandbox.zoho.user.add(person(number, Phone=str(number))) for number in range(4)]
    async with asking(sandbox) as client:
        deleted = f"{CONTACTS}/deleted"
        assert (await client.get(deleted)).status_code == 204
        sandbox.zoho.user.remove(ids[0])
        since = {"If-Modified-Since": clock.now.isoformat()}
        assert (await client.get(deleted, headers=since)).status_code == 304
        clock.move(seconds=5)
        sandbox.zoho.user.remove(ids[1], permanent=True)
        sandbox.zoho.user.edit(ids[3], {"Phone": None})
        sandbox.zoho.user.merge(ids[2], ids[3])
        listed = (await client.get(deleted, params={"type": "all"})).json()
        assert [one["id"] for one in listed["data"]] == [ids[2], ids[1], ids[0]]
        assert listed["data"][2] == {
            "deleted_by": {"name": "Patricia", "id": "554023000000235012"},
            "id": ids[0],
            "display_name": "P0",
            "type": "recycle",
            "created_by": {"name": "Patricia", "id": "554023000000235012"},
            "deleted_time": "2026-03-02T17:30:00+05:30",
        }
        newer = (await client.get(deleted, headers=since)).json()
        assert len(newer["data"]) == 2
        bin_only = (await client.get(deleted, params={"type": "recycle"})).json()["data"]
        assert [one["id"] for one in bin_only] == ids[:1]
        sandbox.zoho.user.empty_bin()
        gone = await client.get(deleted, params={"type": "permanent", "per_page": "2"})
        assert gone.json()["info"]["more_records"] is True
        (winner,) = (await client.get(CONTACTS, params=BY_CHANGE | {"fields": "Phone"})).json()[
            "data"
        ]
    assert winner == {"id": ids[3], "Phone": "2"}


async def test_search_finds_an_email_in_both_its_fields_once_it_is_indexed(
    clock: MovableClock,
) -> None:
    """A list has at once what search has later: new, changed and deleted contacts alike."""

    async def found(client: httpx.AsyncClient, email: str) -> list[int]:
        params = {"email": email, "fields": "Email"}
        reply = await client.get(f"{CONTACTS}/search", params=params)
        return numbers(reply.json()["data"]) if reply.content else []

    async with zoho(ZohoSettings(lag_seconds=10), clock) as (sandbox, client):
        await upsert(client, person(1))
        second = sandbox.zoho.user.add(person(2, Secondary_Email="P1@example.com"))
        assert await found(client, "p1@example.com") == []
        assert len(await walk(client)) == 2
        clock.move(seconds=10)
        assert await found(client, "p1@example.com") == [1, 2]
        sandbox.zoho.user.edit(second, {"Secondary_Email": None})
        assert await found(client, "p1@example.com") == [1, 2]
        clock.move(seconds=10)
        assert await found(client, "p1@example.com") == [1]
        sandbox.zoho.user.remove(second)
        assert await found(client, "p2@example.com") == [2]
        clock.move(seconds=10)
        assert await found(client, "p2@example.com") == []
        assert (await client.get(f"{CONTACTS}/search")).status_code == 400


async def test_a_page_of_two_hundred_thousand_takes_a_few_milliseconds(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """From the front and from the end, of all and of what changed."""
    ids = sandbox.zoho.user.load(person(number) for number in range(200_000))
    clock.move(seconds=1)
    for contact in ids[:2000]:
        sandbox.zoho.user.edit(contact, {"Phone": "1"})
    since = {"If-Modified-Since": (clock.now - timedelta(seconds=1)).isoformat()}
    async with asking(sandbox) as client:
        started = time.process_time()
        for page in range(1, 11):
            for order in ("asc", "desc"):
                params = {**BY_CHANGE, "page": str(page), "sort_order": order}
                assert (await client.get(CONTACTS, params=params)).status_code == 200
                reply = await client.get(CONTACTS, params=params, headers=since)
                assert len(reply.json()["data"]) == 200
        assert time.process_time() - started < 40 * 0.02
