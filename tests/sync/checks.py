"""What must hold after each step of the state machine."""

from typing import Any

import sqlalchemy as sa

from crmsync_server.store.states import LEGAL_MOVES, SyncStatus
from tests.sync.model import Model
from tests.sync.world import Snapshot


def moved_legally(before: Snapshot, after: Snapshot) -> None:
    """Check that nothing has gone a way it may not go, or back."""
    for key, row in after.standings.items():
        old = before.standings.get(key)
        was, now = (SyncStatus(old.sync_status) if old else None), SyncStatus(row.sync_status)
        assert was == now or now in LEGAL_MOVES[was], f"{key}: {was} to {now}"
        assert old is None or row.attempt >= old.attempt
    for session_id, old in before.sessions.items():
        new = after.sessions[session_id]
        assert new.total == old.total
        assert _completed(new) >= _completed(old)
        assert new.revision > old.revision or tuple(new) == tuple(old)


def agrees_with_model(after: Snapshot, model: Model) -> None:
    """Check that Postgres and the model say the same."""
    assert {key: (row.sync_status, row.attempt) for key, row in after.standings.items()} == {
        key: (one.status, one.attempt) for key, one in model.standings.items()
    }
    assert {key: row.removing for key, row in after.standings.items()} == {
        key: one.removing for key, one in model.standings.items()
    }
    assert {key: bool(row.crm_contact_id) for key, row in after.standings.items()} == {
        key: one.linked for key, one in model.standings.items()
    }
    assert after.items == {
        (session_id, key): item.outcome
        for session_id, one in model.sessions.items()
        for key, item in one.items.items()
    }
    assert {session_id: row.state for session_id, row in after.sessions.items()} == {
        session_id: one.state for session_id, one in model.sessions.items()
    }


def _completed(row: sa.Row[Any]) -> int:
    completed: int = row.synced + row.skipped + row.errors + row.cancelled
    return completed
