"""kill -9 in the middle of a session that goes both ways: it ends as if nothing had happened."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crmsync.v1 import session_pb2
from crmsync_server.store.invariants import violations
from tests.chaos.reading import Reading, counted, reading
from tests.service.calls import finished
from tests.service.starting import BOTH, done, full, start

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

_SEED = 20
# After so many questions at most, a server is killed.
_LONGEST_LIFE = 3

# A session that has no phase any more has been read to its end, and delivers.
_STANDING = (
    "SELECT s.state, r.phase, (SELECT count(*) FROM watermarks) FROM sessions AS s"
    " LEFT JOIN session_runs AS r ON r.session_id = s.id"
)


@dataclass(frozen=True)
class Result:
    """What a session leaves behind."""

    counts: dict[str, int]
    contacts: list[tuple[Any, ...]]
    held: list[tuple[str, ...]]


async def _ended(running: Reading, session: session_pb2.Session) -> Result:
    """Return what a session has left behind; its promises are kept, whatever that is."""
    assert session.state == session_pb2.SESSION_STATE_SUCCEEDED, session
    async with running.database.everyone() as connection:
        assert not await violations(connection)
    assert not await running.rows("SELECT 1 FROM session_runs")
    [[session_id, moved]] = await running.rows(
        "SELECT w.session_id, w.time BETWEEN s.create_time AND s.end_time"
        " FROM watermarks AS w INNER JOIN sessions AS s ON s.id = w.session_id"
    )
    assert (str(session_id), moved) == (session.id, True)
    contacts = await running.rows(
        "SELECT c.email, c.first_name, c.last_name, c.phone, cs.sync_status,"
        " b.crm_contact_id = cs.crm_contact_id"
        " FROM contacts AS c"
        " LEFT JOIN contact_syncs AS cs ON cs.org_id = c.org_id AND cs.contact_id = c.id"
        " LEFT JOIN sync_bases AS b ON b.org_id = c.org_id AND b.contact_id = c.id"
        " ORDER BY c.email"
    )
    return Result(counted(session), contacts, running.held())


async def _undisturbed(folder: Path, crm: str, records: int) -> Result:
    async with reading(folder, crm, records) as running, running.client() as client:
        return await _ended(running, await done(client, full(crm, BOTH)))


async def _disturbed(folder: Path, crm: str, records: int, kills: int) -> Result:
    random = Random(_SEED)  # noqa: S311 - it chooses when to kill
    async with reading(folder, crm, records) as running, running.client() as client:
        running.slow_down()
        asked = running.asked()
        session = await start(client, full(crm, BOTH))
        for _ in range(kills):
            await running.has_asked(asked + random.randint(1, _LONGEST_LIFE))
            await running.server.kill()
            asked = running.asked()
            # A kill after the end would prove nothing, and a watermark before it would lie.
            [[state, phase, watermarks]] = await running.rows(_STANDING)
            assert state == "RUNNING"
            assert (phase is None) == (watermarks == 1)
            await running.start()
        result = await _ended(running, await finished(client, session.id))
        again = await done(client, full(crm, BOTH))
        assert (again.pull.unchanged, again.progress.synced) == (len(result.held), 0)
        return result


@pytest.mark.parametrize(("crm", "records", "kills"), [("hubspot", 3000, 10), ("zoho", 2400, 4)])
async def test_a_session_whose_server_is_killed_ends_like_an_undisturbed_one(
    tmp_path: Path, crm: str, records: int, kills: int
) -> None:
    """The same contacts on both sides, each counted once; the watermark moves at the end only."""
    for name in ("quiet", "killed"):
        (tmp_path / name).mkdir()
    expected = await _undisturbed(tmp_path / "quiet", crm, records)
    assert expected.counts["read"] == records
    found = await _disturbed(tmp_path / "killed", crm, records, kills)
    assert found.counts == expected.counts
    assert found.contacts == expected.contacts
    assert found.held == expected.held
