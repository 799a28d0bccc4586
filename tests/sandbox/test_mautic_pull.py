"""What Mautic gives to a reader: conditions, pages, dates that are missing, and who sees what."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_user import MauticUser
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock
from tests.sandbox.mautic_client import asking, turn, write

CONTACTS = "/api/contacts"


@pytest.fixture
async def mautic(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of Mautic with good credentials."""
    async with asking(sandbox) as client:
        yield client


@pytest.fixture
def user(sandbox: Sandbox) -> MauticUser:
    """Return somebody who works in Mautic."""
    return sandbox.mautic.user


def conditions(*clauses: tuple[str, str, str], **more: str) -> dict[str, str]:
    """Return the query of several conditions."""
    query = dict(more)
    for number, (col, expr, val) in enumerate(clauses):
        of = f"where[{number}]"
        query |= {f"{of}[col]": col, f"{of}[expr]": expr, f"{of}[val]": val}
    return query


async def ids(mautic: httpx.AsyncClient, *clauses: tuple[str, str, str], **more: str) -> list[str]:
    """Return the ids on the first page, and check that the total is their number."""
    answer = (await mautic.get(CONTACTS, params=conditions(*clauses, **more))).json()
    assert answer["total"] == str(len(answer["contacts"]))
    return list(answer["contacts"])


async def test_a_contact_that_was_never_changed_has_no_date_of_modification(
    mautic: httpx.AsyncClient, user: MauticUser, clock: MovableClock
) -> None:
    """Who reads changes misses it, and finds it by when it was added."""
    user.add({"email": "old@x.com"})
    clock.move(hours=1)
    user.add({"email": "new@x.com"})
    user.edit("1", {"city": "York"})
    since = "2026-03-02 13:00:00"
    assert await ids(mautic, ("dateModified", "gte", since)) == ["1"]
    assert await ids(mautic, ("dateAdded", "gte", since)) == ["2"]
    assert await ids(mautic, ("dateModified", "isNull", "")) == ["2"]
    shown = (await mautic.get(f"{CONTACTS}/2")).json()["contact"]
    assert shown["dateModified"] is None
    assert shown["dateAdded"] == "2026-03-02T13:00:00+00:00"


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ([("dateModified", "gt", "2026-03-02 12:01:00"), ("id", "gt", "2")], ["3"]),
        ([("date_modified", "lte", "2026-03-02T13:01:00+01:00")], ["1"]),
        ([("dateModified", "eq", "2026-03-02 12:02:00")], ["2"]),
        ([("dateModified", "lt", "2026-03-02 12:02:00")], ["1"]),
        ([("dateModified", "between", "2026-03-02 12:01:00,2026-03-02 12:02:00")], ["1", "2"]),
        ([("dateModified", "gt", "2026-03-02"), ("dateAdded", "gt", "2026-03-03")], []),
        ([("dateModified", "isNotNull", ""), ("id", "lt", "3")], ["1", "2"]),
        ([("id", "gte", "2"), ("id", "lte", "3")], ["2", "3"]),
        ([("id", "eq", "3")], ["3"]),
        ([("id", "in", "1,3")], ["1", "3"]),
        ([("email", "eq", "B@x.com")], ["2"]),
        ([("email", "eq", "b@x.com"), ("id", "gt", "2")], []),
        ([("email", "in", "a@x.com,c@x.com,z@x.com")], ["1", "3"]),
        ([("city", "like", "y%")], ["1", "2", "3"]),
        ([("city", "notLike", "%K")], []),
        ([("firstname", "neq", "a")], ["2", "3"]),
        ([("firstname", "notIn", "a,b")], ["3"]),
        ([("firstname", "isNull", "")], ["4"]),
    ],
)
async def test_each_condition_finds_what_it_should(
    mautic: httpx.AsyncClient,
    user: MauticUser,
    clock: MovableClock,
    clauses: list[tuple[str, str, str]],
    expected: list[str],
) -> None:
    """All must hold; a column without a value meets none but isNull."""
    for letter in "abc":
        added = user.add({"email": f"{letter}@x.com", "firstname": letter})
        clock.move(minutes=1)
        user.edit(added, {"city": "York"})
    user.add({"email": "d@x.com"})
    assert await ids(mautic, *clauses) == expected


async def test_visitors_are_left_out_by_search(mautic: httpx.AsyncClient, user: MauticUser) -> None:
    """Nothing is known of them, until something is."""
    user.add({"email": "a@x.com"})
    user.add({})
    identified = {"search": "!is:anonymous"}
    assert await ids(mautic) == ["1", "2"]
    assert await ids(mautic, **identified) == ["1"]
    user.edit("2", {"firstname": "Ada"})
    assert await ids(mautic, **identified) == ["1", "2"]
    user.edit("1", {"email": ""})
    assert await ids(mautic, **identified) == ["2"]


async def test_a_page_has_thirty_unless_more_are_asked_for(
    mautic: httpx.AsyncClient, user: MauticUser, clock: MovableClock
) -> None:
    """In the order asked for; minimal contacts have no tags."""
    user.seed(40)
    clock.move(minutes=1)
    user.edit("7", {"city": "York"})
    first = (await mautic.get(CONTACTS)).json()
    assert (len(first["contacts"]), first["total"]) == (30, "40")
    query = {"orderBy": "dateModified", "orderByDir": "DESC", "limit": "2", "minimal": "1"}
    shown = (await mautic.get(CONTACTS, params=query)).json()["contacts"]
    assert next(iter(shown)) == "7"
    assert "tags" not in shown["7"]
    assert shown["7"]["fields"]["all"]["email"] == "seed7@example.com"


