"""Taking in records that were read from a CRM: matched, merged, and written down together.

However many records, the statements are the same few. Locks are taken in the order that everything
keeps: the session's run (the caller's), contacts by id, their standings, conflicts, the session.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.source import Record
from crmsync_server.store import base, conflict, contact, plan, session_record
from crmsync_server.store.base import Known
from crmsync_server.store.content import email_key
from crmsync_server.store.ids import new_ids
from crmsync_server.store.plan import Foreseen
from crmsync_server.store.session_record import SessionRecord, Tally
from crmsync_server.store.states import Direction, RecordAction
from crmsync_server.sync.channels import Channels, slots_of
from crmsync_server.sync.judging import Decision, Judge
from crmsync_server.sync.matching import Matcher, email_of, named_in, newest_of_each
from crmsync_server.sync.storable import storable
from crmsync_server.sync.sweep import sweep
from crmsync_server.sync.terms import Absorbed, Terms

__all__ = ["Absorbed", "Terms", "absorb", "as_found", "fingerprint", "sweep"]

_KEPT_WITH = {RecordAction.UPDATED, RecordAction.CONFLICT}


async def absorb(connection: AsyncConnection, terms: Terms, records: Sequence[Record]) -> Absorbed:
    """Take in records, in one transaction; of a record that comes twice the newest counts.

    Deleted records are only noted, for `sweep` at the end of the session.

    Raises:
        sqlalchemy.exc.DBAPIError: a deadlock, or a link that was made a moment ago: taking them
            in again in another transaction will do.
    """
    if not records:
        return Absorbed()
    batch = _Batch(connection, terms, newest_of_each(map(_told, records)))
    await batch.decide()
    conflict_ids = () if terms.dry_run else await batch.write()
    tally = await batch.note()
    pushes = terms.direction is not Direction.PULL
    return Absorbed(
        *tally,
        to_push=[one.contact_id for one in batch.done if pushes and one.pushes and one.contact_id],
        conflict_ids=conflict_ids,
    )


def as_found(found: Mapping[str, Record | None]) -> list[Record]:
    """Return what `Source.fetch` found as records to be taken in.

    One that came as the record that took its place is told as merged into that.
    """
    records = [one for one in found.values() if one is not None]
    merged = [
        Record(key, merged_into=one.crm_contact_id)
        for key, one in found.items()
        if one is not None and one.crm_contact_id != key
    ]
    return records + merged


def fingerprint(record: Record) -> bytes:
    """Return 16 bytes that change if what a record tells changes, but for its time."""
    told = [
        record.crm_contact_id,
        record.deleted,
        record.merged_into,
        record.contact_id,
        sorted(slots_of(record).items()),
    ]
    said = repr(told).encode("utf-8", "surrogatepass")
    return blake2b(said, digest_size=16).digest()


def _told(record: Record) -> Record:
    # An id that no database can hold is no id.
    key = storable(record.crm_contact_id)
    if key == record.crm_contact_id:
        return record
    message = f"the CRM told an id that cannot be kept: {record.crm_contact_id!r}"
    raise ValueError(message)


class _Batch:
    """Records on their way in; done: what was decided of them."""

    def __init__(
        self, connection: AsyncConnection, terms: Terms, records: Sequence[Record]
    ) -> None:
        self.done: list[Decision] = []
        self._connection = connection
        self._terms = terms
        self._records = records
        self._channels = Channels(terms.mapping)
        self._matcher = Matcher(records, self._channels)
        self._ids = _ids(len(records))

    async def decide(self) -> None:
        """Decide what becomes of the records, and lock or make the contacts that it concerns."""
        waiting: Sequence[Record] = self._records
        while waiting:
            decisions = await self._judge(waiting, glances=not self._terms.dry_run)
            if self._terms.dry_run:
                self.done += decisions
                return
            # New ones first: most first readings bring nothing else.
            added = await self._insert(
                [one for one in decisions if one.known is None and one.draft]
            )
            self.done += [one for one in decisions if not one.writes or one.contact_id in added]
            waiting = [
                one.record for one in decisions if one.writes and one.contact_id not in added
            ]
            if waiting:
                waiting = await self._decide_locked(waiting, decisions)

    async def _decide_locked(
        self, waiting: Sequence[Record], decisions: Sequence[Decision]
    ) -> Sequence[Record]:
        """Decide again of contacts that are locked; return what concerns others meanwhile."""
        # Whatever was decided before may have changed until the lock was had.
        org_id = self._terms.org_id
        ids = sorted(one.known.id for one in decisions if one.writes and one.known)
        locked = set()
        if ids:
            locked = {row.id for row in await contact.lock(self._connection, org_id, ids)}
        left = []
        for one in await self._judge(waiting):
            if one.writes and not (one.known and one.known.id in locked):
                left.append(one.record)
            else:
                self.done.append(one)
        return left

    async def _judge(self, records: Sequence[Record], *, glances: bool = False) -> list[Decision]:
        found = await self._find(records)
        owners = {one.email_key: one.id for one in found if one.email_key and not one.deleted}
        claims = self._matcher.emails
        judge = Judge(self._terms, self._channels, owners, claims, self._ids, glances)
        matched = self._matcher.match(records, found)
        return [judge.judge(one, matched[one.crm_contact_id]) for one in records]

    async def _find(self, records: Sequence[Record]) -> Sequence[Known]:
        """Return the contacts that records are linked to, and those that have their emails."""
        org_id, crm = self._terms.org_id, self._terms.crm
        ids = {one.crm_contact_id for one in records} | {one.merged_into for one in records}
        named = {one for one in map(named_in, records) if one}
        found = await base.find(
            self._connection,
            org_id,
            crm,
            crm_contact_ids=sorted(ids - {""}),
            contact_ids=sorted(named),
        )
        # Most linked records have the email that their contact has: nobody else is looked for.
        has = {one.base_id: one.email_key for one in found if not one.deleted}
        emails = {one.crm_contact_id: email_of(one, self._channels) for one in records}
        wanted = {email for key, email in emails.items() if email and has.get(key) != email}
        if wanted:
            others = await base.find(self._connection, org_id, crm, email_keys=sorted(wanted))
            found = list({one.id: one for one in [*found, *others]}.values())
        return found

    async def _insert(self, new: Sequence[Decision]) -> set[UUID]:
        drafts = [(one.contact_id, one.draft) for one in new if one.contact_id and one.draft]
        if not drafts:
            return set()
        drafts.sort(key=lambda one: email_key(one[1].email) or "")
        return set(await contact.insert(self._connection, self._terms.org_id, drafts))

    async def write(self) -> Sequence[UUID]:
        """Write what was decided; return the conflicts that have changed."""
        org_id, crm, connection = self._terms.org_id, self._terms.crm, self._connection
        writing = [one for one in self.done if one.writes]
        if drafts := [
            (one.known.id, one.draft) for one in writing if one.known and one.draft is not None
        ]:
            await contact.write(connection, org_id, drafts)
        if standings := [one.standing for one in writing if one.standing]:
            await base.stand(connection, org_id, crm, standings)
        if freed := [one.record.crm_contact_id for one in writing if one.frees]:
            await base.free(connection, org_id, crm, freed)
        if bases := [one.base for one in writing if one.base]:
            await base.write(connection, org_id, crm, bases)
        return await self._write_conflicts(writing)

    async def _write_conflicts(self, writing: Sequence[Decision]) -> Sequence[UUID]:
        org_id, crm, connection = self._terms.org_id, self._terms.crm, self._connection
        touched: list[UUID] = []
        if opened := [one.conflict for one in writing if one.conflict]:
            session_id = self._terms.session_id
            touched += await conflict.write(connection, org_id, crm, opened, session_id)
        if settled := [one.known.id for one in writing if one.settles and one.known]:
            touched += await conflict.settle(connection, org_id, crm, settled)
        return touched

    async def note(self) -> Tally:
        """Note what became of the records, and return what was newly counted."""
        session_id = self._terms.session_id
        if session_id is None:
            return _tally(self.done)
        noted = [self._noted(one) for one in self.done]
        if self._terms.dry_run and self._terms.direction is Direction.BOTH:
            await self._foresee(session_id)
        return await session_record.note(self._connection, self._terms.org_id, session_id, noted)

    async def _foresee(self, session_id: UUID) -> None:
        """Note which contacts a plan would have delivered, and which it would not."""
        foreseen = {
            one.known.id: Foreseen(one.known.id, one.known.version, one.pushes)
            for one in self.done
            # Nobody knows yet whether this CRM takes a contact without an email.
            if one.known and not one.code and (one.email or not one.pushes)
        }
        if foreseen:
            await plan.foresee(
                self._connection, self._terms.org_id, session_id, [*foreseen.values()]
            )

    def _noted(self, one: Decision) -> SessionRecord:
        planned = self._terms.dry_run
        version = one.known.version if planned and one.known else None
        return SessionRecord(
            one.record.crm_contact_id,
            one.action,
            None if planned and one.known is None else one.contact_id,
            version,
            fingerprint(one.record) if planned else None,
            one.documents() if planned or one.action in _KEPT_WITH else None,
            one.code,
            storable(one.message) if one.message else None,
        )


def _ids(count: int) -> Iterator[UUID]:
    """Yield ids for new contacts, made together when the first one is needed."""
    while True:
        yield from new_ids(count)


def _tally(done: Sequence[Decision]) -> Tally:
    count = Counter(one.action for one in done)
    return Tally(
        count[RecordAction.CREATED],
        count[RecordAction.UPDATED],
        count[RecordAction.UNCHANGED],
        count[RecordAction.CONFLICT],
        count[RecordAction.DELETED],
        count[RecordAction.SKIPPED],
        count[RecordAction.ERROR],
    )
