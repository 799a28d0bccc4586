"""What is read of a simulated Zoho, over real HTTP, while somebody works in it."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Tools
from crmsync_server.crm.directory import Choice, FieldStatus, FieldType, NewField
from crmsync_server.crm.outcomes import Postponed, Rejected, Synced
from crmsync_server.crm.source import Cursor, Page, Record, Scope
from crmsync_server.crm.webhook import Inbound, NoticeKind
from crmsync_server.crm.zoho import ZohoAdapter, build
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import Zoho as Organization
from crmsync_server.sandbox.zoho import ZohoSettings
from crmsync_server.sandbox.zoho_scopes import ALL_SCOPES
from tests.crm.support import SECRET, Purse, Rations, delivery
from tests.eventually import eventually
from tests.sandbox.receiver import receiving

NONE: frozenset[str] = frozenset()
SECRETS = {
    "client_id": "1000.SANDBOX",
    "client_secret": SECRET,
    "refresh_token": "1000.sandbox-zoho-refresh-token",
    "webhook_token": "a-token-for-notifications",
}


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


class Reading:
    """A reading, page by page."""

    def __init__(self, adapter: ZohoAdapter, time: Time, scope: Scope) -> None:
        """Begin."""
        self._adapter = adapter
        self._time = time
        self._scope = scope
        self._cursor: Cursor | None = {}
        self.records: list[Record] = []
        self.stages: list[object] = []

    async def go_on(self) -> bool:
        """Read one page, at its time; False after the last one."""
        assert self._cursor is not None
        self.stages.append(self._cursor.get("at"))
        found = await self._adapter.source.page(self._scope, self._cursor)
        assert isinstance(found, Page), found
        self.records += found.records
        self._cursor = found.cursor
        if found.ready_time is not None:
            self._time.now = max(self._time.now, found.ready_time)
        return self._cursor is not None

    async def to_its_end(self) -> "Reading":
        """Read all that is left."""
        while await self.go_on():
            assert len(self.stages) < 1_000
        return self

    @property
    def living(self) -> dict[str, Record]:
        """The contacts that are there, by id."""
        return {one.crm_contact_id: one for one in self.records if not one.deleted}

    @property
    def gone(self) -> set[str]:
        """The ids of the contacts that are gone."""
        return {one.crm_contact_id for one in self.records if one.deleted}


@dataclass(slots=True)
class World:
    """An organization, who is at work in it, and the adapter that speaks to it."""

    organization: Organization
    adapter: ZohoAdapter
    quota: Rations
    time: Time

    def reading(
        self, since: datetime | None = None, names: frozenset[str] | None = NONE
    ) -> Reading:
        """Begin to read."""
        return Reading(self.adapter, self.time, Scope(since, names))


@asynccontextmanager
async def a_world(
    options: dict[str, str] | None = None, /, **settings: object
) -> AsyncIterator[World]:
    """Run an organization with these settings, and an adapter that is patient for a second."""
    time, quota = Time(), Rations(1_000_000)
    told = replace(ZohoSettings(client_secret=SECRET, credits=1_000_000), **settings)  # type: ignore[arg-type]
    async with (
        Sandbox(zoho=told, clock=time) as sandbox,
        httpx.AsyncClient(transport=AiohttpTransport()) as client,
    ):
        account = Account("org-1", "zoho", sandbox.urls["zoho"], SECRETS, options or {})
        adapter = build(account, Tools(client, time, quota, Purse(time)))
        yield World(sandbox.zoho, adapter, quota, time)


def people(world: World, count: int) -> Sequence[str]:
    """Add so many people of one modified time, and return their ids."""
    return world.organization.user.load(
        {"Email": f"person{n}@example.com", "Last_Name": f"Last{n}"} for n in range(1, count + 1)
    )


async def test_a_whole_reading_brings_everybody_and_tells_who_is_gone() -> None:
    """From the bin and for good; a merged one among them."""
    async with a_world() as world:
        ids = people(world, 450)
        user = world.organization.user
        user.remove(ids[0])
        user.remove(ids[1], permanent=True)
        user.merge(loser=ids[2], winner=ids[3])
        found = await world.reading().to_its_end()
        assert list(found.living) == list(ids[3:])
        assert found.gone == set(ids[:3])
        assert found.living[ids[9]].email == "person10@example.com"
        assert found.living[ids[9]].last_name == "Last10"
        assert found.living[ids[9]].modified_time == world.time()


@pytest.mark.parametrize("options", [{}, {"page_tokens_shift": True}, {"since_inclusive": True}])
async def test_thousands_that_share_a_modified_time_are_read_whole(
    options: dict[str, bool],
) -> None:
    """Whatever page tokens are, and whether a second counts in or not."""
    async with a_world(None, **options) as world:
        people(world, 300)
        world.time.move(timedelta(hours=1))
        since = world.time()
        changed = people(world, 2_500)
        found = await world.reading(since).to_its_end()
        assert list(found.living) == list(changed)


@pytest.mark.parametrize("shift", [True, False])
async def test_nothing_that_stays_is_missed_whatever_happens_meanwhile(*, shift: bool) -> None:
    """Contacts are deleted, changed and added between the pages."""
    async with a_world(page_tokens_shift=shift) as world:
        ids = people(world, 1_000)
        user = world.organization.user
        reading = world.reading()
        await reading.go_on()
        for number in range(3):
            world.time.move(timedelta(seconds=5))
            user.remove(ids[number])
            user.touch(*ids[10 * number + 10 : 10 * number + 20])
            user.add({"Email": f"new{number}@example.com", "Last_Name": "New"})
            assert await reading.go_on()
        await reading.to_its_end()
        assert set(ids[3:]) <= reading.living.keys()
        assert set(ids[:3]) <= reading.gone


async def test_a_reading_outlives_its_page_token() -> None:
    """It goes on by query, after the last id."""
    async with a_world(page_token_seconds=60) as world:
        ids = people(world, 700)
        reading = world.reading()
        await reading.go_on()
        world.time.move(timedelta(minutes=5))
        await reading.to_its_end()
        assert list(reading.living) == list(ids)
        assert "query" in reading.stages


async def test_an_incremental_reading_brings_what_changed_and_who_is_gone() -> None:
    """And nothing of what was there before."""
    async with a_world() as world:
        ids = people(world, 5)
        world.organization.user.remove(ids[0])
        world.time.move(timedelta(hours=1))
        since = world.time()
        world.organization.user.edit(ids[1], {"First_Name": "Ann"})
        world.organization.user.remove(ids[2])
        found = await world.reading(since).to_its_end()
        assert {one.first_name for one in found.living.values()} == {"Ann"}
        assert (list(found.living), found.gone) == ([ids[1]], {ids[2]})
        world.time.move(timedelta(hours=1))
        nothing = await world.reading(world.time()).to_its_end()
        assert nothing.records == []


async def test_many_are_read_by_a_bulk_job() -> None:
    """Over several jobs, where a result holds no more."""
    options = {"bulk_read_threshold": "2000", "company_field": "Department"}
    async with a_world(options, bulk_page_size=1_500, bulk_seconds=60) as world:
        ids = people(world, 2_400)
        world.organization.user.remove(world.organization.user.add({"Last_Name": "Gone"}))
        found = await world.reading().to_its_end()
        assert list(found.living) == list(ids)
        assert len(found.gone) == 1
        assert found.stages.count("bulk") > 4
        assert found.living[ids[0]].email == "person1@example.com"
        assert found.living[ids[0]].modified_time is not None


async def test_a_contact_is_found_once_it_is_indexed() -> None:
    """By id at once; one that is gone, or was never there, is None."""
    async with a_world(lag_seconds=60) as world:
        ids = people(world, 3)
        source = world.adapter.source
        emails = ["person1@example.com", "nobody@example.com"]
        assert await source.find(emails, NONE) == dict.fromkeys(emails)
        world.time.move(timedelta(seconds=60))
        world.organization.user.remove(ids[2])
        found = await source.find(emails, NONE)
        assert isinstance(found, dict)
        assert [one and one.crm_contact_id for one in found.values()] == [ids[0], None]
        fetched = await source.fetch([ids[1], ids[2], "1"], NONE)
        assert isinstance(fetched, dict)
        assert [one and one.last_name for one in fetched.values()] == ["Last2", None, None]


async def test_fields_are_made_once_and_written_to() -> None:
    """Under the names that Zoho has given them."""
    async with a_world() as world:
        new = [
            NewField("Score", "Lead score", FieldType.NUMBER),
            NewField("Plan", "Plan", FieldType.PICKLIST, choices=[Choice("pro")]),
        ]
        made = await world.adapter.directory.create_fields(new)
        assert isinstance(made, list)
        assert [one.status for one in made] == [FieldStatus.CREATED] * 2
        again = await world.adapter.directory.create_fields(new)
        assert again == [replace(one, status=FieldStatus.EXISTS) for one in made]
        score, plan = (one.name for one in made)
        one = replace(delivery(1), company="", properties={score: "7", plan: "pro"})
        (outcome,) = await world.adapter.push([one])
        assert isinstance(outcome, Synced)
        assert outcome.note == ""
        (wrong,) = await world.adapter.push([replace(one, properties={plan: "gold"})])
        assert isinstance(wrong, Rejected)
        assert plan in wrong.message
        found = await world.reading(names=frozenset({score, plan})).to_its_end()
        (record,) = found.living.values()
        assert {name: float(v) if v == "7.0" else v for name, v in record.properties.items()} in (
            {score: 7.0, plan: "pro"},
            {score: "7", plan: "pro"},
        )


async def test_permissions_follow_the_scopes() -> None:
    """What is missing is told by name; contacts are read all the same."""
    async with a_world() as world:
        world.organization.scopes = ("ZohoCRM.modules.ALL", "ZohoCRM.coql.READ")
        found = await world.adapter.directory.permissions()
        assert isinstance(found, list)
        assert {one.name for one in found if one.granted} == {"contacts.read", "contacts.search"}
        assert {one.name for one in found if one.granted is False} == {
            "fields.read",
            "organization.read",
            "modules.read",
            "notifications.read",
        }
        standing = await world.adapter.check()
        assert standing.valid
        organization = await world.adapter.directory.organization()
        assert isinstance(organization, Rejected)
        assert organization.code == "OAUTH_SCOPE_MISMATCH"
        world.organization.scopes = tuple(one for one in ALL_SCOPES if "modules" not in one)
        standing = await world.adapter.check()
        assert (standing.valid, standing.reachable) == (False, True)
        assert standing.code == "OAUTH_SCOPE_MISMATCH"


async def test_an_account_tells_what_it_is() -> None:
    """Its id, and what it keeps."""
    async with a_world() as world:
        organization = await world.adapter.directory.organization()
        assert not isinstance(organization, Postponed)
        assert getattr(organization, "id", "")
        modules = await world.adapter.directory.modules()
        assert isinstance(modules, list)
        assert [one.name for one in modules if one.synced] == ["Contacts"]
        fields = await world.adapter.directory.fields()
        assert isinstance(fields, list)
        assert {one.maps_to for one in fields} >= {"email", "first_name", "last_name", "phone"}


async def test_a_token_that_ends_is_renewed_and_ten_are_the_most() -> None:
    """The eleventh is waited for."""
    async with a_world() as world:
        for _ in range(10):
            (outcome,) = await world.adapter.push([replace(delivery(1), company="")])
            assert isinstance(outcome, Synced)
            world.organization.tokens.expire()
        (outcome,) = await world.adapter.push([replace(delivery(1), company="")])
        assert isinstance(outcome, Postponed)
        assert outcome.code == "TOKEN_LIMIT"
        world.time.now = outcome.until
        (outcome,) = await world.adapter.push([replace(delivery(1), company="")])
        assert isinstance(outcome, Synced)


async def test_a_grant_that_was_taken_back_is_no_passing_fault() -> None:
    """A user has revoked it."""
    async with a_world() as world:
        world.organization.tokens.revoke()
        with pytest.raises(CredentialsRefusedError):
            await world.adapter.push([delivery(1)])


async def test_a_locked_record_waits_alone() -> None:
    """The others are delivered."""
    async with a_world() as world:
        ids = people(world, 2)
        world.organization.user.lock(ids[0])
        batch = [replace(delivery(n, crm_contact_id=ids[n - 1]), company="") for n in (1, 2)]
        locked, free = await world.adapter.push(batch)
        assert isinstance(locked, Postponed)
        assert (locked.code, locked.lane) == ("RECORD_LOCKED", False)
        assert isinstance(free, Synced)


async def test_credits_that_are_used_up_close_the_lane_and_are_told_before() -> None:
    """Once half of them are used, Zoho tells what is left."""
    async with a_world(credits=6) as world:
        outcomes = [
            (await world.adapter.push([replace(delivery(n), company="")]))[0] for n in range(1, 8)
        ]
        assert [type(one) for one in outcomes] == [Synced] * 5 + [Postponed] * 2
        assert [told.remaining for told in world.quota.told][:3] == [3, 2, 1]
        assert {bucket for bucket, _ in world.quota.refusals} == {"credits"}


@pytest.mark.parametrize("unique", [(), ("Email",)])
async def test_records_that_swap_addresses_end_up_right(unique: tuple[str, ...]) -> None:
    """Whether an address may be there twice for a moment, or not."""
    async with a_world(unique_fields=unique) as world:
        ids = people(world, 2)
        batch = [
            replace(delivery(1, crm_contact_id=ids[0], email="person2@example.com"), company=""),
            replace(delivery(2, crm_contact_id=ids[1], email="person1@example.com"), company=""),
        ]
        outcomes = await world.adapter.push(batch)
        assert {type(one) for one in outcomes} == {Synced}
        held = {one["email"]: one["fields"] for one in world.organization.contacts()}
        assert held["person2@example.com"]["First_Name"] == "First1"
        assert held["person1@example.com"]["First_Name"] == "First2"
        assert len(held) == 2


async def test_a_company_goes_there_and_comes_back() -> None:
    """It is a record of its own, made once; a list, a query and a bulk job show its name."""
    async with a_world({"bulk_read_threshold": "3"}, bulk_seconds=0) as world:
        outcomes = await world.adapter.push(
            [replace(delivery(number), company="Acme") for number in (1, 2)]
        )
        assert [type(one) for one in outcomes] == [Synced, Synced]
        assert not any(one.note for one in outcomes if isinstance(one, Synced))
        assert len(world.organization.organization.accounts) == 1
        listed = await world.reading().to_its_end()
        assert {one.company for one in listed.living.values()} == {"Acme"}
        people(world, 2)
        exported = await world.reading().to_its_end()
        assert "bulk" in exported.stages
        assert Counter(one.company for one in exported.living.values()) == {"Acme": 2, "": 2}


async def test_a_company_that_the_token_may_not_write_is_noted() -> None:
    """The contact is delivered without it."""
    scopes = tuple(one for one in ALL_SCOPES if "modules" not in one)
    async with a_world(scopes=(*scopes, "ZohoCRM.modules.contacts.ALL")) as world:
        (outcome,) = await world.adapter.push([delivery(1)])
        assert isinstance(outcome, Synced)
        assert outcome.note.startswith("not sent: Account_Name")


async def test_a_made_up_last_name_replaces_none_that_is_there() -> None:
    """Neither by an upsert nor by an update."""
    async with a_world() as world:
        people(world, 1)
        batch = [replace(delivery(n), last_name="", company="") for n in (1, 2)]
        old, new = await world.adapter.push(batch)
        assert isinstance(old, Synced)
        assert isinstance(new, Synced)
        assert "stands in" in new.note
        held = {one["email"]: one["fields"]["Last_Name"] for one in world.organization.contacts()}
        assert held == {"person1@example.com": "Last1", "person2@example.com": "person2"}
        assert [one and one.note for one in await world.adapter.read_back(batch)] == [
            old.note,
            new.note,
        ]


async def test_notifications_are_genuine_and_name_the_contacts() -> None:
    """As Zoho sends them to a channel with our token."""
    async with a_world() as world, receiving() as receiver:
        grant = await world.adapter._office.zoho.access.authorize()  # noqa: SLF001 - to watch
        channel = {
            "channel_id": "1000000068001",
            "events": ["Contacts.all"],
            "notify_url": receiver.url,
            "token": SECRETS["webhook_token"],
        }
        async with httpx.AsyncClient() as client:
            headers = {"authorization": f"Zoho-oauthtoken {getattr(grant, 'token', '')}"}
            url = f"{getattr(grant, 'api_url', '')}/crm/v8/actions/watch"
            made = await client.post(url, json={"watch": [channel]}, headers=headers)
            assert made.status_code == 201
        contact = world.organization.user.add({"Last_Name": "New"})
        world.organization.user.remove(contact)

        async def told() -> None:
            assert len(receiver.posts) == 2

        await eventually(told)
        webhooks = world.adapter.webhooks
        inbound = [
            Inbound("POST", receiver.url, post.headers, post.body, world.time())
            for post in receiver.posts
        ]
        assert all(webhooks.genuine(one) for one in inbound)
        notices = [notice for one in inbound for notice in webhooks.read(one)]
        assert {(one.crm_contact_id, one.kind) for one in notices} == {
            (contact, NoticeKind.CHANGED),
            (contact, NoticeKind.DELETED),
        }
        forged = replace(inbound[0], body=inbound[0].body.replace(b"a-token", b"another"))
        assert not webhooks.genuine(forged)
