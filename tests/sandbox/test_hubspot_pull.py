"""What HubSpot gives to a reader: search, pages, deletions, merges, properties and scopes."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.hubspot_user import HubSpotUser
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock

CONTACTS = "/crm/v3/objects/contacts"
SEARCH = f"{CONTACTS}/search"
PROPERTIES = "/crm/v3/properties/contacts"
NOON = 1_772_452_800_000
"""What the clock says at first, in milliseconds since 1970."""


@pytest.fixture
def settings() -> HubSpotSettings:
    """Return the settings of the portal."""
    return HubSpotSettings(search_limit=1000, index_lag_seconds=20)


@pytest.fixture
async def sandbox(clock: MovableClock, settings: HubSpotSettings) -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs with a portal whose index lags."""
    async with Sandbox(hubspot=settings, clock=clock) as running:
        yield running


@pytest.fixture
def user(sandbox: Sandbox) -> HubSpotUser:
    """Return somebody who works in HubSpot."""
    return sandbox.hubspot.user


def where(name: str, operator: str, *values: object, **more: object) -> dict[str, Any]:
    """Return a filter with one value, or with several."""
    told: dict[str, Any] = {"propertyName": name, "operator": operator, **more}
    if operator.endswith("IN"):
        return told | {"values": list(values)}
    return told | ({"value": values[0]} if values else {})


