"""What reading Brevo brings, whatever happens to the account in the meantime."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Synced
from crmsync_server.crm.source import Cursor, Page, Record, Scope, Source, source_of
from tests.crm.brevo_script import adapter, body, brevo_crm
from tests.crm.loopback import loopback
from tests.crm.support import NOW, Rations, ScriptedCrm, deliveries, delivery

Contacts = list[dict[str, Any]]


def contact(number: int, **changes: object) -> dict[str, Any]:
    """Return a contact as Brevo shows it."""
    return {
        "id": number,
        "email": f"person{number}@example.com",
        "emailBlacklisted": True,
        "modifiedAt": "2026-11-20T10:00:00.000+02:00",
        "attributes": {"FIRSTNAME": f"First{number}", "SMS": f"3319999{number:04d}"},
        **changes,
    }


class Account:
    """Contacts in the order of their creation, and what happens before each page is answered."""

    def __init__(self, contacts: Contacts, *between: Contacts) -> None:
        """Take the contacts at first, and after each page."""
        self.contacts = contacts
        self._between = list(between)
        self.crm = brevo_crm({"GET /contacts": self._page})

    def _page(self, request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        page, total = self.contacts[offset : offset + limit], len(self.contacts)
        if self._between:
            self.contacts = self._between.pop(0)
        return httpx.Response(200, json={"contacts": page, "count": total})


async def pages(source: Source, scope: Scope, most: int = 50) -> list[Page]:
    """Read all pages; each cursor goes through JSON, as it does through the database."""
    found: list[Page] = []
    cursor: Cursor | None = {}
    while cursor is not None:
        page = await source.page(scope, json.loads(json.dumps(cursor)))
        assert isinstance(page, Page)
        found.append(page)
        assert len(found) <= most
        cursor = page.cursor
    return found


async def read(crm: ScriptedCrm, scope: Scope | None = None) -> list[Page]:
    """Read all pages of a scripted account."""
    return await pages(adapter(crm).source, scope or Scope())


def ids(found: Sequence[Page]) -> set[str]:
    """Return the ids of the records of all pages."""
    return {record.crm_contact_id for page in found for record in page.records}


def people(*numbers: int) -> set[str]:
    """Return the ids of contacts with these numbers."""
    return {f"person{number}@example.com" for number in numbers}


async def test_the_source_says_what_brevo_does_not_tell() -> None:
    """What was deleted there only a whole reading shows."""
    source = source_of(adapter(brevo_crm({})))
    assert source is not None
    assert not source.traits.tells_deletions
    assert source.traits.tells_times
    assert source.traits.overlap > timedelta(0)


async def test_a_contact_is_read_with_its_fields_attributes_and_time() -> None:
    """Under its address, which is the id that a push keeps; absent values are empty."""
    attributes = {"FIRSTNAME": "Ann", "SMS": "33199990001", "SCORE": 4.0, "VIP": True}
    account = Account([contact(1, email="Ann@Example.com", attributes=attributes)])
    (page,) = await read(account.crm)
    assert page == Page(
        [
            Record(
                "ann@example.com",
                "ann@example.com",
                "Ann",
                "",
                "+33199990001",
                "",
                properties={"SCORE": "4", "VIP": "true", "BORN": "", "LIKES": "", "TOTAL": ""},
                modified_time=datetime(2026, 11, 20, 8, tzinfo=UTC),
            )
        ],
        None,
        1,
    )


async def test_the_properties_are_those_that_were_asked_for() -> None:
    """Under the names that were used, for attributes that the account has."""
    attributes = {"LIKES": ["tea", "jam"], "SCORE": 4.5}
    account = Account([contact(1, attributes=attributes)])
    (page,) = await read(account.crm, Scope(names=frozenset({"likes", "SCORE", "NOTHING"})))
    assert page.records[0].properties == {"likes": "tea;jam", "SCORE": "4.5"}


async def test_a_contact_with_only_a_phone_has_no_email() -> None:
    """Brevo's made-up address is none; its number is its id."""
    account = Account([contact(7, email="33199990007@mailin-sms.com")])
    (page,) = await read(account.crm)
    assert page.records[0].crm_contact_id == "7"
    assert page.records[0].email == ""
    assert page.records[0].phone == "+33199990007"