async def test_a_user_who_may_not_see_others_contacts_is_told_less_without_a_word(
    mautic: httpx.AsyncClient, sandbox: Sandbox, user: MauticUser
) -> None:
    """A list is just shorter; its role tells why."""
    user.add({"email": "theirs@x.com"})
    await write(mautic, {"email": "ours@x.com"})
    assert await ids(mautic) == ["1", "2"]
    turn(sandbox.mautic, others_visible=False)
    assert await ids(mautic) == ["2"]
    assert (await mautic.get(f"{CONTACTS}/1")).status_code == 403
    role = (await mautic.get("/api/users/self")).json()["role"]
    assert "viewother" not in role["rawPermissions"]["lead:leads"]
    assert (await mautic.get("/api/roles")).json()["roles"] == [role]


async def test_a_merged_or_deleted_id_is_gone(
    mautic: httpx.AsyncClient, user: MauticUser, clock: MovableClock
) -> None:
    """The winner has what only the loser had, and was changed."""
    loser = user.add({"email": "loser@x.com", "city": "York", "tags": ["vip"]})
    winner = user.add({"email": "winner@x.com"})
    gone = user.add({"email": "gone@x.com"})
    clock.move(minutes=1)
    user.remove(gone)
    assert user.merge(loser, winner) == winner
    for one in (loser, gone):
        assert (await mautic.get(f"{CONTACTS}/{one}")).status_code == 404
    left = (await mautic.get(f"{CONTACTS}/{winner}")).json()["contact"]
    assert left["fields"]["all"]["city"] == "York"
    assert left["dateModified"] == "2026-03-02T12:01:00+00:00"
    assert await ids(mautic, ("email", "in", "loser@x.com,gone@x.com")) == []
    assert await ids(mautic, ("dateModified", "gte", "2026-03-02 12:01:00")) == [winner]


async def test_a_write_finds_the_newest_of_two_contacts_with_one_email(
    mautic: httpx.AsyncClient, user: MauticUser
) -> None:
    """And the other one once that is gone, or has another address."""
    user.add({"email": "a@x.com"})
    user.add({"email": "A@x.com"})
    record = {"email": "a@x.com", "city": "York"}
    (changed,) = (await write(mautic, record))["contacts"]
    assert changed["id"] == 2
    user.edit("2", {"email": "b@x.com"})
    (changed,) = (await write(mautic, record))["contacts"]
    assert changed["id"] == 1
    user.remove("1")
    (made,) = (await write(mautic, record))["contacts"]
    assert made["id"] == 3


async def test_a_field_has_an_alias_of_twenty_five_characters_at_most(
    mautic: httpx.AsyncClient,
) -> None:
    """One more is refused."""
    path = "/api/fields/contact/new"
    for length, status in ((25, 201), (26, 400)):
        field = {"label": "X", "alias": "x" * length, "type": "text"}
        assert (await mautic.post(path, json=field)).status_code == status
    listed = (await mautic.get("/api/fields/contact")).json()
    assert "x" * 25 in [field["alias"] for field in listed.values()]


def test_a_user_meets_the_rules_that_callers_meet(sandbox: Sandbox, user: MauticUser) -> None:
    """A value that Mautic does not take changes nothing, and an id that is none is a KeyError."""
    for fields in ({"email": "no address"}, {"shoe": "44"}):
        with pytest.raises(MauticError):
            user.add(fields)
    assert not list(sandbox.mautic.contacts())
    user.add({"email": "a@x.com"})
    with pytest.raises(KeyError):
        user.remove("2")
    with pytest.raises(KeyError):
        user.merge("1", "1")


async def test_seeds_were_changed_only_if_told_so(
    mautic: httpx.AsyncClient, user: MauticUser
) -> None:
    """And can be spread over time."""
    user.seed(2, over=timedelta(minutes=2))
    user.seed(2, modified=True)
    assert await ids(mautic, ("dateModified", "isNotNull", "")) == ["3", "4"]
    assert await ids(mautic, ("dateAdded", "lt", "2026-03-02 12:00:00")) == ["1"]


@pytest.mark.slow
async def test_a_page_of_two_hundred_thousand_contacts_costs_little(
    mautic: httpx.AsyncClient, user: MauticUser, clock: MovableClock
) -> None:
    """Milliseconds of processor time for a page or a write, though contacts change in between."""
    seeded = user.seed(200_000, modified=True)
    since, last = ("dateModified", "gte", "2026-03-02 12:00:00"), "0"
    more = {"limit": "20", "search": "!is:anonymous", "orderBy": "id"}
    await mautic.get(CONTACTS, params=conditions(since, **more))
    started = time.process_time()
    for number in range(50):
        clock.move(seconds=1)
        user.edit(seeded[-1 - number], {"city": "York"})
        await write(mautic, {"email": f"seed{number + 1}@example.com", "city": "Hull"})
        query: dict[str, Any] = conditions(since, ("id", "gt", last), **more)
        page = (await mautic.get(CONTACTS, params=query)).json()
        assert page["total"] == str(200_000 - int(last))
        last = list(page["contacts"])[-1]
    assert last == "1000"
    assert (time.process_time() - started) / 100 < 0.02