async def search(hubspot: httpx.AsyncClient, *filters: dict[str, Any], **more: Any) -> Any:  # noqa: ANN401 - any JSON
    """Search with one group of filters."""
    answer = await hubspot.post(SEARCH, json={"filterGroups": [{"filters": filters}], **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def names(hubspot: httpx.AsyncClient, *filters: dict[str, Any], **more: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """Return the first names found."""
    found = await search(hubspot, *filters, **more)
    return [result["properties"]["firstname"] for result in found["results"]]


async def test_a_new_contact_is_found_once_the_index_has_caught_up(
    hubspot: httpx.AsyncClient, user: HubSpotUser, clock: MovableClock
) -> None:
    """A page of all contacts has it at once."""
    added = user.add({"email": "ada@example.com"})
    clock.move(seconds=19)
    assert (await search(hubspot))["total"] == 0
    assert [one["id"] for one in (await hubspot.get(CONTACTS)).json()["results"]] == [added]
    clock.move(seconds=1)
    assert [one["id"] for one in (await search(hubspot))["results"]] == [added]


async def test_a_changed_contact_is_found_by_its_old_values_until_then(
    hubspot: httpx.AsyncClient, user: HubSpotUser, clock: MovableClock
) -> None:
    """And shown with them, its time of modification included; two changes come one by one."""
    added = user.add({"email": "ada@example.com", "firstname": "Ada"})
    clock.move(seconds=30)
    user.edit(added, {"firstname": "Grace"})
    clock.move(seconds=10)
    user.edit(added, {"firstname": "Mary"})
    changed = where("lastmodifieddate", "GT", str(NOON))
    assert await names(hubspot, changed) == []
    assert await names(hubspot, where("firstname", "EQ", "ada")) == ["Ada"]
    (shown,) = (await search(hubspot))["results"]
    assert (
        shown["updatedAt"] == shown["properties"]["lastmodifieddate"] == "2026-03-02T12:00:00.000Z"
    )
    clock.move(seconds=10)
    assert await names(hubspot, changed) == ["Grace"]
    clock.move(seconds=10)
    assert await names(hubspot, changed) == ["Mary"]


async def test_a_deleted_contact_is_found_no_more_and_listed_among_the_archived(
    hubspot: httpx.AsyncClient, user: HubSpotUser, clock: MovableClock
) -> None:
    """At once, also when a change of it was still on its way into the index."""
    added = user.add({"email": "ada@example.com"})
    clock.move(minutes=1)
    user.edit(added, {"firstname": "Ada"})
    user.remove(added)
    assert (await search(hubspot))["total"] == 0
    clock.move(minutes=1)
    assert (await search(hubspot))["total"] == 0
    archived = (await hubspot.get(CONTACTS, params={"archived": "true"})).json()["results"]
    assert [(one["id"], one["archived"]) for one in archived] == [(added, True)]
    assert archived[0]["archivedAt"] == "2026-03-02T12:01:00.000Z"


@pytest.fixture
def three(sandbox: Sandbox, user: HubSpotUser, clock: MovableClock) -> None:
    """Let Ada, Bob and Cyd be added, a minute apart; a minute later the index has them."""
    score = PropertyDefinition("score", "Score", "number", "number")
    sandbox.hubspot.portal.definitions["score"] = score
    for name, more in (
        ("Ada", {"city": "York", "score": "9"}),
        ("Bob", {}),
        ("Cyd", {"score": "10"}),
    ):
        user.add({"email": f"{name}@{name[0]}.example", "firstname": name} | more)
        clock.move(minutes=1)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([where("firstname", "EQ", "ADA")], ["Ada"]),
        ([where("firstname", "NEQ", "Ada")], ["Bob", "Cyd"]),
        ([where("firstname", "IN", "ada", "cyd")], ["Ada", "Cyd"]),
        ([where("firstname", "NOT_IN", "ada", "cyd")], ["Bob"]),
        ([where("city", "HAS_PROPERTY")], ["Ada"]),
        ([where("city", "NOT_HAS_PROPERTY")], ["Bob", "Cyd"]),
        ([where("email", "CONTAINS_TOKEN", "*@b.example")], ["Bob"]),
        ([where("email", "NOT_CONTAINS_TOKEN", "example")], []),
        ([where("score", "GT", "9")], ["Cyd"]),
        ([where("hs_object_id", "GT", "101")], ["Bob", "Cyd"]),
        ([where("hs_object_id", "GTE", "102"), where("hs_object_id", "LT", "103")], ["Bob"]),
        ([where("hs_object_id", "LTE", 102)], ["Ada", "Bob"]),
        ([where("createdate", "GTE", str(NOON + 60_000))], ["Bob", "Cyd"]),
        ([where("createdate", "BETWEEN", str(NOON), highValue=str(NOON + 60_000))], ["Ada", "Bob"]),
        ([where("lastmodifieddate", "LTE", "2026-03-02T12:01:00Z")], ["Ada", "Bob"]),
        ([where("lastmodifieddate", "LT", "2026-03-02T13:01:00+01:00")], ["Ada"]),
        ([where("lastmodifieddate", "EQ", str(NOON + 60_000))], ["Bob"]),
    ],
)
async def test_each_operator_finds_what_it_should(
    hubspot: httpx.AsyncClient, three: None, filters: list[dict[str, Any]], found: list[str]
) -> None:
    """Filters of one group must all hold; dates are milliseconds as text, or ISO."""
    assert three is None
    assert await names(hubspot, *filters) == found


async def test_groups_are_alternatives(hubspot: httpx.AsyncClient, three: None) -> None:
    """A contact that meets two of them is found once."""
    assert three is None
    groups = [
        {"filters": [where("firstname", "EQ", "ada")]},
        {"filters": [where("firstname", "IN", "cyd", "ada")]},
    ]
    found = (await hubspot.post(SEARCH, json={"filterGroups": groups})).json()
    assert [one["id"] for one in found["results"]] == ["101", "103"]
    assert (await search(hubspot, query="york"))["total"] == 0
    assert await names(hubspot, query="b.example") == ["Bob"]


@pytest.mark.parametrize(
    ("sorts", "order"),
    [
        ([], "ABC"),
        ([{"propertyName": "hs_object_id", "direction": "ASCENDING"}], "ABC"),
        ([{"propertyName": "createdate", "direction": "DESCENDING"}], "CBA"),
        ([{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}], "BCA"),
        (["score"], "ACB"),
        (["-firstname"], "CBA"),
    ],
)
async def test_results_come_in_the_order_asked_for(
    hubspot: httpx.AsyncClient,
    three: None,
    user: HubSpotUser,
    clock: MovableClock,
    sorts: list[object],
    order: str,
) -> None:
    """Of creation, if none was; a contact without the value comes last."""
    assert three is None
    user.edit("101", {"city": "Leeds"})
    clock.move(minutes=1)
    assert "".join(name[0] for name in await names(hubspot, sorts=sorts)) == order


async def test_properties_asked_for_are_null_where_there_are_none(
    hubspot: httpx.AsyncClient, three: None
) -> None:
    """Those that are not asked for are not there; some always are."""
    assert three is None
    (bob,) = (await search(hubspot, where("firstname", "EQ", "bob"), properties=["city"]))[
        "results"
    ]
    assert bob["properties"].keys() == {"city", "createdate", "hs_object_id", "lastmodifieddate"}
    assert bob["properties"]["city"] is None
    page = (await hubspot.get(CONTACTS, params={"properties": "email,city"})).json()["results"]
    assert [one["properties"]["city"] for one in page] == ["York", None, None]


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 0},
        {"after": "x"},
        {"after": "9901", "limit": 100},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [where("city", "HAS_PROPERTY")] * 7}]},
        {"filterGroups": [{"filters": [where("city", "HAS_PROPERTY")] * 4}] * 5},
        {"filterGroups": [{"filters": [where("shoe", "HAS_PROPERTY")]}]},
        {"filterGroups": [{"filters": [where("city", "LIKE", "York")]}]},
        {"filterGroups": [{"filters": [where("city", "EQ")]}]},
        {"filterGroups": [{"filters": [where("city", "IN")]}]},
        {"filterGroups": [{"filters": [where("createdate", "GT", "yesterday")]}]},
        {"filterGroups": [{"filters": [where("createdate", "BETWEEN", "1")]}]},
        {"sorts": ["createdate", "email"]},
        {"sorts": ["shoe"]},
        {"query": "x" * 3000},
    ],
)
async def test_what_search_does_not_take_is_a_400(
    hubspot: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """With HubSpot's body."""
    answer = await hubspot.post(SEARCH, json=body)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


async def test_ten_thousand_results_of_one_instant_are_all_that_pages_reach(
    hubspot: httpx.AsyncClient, user: HubSpotUser
) -> None:
    """Who goes on by id reaches the rest."""
    user.seed(10_250)
    instant = where("lastmodifieddate", "BETWEEN", str(NOON), highValue=str(NOON))
    last = await search(hubspot, instant, limit=200, after="9800")
    assert (last["total"], last["paging"]["next"]["after"]) == (10_250, "10000")
    answer = await hubspot.post(SEARCH, json={"after": "10000", "limit": 1})
    assert answer.status_code == 400
    seen: list[str] = []
    while True:
        beyond = where("hs_object_id", "GT", seen[-1] if seen else "0")
        page = await search(hubspot, instant, beyond, limit=200, sorts=["hs_object_id"])
        seen += [one["id"] for one in page["results"]]
        if len(seen) >= page["total"] and "paging" not in page:
            break
    assert len(seen) == len(set(seen)) == 10_250


async def test_searches_have_a_limit_of_their_own_and_no_headers(clock: MovableClock) -> None:
    """The sixth within a second is refused, and calls of other kinds go on."""
    async with Sandbox(clock=clock) as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.hubspot.settings.token}"}
        url = sandbox.urls["hubspot"]
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            answers = [await client.post(SEARCH, json={}) for _ in range(6)]
            assert [answer.status_code for answer in answers] == [200] * 5 + [429]
            assert answers[-1].json()["policyName"] == "SECONDLY"
            assert not any("ratelimit" in name for name in answers[0].headers)
            other = await client.get(CONTACTS)
            assert other.headers["X-HubSpot-RateLimit-Remaining"] == "189"
            clock.move(seconds=1)
            assert (await client.post(SEARCH, json={})).status_code == 200
        assert sandbox.hubspot.calls.as_json()["writes"] == 0


