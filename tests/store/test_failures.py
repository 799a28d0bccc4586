"""Failures: found newest first, counted without looking, and queued again in one statement."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.store import contact, failure, queue, session, standing
from crmsync_server.store.db import Database
from crmsync_server.store.filter import compile_filter
from crmsync_server.store.filter_fields import contact_fields
from crmsync_server.store.invariants import violations
from crmsync_server.store.states import SessionKind
from tests.store import people
from tests.store.failing import fail
from tests.store.people import CRM, ORG

HOUR = timedelta(hours=1)
MAX_RETRIES = 3


async def listed(
    database: Database, text: str = "", size: int = 100, after: failure.Place | None = None
) -> Sequence[sa.Row[Any]]:
    """Return a page of failures."""
    condition = failure.condition(text, MAX_RETRIES)
    async with database.org(ORG) as connection:
        return await failure.list(connection, ORG, CRM, condition, size=size, after=after)


async def total(database: Database, text: str = "") -> int:
    """Return how many failures there are."""
    condition = failure.condition(text, MAX_RETRIES)
    async with database.org(ORG) as connection:
        return await failure.count(connection, ORG, CRM, condition)


async def retry(
    database: Database, asked: failure.Retry, kind: SessionKind = SessionKind.RETRY_ALL_FAILURES
) -> tuple[int, UUID]:
    """Retry failures; return how many, and the session."""
    order = people.order()
    order = queue.Order(order.crm, order.session_id, kind, "tests")
    async with database.org(ORG) as connection:
        return await failure.retry(connection, ORG, asked, order), order.session_id


async def stands(database: Database, contact_id: UUID) -> sa.Row[Any]:
    """Return how a contact stands."""
    async with database.org(ORG) as connection:
        return await standing.get(connection, ORG, contact_id, CRM)


async def sound(database: Database) -> bool:
    """Tell whether every promise of the queue holds."""
    async with database.everyone() as connection:
        return not await violations(connection)


async def test_failures_come_newest_first_page_by_page(database: Database) -> None:
    """Those that failed at the same moment by their ids; none twice, none left out."""
    ids = await people.populate(database, 7)
    for part in (ids[:3], ids[3:4], ids[4:]):
        await fail(database, part)
    expected = [*reversed(ids[4:]), ids[3], *reversed(ids[:3])]
    found: list[UUID] = []
    after = None
    while page := await listed(database, size=2, after=after):
        found += [row.contact_id for row in page]
        after = failure.Place(page[-1].update_time, page[-1].contact_id)
    assert found == expected
    assert await total(database) == len(ids)


async def test_a_failure_tells_the_error_and_the_contact(database: Database) -> None:
    """Its code, its words, the CRM's request id, how often it was retried, and the email."""
    (contact_id,) = await people.populate(database, 1)
    await fail(database, [contact_id], retries=2)
    (row,) = await listed(database)
    assert (row.error_code, row.error_message) == ("VALIDATION_ERROR", "VALIDATION_ERROR it is")
    assert (row.error_request_id, row.retry_count) == ("request-1", 2)
    assert row.email == f"{contact_id}@example.com"


async def test_what_credentials_keep_back_counts_as_failed(database: Database) -> None:
    """QUEUED, but not for lack of trying; it is retried as the others are, and then is no more."""
    ids = await people.populate(database, 5)
    await fail(database, ids[:3])
    await fail(database, ids[3:], refused=True)
    assert (await total(database), len(await listed(database))) == (5, 5)
    assert (await retry(database, failure.Retry()))[0] == 5
    assert (await total(database), len(await listed(database))) == (0, 0)
    assert await sound(database)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('error.code = "VALIDATION_ERROR"', "ab"),
        ("error.code != validation_error", "c"),
        ("error.message:timeout", "c"),
        ("error.request_id = request-1", "abc"),
        ("retry_count >= 2", "bc"),
        ("can_retry = true", "ab"),
        ("NOT can_retry = true", "c"),
        ("error_time > 2020-01-01 AND last_retry_time:*", ""),
        ("first_name = a", "abc"),
        ("error_time > 2999-01-01", ""),
    ],
)
async def test_failures_are_filtered_by_what_happened_and_to_whom(
    database: Database, text: str, expected: str
) -> None:
    """By the fields of the failure and by those of its contact; the count says the same."""
    ids = await people.populate(database, 3)
    await fail(database, ids[:1])
    await fail(database, ids[1:2], retries=2)
    await fail(database, ids[2:], "TIMEOUT", retries=MAX_RETRIES)
    names = dict(zip(ids, "abc", strict=True))
    assert {names[row.contact_id] for row in await listed(database, text)} == set(expected)
    assert await total(database, text) == len(expected)


async def test_a_failed_contact_by_its_own_id(database: Database) -> None:
    """The field that tells one contact."""
    ids = await people.populate(database, 2)
    await fail(database, ids)
    (row,) = await listed(database, f"contact_id = {ids[0]}")
    assert row.contact_id == ids[0]


async def test_a_retry_from_the_start_is_due_at_once(database: Database) -> None:
    """Its count is 0; its session is of its kind and has one item."""
    (contact_id, other) = await people.populate(database, 2)
    await fail(database, [contact_id, other], retries=3)
    asked = failure.Retry(contact_id=contact_id)
    count, session_id = await retry(database, asked, SessionKind.RETRY_CONTACT)
    row = await stands(database, contact_id)
    assert (count, row.sync_status, row.retry_count, row.next_retry_time) == (1, "QUEUED", 0, None)
    async with database.org(ORG) as connection:
        opened = await session.get(connection, ORG, session_id)
        (claimed,) = await people.claim(connection)
    assert (opened.kind, opened.total, opened.state) == ("RETRY_CONTACT", 1, "RUNNING")
    assert claimed.contact_id == contact_id
    assert (await stands(database, other)).sync_status == "ERROR"
    assert await sound(database)


