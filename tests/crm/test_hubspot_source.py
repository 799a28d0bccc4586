"""What is read of a portal: everything, what changed, what is gone, and single contacts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.hubspot_source import HubSpotSource
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Cursor, Page, Record, Scope, source_of
from tests.crm.hubspot_script import READ, hubspot, refusal
from tests.crm.support import NOW, Rations, ScriptedCrm
from tests.crm.support import inputs as inputs_of

CONTACTS = "/crm/v3/objects/contacts"
SEARCH = f"{CONTACTS}/search"
SINCE = datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
NONE: frozenset[str] = frozenset()


def contact(record_id: int, **more: object) -> dict[str, object]:
    """Return a contact as HubSpot shows it."""
    properties = {
        "email": f"person{record_id}@example.com",
        "firstname": "Ada",
        "lastname": None,
        "phone": "+33199990001",
        "company": "Analytical",
        "lastmodifieddate": "2026-11-21T11:59:58.123Z",
        **more,
    }
    return {"id": str(record_id), "properties": properties, "archived": False}


def archived(record_id: int, when: str, **properties: str) -> dict[str, object]:
    """Return a contact as the archive shows it."""
    return {"id": str(record_id), "properties": properties, "archived": True, "archivedAt": when}


def listing(*results: object, after: str = "", **more: object) -> httpx.Response:
    """Return one page of contacts."""
    paging = {"paging": {"next": {"after": after}}} if after else {}
    return httpx.Response(200, json={"results": results, **paging, **more})


def custom(*names: str) -> httpx.Response:
    """Return a portal's properties: HubSpot's own, and these."""
    own = [{"name": "email", "hubspotDefined": True}, {"name": "jobtitle", "hubspotDefined": True}]
    return httpx.Response(200, json={"results": [*own, *({"name": name} for name in names)]})


def portal(
    *, shows: Callable[[httpx.Request], httpx.Response], names: Sequence[str] = ()
) -> ScriptedCrm:
    """Return a portal with these custom properties that answers all other questions so."""

    def respond(request: httpx.Request) -> httpx.Response:
        return custom(*names) if request.url.path == PROPERTIES else shows(request)

    return ScriptedCrm(respond)


def source(crm: ScriptedCrm, **options: str) -> HubSpotSource:
    """Return what is read of a portal."""
    found = hubspot(crm.tools(), **options).source
    assert isinstance(found, HubSpotSource)
    return found


async def page(crm: ScriptedCrm, scope: Scope | None = None, cursor: Cursor | None = None) -> Page:
    """Read one page, which must be there."""
    found = await source(crm).page(scope or Scope(names=NONE), cursor or {})
    assert isinstance(found, Page)
    return found


def filters(request: httpx.Request) -> dict[str, tuple[str, str]]:
    """Return the filters of a search: operator and value by property."""
    ((group,), *_) = [json.loads(request.content)["filterGroups"]]
    return {one["propertyName"]: (one["operator"], one["value"]) for one in group["filters"]}


def test_a_portal_can_be_read_with_an_overlap_for_its_index() -> None:
    """The overlap is an option, since nobody says how long the index lags."""
    crm = portal(shows=lambda _: listing())
    assert source_of(hubspot(crm.tools())) is not None
    traits = source(crm).traits
    assert (traits.tells_deletions, traits.tells_times) == (True, True)
    assert traits.overlap == timedelta(minutes=5)
    assert source(crm, search_overlap_seconds="60").traits.overlap == timedelta(minutes=1)
    with pytest.raises(ValueError, match="search_overlap_seconds"):
        source(crm, search_overlap_seconds="soon")


async def test_a_whole_reading_lists_what_is_there_and_then_what_is_gone() -> None:
    """A hundred at a time, each page with the cursor of the one before; then it ends."""

    def shows(request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        if params.get("archived") == "true":
            return listing(archived(9, "2026-11-01T00:00:00Z"))
        if request.url.path == READ:
            return httpx.Response(200, json={"results": []})
        return listing(contact(2)) if params.get("after") == "1" else listing(contact(1), after="1")

    crm = portal(shows=shows)
    first = await page(crm)
    assert first.cursor is not None
    second = await page(crm, cursor=first.cursor)
    assert second.cursor is not None
    third = await page(crm, cursor=second.cursor)
    ids = [[one.crm_contact_id for one in found.records] for found in (first, second, third)]
    assert ids == [["1"], ["2"], ["9"]]
    assert third.records == [
        Record("9", deleted=True, modified_time=datetime(2026, 11, 1, tzinfo=UTC))
    ]
    assert third.cursor is None
    assert {request.url.params.get("limit", "100") for request in crm.requests} == {"100"}


async def test_a_contact_is_read_with_what_was_asked_for() -> None:
    """Empty values are empty texts; tags are nothing that HubSpot knows."""
    crm = portal(shows=lambda _: listing(contact(1, tier="gold")), names=["tier", "shoe"])
    found = await page(crm, Scope(names=frozenset({"tier", "shoe", "hat"})))
    assert found.records == [
        Record(
            "1",
            "person1@example.com",
            "Ada",
            "",
            "+33199990001",
            "Analytical",
            properties={"tier": "gold", "shoe": ""},
            modified_time=datetime(2026, 11, 21, 11, 59, 58, 123000, tzinfo=UTC),
        )
    ]
    asked = crm.requests[-1].url.params["properties"].split(",")
    assert {"email", "phone", "tier", "shoe", "hs_merged_object_ids"} <= set(asked)
    assert "hat" not in asked


async def test_without_names_every_property_of_the_organization_is_read() -> None:
    """None of HubSpot's own, of which there are hundreds; the names are asked for once."""
    crm = portal(shows=lambda _: listing(contact(1, tier="gold", jobtitle="x")), names=["tier"])
    reader = source(crm)
    for _ in range(2):
        found = await reader.page(Scope(), {})
        assert isinstance(found, Page)
        assert [one.properties for one in found.records] == [{"tier": "gold"}]
    assert crm.paths == [PROPERTIES, CONTACTS, CONTACTS]


