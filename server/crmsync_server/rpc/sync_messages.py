"""Rows of the store as the messages that SyncService and SessionService answer with."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync.v1 import contact_sync_pb2, session_pb2, session_service_pb2, sync_service_pb2
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.session import resume_token
from crmsync_server.store.states import SessionKind

_STILL = frozenset({"SUCCEEDED", "CANCELLED", "FAILED", "PAUSED"})


def contact_sync(
    row: sa.Row[Any], estimated: datetime | None = None
) -> contact_sync_pb2.ContactSync:
    """Turn a row of contact_syncs into its message.

    estimated: left out of one that waits for a paused session.
    """
    held = row.paused_session_id
    return contact_sync_pb2.ContactSync(
        contact_id=str(row.contact_id),
        crm=row.crm,
        sync_status=_sync_status(row.sync_status),
        processing_status=_processing_status(row.processing_status),
        crm_contact_id=row.crm_contact_id or "",
        synced_time=timestamp(row.synced_time),
        error=_error(row),
        skip_reason=row.skip_reason or "",
        retry_count=row.retry_count,
        next_retry_time=timestamp(None if held else _if_ahead(row.next_retry_time)),
        last_retry_time=timestamp(row.last_retry_time),
        estimated_processing_time=timestamp(None if held else estimated),
        attempt_count=row.attempt,
        update_time=timestamp(row.update_time),
        removing=row.removing,
        paused_session_id=str(held) if held else "",
    )


def never_synced(contact_id: UUID, crm: str) -> contact_sync_pb2.ContactSync:
    """Return the standing of a contact at a CRM that it was never selected for."""
    return contact_sync_pb2.ContactSync(contact_id=str(contact_id), crm=crm)


def session(row: sa.Row[Any]) -> session_pb2.Session:
    """Turn a row of sessions into its message, its rate taken up to now or to its end."""
    return session_pb2.Session(
        id=str(row.id),
        kind=session_pb2.SessionKind.Value(f"SESSION_KIND_{row.kind}"),
        crm=row.crm,
        state=session_pb2.SessionState.Value(f"SESSION_STATE_{row.state}"),
        progress=_progress(row),
        creator=row.creator,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        end_time=timestamp(row.end_time),
        resume_token=resume_token(row.id, row.revision),
        direction=session_pb2.SyncDirection.Value(f"SYNC_DIRECTION_{row.direction}"),
        dry_run=row.dry_run,
        error=_session_error(row),
        leads=_leads(row) if row.kind == SessionKind.LEAD_STATUS_SYNC else None,
    )


def watched(row: sa.Row[Any]) -> session_service_pb2.WatchSessionResponse:
    """Turn a row of sessions into a message of WatchSession."""
    return session_service_pb2.WatchSessionResponse(session=session(row))


def stats(crm: str, counts: sa.Row[Any], recent: sa.Row[Any]) -> sync_service_pb2.SyncStats:
    """Turn the kept-up counts of a CRM into their message."""
    synced, errors = int(counts.complete), int(counts.errors)
    processing = int(counts.processing)
    queued = max(0, int(counts.open) - processing)
    selected, skipped = int(counts.selected), int(counts.skipped)
    return sync_service_pb2.SyncStats(
        crm=crm,
        total_contacts=selected + queued + processing + synced + skipped + errors,
        synced=synced,
        queued=queued,
        processing=processing,
        errors=errors,
        skipped=skipped,
        selected=selected,
        success_rate=synced / (synced + errors) if synced + errors else 0.0,
        last_24h=sync_service_pb2.RecentSyncStats(
            synced=int(recent.synced), errors=int(recent.errors), skipped=int(recent.skipped)
        ),
    )


def _progress(row: sa.Row[Any]) -> session_pb2.SessionProgress:
    synced = row.synced + row.pulled_created + row.pulled_updated + row.pulled_deleted
    skipped = row.skipped + row.pulled_unchanged + row.pulled_skipped
    errors = row.errors + row.pulled_errors
    completed = synced + skipped + errors + row.cancelled + row.pulled_conflicts
    total = max(_total(row), completed)
    elapsed = ((row.end_time or datetime.now(UTC)) - row.create_time).total_seconds()
    rate = completed / elapsed if elapsed > 0 else 0.0
    progress = session_pb2.SessionProgress(
        total=total,
        completed=completed,
        percentage=100.0 * completed / total if total else 0.0 if row.pulling else 100.0,
        pending=total - completed,
        synced=synced,
        skipped=skipped,
        errors=errors,
        cancelled=row.cancelled,
        records_per_second=rate,
        conflicts=row.pulled_conflicts,
    )
    if rate and row.state not in _STILL:
        seconds = (total - completed) / rate
        progress.estimated_completion_time.FromSeconds(int(datetime.now(UTC).timestamp() + seconds))
    return progress


def _total(row: sa.Row[Any]) -> int:
    """Return how many items there are: deliveries, and records as far as they can be foreseen."""
    # When all is read, what the CRM foretold does not matter any more.
    expected = (row.expected or 0) if row.pulling else 0
    return int(row.total + max(expected, pulled(row)))


def pulled(row: sa.Row[Any]) -> int:
    """Return how many records a session has read."""
    changed = row.pulled_created + row.pulled_updated + row.pulled_deleted
    left = row.pulled_unchanged + row.pulled_conflicts + row.pulled_skipped + row.pulled_errors
    return int(changed + left)


def _session_error(row: sa.Row[Any]) -> contact_sync_pb2.SyncError | None:
    if row.error_code is None:
        return None
    return contact_sync_pb2.SyncError(code=row.error_code, message=row.error_message or "")


def _leads(row: sa.Row[Any]) -> session_pb2.LeadProgress:
    return session_pb2.LeadProgress(
        synced=row.pulled_updated + row.pulled_unchanged,
        updated=row.pulled_updated,
        conversions=row.conversions,
        new_conversions=row.new_conversions,
    )


def _if_ahead(moment: datetime | None) -> datetime | None:
    return moment if moment is not None and moment > datetime.now(UTC) else None


def _error(row: sa.Row[Any]) -> contact_sync_pb2.SyncError | None:
    if row.error_code is None:
        return None
    return contact_sync_pb2.SyncError(
        code=row.error_code,
        message=row.error_message or "",
        request_id=row.error_request_id or "",
    )


def _sync_status(status: str) -> contact_sync_pb2.SyncStatus.ValueType:
    return contact_sync_pb2.SyncStatus.Value(f"SYNC_STATUS_{status}")


def _processing_status(status: str | None) -> contact_sync_pb2.ProcessingStatus.ValueType:
    return contact_sync_pb2.ProcessingStatus.Value(f"PROCESSING_STATUS_{status or 'UNSPECIFIED'}")
