"""What Brevo gives to a reader: pages that shift, changes since an instant, and identifiers."""

import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.brevo_errors import BrevoError
from crmsync_server.sandbox.brevo_user import BrevoUser
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock

CONTACTS = "/v3/contacts"


@pytest.fixture
def user(sandbox: Sandbox) -> BrevoUser:
    """Return somebody who works in Brevo."""
    return sandbox.brevo.user


async def ids(brevo: httpx.AsyncClient, **params: Any) -> list[int]:  # noqa: ANN401 - any value
    """Return the ids on one page, oldest first."""
    answer = await brevo.get(CONTACTS, params={"sort": "asc", **params})
    return [contact["id"] for contact in answer.json()["contacts"]]


async def test_pages_shift_when_a_contact_is_deleted_in_between(
    brevo: httpx.AsyncClient, user: BrevoUser
) -> None:
    """Who counts on the offset misses one."""
    user.seed(6)
    assert await ids(brevo, limit=3, offset=0) == [1, 2, 3]
    user.remove("2")
    assert await ids(brevo, limit=3, offset=3) == [5, 6]
    answer = (await brevo.get(CONTACTS, params={"limit": 2})).json()
    assert ([one["id"] for one in answer["contacts"]], answer["count"]) == ([6, 5], 5)


async def test_contacts_are_found_by_when_they_were_made_and_changed(
    brevo: httpx.AsyncClient, user: BrevoUser, clock: MovableClock
) -> None:
    """From an instant on, that instant included; always in the order of creation."""
    user.seed(2)
    clock.move(hours=1)
    user.seed(2)
    clock.move(hours=1)
    user.edit("4", {"CITY": "York"})
    user.edit("1", {"CITY": "York"})
    one, two = "2026-03-02T13:00:00.000Z", "2026-03-02T14:00:00.000Z"
    assert await ids(brevo, createdSince=one) == [3, 4]
    assert await ids(brevo, modifiedSince=one) == [1, 3, 4]
    assert await ids(brevo, modifiedSince=two) == [1, 4]
    assert await ids(brevo, modifiedSince=two, createdSince=one) == [4]
    assert await ids(brevo, modifiedSince="2026-03-02T14:00:00.001Z") == []


async def test_a_contact_without_email_is_listed_with_one_of_brevos_own(
    brevo: httpx.AsyncClient, user: BrevoUser
) -> None:
    """And found by its number."""
    added = user.add({"SMS": "+44 7700 900001", "FIRSTNAME": "Ada"})
    (listed,) = (await brevo.get(CONTACTS)).json()["contacts"]
    assert listed["email"] == "447700900001@mailin-sms.com"
    params = {"identifierType": "phone_id"}
    found = (await brevo.get(f"{CONTACTS}/447700900001", params=params)).json()
    assert str(found["id"]) == added
    assert (await brevo.get(f"{CONTACTS}/nobody%40x.com")).status_code == 404


async def test_a_merge_leaves_the_winner_with_what_only_the_loser_had(
    brevo: httpx.AsyncClient, user: BrevoUser
) -> None:
    """The loser's id is gone, and its number leads to the winner."""
    loser = user.add({"email": "b@x.com", "SMS": "447700900001", "CITY": "York", "listIds": [3]})
    winner = user.add({"email": "a@x.com", "CITY": "Hull", "ext_id": "7"})
    assert user.merge(loser, winner) == winner
    assert (await brevo.get(f"{CONTACTS}/{loser}")).status_code == 404
    found = (await brevo.get(f"{CONTACTS}/447700900001")).json()
    assert (found["email"], found["ext_id"], found["listIds"]) == ("a@x.com", "7", [3])
    assert found["attributes"]["CITY"] == "Hull"
    assert user.add({"email": "b@x.com"}) == "3"


def test_a_user_meets_the_rules_that_callers_meet(sandbox: Sandbox, user: BrevoUser) -> None:
    """A value that Brevo does not take changes nothing, and an id that is none is a KeyError."""
    user.add({"email": "ada@x.com"})
    for fields in (
        {"email": "ada@x.com"},
        {"email": "bob@x.com", "SHOE": "44"},
        {"email": "bob@x.com", "SMS": "0770"},
        {"FIRSTNAME": "Nobody"},
    ):
        with pytest.raises(BrevoError):
            user.add(fields)
    with pytest.raises(KeyError):
        user.edit("9", {})
    with pytest.raises(KeyError):
        user.merge("1", "1")
    assert len(list(sandbox.brevo.contacts())) == 1


async def test_an_edit_by_a_user_is_what_a_reader_gets(
    brevo: httpx.AsyncClient, user: BrevoUser
) -> None:
    """A new email, a blacklisting and a cleared attribute included."""
    added = user.add({"email": "old@x.com", "CITY": "York"})
    user.edit(added, {"EMAIL": "new@x.com", "CITY": "", "emailBlacklisted": True})
    found = (await brevo.get(f"{CONTACTS}/{added}")).json()
    assert (found["email"], found["emailBlacklisted"]) == ("new@x.com", True)
    assert found["attributes"]["CITY"] == ""


def test_seeds_can_be_spread_over_time(sandbox: Sandbox, user: BrevoUser) -> None:
    """The last of them is made now."""
    user.seed(2, over=timedelta(minutes=2))
    user.seed(1)
    made = [contact["createdAt"][11:16] for contact in sandbox.brevo.contacts()]
    assert made == ["11:59", "12:00", "12:00"]
    assert len({contact["email"] for contact in sandbox.brevo.contacts()}) == 3


@pytest.mark.slow
async def test_a_page_of_two_hundred_thousand_contacts_costs_little(
    brevo: httpx.AsyncClient, user: BrevoUser, clock: MovableClock
) -> None:
    """Milliseconds of processor time, though contacts change in between."""
    seeded = user.seed(200_000)
    params: dict[str, Any] = {
        "modifiedSince": "2026-03-02T12:00:00.000Z",
        "sort": "asc",
        "limit": 100,
    }
    await brevo.get(CONTACTS, params=params)
    started = time.process_time()
    for number in range(50):
        clock.move(seconds=1)
        user.edit(seeded[-1 - number], {"CITY": "York"})
        page = (await brevo.get(CONTACTS, params={**params, "offset": number * 100})).json()
        assert (page["contacts"][0]["id"], page["count"]) == (number * 100 + 1, 200_000)
    assert (time.process_time() - started) / 50 < 0.02