async def test_properties_that_may_not_be_listed_are_read_as_far_as_they_are_shown() -> None:
    """A token without that scope reads contacts all the same."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == PROPERTIES:
            return refusal(403, category="MISSING_SCOPES")
        return listing(contact(1, tier="gold"))

    found = await page(ScriptedCrm(respond), Scope(names=frozenset({"tier", "hat"})))
    assert [one.properties for one in found.records] == [{"tier": "gold"}]


async def test_more_names_than_an_address_takes_are_asked_for_in_a_body() -> None:
    """The list tells the ids, and the contacts are read by them."""
    names = [f"property_number_{n}" for n in range(200)]

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path != READ:
            assert len(str(request.url)) < 2_000
            return listing({"id": "1"}, {"id": "2"})
        assert len(json.loads(request.content)["properties"]) > 200
        return httpx.Response(200, json={"results": [contact(1, **{names[7]: "x"})]})

    crm = portal(shows=shows, names=names)
    found = await page(crm, Scope())
    (record,) = found.records
    assert record.properties[names[7]] == "x"
    assert [one["id"] for one in inputs_of(crm.requests[-1])] == ["1", "2"]


async def test_a_place_in_the_list_that_is_no_more_is_gone_on_from_by_searching() -> None:
    """From the beginning, for all that were there when it began."""

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path == SEARCH:
            return listing(contact(1), total=1)
        return refusal(400, category="VALIDATION_ERROR", message="after is invalid")

    crm = portal(shows=shows)
    lost = await page(crm, cursor={"stage": "list", "after": "gone"})
    assert lost.cursor is not None
    found = await page(crm, cursor=lost.cursor)
    assert [one.crm_contact_id for one in found.records] == ["1"]
    assert set(filters(crm.requests[-1])) == {"hs_object_id", "createdate"}
    refused = await source(crm).page(Scope(names=NONE), {})
    assert isinstance(refused, Rejected)


async def test_changes_are_searched_for_by_ascending_id_and_never_by_place() -> None:
    """So that neither 10,000 results nor as many of one moment end it."""
    everybody = [contact(number) for number in range(1, 451)]

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path != SEARCH:
            return listing()
        body = json.loads(request.content)
        assert (body["limit"], "after" in body) == (200, False)
        assert body["sorts"] == [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
        operator, last = filters(request)["hs_object_id"]
        assert operator == "GT"
        left = [one for one in everybody if int(str(one["id"])) > int(last)]
        return listing(*left[:200], total=len(left))

    crm = portal(shows=shows)
    scope = Scope(SINCE, NONE)
    cursor: Cursor = {}
    ids: list[str] = []
    while True:
        found = await page(crm, scope, cursor)
        ids += [one.crm_contact_id for one in found.records]
        if found.cursor is None:
            break
        assert found.total == 450
        assert json.loads(json.dumps(found.cursor)) == found.cursor
        cursor = found.cursor
    assert ids == [str(number) for number in range(1, 451)]
    searches = [request for request in crm.requests if request.url.path == SEARCH]
    since = str(int(SINCE.timestamp() * 1000))
    assert {filters(one)["lastmodifieddate"] for one in searches} == {("GTE", since)}


async def test_what_a_search_is_bounded_by_stays_as_it_was_when_it_began() -> None:
    """A contact that changes meanwhile is not missed; one that is made meanwhile comes later."""
    crm = portal(shows=lambda _: listing(*(contact(n) for n in range(1, 201)), total=300))
    first = await page(crm, Scope(SINCE, NONE))
    assert first.cursor is not None
    adapter = hubspot(replace(crm.tools(), clock=lambda: NOW + timedelta(hours=1)))
    await adapter.source.page(Scope(SINCE, NONE), first.cursor)
    began = str(int(NOW.timestamp() * 1000))
    assert [filters(one)["createdate"] for one in crm.requests] == [("LTE", began)] * 2


async def test_a_search_that_does_not_get_on_ends() -> None:
    """It would go round for ever."""
    crm = portal(shows=lambda _: listing(contact(5), total=900))
    found = await source(crm).page(Scope(SINCE, NONE), {"stage": "search", "last": "7"})
    assert isinstance(found, Retry)


async def test_more_names_than_a_search_takes_are_asked_for_apart() -> None:
    """Its body has 3,000 characters at most; the contacts it finds are read by their ids."""
    names = [f"property_number_{n}" for n in range(200)]
    everybody = [contact(number) for number in range(1, 151)]

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path == SEARCH:
            assert len(request.content) < 3_000
            return listing(*everybody, total=150)
        ids = [one["id"] for one in inputs_of(request)]
        return httpx.Response(200, json={"results": [o for o in everybody if o["id"] in ids]})

    crm = portal(shows=shows, names=names)
    found = await page(crm, Scope(SINCE))
    assert len(found.records) == 150
    assert crm.paths == [PROPERTIES, SEARCH, READ, READ]


async def test_searches_draw_on_their_own_allowance_and_other_reads_on_that_of_pushes() -> None:
    """A search's five a second are no header's."""
    quota = Rations()
    crm = portal(shows=lambda _: listing(total=0))
    adapter = hubspot(crm.tools(quota))
    await adapter.source.page(Scope(SINCE, NONE), {})
    assert quota.taken == ["daily", "search"]
    quota.taken.clear()
    await adapter.source.page(Scope(names=NONE), {})
    assert quota.taken == ["daily", "burst"]
    limit = next(one for one in adapter.capabilities.limits if one.bucket == "search")
    assert (limit.calls, limit.period, limit.delivers) == (5, timedelta(seconds=1), False)


async def test_only_what_was_archived_lately_is_told_after_changes() -> None:
    """The archive has no order of time: it is read to its end."""

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path == READ:
            return httpx.Response(200, json={"results": []})
        old, new = archived(3, "2026-11-20T00:00:00Z"), archived(4, "2026-11-21T11:45:00Z")
        return listing(old, new) if "after" in request.url.params else listing(old, after="3")

    crm = portal(shows=shows)
    first = await page(crm, Scope(SINCE, NONE), {"stage": "archive"})
    assert (first.records, READ in crm.paths) == ([], False)
    assert first.cursor is not None
    second = await page(crm, Scope(SINCE, NONE), first.cursor)
    assert [(one.crm_contact_id, one.deleted) for one in second.records] == [("4", True)]
    assert second.cursor is None


async def test_an_archive_s_place_that_is_no_more_is_begun_anew_once() -> None:
    """A second refusal is a refusal."""

    def shows(request: httpx.Request) -> httpx.Response:
        bad = "after" in request.url.params
        return refusal(400, category="VALIDATION_ERROR") if bad else listing(after="8")

    crm = portal(shows=shows)
    scope = Scope(SINCE, NONE)
    lost = await page(crm, scope, {"stage": "archive", "after": "gone"})
    assert lost.cursor is not None
    begun = await page(crm, scope, lost.cursor)
    assert begun.cursor is not None
    assert isinstance(await source(crm).page(scope, begun.cursor), Rejected)


async def test_a_contact_that_was_merged_away_names_the_one_that_took_its_place() -> None:
    """Whether it comes with that one, or from the archive."""

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path == SEARCH:
            return listing(contact(7, hs_merged_object_ids="3;4"), total=1)
        if request.url.path == READ:
            body = {"results": [contact(7, hs_merged_object_ids="3;4")]}
            return httpx.Response(200, json=body)
        when = "2026-11-21T11:50:00Z"
        return listing(archived(3, when), archived(5, when))

    crm = portal(shows=shows)
    changed = await page(crm, Scope(SINCE, NONE))
    told = [(one.crm_contact_id, one.deleted, one.merged_into) for one in changed.records]
    assert told == [("7", False, ""), ("3", True, "7"), ("4", True, "7")]
    assert changed.cursor is not None
    departed = await page(crm, Scope(SINCE, NONE), changed.cursor)
    told = [(one.crm_contact_id, one.deleted, one.merged_into) for one in departed.records]
    assert told == [("3", True, "7"), ("5", True, "")]


async def test_what_was_merged_into_a_contact_goes_where_that_goes() -> None:
    """The archive shows the last of them alone: whoever did not read it in between knows others."""

    def shows(request: httpx.Request) -> httpx.Response:
        if request.url.path == READ:
            return httpx.Response(200, json={"results": [contact(9, hs_merged_object_ids="5")]})
        assert "hs_merged_object_ids" in request.url.params["properties"]
        when = "2026-11-21T11:50:00Z"
        first = archived(3, when, hs_merged_object_ids="1;2")
        return listing(first, archived(5, when, hs_merged_object_ids="4"))

    page_of = await page(portal(shows=shows), Scope(SINCE, NONE), {"stage": "archive"})
    told = {one.crm_contact_id: one.merged_into for one in page_of.records if one.deleted}
    assert told == {"3": "", "1": "", "2": "", "5": "9", "4": "9"}


@pytest.mark.parametrize("scope", [Scope(names=NONE), Scope(SINCE, NONE), Scope(SINCE)])
@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (refusal(429, policyName="TEN_SECONDLY_ROLLING"), Postponed, "TEN_SECONDLY_ROLLING"),
        (refusal(423, message="locked"), Postponed, "LOCKED"),
        (refusal(477, message="migrating"), Postponed, "MIGRATING"),
        (refusal(403, category="MISSING_SCOPES"), Rejected, "MISSING_SCOPES"),
        (refusal(400, category="VALIDATION_ERROR"), Rejected, "VALIDATION_ERROR"),
        (httpx.Response(502, text="<html>"), Retry, ""),
        (httpx.Response(521), Retry, ""),
        (httpx.Response(404, text="<html>"), Retry, ""),
        (httpx.Response(200, text="<html>"), Retry, ""),
        (httpx.Response(200, json={"status": "ok"}), Retry, ""),
    ],
)
async def test_a_fault_is_told_and_nothing_is_read(
    scope: Scope, reply: httpx.Response, kind: type[object], code: str
) -> None:
    """As it is to a push; the same cursor will do later."""

    def respond(request: httpx.Request) -> httpx.Response:
        names = request.url.path == PROPERTIES
        return custom() if names and reply.status_code in {400, 403} else reply

    found = await source(ScriptedCrm(respond)).page(scope, {})
    assert isinstance(found, kind)
    assert not code or getattr(found, "code", "") == code


async def test_a_search_that_is_refused_holds_up_no_delivery() -> None:
    """Only the day's end holds up both."""
    quota = Rations()
    for policy, bucket, lane in (("SECONDLY", "search", False), ("DAILY", "daily", True)):
        crm = portal(shows=lambda _, policy=policy: refusal(429, policyName=policy))  # type: ignore[misc]
        found = await hubspot(crm.tools(quota)).source.page(Scope(SINCE, NONE), {})
        assert isinstance(found, Postponed)
        assert found.lane is lane
        assert quota.refusals[-1][0] == bucket


