"""What reading Mautic brings, and what its answers are not taken for."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Synced
from crmsync_server.crm.source import Cursor, Page, Record, Scope, Source, source_of
from tests.crm.loopback import loopback
from tests.crm.mautic_script import CONTACTS, contact, error, instance
from tests.crm.support import NOW, Rations, ScriptedCrm, deliveries

SINCE = datetime(2026, 11, 21, 14, 30, 5, 999, tzinfo=timezone(timedelta(hours=2)))
ADDED = "2026-11-20T10:00:00+02:00"


def person(number: int, **changes: object) -> dict[str, Any]:
    """Return a contact that nobody has changed yet, as Mautic shows it."""
    shown = contact(number, f"person{number}@example.com", firstname=f"First{number}")
    return {**shown, "dateAdded": ADDED, "dateModified": None, **changes}


def answer(contacts: Sequence[Mapping[str, Any]], total: object = None) -> httpx.Response:
    """Answer with contacts by id; with an empty list where there are none."""
    found = {str(one["id"]): one for one in contacts}
    body = {"total": str(len(found)) if total is None else total, "contacts": found or []}
    return httpx.Response(200, json=body)


class Instance:
    """Contacts that are shown after an id; by query, where there are several."""

    def __init__(self, *contacts: Mapping[str, Any], most: int = 1_000, **queries: Any) -> None:  # noqa: ANN401 - contacts of the test's choice
        """Take the contacts of a whole reading, and those of each column that is compared."""
        self._contacts = {"": list(contacts), **queries}
        self._most = most
        self.crm = ScriptedCrm(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        params = request.url.params
        assert (params["where[0][col]"], params["where[0][expr]"]) == ("id", "gt")
        after, limit = int(params["where[0][val]"]), min(int(params["limit"]), self._most)
        found = [
            one for one in self._contacts[params.get("where[1][col]", "")] if one["id"] > after
        ]
        return answer(found[:limit], str(len(found)))


async def pages(source: Source, scope: Scope) -> list[Page]:
    """Read all pages; each cursor goes through JSON, as it does through the database."""
    found: list[Page] = []
    cursor: Cursor | None = {}
    while cursor is not None:
        page = await source.page(scope, json.loads(json.dumps(cursor)))
        assert isinstance(page, Page)
        found.append(page)
        assert len(found) < 50
        cursor = page.cursor
    return found


async def read(crm: ScriptedCrm, scope: Scope | None = None) -> list[Page]:
    """Read all pages of a scripted instance."""
    return await pages(instance(crm.tools()).source, scope or Scope())


def ids(found: Sequence[Page]) -> list[str]:
    """Return the ids of the records of all pages, in order."""
    return [record.crm_contact_id for page in found for record in page.records]


async def test_the_source_says_what_mautic_does_not_tell() -> None:
    """What was deleted there only a whole reading shows."""
    source = source_of(instance(Instance().crm.tools()))
    assert source is not None
    assert not source.traits.tells_deletions
    assert source.traits.tells_times
    assert source.traits.overlap > timedelta(0)


async def test_a_contact_is_read_with_its_fields_tags_and_time() -> None:
    """Times are in UTC; one that was never changed has that of its making."""
    shown = {
        **contact(7, "Ann@Example.com", firstname="Ann", lastname=None, phone="+33", score=4),
        "tags": [{"id": 1, "tag": "vip"}],
        "dateAdded": ADDED,
    }
    (page,) = await read(Instance(shown).crm)
    assert page == Page(
        [
            Record(
                "7",
                "ann@example.com",
                "Ann",
                "",
                "+33",
                None,
                ["vip"],
                {"score": "4"},
                datetime(2026, 11, 20, 8, tzinfo=UTC),
            )
        ],
        None,
        1,
    )
    changed = person(7, dateModified="2026-11-21T01:00:00+00:00")
    (page,) = await read(Instance(changed).crm)
    assert page.records[0].modified_time == datetime(2026, 11, 21, 1, tzinfo=UTC)


async def test_the_properties_are_those_that_were_asked_for() -> None:
    """Under the names that were used, for fields that the instance has; empty ones too."""
    shown = contact(7, "a@example.com", score=4, likes=["tea", "jam"], note=None)
    wanted = frozenset({"Score", "likes", "note", "nothing"})
    (page,) = await read(Instance(shown).crm, Scope(names=wanted))
    assert page.records[0].properties == {"Score": "4", "likes": "tea|jam", "note": ""}


@pytest.mark.parametrize("most", [1_000, 30])
async def test_everything_is_read_in_the_order_of_ids(most: int) -> None:
    """Whatever an instance shows at most; the total is that of the whole reading."""
    known = Instance(*[person(number) for number in range(3, 253)], most=most)
    found = await read(known.crm)
    assert ids(found) == [str(number) for number in range(3, 253)]
    assert {page.total for page in found} == {250}
    first = dict(known.crm.requests[0].url.params)
    assert first["search"] == "!is:anonymous"
    assert (first["orderBy"], first["orderByDir"]) == ("id", "asc")
    assert len(found) == 3 if most > 100 else 9


async def test_what_changed_and_what_was_added_are_two_queries() -> None:
    """A contact that nobody changed has no time of a change."""
    crm = Instance(dateModified=[person(1), person(2)], dateAdded=[person(2), person(3)]).crm
    assert ids(await read(crm, Scope(SINCE))) == ["1", "2", "2", "3"]
    compared = [
        {name: request.url.params[f"where[1][{name}]"] for name in ("col", "expr", "val")}
        for request in crm.requests
    ]
    since = {"expr": "gte", "val": "2026-11-21 12:30:05"}
    assert compared == [{"col": "dateModified", **since}, {"col": "dateAdded", **since}]


async def test_an_empty_answer_to_one_query_is_followed_by_the_other() -> None:
    """PHP prints an empty object as a list."""
    crm = Instance(dateModified=[], dateAdded=[person(3)]).crm
    assert ids(await read(crm, Scope(SINCE))) == ["3"]
    assert ids(await read(Instance().crm)) == []


async def test_contacts_in_a_list_and_a_total_of_nothing_are_read_all_the_same() -> None:
    """Until a page is empty, where the total says nothing."""
    replies = [
        httpx.Response(200, json={"contacts": [person(4), person(9)]}),
        httpx.Response(200, json={"contacts": []}),
    ]
    found = await read(ScriptedCrm(lambda _: replies.pop(0)))
    assert ids(found) == ["4", "9"]
    assert [page.total for page in found] == [None, None]


async def test_an_instance_that_ignores_what_it_is_asked_is_not_read_for_ever() -> None:
    """It would show the same page again and again."""
    source = instance(ScriptedCrm(lambda _: answer([person(4)], 99)).tools()).source
    first = await source.page(Scope(), {})
    assert isinstance(first, Page)
    assert first.cursor is not None
    again = await source.page(Scope(), first.cursor)
    assert isinstance(again, Rejected)
    assert again.code == "PAGING_IGNORED"


@pytest.mark.parametrize(
    ("reply", "expected", "code"),
    [
        (error(429), Postponed, "RATE_LIMIT"),
        (error(403, type="api_disabled"), Postponed, "API_DISABLED"),
        (error(403), Rejected, "FORBIDDEN"),
        (error(404), Postponed, "NO_API"),
        (error(500), Retry, "CRM_FAULT"),
        (httpx.Response(502), Retry, "NO_ANSWER"),
        (httpx.Response(200, text="<html>"), Retry, "UNACCOUNTED"),
        (httpx.Response(200, json={"total": 3}), Retry, "UNACCOUNTED"),
        (httpx.Response(200, json=[]), Retry, "UNACCOUNTED"),
    ],
)
async def test_a_page_that_cannot_be_read_is_trouble_of_its_kind(
    reply: httpx.Response, expected: type, code: str
) -> None:
    """A page of a proxy with status 200 is no empty instance."""
    found = await instance(ScriptedCrm(lambda _: reply).tools()).source.page(Scope(), {})
    assert isinstance(found, expected)
    assert getattr(found, "code", "") == code


async def test_refused_credentials_are_raised() -> None:
    """By every method that reads."""
    source = instance(ScriptedCrm(lambda _: error(401)).tools()).source
    with pytest.raises(CredentialsRefusedError):
        await source.page(Scope(), {})
    with pytest.raises(CredentialsRefusedError):
        await source.fetch(["1"], None)
    with pytest.raises(CredentialsRefusedError):
        await source.find(["a@example.com"], None)


def shown_by_id(request: httpx.Request) -> httpx.Response:
    """Show 1 and 2; 8 was merged into 2, and all others are gone."""
    if request.url.path == CONTACTS:
        assert request.url.params["where[0][val]"] == "1,2,8,9"
        return answer([person(1), person(2)])
    number = request.url.path.rpartition("/")[2]
    return httpx.Response(200, json={"contact": person(2)}) if number == "8" else error(404)


async def test_contacts_are_fetched_by_id_and_a_merged_one_is_the_one_it_became() -> None:
    """In one call, and one more for each that it does not show."""
    crm = ScriptedCrm(shown_by_id)
    found = await instance(crm.tools()).source.fetch(["1", "2", "8", "9", "x"], frozenset())
    assert isinstance(found, dict)
    assert {one: record and record.crm_contact_id for one, record in found.items()} == {
        "1": "1",
        "2": "2",
        "8": "2",
        "9": None,
        "x": None,
    }
    assert len(crm.requests) == 3


async def test_nobody_is_taken_for_gone_because_of_a_fault() -> None:
    """Not by a page with status 404, nor where the quota ran out."""

    def respond(request: httpx.Request) -> httpx.Response:
        return answer([]) if request.url.path == CONTACTS else httpx.Response(404, text="<html>")

    source = instance(ScriptedCrm(respond).tools()).source
    assert isinstance(await source.fetch(["1"], None), Postponed)
    source = instance(ScriptedCrm(respond).tools(Rations(calls=1))).source
    found = await source.fetch(["1"], None)
    assert isinstance(found, Postponed)
    assert found.until == NOW


async def test_contacts_are_found_by_email_and_of_several_the_newest() -> None:
    """That is the one which a push writes to."""
    twice = [contact(3, "a@example.com"), contact(5, "A@example.com")]
    crm = ScriptedCrm(lambda _: answer(twice))
    found = await instance(crm.tools()).source.find(["a@example.com", "b@example.com"], None)
    assert isinstance(found, dict)
    assert {email: one and one.crm_contact_id for email, one in found.items()} == {
        "a@example.com": "5",
        "b@example.com": None,
    }
    assert len(crm.requests) == 1


async def test_what_was_pushed_is_read_back_from_the_simulated_instance() -> None:
    """Under the ids that the push gave, once whole and once by what changed since."""
    async with loopback() as crms:
        start = datetime.now(UTC) - timedelta(minutes=1)
        first = await crms.mautic.push(deliveries(120))
        await crms.mautic.push(deliveries(1))
        pushed = {one.crm_contact_id for one in first if isinstance(one, Synced)}
        source = crms.mautic.source
        assert set(ids(await pages(source, Scope()))) == pushed
        assert set(ids(await pages(source, Scope(start)))) == pushed
        assert ids(await pages(source, Scope(start + timedelta(hours=1)))) == []
        found = await source.find(["person2@example.com"], None)
        assert isinstance(found, dict)
        second = found["person2@example.com"]
        assert second is not None
        told = (second.first_name, second.last_name, second.phone, second.company)
        assert told == ("First2", "Last2", "+33199990002", "Company 2")
        fetched = await source.fetch([second.crm_contact_id, "999999"], None)
        assert fetched == {second.crm_contact_id: second, "999999": None}
