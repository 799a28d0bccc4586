"""kill -9 in the middle of the demo: the account is the same as if nothing had happened."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.demo import contacts
from crmsync_server.demo.house import House, client, house
from crmsync_server.demo.steps import Result
from tests.chaos.disturbance import (
    LINES,
    SEED,
    Disturbance,
    demo,
    kill_server,
    kill_server_and_database,
    kill_server_twice,
    undisturbed,
)

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Run the demo once without a disturbance."""
    return asyncio.run(demo(tmp_path_factory.mktemp("undisturbed"), undisturbed))


def test_an_undisturbed_demo_balances(expected: Result) -> None:
    """Faults of the CRMs alone lose nothing; some contacts are refused by each."""
    assert expected.balances, expected
    assert all(one.error and one.faulted for one in expected.accounts)


async def test_a_server_killed_in_the_middle_of_the_demo_ends_in_the_same_account(
    tmp_path: Path, expected: Result
) -> None:
    """What it had claimed is delivered by its successor."""
    assert _sums(await _balanced(tmp_path, kill_server)) == _sums(expected)


async def test_a_server_killed_twice_ends_in_the_same_account(
    tmp_path: Path, expected: Result
) -> None:
    """A successor may have no more luck."""
    assert _sums(await _balanced(tmp_path, kill_server_twice)) == _sums(expected)


async def test_a_server_killed_with_its_database_ends_in_the_same_account(
    tmp_path: Path, expected: Result
) -> None:
    """What was committed is on disk, and nothing else was promised."""
    assert _sums(await _balanced(tmp_path, kill_server_and_database)) == _sums(expected)


async def test_an_import_outlives_its_server(tmp_path: Path, expected: Result) -> None:
    """It goes on after what was acknowledged, and every line is counted once."""
    file = tmp_path / "contacts.csv"
    contacts.write(file, LINES, SEED)
    async with house(tmp_path) as running, client(running) as crmsync:
        imported = await crmsync.import_contacts(_killing_halfway(running, file), chunk=100)
    assert imported == expected.imported


async def _killing_halfway(running: House, file: Path) -> AsyncIterator[Contact]:
    """Yield the contacts of a file, and kill the server in between."""
    for number, contact in enumerate(contacts.read(file)):
        if number == LINES // 2:
            await running.server.kill()
            await running.start_server()
        yield contact


async def _balanced(folder: Path, disturb: Disturbance) -> Result:
    """Run the demo under a disturbance; its books balance, whatever they say."""
    found = await demo(folder, disturb)
    assert found.balances, found
    return found


def _sums(result: Result) -> list[tuple[str, int, int, int, int]]:
    return [
        (one.crm, one.accepted, one.complete, one.error, one.skipped) for one in result.accounts
    ]
