"""What is configured for a CRM, and how its lane is paused by hand."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync_server.errors import VersionMismatchError
from crmsync_server.store import config, lane, queue
from crmsync_server.store.config import Config
from crmsync_server.store.db import Database
from tests.store import people
from tests.store.people import CRM, ORG

RULES = ({"target": "company", "constant": "Globex"},)


async def row_of(database: Database, crm: str = CRM, org_id: str = ORG) -> sa.Row[Any]:
    """Return what is configured for one CRM."""
    async with database.org(org_id) as connection:
        [row] = await config.list(connection, org_id, [crm])
    return row


async def change(database: Database, version: int = 0, **values: object) -> bool:
    """Change what is configured."""
    async with database.org(ORG) as connection:
        return await config.update(
            connection,
            ORG,
            CRM,
            lambda before: replace(before, **values),  # type: ignore[arg-type]  # names of its fields
            version,
        )


async def pause(database: Database, pauser: str = "anna", reason: str = "moving house") -> None:
    """Pause by hand."""
    async with database.org(ORG) as connection:
        await config.pause(connection, ORG, CRM, pauser=pauser, reason=reason)


async def pause_for(database: Database, length: timedelta, code: str = "QUOTA_EXHAUSTED") -> None:
    """Pause as the engine does."""
    until = datetime.now(UTC) + length
    async with database.org(ORG) as connection:
        await lane.pause(connection, ORG, CRM, until=until, code=code, message="used up")


async def claimed(database: Database) -> int:
    """Claim what may be delivered; return how much it is."""
    async with database.org(ORG) as connection:
        return len(await people.claim(connection))


async def test_what_nobody_changed_is_the_defaults(database: Database) -> None:
    """Of version 0, and never updated."""
    row = await row_of(database)
    assert Config.of(row) == Config()
    assert (row.version, row.update_time, row.paused) == (0, None, False)


async def test_a_change_is_kept_and_raises_the_version(database: Database) -> None:
    """All of it comes back as it was given."""
    told = Config(
        enabled=False,
        batch_size=20,
        concurrency=2,
        max_retries=0,
        custom_properties=("a", "b"),
        mapping=RULES,
    )
    async with database.org(ORG) as connection:
        assert await config.update(connection, ORG, CRM, lambda _: told)
    row = await row_of(database)
    assert Config.of(row) == told
    assert row.version == 1
    assert row.update_time is not None
    assert await change(database, version=1, batch_size=None)
    assert Config.of(await row_of(database)) == replace(told, batch_size=None)


async def test_a_change_that_changes_nothing_leaves_the_version(database: Database) -> None:
    """Also the first one."""
    assert not await change(database)
    assert (await row_of(database)).version == 0
    await change(database, mapping=RULES)
    assert not await change(database, mapping=tuple(map(dict, RULES)))
    assert (await row_of(database)).version == 1


async def test_a_change_meant_for_another_version_changes_nothing(database: Database) -> None:
    """It is told the present one."""
    await change(database, batch_size=5)
    with pytest.raises(VersionMismatchError) as caught:
        await change(database, version=2, batch_size=6)
    assert caught.value.metadata == {"version": "1"}
    assert (await row_of(database)).batch_size == 5


async def test_changes_at_once_are_all_kept(database: Database) -> None:
    """Each is made of what the one before left."""
    async with database.org(ORG) as connection:
        await config.update(connection, ORG, CRM, lambda before: replace(before, batch_size=1))

    def one_more(before: Config) -> Config:
        return replace(before, batch_size=(before.batch_size or 0) + 1)

    async def count() -> None:
        async with database.org(ORG) as connection:
            await config.update(connection, ORG, CRM, one_more)

    await asyncio.gather(*(count() for _ in range(4)))
    row = await row_of(database)
    assert (row.batch_size, row.version) == (5, 5)


async def test_an_organization_and_a_crm_have_their_own(database: Database) -> None:
    """Nobody else's changes."""
    await change(database, enabled=False)
    assert (await row_of(database, "brevo")).enabled
    assert (await row_of(database, org_id="globex")).enabled


async def test_a_pause_by_hand_lasts_until_it_is_ended(database: Database) -> None:
    """What is queued waits, and keeps its place."""
    ids = await people.populate(database, 3)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, ids, people.order())
    await pause(database)
    row = await row_of(database)
    assert row.paused
    assert (row.pauser, row.pause_code, row.pause_message) == ("anna", "PAUSED", "moving house")
    assert row.resume_time is None
    assert await claimed(database) == 0
    async with database.org(ORG) as connection:
        assert await lane.resume(connection, ORG, CRM)
    assert not (await row_of(database)).paused
    assert await claimed(database) == 3


async def test_the_engine_does_not_fail_on_a_pause_without_end(database: Database) -> None:
    """It looks again in a day at the latest."""
    ids = await people.populate(database, 1)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, ids, people.order())
    await pause(database)
    async with database.everyone() as connection:
        [row] = await queue.due_lanes(connection)
    assert 86_000 < row.wait_seconds <= 86_400


async def test_the_first_pause_by_hand_stays(database: Database) -> None:
    """With whoever made it."""
    await pause(database)
    before = await row_of(database)
    await pause(database, "bert", "another reason")
    assert await row_of(database) == before


async def test_a_pause_of_the_engine_gives_way_to_one_by_hand(database: Database) -> None:
    """And does not end it, nor take its name."""
    await pause_for(database, timedelta(hours=1))
    row = await row_of(database)
    assert (row.paused, row.pauser, row.pause_code) == (True, None, "QUOTA_EXHAUSTED")
    assert row.resume_time - datetime.now(UTC) > timedelta(minutes=59)
    await pause(database)
    await pause_for(database, timedelta(days=2))
    row = await row_of(database)
    assert (row.pauser, row.pause_code, row.resume_time) == ("anna", "PAUSED", None)


async def test_a_lane_tells_since_when_it_is_paused(database: Database) -> None:
    """A pause that is prolonged began when it began; a new one begins anew, and is nobody's."""
    await pause_for(database, timedelta(hours=1))
    since = (await row_of(database)).pause_time
    await pause_for(database, timedelta(hours=2))
    assert (await row_of(database)).pause_time == since
    await pause(database)
    async with database.org(ORG) as connection:
        await lane.resume(connection, ORG, CRM)
    await pause_for(database, timedelta(hours=1), "LOCKED")
    row = await row_of(database)
    assert row.pause_time > since
    assert (row.pauser, row.pause_code) == (None, "LOCKED")


async def test_a_pause_that_is_over_is_none(database: Database) -> None:
    """Nobody has to clear it."""
    await pause_for(database, timedelta(seconds=-1))
    assert not (await row_of(database)).paused