async def test_what_changed_since_a_time_is_asked_for_in_utc() -> None:
    """Oldest first, and a thousand at a time."""
    account = Account([])
    since = datetime(2026, 11, 21, 14, 30, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    (page,) = await read(account.crm, Scope(since))
    assert page.records == []
    assert dict(account.crm.requests[-1].url.params) == {
        "limit": "1000",
        "offset": "0",
        "sort": "asc",
        "modifiedSince": "2026-11-21T12:30:00.000Z",
    }


async def test_many_contacts_are_read_in_as_few_pages_as_overlap() -> None:
    """The pages overlap by fifty; the total is what Brevo counts."""
    account = Account([contact(number) for number in range(1, 2_501)])
    found = await read(account.crm)
    assert ids(found) == people(*range(1, 2_501))
    assert [len(page.records) for page in found] == [1_000, 1_000, 600]
    assert {page.total for page in found} == {2_500}


@pytest.mark.parametrize("gone", [1, 49, 50, 51, 300, 1_000, 1_900])
async def test_nothing_that_stays_is_missed_when_contacts_are_deleted_while_reading(
    gone: int,
) -> None:
    """However many: a page that does not join the one before is read from further back."""
    everybody = [contact(number) for number in range(1, 2_501)]
    for lost in (everybody[:gone], everybody[1_000 - gone : 1_000] if gone < 1_000 else []):
        rest = [one for one in everybody if one not in lost]
        account = Account(everybody, rest)
        assert ids(await read(account.crm)) >= {one["email"] for one in rest}


async def test_contacts_that_come_in_before_are_read_in_the_next_reading_and_lose_nothing() -> None:
    """A changed old contact enters the list of changes in the middle."""
    late = [contact(number) for number in range(5_001, 6_501)]
    early = [contact(number) for number in range(1, 3_001)]
    account = Account(late, early + late)
    found = await read(account.crm)
    assert ids(found) >= {one["email"] for one in late}


async def test_a_count_that_is_too_high_ends_all_the_same() -> None:
    """A short page that brings nothing new is the last one."""

    def respond(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(
            200, json={"contacts": [contact(n) for n in range(1, 31)][offset:], "count": 99}
        )

    found = await read(brevo_crm({"GET /contacts": respond}))
    assert ids(found) == people(*range(1, 31))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(429, headers={"x-sib-ratelimit-reset": "7"}), Postponed),
        (httpx.Response(500), Retry),
        (httpx.Response(502), Retry),
        (httpx.Response(200, text="<html>"), Retry),
        (httpx.Response(200, json={"count": 3}), Retry),
        (httpx.Response(400, json={"code": "out_of_range", "message": "no"}), Rejected),
    ],
)
async def test_a_page_that_cannot_be_read_is_trouble_of_its_kind(
    answer: httpx.Response, expected: type
) -> None:
    """Nothing else is made of it."""
    source = adapter(brevo_crm({"GET": answer})).source
    assert isinstance(await source.page(Scope(), {}), expected)


async def test_a_refused_key_is_raised() -> None:
    """By every method that reads."""
    refusal = httpx.Response(401, json={"code": "unauthorized", "message": "Key not found"})
    source = adapter(brevo_crm({"GET": refusal})).source
    with pytest.raises(CredentialsRefusedError):
        await source.page(Scope(), {})
    with pytest.raises(CredentialsRefusedError):
        await source.fetch(["a@example.com"], None)
    with pytest.raises(CredentialsRefusedError):
        await source.find(["a@example.com"], None)


def single(request: httpx.Request) -> httpx.Response:
    """Answer for one contact: person1 to person9 are there, by address or number."""
    key, kind = request.url.path.rpartition("/")[2], request.url.params["identifierType"]
    for number in range(1, 10):
        if key == (str(number) if kind == "contact_id" else f"person{number}@example.com"):
            return httpx.Response(200, json=contact(number))
    return httpx.Response(404, json={"code": "document_not_found", "message": "no"})


async def test_contacts_are_fetched_by_address_or_number() -> None:
    """A call of the contacts' allowance for each; what cannot be an id costs none."""
    quota, crm = Rations(), brevo_crm({"GET": single})
    source = adapter(crm, quota).source
    keys = ["person1@example.com", "2", "gone@example.com", "99", "no id"]
    found = await source.fetch(keys, frozenset())
    assert isinstance(found, dict)
    assert {key: one and one.email for key, one in found.items()} == {
        "person1@example.com": "person1@example.com",
        "2": "person2@example.com",
        "gone@example.com": None,
        "99": None,
        "no id": None,
    }
    assert set(quota.taken) == {"contacts_hourly", "contacts"}
    assert len(crm.requests) == 5  # the attributes, and one for each that can be


async def test_contacts_are_found_by_their_email() -> None:
    """None for an address that no contact has, or that another one is shown for."""
    source = adapter(brevo_crm({"GET": single})).source
    found = await source.find(["person3@example.com", "gone@example.com"], None)
    assert isinstance(found, dict)
    assert found["person3@example.com"] is not None
    assert found["gone@example.com"] is None
    other = adapter(brevo_crm({"GET": httpx.Response(200, json=contact(4))})).source
    assert await other.find(["person3@example.com"], None) == {"person3@example.com": None}


