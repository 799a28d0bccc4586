"""The queue under every interleaving that the state machine finds."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from crmsync_server.store.db import Database, Pool
from tests.postgres import Postgres
from tests.sync.machine import QueueMachine
from tests.sync.world import World

_PROFILE = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def world(postgres: Postgres, template: str) -> Iterator[World]:
    """Open one database for all examples, in a loop of its own."""
    with asyncio.Runner() as runner:
        making = postgres.database(template)
        database = Database(runner.run(making.__aenter__()), Pool(size=1))
        yield World(runner, database)
        runner.run(database.close())
        runner.run(making.__aexit__(None, None, None))


@pytest.mark.slow
def test_whatever_happens_in_whatever_order_the_queue_keeps_its_promises(world: World) -> None:
    """Callers, workers, crashes, rescues and cancels, interleaved and drained at the end."""

    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(Machine, settings=_PROFILE)