async def test_a_lost_connection_is_tried_again_and_no_quota_is_waited_for() -> None:
    """Only a question was put: nothing is unknown."""

    def lost(_: httpx.Request) -> httpx.Response:
        message = "gone"
        raise httpx.ReadError(message)

    assert isinstance(await source(portal(shows=lost)).page(Scope(names=NONE), {}), Retry)
    exhausted = hubspot(portal(shows=lost).tools(Rations(0)))
    found = await exhausted.source.page(Scope(names=NONE), {})
    assert isinstance(found, Postponed)
    assert found.code == "QUOTA_EXHAUSTED"


async def test_a_refused_token_is_raised() -> None:
    """By every way of reading."""
    reader = source(portal(shows=lambda _: refusal(401, message="no")))
    for asking in (
        reader.page(Scope(names=NONE), {}),
        reader.page(Scope(SINCE, NONE), {}),
        reader.fetch(["1"], NONE),
        reader.find(["a@b.c"], NONE),
    ):
        with pytest.raises(CredentialsRefusedError):
            await asking


def held_by_id(found: Mapping[str, dict[str, object]]) -> ScriptedCrm:
    """Return a portal whose contacts are found under these ids, archived ones in the archive."""

    def shows(request: httpx.Request) -> httpx.Response:
        wanted = request.url.params.get("archived") == "true"
        asked = [found[str(one["id"])] for one in inputs_of(request) if one["id"] in found]
        results = [one for one in asked if (one["archived"] is True) is wanted]
        return httpx.Response(207, json={"results": results, "errors": [{"category": "X"}]})

    return portal(shows=shows)


