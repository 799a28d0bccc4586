"""kill -9 while events are watched: every attempt is told, none twice, none is missed."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
import sqlalchemy as sa

from crmsync.v1.attempt_pb2 import AttemptOutcome
from crmsync.v1.sync_event_pb2 import SyncEvent
from crmsync_client import CrmsyncClient
from crmsync_server.demo import contacts
from crmsync_server.demo.faults import DIALS
from crmsync_server.demo.house import House, client, house
from crmsync_server.demo.steps import misbehave, queue_all, watch
from crmsync_server.store.db import Database
from tests.chaos.disturbance import (
    LINES,
    SEED,
    Disturbance,
    Progress,
    kill_server_and_database,
    kill_server_twice,
)
from tests.eventually import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

_LATENCY_SECONDS = 0.3

Name = tuple[str, str, int, str]


class Subscriber:
    """Whoever follows the stream, and writes down what it is told."""

    def __init__(self, crmsync: CrmsyncClient, crm: str = "") -> None:
        """Follow one CRM's events, or all."""
        self._crmsync = crmsync
        self._crm = crm
        self.told: list[Name] = []

    async def follow(self) -> None:
        """Follow until cancelled."""
        watching = self._crmsync.watch_events(crm=self._crm, from_beginning=True)
        async with aclosing(watching):
            async for message in watching:
                self.told.append(_name(message.sync_event))


def _name(event: SyncEvent) -> Name:
    outcome = AttemptOutcome.Name(event.outcome).removeprefix("ATTEMPT_OUTCOME_")
    return (event.contact_id, event.crm, event.attempt, outcome)


@pytest.mark.parametrize("disturb", [kill_server_twice, kill_server_and_database])
async def test_whatever_is_killed_every_attempt_is_told_exactly_once(
    tmp_path: Path, disturb: Disturbance
) -> None:
    """To a client that resumes by itself, of all CRMs or of one."""
    async with house(tmp_path) as running, client(running) as crmsync:
        await _prepare(running, crmsync, tmp_path / "contacts.csv")
        whole, hubspot = Subscriber(crmsync), Subscriber(crmsync, "hubspot")
        following = [asyncio.create_task(one.follow()) for one in (whole, hubspot)]
        await _deliver(running, crmsync, disturb)
        async with running.database() as database:
            expected = await _attempts(database)

        def all_told() -> None:
            assert len(whole.told) >= len(expected)
            assert len(hubspot.told) >= len([one for one in expected if one[1] == "hubspot"])

        await eventually(all_told, within=30)
        for task in following:
            task.cancel()
        await asyncio.wait(following)
    assert sorted(whole.told) == expected
    assert sorted(hubspot.told) == [one for one in expected if one[1] == "hubspot"]
    assert len(expected) > LINES


async def _prepare(running: House, crmsync: CrmsyncClient, file: Path) -> None:
    """Have CRMs that misbehave and answer late, and contacts to deliver."""
    contacts.write(file, LINES, SEED)
    await misbehave(running)
    late = {**DIALS["hubspot"], "latency_seconds": _LATENCY_SECONDS}
    await running.set_faults("hubspot", late)
    await crmsync.import_contacts(contacts.read(file))


async def _deliver(running: House, crmsync: CrmsyncClient, disturb: Disturbance) -> None:
    """Deliver everything while it is disturbed."""
    progress = Progress()
    sessions = await queue_all(crmsync)
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(crmsync, sessions, progress.show))
        group.create_task(disturb(running, progress))


async def _attempts(database: Database) -> list[Name]:
    """Return every attempt that the history has, in order."""
    text = "SELECT CAST(contact_id AS text), crm, attempt, outcome FROM sync_attempts"
    async with database.everyone() as connection:
        rows = await connection.execute(sa.text(text))
        return sorted(tuple(row) for row in rows)