async def test_the_id_of_a_contact_that_was_merged_away_leads_to_the_one_that_is_left(
    hubspot: httpx.AsyncClient, user: HubSpotUser, clock: MovableClock
) -> None:
    """Both ids are retired for a new one, and neither is among the archived."""
    ids = [user.add({"email": f"{name}@example.com"}) for name in ("loser", "winner")]
    clock.move(minutes=1)
    body = {"primaryObjectId": ids[1], "objectIdToMerge": ids[0]}
    merged = (await hubspot.post(f"{CONTACTS}/merge", json=body)).json()["id"]
    assert merged not in ids
    inputs = [{"id": one} for one in ids]
    read = (await hubspot.post(f"{CONTACTS}/batch/read", json={"inputs": inputs})).json()
    assert [one["id"] for one in read["results"]] == [merged]
    assert read["results"][0]["properties"]["email"] == "winner@example.com"
    assert (await hubspot.get(f"{CONTACTS}/{ids[0]}")).json()["id"] == merged
    assert (await hubspot.get(CONTACTS, params={"archived": "true"})).json()["results"] == []
    assert (await search(hubspot))["total"] == 0
    clock.move(minutes=1)
    assert [one["id"] for one in (await search(hubspot))["results"]] == [merged]
    assert (await hubspot.post(f"{CONTACTS}/merge", json=body)).status_code == 404


@pytest.mark.parametrize(
    "settings", [HubSpotSettings(merge_makes_id=False, merged_ids_lead_on=False)]
)
async def test_a_merge_may_keep_the_winners_id(
    hubspot: httpx.AsyncClient, user: HubSpotUser
) -> None:
    """And leave the loser's leading nowhere."""
    loser = user.add({"email": "loser@example.com", "city": "York"})
    winner = user.add({"email": "winner@example.com"})
    assert user.merge(loser, winner) == winner
    (found,) = (await search(hubspot, properties=["email", "city", "hs_additional_emails"]))[
        "results"
    ]
    assert (found["id"], found["properties"]["city"]) == (winner, "York")
    assert found["properties"]["hs_additional_emails"] == "loser@example.com"
    assert (await hubspot.get(f"{CONTACTS}/{loser}")).status_code == 404


async def test_a_batch_is_archived(hubspot: httpx.AsyncClient, user: HubSpotUser) -> None:
    """What does not exist is passed over."""
    ids = user.seed(3)
    inputs = [{"id": one} for one in [*ids[:2], "999"]]
    answer = await hubspot.post(f"{CONTACTS}/batch/archive", json={"inputs": inputs})
    assert answer.status_code == 204
    assert [one["id"] for one in (await hubspot.get(CONTACTS)).json()["results"]] == ids[2:]