async def test_contacts_are_fetched_by_id_whatever_became_of_them() -> None:
    """Changed, merged away, deleted, or never there; what is no id is not asked for."""
    survivor = contact(7, hs_merged_object_ids="2")
    gone = archived(3, "2026-11-20T00:00:00Z")
    crm = held_by_id({"1": contact(1), "2": survivor, "3": gone})
    found = await source(crm).fetch(["1", "2", "3", "4", "none", ""], NONE)
    assert isinstance(found, dict)
    told = {
        asked: (one.crm_contact_id, one.deleted) if one else None for asked, one in found.items()
    }
    assert told == {
        "1": ("1", False),
        "2": ("7", False),
        "3": ("3", True),
        "4": None,
        "none": None,
        "": None,
    }
    assert [[one["id"] for one in inputs_of(request)] for request in crm.requests] == [
        ["1", "2", "3", "4"],
        ["3", "4"],
    ]


async def test_a_contact_that_does_not_say_of_whom_it_consists_is_asked_for_alone() -> None:
    """So that one that was merged away is never taken for one that is gone."""
    crm = held_by_id({"1": contact(1), "2": contact(7)})
    found = await source(crm).fetch(["1", "2", "3"], NONE)
    assert isinstance(found, dict)
    ids = {asked: one.crm_contact_id if one else None for asked, one in found.items()}
    assert ids == {"1": "1", "2": "7", "3": None}
    asked = [[one["id"] for one in inputs_of(request)] for request in crm.requests]
    assert asked == [["1", "2", "3"], ["2"], ["3"], ["3"]]


