"""What is configured reaches every process: at once by a hint, and within seconds without one."""

import asyncio
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from crmsync_server.crm.mapping import FieldMapping, Rule
from crmsync_server.store import config
from crmsync_server.store.db import Database
from crmsync_server.store.merging import MergePolicy, Merging
from crmsync_server.sync.configs import Configs
from crmsync_server.sync.lane_config import LaneConfig
from tests.store.people import CRM, ORG

HINT = f"{ORG}/{CRM}"
RULES = ({"target": "company", "constant": "Globex"},)


@dataclass
class Clock:
    """Seconds that pass when the test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


async def change(database: Database, **values: object) -> None:
    """Change what is configured, as another process does."""
    async with database.org(ORG) as connection:
        await config.update(
            connection,
            ORG,
            CRM,
            lambda before: replace(before, **values),  # type: ignore[arg-type]  # names of its fields
        )


async def test_what_nobody_configured_is_the_defaults(database: Database) -> None:
    """For any organization and CRM."""
    assert await Configs(database).of(ORG, CRM) == LaneConfig()
    await change(database, batch_size=7)
    assert await Configs(database).of("globex", CRM) == LaneConfig()


async def test_all_that_is_configured_is_told(database: Database) -> None:
    """The mapping with its rules and properties."""
    await change(database, enabled=False, batch_size=3, concurrency=2, max_retries=0)
    told = await Configs(database).of(ORG, CRM)
    assert told == LaneConfig(enabled=False, batch_size=3, concurrency=2, max_retries=0)
    await change(database, mapping=RULES, custom_properties=("plan",))
    told = await Configs(database).of(ORG, CRM)
    rule = Rule(target="company", constant="Globex")
    assert told.mapping == FieldMapping((rule,), frozenset({"plan"}))


async def test_that_a_crm_is_read_is_told_without_a_new_version(database: Database) -> None:
    """No caller has changed anything."""
    configs = Configs(database, max_age=0)
    document = {"policy": "MERGE_POLICY_MANUAL", "create_contacts": False}
    await change(database, merging=document)
    assert not (await configs.of(ORG, CRM)).two_way
    async with database.org(ORG) as connection:
        await config.go_two_ways(connection, ORG, CRM)
    told = await configs.of(ORG, CRM)
    assert told.two_way
    assert told.merging == Merging(MergePolicy.MANUAL, create_contacts=False)


@pytest.mark.parametrize("hint", [HINT, None])
async def test_a_hint_makes_the_next_look_a_fresh_one(database: Database, hint: str | None) -> None:
    """Also one that says that hints were lost."""
    configs = Configs(database, clock=Clock())
    await configs.of(ORG, CRM)
    await change(database, batch_size=3)
    configs.on_config("globex/hubspot")
    assert (await configs.of(ORG, CRM)).batch_size is None
    configs.on_config(hint)
    assert (await configs.of(ORG, CRM)).batch_size == 3


async def test_without_a_hint_a_change_is_seen_in_five_seconds(database: Database) -> None:
    """Not before, so that deliveries ask the database seldom."""
    clock = Clock()
    configs = Configs(database, clock=clock)
    await configs.of(ORG, CRM)
    await change(database, batch_size=3)
    clock.now = 4.9
    assert (await configs.of(ORG, CRM)).batch_size is None
    clock.now = 5.0
    assert (await configs.of(ORG, CRM)).batch_size == 3


async def test_what_did_not_change_stays_the_same_object(database: Database) -> None:
    """Its mapping need not be made ready again."""
    clock = Clock()
    await change(database, mapping=RULES)
    configs = Configs(database, clock=clock)
    first = await configs.of(ORG, CRM)
    clock.now = 10.0
    assert await configs.of(ORG, CRM) is first


async def test_a_hint_that_comes_while_it_is_read_counts(database: Database) -> None:
    """What was read may be the old state."""
    configs = Configs(database, clock=Clock())
    await change(database, batch_size=1)
    await configs.of(ORG, CRM)
    async with database.everyone() as connection:
        await connection.execute(sa.text("LOCK TABLE crm_configs"))
        configs.on_config(HINT)
        reading = asyncio.create_task(configs.of(ORG, CRM))
        await asyncio.sleep(0)
        configs.on_config(HINT)
    await reading
    await change(database, batch_size=2)
    assert (await configs.of(ORG, CRM)).batch_size == 2
