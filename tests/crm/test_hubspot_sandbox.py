"""What is read of a simulated portal, over real HTTP, while somebody works in it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm.adapter import Account, Tools
from crmsync_server.crm.directory import Choice, FieldStatus, FieldType, NewField
from crmsync_server.crm.hubspot import HubSpot, build
from crmsync_server.crm.outcomes import Postponed, Synced
from crmsync_server.crm.source import Cursor, Page, Record, Scope
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind
from crmsync_server.sandbox.hubspot import HubSpot as Portal
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from tests.crm.support import SECRET, Purse, Rations, delivery
from tests.sandbox.receiver import receiving

NONE: frozenset[str] = frozenset()
LAG = timedelta(minutes=2)


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        """Begin at noon."""
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the present instant."""
        return self.now

    def move(self, duration: timedelta) -> None:
        """Move on."""
        self.now += duration


@dataclass(slots=True)
class World:
    """A portal, who is at work in it, and the adapter that speaks to it."""

    portal: Portal
    adapter: HubSpot
    time: Time

    async def read(
        self, since: datetime | None = None, names: frozenset[str] | None = NONE
    ) -> "Reading":
        """Read to the end."""
        reading = Reading(self.adapter, Scope(since, names))
        while await reading.go_on():
            pass
        return reading


class Reading:
    """A reading, page by page."""

    def __init__(self, adapter: HubSpot, scope: Scope) -> None:
        """Begin."""
        self._adapter = adapter
        self._scope = scope
        self._cursor: Cursor | None = {}
        self.records: list[Record] = []

    async def go_on(self) -> bool:
        """Read one page; False after the last one."""
        assert self._cursor is not None
        found = await self._adapter.source.page(self._scope, self._cursor)
        assert isinstance(found, Page), found
        self.records += found.records
        self._cursor = found.cursor
        return self._cursor is not None

    @property
    def living(self) -> dict[str, Record]:
        """The contacts that are there, by id."""
        return {one.crm_contact_id: one for one in self.records if not one.deleted}

    @property
    def gone(self) -> dict[str, str]:
        """The contacts that are gone, by id, and where they went."""
        return {one.crm_contact_id: one.merged_into for one in self.records if one.deleted}


@pytest.fixture
def settings() -> HubSpotSettings:
    """Return the portal's settings, with limits that no test reaches by accident."""
    return HubSpotSettings(
        token=SECRET, client_secret=SECRET, burst_limit=100_000, search_limit=100_000
    )


@pytest.fixture
async def world(settings: HubSpotSettings) -> AsyncIterator[World]:
    """Run a portal, and an adapter that is patient for a second."""
    time = Time()
    async with (
        Sandbox(hubspot=settings, clock=time) as sandbox,
        httpx.AsyncClient(transport=AiohttpTransport()) as client,
    ):
        secrets = {"token": SECRET, "client_secret": SECRET}
        account = Account("org-1", "hubspot", sandbox.urls["hubspot"], secrets)
        tools = Tools(client, time, Rations(1_000_000), Purse(time))
        yield World(sandbox.hubspot, build(account, tools), time)


def people(world: World, count: int) -> Sequence[str]:
    """Add so many people, and return their ids."""
    return [
        world.portal.user.add({"email": f"person{n}@example.com", "firstname": f"First{n}"})
        for n in range(1, count + 1)
    ]


async def test_a_whole_reading_brings_everybody_and_tells_who_is_gone(world: World) -> None:
    """Deleted ones, and merged ones with the record that took their place."""
    ids = people(world, 250)
    world.portal.user.remove(ids[0])
    survivor = world.portal.user.merge(loser=ids[1], winner=ids[2])
    found = await world.read()
    assert set(found.living) == {*ids[3:], survivor}
    assert found.gone == {ids[0]: "", ids[1]: survivor, ids[2]: survivor}
    assert found.living[ids[9]].email == "person10@example.com"
    assert found.living[ids[9]].first_name == "First10"