async def test_one_that_cannot_be_read_makes_trouble_of_them_all() -> None:
    """Nobody is taken for gone because the quota ran out."""
    source = adapter(brevo_crm({"GET": single}), Rations(calls=4)).source
    found = await source.fetch([f"person{n}@example.com" for n in range(1, 6)], None)
    assert found == Postponed(
        NOW, "QUOTA_EXHAUSTED", f"the allowance contacts_hourly is used up until {NOW.isoformat()}"
    )
    lost = adapter(brevo_crm({"GET": httpx.Response(502)})).source
    assert isinstance(await lost.fetch(["a@example.com"], None), Retry)


async def test_a_contact_read_without_an_address_is_pushed_by_its_number() -> None:
    """It gets its address where it is, and no second contact is made."""

    def change(request: httpx.Request) -> httpx.Response:
        known = request.url.params["identifierType"] == "contact_id"
        return httpx.Response(204 if known else 404, json=None if known else {"code": "no"})

    crm = brevo_crm({"PUT": change})
    assert await adapter(crm).push([delivery(1, crm_contact_id="7")]) == [
        Synced("person1@example.com")
    ]
    assert crm.paths[-1] == "/contacts/7"
    assert body(crm.requests[-1])["attributes"] == {
        "EMAIL": "person1@example.com",
        "FIRSTNAME": "First1",
        "LASTNAME": "Last1",
        "SMS": "+33199990001",
        "COMPANY": "Company 1",
    }


async def test_what_was_pushed_is_read_back_from_the_simulated_account() -> None:
    """Under the ids that the push gave, once whole and once by what changed since."""
    async with loopback() as crms:
        start = datetime.now(UTC) - timedelta(minutes=1)
        outcomes = await crms.brevo.push(deliveries(3))
        source = crms.brevo.source
        for scope in (Scope(), Scope(start), Scope(start + timedelta(hours=1))):
            (page,) = await pages(source, scope)
            found = {one.crm_contact_id: one for one in page.records}
            if scope.since and scope.since > start:
                assert found == {}
                continue
            assert found.keys() == {one.crm_contact_id for one in outcomes if type(one) is Synced}
            ann = found["person1@example.com"]
            told = (ann.first_name, ann.last_name, ann.phone, ann.company)
            assert told == ("First1", "Last1", "+33199990001", "Company 1")
            assert ann.modified_time is not None
            assert ann.modified_time > start
        fetched = await source.fetch(["person2@example.com", "gone@example.com"], None)
        assert isinstance(fetched, dict)
        assert fetched["person2@example.com"] == found_by(page=await source.page(Scope(), {}))
        assert fetched["gone@example.com"] is None


async def test_a_user_at_work_while_it_is_read_hides_nobody_who_stays() -> None:
    """In the simulated account: the oldest are deleted, and a few in the middle changed."""
    async with loopback() as crms:
        user, source = crms.sandbox.brevo.user, crms.brevo.source
        numbers = user.seed(2_200)
        found: set[str] = set()
        cursor: Cursor | None = {}
        while cursor is not None:
            page = await source.page(Scope(), cursor)
            assert isinstance(page, Page)
            found |= ids([page])
            for number in numbers[:120]:
                user.remove(number)
            del numbers[:120]
            user.edit_many(numbers[500:510], {"FIRSTNAME": "Changed"})
            cursor = page.cursor
        assert found >= {f"seed{number}@example.com" for number in numbers}


async def test_an_address_that_a_user_changed_is_found_under_the_new_one() -> None:
    """The former one is gone; so it is with a contact that was merged away."""
    async with loopback() as crms:
        user, source = crms.sandbox.brevo.user, crms.brevo.source
        one, two = (user.add({"email": f"{name}@example.com"}) for name in ("ann", "eve"))
        phone = user.add({"SMS": "33199990001"})
        user.edit(one, {"EMAIL": "new@example.com"})
        found = await source.fetch(["ann@example.com", "new@example.com", phone], None)
        assert isinstance(found, dict)
        assert found["ann@example.com"] is None
        changed = found["new@example.com"]
        assert changed is not None
        by_phone = found[phone]
        assert by_phone is not None
        assert (by_phone.crm_contact_id, by_phone.email) == (phone, "")
        user.merge(two, one)
        gone = await source.find(["eve@example.com"], None)
        assert gone == {"eve@example.com": None}


def found_by(page: object) -> Record:
    """Return the second person of a page."""
    assert isinstance(page, Page)
    (found,) = [one for one in page.records if one.email == "person2@example.com"]
    return found


async def test_our_own_id_comes_along_where_brevo_keeps_it() -> None:
    """Which is how a contact is known again whose address has changed."""
    ours = "0197f0a2-0000-7000-8000-000000000007"
    account = Account([contact(1, ext_id=ours), contact(2)])
    (page,) = await read(account.crm)
    assert [one.contact_id for one in page.records] == [ours, ""]