async def test_a_retry_that_goes_on_counts_and_waits(database: Database) -> None:
    """By the wait that belongs to its count; the last wait belongs to any higher one."""
    ids = await people.populate(database, 3)
    for contact_id, retries in zip(ids, (0, 1, 9), strict=True):
        await fail(database, [contact_id], retries=retries)
    before = datetime.now(UTC)
    count, _ = await retry(database, failure.Retry(waits=[HOUR, 2 * HOUR, 3 * HOUR]))
    rows = [await stands(database, contact_id) for contact_id in ids]
    assert (count, [row.retry_count for row in rows]) == (3, [1, 2, 10])
    for row, hours in zip(rows, (1, 2, 3), strict=True):
        assert row.due_time == row.next_retry_time
        assert abs(row.due_time - before - hours * HOUR) < timedelta(minutes=1)
        assert row.error_code == "VALIDATION_ERROR"
    assert await sound(database)


async def test_a_retry_of_all_keeps_to_its_filter(database: Database) -> None:
    """The others stay where they are."""
    ids = await people.populate(database, 4)
    await fail(database, ids[:2])
    await fail(database, ids[2:], "TIMEOUT")
    condition = failure.condition("error.code = TIMEOUT", MAX_RETRIES)
    assert (await retry(database, failure.Retry(condition=condition)))[0] == 2
    assert {row.contact_id for row in await listed(database)} == set(ids[:2])
    assert await total(database) == 2
    assert await sound(database)


async def test_what_has_not_failed_is_not_retried(database: Database) -> None:
    """Nothing of it changes, and the session has ended at once."""
    ids = await people.populate(database, 2)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, ids[:1], people.order())
    for contact_id in ids:
        count, session_id = await retry(database, failure.Retry(contact_id=contact_id))
        async with database.org(ORG) as connection:
            opened = await session.get(connection, ORG, session_id)
        assert (count, opened.total, opened.state) == (0, 0, "SUCCEEDED")
    assert await sound(database)


async def test_a_failure_without_an_email_stays_where_one_is_needed(database: Database) -> None:
    """As QueueAllContacts leaves it out."""
    async with database.org(ORG) as connection:
        mute = await people.create(connection, ORG, "mute", email=False)
    await fail(database, [mute])
    assert (await retry(database, failure.Retry(requires_email=True)))[0] == 0
    assert (await retry(database, failure.Retry()))[0] == 1


async def test_the_failure_of_a_deleted_contact_can_be_cleared(database: Database) -> None:
    """It is listed without the contact's data, and a retry of all takes it along."""
    (contact_id,) = await people.populate(database, 1)
    await fail(database, [contact_id])
    async with database.org(ORG) as connection:
        await contact.delete(connection, ORG, contact_id)
    (row,) = await listed(database)
    assert (row.email, await total(database)) == (None, 1)
    assert await listed(database, "email:*") == []
    assert (await retry(database, failure.Retry(requires_email=True)))[0] == 1
    async with database.org(ORG) as connection:
        (claimed,) = await people.claim(connection)
    assert claimed.deleted


async def test_failures_are_retried_once_by_callers_who_meet(database: Database) -> None:
    """By two who retry all, one who retries each in the other order, and one who queues them."""
    ids = await people.populate(database, 60)
    await fail(database, ids)
    condition = failure.condition("first_name = a", MAX_RETRIES)

    async def one_by_one() -> int:
        counts = [
            await retry(database, failure.Retry(contact_id=contact_id))
            for contact_id in reversed(ids)
        ]
        return sum(count for count, _ in counts)

    async def anew() -> None:
        async with database.org(ORG) as connection:
            await people.enqueue(connection, ids[::2], people.order())

    (first, _), (second, _), third, _ = await asyncio.gather(
        retry(database, failure.Retry(condition=condition)),
        retry(database, failure.Retry()),
        one_by_one(),
        anew(),
    )
    assert len(ids) / 2 <= first + second + third <= len(ids)
    assert await listed(database) == []
    assert await sound(database)


async def test_another_organization_s_failures_are_out_of_sight(database: Database) -> None:
    """Neither listed nor counted nor retried."""
    (contact_id,) = await people.populate(database, 1)
    await fail(database, [contact_id])
    async with database.org("globex") as connection:
        assert await failure.list(connection, "globex", CRM, None, size=9) == []
        assert await failure.count(connection, "globex", CRM, None) == 0
        asked = failure.Retry(contact_id=contact_id)
        assert await failure.retry(connection, "globex", asked, people.order()) == 0


async def test_contacts_are_queued_by_a_filter_as_well(database: Database) -> None:
    """With the other conditions, and with a colon, a percent sign and a quote in its text."""
    ids = await people.populate(database, 3)
    async with database.org(ORG) as connection:
        await people.edit(connection, ORG, ids[1], 'it\'s :x % \\ "y"')
        text = 'first_name = "it\'s :x % \\\\ \\"y\\"" AND email:*@example.com AND NOT properties:x'
        text += " AND NOT properties.x = y* AND NOT tags:vip AND create_time > 2020-01-01"
        text += " AND version >= 1 AND domain_id != 0191c6ab-7c00-7000-8000-000000000001"
        condition = compile_filter(text, contact_fields(), "filter.filter")
        chosen = queue.Selection(has_email=True, not_already_synced=True, condition=condition)
        count, _ = await queue.enqueue(connection, ORG, chosen, people.order())
    assert (count, (await stands(database, ids[1])).sync_status) == (1, "QUEUED")
    assert await sound(database)
