"""What webhooks told of is read again, once, and nothing of it is lost or believed unread."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Record
from crmsync_server.store import notice, queue
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.merging import DeletionPolicy, MergePolicy, Merging
from crmsync_server.store.notice import Told
from crmsync_server.store.queue import Finished
from crmsync_server.store.states import AttemptOutcome, SyncStatus
from crmsync_server.sync.verdict import RetryPolicy
from tests.eventually import eventually
from tests.store import people
from tests.store.people import CRM, ORG
from tests.store.records import ADA, Reading, ada, later
from tests.sync.notices import Answer, Crm, Office, change, deletion

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SLOWLY = RetryPolicy(base=HOUR, cap=HOUR, jitter=lambda: 1.0)


@pytest.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    """Look at what was taken in, and check its promises at the end."""
    yield Reading(database)
    async with database.everyone() as connection:
        assert not await violations(connection)


async def test_what_was_told_of_a_record_is_read_once(database: Database, reading: Reading) -> None:
    """However many notices there are, and whatever they are about."""
    office = Office(database, Crm(ada("1"), ada("2", email="bob@example.com")))
    await office.tell(change("a"), change("b"), change("c", "2"), change("d"))
    async with office.at_work():
        await eventually(partial(office.ended, dict.fromkeys("abcd", "READ")))
    assert office.crm is not None
    assert office.crm.asked == [["1", "2"]]
    assert [row.email for row in await reading.contacts()] == ["ada@example.com", "bob@example.com"]
    [config] = await office.rows("SELECT two_way_time FROM crm_configs")
    assert config.two_way_time is not None
    assert not await office.rows("SELECT FROM sessions")


async def test_a_notice_wakes_the_duty(database: Database) -> None:
    """It is due after a while, and is not waited for longer than that."""
    office = Office(database, Crm(ada()))
    async with office.at_work() as duty:
        async with database.org(ORG) as connection:
            rest = timedelta(seconds=0.2)
            await notice.insert(connection, ORG, CRM, [change("a")], rest)
        duty.wake()
        await eventually(partial(office.ended, {"a": "READ"}))


async def test_many_records_are_read_as_many_at_a_time_as_the_crm_takes(
    database: Database, reading: Reading
) -> None:
    """No call asks for more."""
    records = [ada(str(n), email=f"{n}@example.com") for n in range(10)]
    crm = Crm(*records, batch=4)
    office = Office(database, crm)
    await office.tell(*(change(f"{n}-{again}", str(n)) for again in range(3) for n in range(10)))
    async with office.at_work():
        await eventually(partial(_all_done, office, 30))
    assert sorted(map(len, crm.asked)) == [2, 4, 4]
    assert len(await reading.contacts()) == 10


async def test_what_is_gone_is_dealt_with_as_the_deletion_policy_says(
    database: Database, reading: Reading
) -> None:
    """Whether the CRM still knows of it or not."""
    await reading.absorb(ada("1"), ada("2", email="bob@example.com"))
    office = Office(
        database,
        Crm(Record("2", deleted=True)),
        merging=Merging(deletion_policy=DeletionPolicy.DELETE),
    )
    await office.tell(deletion("a", "1"), change("b", "2"), deletion("c", "never known"))
    async with office.at_work():
        await eventually(partial(office.ended, dict.fromkeys("abc", "GONE")))
    assert await reading.contacts() == []


async def test_a_deletion_that_came_late_deletes_nothing(
    database: Database, reading: Reading
) -> None:
    """The record is there again: what counts is what the CRM says when it is read."""
    await reading.absorb(ada("1"))
    merging = Merging(deletion_policy=DeletionPolicy.DELETE)
    office = Office(database, Crm(ada("1", company="Looms", modified_time=later(2))), merging)
    await office.tell(change("a"), deletion("b"))
    async with office.at_work():
        await eventually(partial(office.ended, {"a": "READ", "b": "READ"}))
    assert (await reading.contact()).company == "Looms"


async def test_a_record_that_is_not_found_is_looked_for_again_before_it_is_gone(
    database: Database, reading: Reading
) -> None:
    """An index that lags must not unlink a contact."""
    await reading.absorb(ada("1"))
    crm = Crm()
    office = Office(database, crm, policy=SLOWLY)
    await office.tell(change("a"))
    async with office.at_work():
        for tries in (1, 2):
            await eventually(partial(office.waits, "NOT_FOUND", tries))
            assert await reading.base() is not None
            await office.let_pass(HOUR)
        await eventually(partial(office.ended, {"a": "GONE"}))
    assert not await office.rows("SELECT FROM sync_bases")


async def test_a_merged_record_gives_its_contact_to_the_one_that_is_left(
    database: Database, reading: Reading
) -> None:
    """Which comes under the id that was asked for."""
    await reading.absorb(ada("1"))
    crm = Crm(ada("9", modified_time=later(2)))
    crm.records["1"] = crm.records["9"]
    office = Office(database, crm)
    await office.tell(change("a", "1"), change("b", "9"))
    async with office.at_work():
        await eventually(partial(office.ended, {"a": "READ", "b": "READ"}))
    assert (await reading.base()).crm_contact_id == "9"
    assert (await reading.contact()).email == "ada@example.com"


async def test_a_record_that_is_named_by_its_email_is_found(
    database: Database, reading: Reading
) -> None:
    """By the id of the contact where nobody has that email any more."""
    await reading.absorb(ada("1"), ada("2", email="bob@example.com"))
    moved = ada("1", email="countess@example.com", modified_time=later(2))
    office = Office(database, Crm(moved, ada("3", email="cid@example.com")))
    await office.tell(
        Told("a", "CHANGED", email="ada@example.com"),
        Told("b", "DELETED", email="bob@example.com"),
        Told("c", "CHANGED", email="Cid@Example.com "),
        Told("d", "DELETED", email="nobody@example.com"),
    )
    expected = {"a": "READ", "b": "GONE", "c": "READ", "d": "NOT_FOUND"}
    async with office.at_work():
        await eventually(partial(office.ended, expected))
    linked = await office.rows("SELECT crm_contact_id FROM sync_bases ORDER BY 1")
    assert [row.crm_contact_id for row in linked] == ["1", "3"]
    emails = [row.email for row in await reading.contacts()]
    assert emails == ["bob@example.com", "cid@example.com", "countess@example.com"]


@pytest.mark.parametrize(
    ("trouble", "code", "tries"),
    [
        (Postponed(datetime.now(UTC) + HOUR, "RATE_LIMITED", "wait"), "RATE_LIMITED", 0),
        (QuotaExhaustedError("day", datetime.now(UTC) + HOUR), "QUOTA_EXHAUSTED", 0),
        (Retry("HTTP_503", "down"), "HTTP_503", 1),
        (Retry("HTTP_503", "down", after=datetime.now(UTC) + HOUR), "HTTP_503", 1),
        (Rejected("FORBIDDEN", "a scope is missing"), "FORBIDDEN", 1),
        (CredentialsRefusedError("no such token"), "CREDENTIALS_REFUSED", 1),
        ({}, "UNACCOUNTED", 1),
    ],
)
async def test_trouble_with_the_crm_puts_notices_off(
    database: Database, reading: Reading, trouble: Answer, code: str, tries: int
) -> None:
    """For as long as the CRM says, or later and later; then they are seen to."""
    crm = Crm(ada())
    crm.instead = [trouble]
    office = Office(database, crm, policy=SLOWLY)
    await office.tell(change("a"))
    async with office.at_work():
        until = await eventually(partial(office.waits, code, tries))
        # The hour began when the tests were collected, which may be a while ago.
        assert until > datetime.now(UTC) + HOUR / 10
        assert len(crm.asked) == 1
        await office.let_pass(2 * HOUR)
        await eventually(partial(office.ended, {"a": "READ"}))
    assert len(await reading.contacts()) == 1


async def test_refused_credentials_are_told_once_and_never_given_up_for(
    database: Database,
) -> None:
    """The lane is closed by that; notices wait until they are good again."""
    crm = Crm(ada())
    crm.instead = [CredentialsRefusedError("no such token")] * 8
    office = Office(database, crm)
    await office.tell(change("a"))
    async with office.at_work():
        await eventually(partial(office.ended, {"a": "READ"}), within=15)
    assert office.refused == [f"{ORG}/{CRM}: no such token"]


async def test_what_nobody_can_read_for_a_week_is_given_up_and_kept(database: Database) -> None:
    """With the reason as its outcome."""
    office = Office(database, None)
    await office.tell(change("a"))
    async with office.at_work():
        await eventually(partial(office.waits, "CRM_DISABLED", 1))
        await office.rows("UPDATE notices SET receive_time = now() - interval '8 days'")
        await office.let_pass(HOUR)
        await eventually(partial(office.ended, {"a": "CRM_DISABLED"}))


async def test_one_record_that_fails_here_does_not_sink_the_others(
    database: Database, reading: Reading
) -> None:
    """It is tried again a few times, and then kept with that outcome."""
    records = [ada(str(n), email=f"{n}@example.com") for n in range(8)]

    def fail(asked: Sequence[str]) -> Answer | None:
        return RuntimeError("what is this?") if "3" in asked else None

    crm = Crm(*records)
    crm.always = fail
    office = Office(database, crm)
    await office.tell(*(change(str(n), str(n)) for n in range(8)))
    expected = dict.fromkeys("0124567", "READ") | {"3": "INTERNAL"}
    async with office.at_work():
        await eventually(partial(office.ended, expected), within=15)
    assert len(await reading.contacts()) == 7
    tried = sum(asked == ["3"] for asked in crm.asked)
    assert tried == 1 + office.policy.max_retries


async def test_two_servers_share_the_notices(database: Database, reading: Reading) -> None:
    """Each is seen to by one of them."""
    records = [ada(str(n), email=f"{n}@example.com") for n in range(40)]
    crm = Crm(*records)
    first, second = Office(database, crm), Office(database, crm)
    async with first.at_work(), second.at_work():
        for n in range(40):
            await first.tell(change(f"{n}", str(n)))
        await eventually(partial(_all_done, first, 40))
    assert sorted(one for asked in crm.asked for one in asked) == sorted(crm.records)
    assert len(await reading.contacts()) == 40


async def test_a_server_that_dies_after_claiming_loses_nothing(
    database: Database, reading: Reading
) -> None:
    """Another one sees to it once the lease is over."""
    office = Office(database, Crm(ada()))
    await office.tell(change("a"))
    async with database.org(ORG) as connection:
        lease = timedelta(seconds=0.5)
        assert await notice.claim(connection, ORG, CRM, size=10, lease=lease)
    async with office.at_work():
        await eventually(partial(office.ended, {"a": "READ"}))
    assert len(await reading.contacts()) == 1


async def test_a_server_that_was_given_up_for_dead_writes_nothing(
    database: Database, reading: Reading
) -> None:
    """What it has read may be old by now."""
    slow, quick = Crm(ada(company="old")), Crm(ada(company="new"))
    slow.lets_go.clear()
    first, second = Office(database, slow), Office(database, quick)
    await first.tell(change("a"))
    async with first.at_work():
        await slow.begun.wait()
        await first.let_pass(HOUR)
        async with second.at_work():
            await eventually(partial(second.ended, {"a": "READ"}))
        slow.lets_go.set()
        await eventually(_nothing_under_way)
    assert (await reading.contact()).company == "new"


async def test_a_server_that_stops_gives_back_what_it_holds(database: Database) -> None:
    """So that nobody waits for its lease."""
    slow = Crm(ada())
    slow.lets_go.clear()
    office = Office(database, slow, lease=HOUR)
    await office.tell(change("a"))
    async with office.at_work():
        await slow.begun.wait()
    async with Office(database, Crm(ada())).at_work():
        await eventually(partial(office.ended, {"a": "READ"}))


async def test_a_lease_lasts_as_long_as_the_reading(database: Database) -> None:
    """However short it is by itself."""
    slow, other = Crm(ada()), Crm(ada())
    slow.lets_go.clear()
    first = Office(database, slow, lease=timedelta(seconds=0.3))
    await first.tell(change("a"))
    async with first.at_work():
        await slow.begun.wait()
        async with Office(database, other).at_work():
            [before] = await first.rows("SELECT due_time FROM notices")

            async def renewed() -> None:
                [row] = await first.rows("SELECT due_time FROM notices")
                assert row.due_time > before.due_time + timedelta(seconds=0.6)

            await eventually(renewed)
            slow.lets_go.set()
            await eventually(partial(first.ended, {"a": "READ"}))
    assert other.asked == []


async def test_what_of_ours_wins_is_queued_where_the_contact_is_delivered(
    database: Database, reading: Reading
) -> None:
    """One that was only ever read is not delivered because of a webhook."""
    await reading.absorb(ada("1"), ada("2", email="bob@example.com"))
    delivered, read = [row.id for row in await reading.contacts()]
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [delivered], people.order())
        claimed = await people.claim(connection)
        assert len(claimed) == 1
    for contact_id in (delivered, read):
        await reading.edit(contact_id, phone="+442071838750")
    changed = {"company": "Looms", "modified_time": later(2)}
    crm = Crm(ada("1", **changed), ada("2", email="bob@example.com", **changed))
    office = Office(database, crm, merging=Merging(policy=MergePolicy.OURS_WINS))
    await office.tell(change("a", "1"), change("b", "2"))
    async with office.at_work():
        await eventually(partial(office.ended, {"a": "READ", "b": "READ"}))
    [session] = await office.rows("SELECT * FROM sessions WHERE creator = 'webhook'")
    assert (session.kind, session.total) == ("BULK_QUEUE_CONTACTS", 1)
    items = await office.rows(
        "SELECT contact_id FROM session_items WHERE session_id = :s", s=session.id
    )
    assert [row.contact_id for row in items] == [delivered]
    assert office.queued == [f"{ORG}/{CRM}"]


async def test_what_was_delivered_before_is_linked_first(
    database: Database, reading: Reading
) -> None:
    """So that a record that a webhook tells of is known to be that contact's."""
    contact_id = await reading.keep(ADA._replace(email="other@example.com"))
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order())
        [claimed] = await people.claim(connection)
        done = (SyncStatus.COMPLETE, AttemptOutcome.SYNCED)
        ended = Finished(contact_id, claimed.attempt, *done, crm_contact_id="1")
        await queue.finish(connection, ORG, CRM, [ended])
    office = Office(database, Crm(ada("1", company="Looms")))
    await office.tell(change("a"))
    async with office.at_work():
        await eventually(partial(office.ended, {"a": "READ"}))
    assert (await reading.base()).contact_id == contact_id


async def _all_done(office: Office, count: int) -> None:
    assert len(await office.outcomes()) == count


def _nothing_under_way() -> None:
    assert not [task for task in asyncio.all_tasks() if task.get_name() == f"notices {CRM}"]