async def test_contacts_are_found_by_any_of_their_addresses() -> None:
    """In whatever case they were asked for."""
    further = contact(8, email="other@example.com", hs_additional_emails="x@y.com;a@b.com")
    crm = portal(shows=lambda _: httpx.Response(200, json={"results": [contact(1), further]}))
    found = await source(crm).find(["Person1@example.com", "a@b.com", "nobody@b.com", " "], NONE)
    assert isinstance(found, dict)
    ids = {asked: one.crm_contact_id if one else None for asked, one in found.items()}
    assert ids == {
        "Person1@example.com": "1",
        "a@b.com": "8",
        "nobody@b.com": None,
        " ": None,
    }
    assert json.loads(crm.requests[0].content)["idProperty"] == "email"


async def test_an_address_that_hubspot_takes_for_none_does_not_hide_the_others() -> None:
    """It refuses all of them for it."""

    def shows(request: httpx.Request) -> httpx.Response:
        if any(one["id"] == "not-an-address" for one in inputs_of(request)):
            return refusal(400, category="VALIDATION_ERROR")
        return httpx.Response(200, json={"results": [contact(1)]})

    found = await source(portal(shows=shows)).find(["person1@example.com", "not-an-address"], NONE)
    assert isinstance(found, dict)
    assert found["not-an-address"] is None
    assert found["person1@example.com"] is not None


@pytest.mark.parametrize(
    "reply", [refusal(429), httpx.Response(500), refusal(403, category="MISSING_SCOPES")]
)
async def test_a_fault_finds_nobody_missing(reply: httpx.Response) -> None:
    """That no answer came does not mean that there is no such contact."""
    reader = source(portal(shows=lambda _: reply))
    for found in (await reader.fetch(["1"], NONE), await reader.find(["a@b.c"], NONE)):
        assert isinstance(found, Postponed | Retry | Rejected)
