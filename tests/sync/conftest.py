"""A shop for each test, which keeps the queue's promises."""

from collections.abc import AsyncIterator

import pytest

from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from tests.sync.bench import Shop


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    """Work on the test's database, and check it at the end."""
    yield Shop(database)
    async with database.everyone() as connection:
        assert not await violations(connection)