async def test_a_bulk_change_of_more_than_a_search_shows_is_read_whole(world: World) -> None:
    """All of them have changed at one moment."""
    ids = world.portal.user.seed(10_401)
    world.time.move(timedelta(minutes=1))
    found = await world.read(world.time() - timedelta(minutes=5))
    assert list(found.living) == list(ids)
    assert len(found.records) == len(ids)


async def test_what_changes_while_it_is_read_is_not_missed(world: World) -> None:
    """Neither behind the reading nor before it; what is made meanwhile comes the next time."""
    ids = people(world, 400)
    began = world.time()
    world.time.move(timedelta(seconds=1))
    reading = Reading(world.adapter, Scope(began, NONE))
    assert await reading.go_on()
    world.time.move(timedelta(seconds=30))
    for changed in (ids[0], ids[399]):
        world.portal.user.edit(changed, {"company": "Analytical"})
    later = world.portal.user.add({"email": "later@example.com"})
    while await reading.go_on():
        pass
    assert set(reading.living) == set(ids)
    assert reading.living[ids[399]].company == "Analytical"
    again = await world.read(began + timedelta(seconds=1))
    assert set(again.living) == {ids[0], ids[399], later}


async def test_only_what_changed_since_is_read(world: World) -> None:
    """The moment itself included; deletions and merges too."""
    ids = people(world, 6)
    world.time.move(timedelta(hours=1))
    since = world.time()
    user = world.portal.user
    user.edit(ids[0], {"phone": "+33199990001"})
    user.remove(ids[1])
    survivor = user.merge(loser=ids[2], winner=ids[3])
    found = await world.read(since)
    assert set(found.living) == {ids[0], survivor}
    assert found.living[ids[0]].modified_time == since
    assert found.gone == {ids[1]: "", ids[2]: survivor, ids[3]: survivor}


class TestAnIndexThatLags:
    """A portal whose search knows of a change minutes later."""

    @pytest.fixture
    def settings(self) -> HubSpotSettings:
        """Return its settings."""
        return HubSpotSettings(
            token=SECRET, search_limit=100_000, index_lag_seconds=LAG.total_seconds()
        )

    async def test_the_overlap_brings_what_the_index_did_not_know_yet(self, world: World) -> None:
        """The next reading begins that much before the end of the last one."""
        (changed,) = people(world, 1)
        first = await world.read(world.time() - timedelta(minutes=1))
        assert first.living == {}
        ended = world.time()
        world.time.move(LAG + timedelta(seconds=1))
        overlap = world.adapter.source.traits.overlap
        assert overlap > LAG
        assert set((await world.read(ended - overlap)).living) == {changed}


class TestSearchesThatAreCounted:
    """A portal that lets one search in."""

    @pytest.fixture
    def settings(self) -> HubSpotSettings:
        """Return its settings."""
        return HubSpotSettings(token=SECRET, search_limit=1)

    async def test_one_search_too_many_waits_and_hinders_no_delivery(self, world: World) -> None:
        """The same cursor goes on afterwards."""
        scope = Scope(world.time(), NONE)
        assert isinstance(await world.adapter.source.page(scope, {}), Page)
        refused = await world.adapter.source.page(scope, {})
        assert isinstance(refused, Postponed)
        assert not refused.lane
        (outcome,) = await world.adapter.push([delivery(1)])
        assert isinstance(outcome, Synced)
        world.time.move(refused.until - world.time())
        assert isinstance(await world.adapter.source.page(scope, {}), Page)


async def test_contacts_are_read_by_id_and_by_address(world: World) -> None:
    """Also those that were merged, by what they were called, and those that were deleted."""
    *ids, deleted = people(world, 4)
    survivor = world.portal.user.merge(loser=ids[0], winner=ids[1])
    world.portal.user.remove(deleted)
    fetched = await world.adapter.source.fetch([*ids, deleted, "999999"], NONE)
    assert isinstance(fetched, dict)
    gone = fetched.pop(deleted)
    assert gone == Record(deleted, deleted=True, modified_time=world.time())
    told = {asked: one.crm_contact_id if one else None for asked, one in fetched.items()}
    assert told == {ids[0]: survivor, ids[1]: survivor, ids[2]: ids[2], "999999": None}
    emails = ["person1@example.com", "person2@example.com", "nobody@example.com"]
    found = await world.adapter.source.find(emails, NONE)
    assert isinstance(found, dict)
    told = {asked: one.crm_contact_id if one else None for asked, one in found.items()}
    assert told == {emails[0]: survivor, emails[1]: survivor, emails[2]: None}