async def test_properties_are_made_in_one_batch_or_not_at_all(hubspot: httpx.AsyncClient) -> None:
    """One that exists is a conflict; a group must exist."""

    def body(*names: str) -> dict[str, Any]:
        same = {"label": "X", "type": "string", "fieldType": "text", "groupName": "crmsync"}
        return {"inputs": [{"name": name, **same} for name in names]}

    path = f"{PROPERTIES}/batch/create"
    assert (await hubspot.post(path, json=body("a"))).status_code == 400
    group = {"name": "crmsync", "label": "crmsync"}
    assert (await hubspot.post(f"{PROPERTIES}/groups", json=group)).status_code == 201
    assert (await hubspot.post(f"{PROPERTIES}/groups", json=group)).status_code == 409
    groups = (await hubspot.get(f"{PROPERTIES}/groups")).json()["results"]
    assert "crmsync" in [one["name"] for one in groups]
    assert (await hubspot.post(path, json=body("a", "email"))).status_code == 409
    assert (await hubspot.get(f"{PROPERTIES}/a")).status_code == 404
    made = await hubspot.post(path, json=body("a", "b"))
    assert [one["name"] for one in made.json()["results"]] == ["a", "b"]
    assert (await hubspot.get(f"{PROPERTIES}/a")).json()["groupName"] == "crmsync"


@pytest.mark.parametrize(
    "settings", [HubSpotSettings(scopes=("oauth", "crm.objects.contacts.read"))]
)
async def test_a_token_does_what_its_scopes_allow(
    hubspot: httpx.AsyncClient, settings: HubSpotSettings
) -> None:
    """Introspection tells them, of the token in the body."""
    assert (await search(hubspot))["total"] == 0
    refused = await hubspot.post(CONTACTS, json={"properties": {}})
    assert (refused.status_code, refused.json()["category"]) == (403, "MISSING_SCOPES")
    assert (await hubspot.get(PROPERTIES)).status_code == 403
    path = "/oauth/v3/token/introspect"
    told = (await hubspot.post(path, data={"token": settings.token})).json()
    assert told["active"]
    assert told["hub_id"] == 4242
    assert told["scopes"] == ["oauth", "crm.objects.contacts.read"]
    assert (await hubspot.post(path, data={"token": "other"})).json() == {"active": False}
    assert (await hubspot.post(path, data={})).status_code == 400


def test_a_user_meets_the_rules_that_callers_meet(sandbox: Sandbox, user: HubSpotUser) -> None:
    """A value that HubSpot does not take changes nothing, and an id that is none is a KeyError."""
    user.add({"email": "ada@example.com"})
    with pytest.raises(HubSpotError, match="already exists"):
        user.add({"email": "ada@example.com"})
    with pytest.raises(HubSpotError, match="does not exist"):
        user.add({"shoe": "44"})
    with pytest.raises(KeyError):
        user.remove("999")
    with pytest.raises(KeyError):
        user.merge("101", "101")
    assert len(list(sandbox.hubspot.contacts())) == 1


def test_seeds_can_be_spread_over_time(sandbox: Sandbox, user: HubSpotUser) -> None:
    """The last of them is made now."""
    ids = user.seed(4, over=timedelta(minutes=4)) + user.seed(2)
    made = [sandbox.hubspot.portal.contacts[one].created_at[11:19] for one in ids]
    assert made == ["11:57:00", "11:58:00", "11:59:00", "12:00:00", "12:00:00", "12:00:00"]
    emails = {contact["email"] for contact in sandbox.hubspot.contacts()}
    assert len(emails) == 6


@pytest.mark.slow
async def test_a_page_of_two_hundred_thousand_contacts_costs_little(
    hubspot: httpx.AsyncClient, user: HubSpotUser
) -> None:
    """Milliseconds of processor time for a page, though contacts change in between."""
    ids = user.seed(200_000)
    window = where("lastmodifieddate", "BETWEEN", str(NOON), highValue=str(NOON + 60_000))
    beyond, after = "0", "0"
    await search(hubspot, window, limit=1)
    started = time.process_time()
    for number in range(50):
        keyset = where("hs_object_id", "GT", beyond)
        page = await search(hubspot, window, keyset, limit=200, sorts=["hs_object_id"])
        beyond = page["results"][-1]["id"]
        user.edit(ids[-1 - number], {"city": "York"})
        listed = await hubspot.get(CONTACTS, params={"limit": 100, "after": after})
        after = listed.json()["paging"]["next"]["after"]
    assert (time.process_time() - started) / 100 < 0.02
    assert (beyond, after) == ("10100", "5100")
