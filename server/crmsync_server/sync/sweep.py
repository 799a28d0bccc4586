"""What becomes of contacts whose records are gone at the CRM."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import base, contact, session_record
from crmsync_server.store.base import Known
from crmsync_server.store.merging import DeletionPolicy
from crmsync_server.store.session_record import SessionRecord, Tally
from crmsync_server.store.states import RecordAction
from crmsync_server.sync.terms import Absorbed, Terms

_IGNORED = "is gone at the CRM; its contact stays linked, as merge_settings.deletion_policy says"


async def sweep(
    connection: AsyncConnection, terms: Terms, crm_contact_ids: Sequence[str]
) -> Absorbed:
    """Deal with records that are gone at the CRM, as the deletion policy says; in one transaction.

    One that no contact is linked to any more counts as unchanged.
    """
    if not crm_contact_ids:
        return Absorbed()
    keys = sorted(set(crm_contact_ids))
    found = await base.find(connection, terms.org_id, terms.crm, crm_contact_ids=keys)
    if not terms.dry_run and terms.merging.deletion_policy != DeletionPolicy.IGNORE:
        found = await _locked(connection, terms, keys, found)
        await _remove(connection, terms, found)
    linked = {one.base_id: one for one in found if not one.deleted and one.base_id}
    noted = [_noted(terms, key, linked.get(key)) for key in keys]
    if terms.session_id is None:
        return Absorbed(*_tally(noted))
    counted = await session_record.note(connection, terms.org_id, terms.session_id, noted)
    return Absorbed(*counted)


async def _locked(
    connection: AsyncConnection, terms: Terms, keys: Sequence[str], found: Sequence[Known]
) -> Sequence[Known]:
    """Lock what is linked, and return what still is."""
    ids = sorted(one.id for one in found)
    locked = {row.id for row in await contact.lock(connection, terms.org_id, ids)}
    again = await base.find(connection, terms.org_id, terms.crm, crm_contact_ids=keys)
    # One that was linked a moment ago was there a moment ago.
    return [one for one in again if one.id in locked or one.deleted]


async def _remove(connection: AsyncConnection, terms: Terms, found: Sequence[Known]) -> None:
    org_id, crm = terms.org_id, terms.crm
    ids = [one.id for one in found]
    if not ids:
        return
    if terms.merging.deletion_policy == DeletionPolicy.DELETE:
        # What we remove there ourselves is no wish of the CRM's users.
        theirs = [one.id for one in found if not one.removing]
        await contact.delete_locked(connection, org_id, theirs)
    await base.unlink(connection, org_id, crm, ids, gone=True)


def _noted(terms: Terms, key: str, found: Known | None) -> SessionRecord:
    if found is None:
        return SessionRecord(key, RecordAction.UNCHANGED)
    version = found.version if terms.dry_run else None
    if terms.merging.deletion_policy == DeletionPolicy.IGNORE:
        told = f"record {key}: {_IGNORED}"
        return SessionRecord(
            key,
            RecordAction.SKIPPED,
            found.id,
            version,
            error_code="GONE_AT_CRM",
            error_message=told,
        )
    return SessionRecord(key, RecordAction.DELETED, found.id, version)


def _tally(noted: Sequence[SessionRecord]) -> Tally:
    actions = [one.action for one in noted]
    return Tally(
        unchanged=actions.count(RecordAction.UNCHANGED),
        deleted=actions.count(RecordAction.DELETED),
        skipped=actions.count(RecordAction.SKIPPED),
    )