async def test_fields_that_were_made_are_delivered_to_and_read(world: World) -> None:
    """Making them again makes nothing; HubSpot's own are none of the organization's."""
    new = [
        NewField("tier", "Tier", FieldType.PICKLIST, choices=[Choice("gold", "Gold")]),
        NewField("member_no", "Member", FieldType.TEXT, unique=True),
        NewField("website", "Website", FieldType.URL),
        NewField("lifecyclestage", "Stage", FieldType.NUMBER),
    ]
    directory = world.adapter.directory
    for first in (FieldStatus.CREATED, FieldStatus.EXISTS):
        results = await directory.create_fields(new)
        assert isinstance(results, list)
        statuses = [first, first, FieldStatus.EXISTS, FieldStatus.MISMATCH]
        assert [one.status for one in results] == statuses
    fields = await directory.fields()
    assert isinstance(fields, list)
    assert {one.name for one in fields if one.custom} == {"tier", "member_no"}
    world.portal.user.add({"email": "ada@example.com", "tier": "gold"})
    (record,) = (await world.read(names=None)).records
    assert record.properties == {"tier": "gold", "member_no": ""}
    (record,) = (await world.read(world.time(), None)).records
    assert record.properties == {"tier": "gold", "member_no": ""}


async def test_a_portal_tells_whose_it_is_and_what_it_keeps(world: World) -> None:
    """The simulated one keeps nothing but contacts."""
    organization = await world.adapter.directory.organization()
    assert getattr(organization, "id", "") == "4242"
    assert getattr(organization, "time_zone", "") == "America/New_York"
    modules = await world.adapter.directory.modules()
    assert isinstance(modules, list)
    assert [one.name for one in modules] == ["contacts"]


class TestATokenOfFewScopes:
    """A private app that may read contacts, and nothing else."""

    @pytest.fixture
    def settings(self) -> HubSpotSettings:
        """Return its settings."""
        return HubSpotSettings(token=SECRET, scopes=("crm.objects.contacts.read",))

    async def test_permissions_are_what_reading_shows(self, world: World) -> None:
        """Nothing was written to find out."""
        found = await world.adapter.directory.permissions()
        assert isinstance(found, list)
        assert [one.granted for one in found] == [True, None, False, None]
        assert world.portal.calls.as_json()["writes"] == 0


async def test_a_delivery_tells_the_time_that_a_reading_tells(world: World) -> None:
    """So that our own change is known when it comes back."""
    (outcome,) = await world.adapter.push([delivery(1)])
    assert isinstance(outcome, Synced)
    (record,) = (await world.read(world.time())).records
    assert record.crm_contact_id == outcome.crm_contact_id
    assert record.modified_time == outcome.modified_time == world.time()


async def test_webhooks_are_known_to_be_hubspot_s_and_tell_what_happened(world: World) -> None:
    """As they are signed on the way, with the older signature beside."""
    async with receiving() as receiver:
        world.portal.subscribe(receiver.url)
        ids = people(world, 3)
        world.portal.user.remove(ids[0])
        survivor = world.portal.user.merge(loser=ids[1], winner=ids[2])
        await world.portal.webhooks.flushed()
    notices: list[Notice] = []
    for post in receiver.posts:
        headers = {name.lower(): value for name, value in post.headers.items()}
        inbound = Inbound("POST", receiver.url, headers, post.body, world.time())
        assert world.adapter.webhooks.genuine(inbound)
        notices += world.adapter.webhooks.read(inbound)
    told = {(one.crm_contact_id, one.kind) for one in notices}
    changed = {(one, NoticeKind.CHANGED) for one in (*ids, survivor)}
    assert told == changed | {(ids[0], NoticeKind.DELETED)}
