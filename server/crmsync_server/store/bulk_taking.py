"""Taking the records of a bulk operation: each is judged by itself, all are changed together.

However many records, the statements are the same few, for a thousand contacts each. Locks are taken
in the order that everything keeps: emails of new contacts in their order, contacts by id with their
standings, and the session last. A contact is judged as it is when it is locked. While the database
writes one thousand, the next are looked at.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import InvalidRequestError
from crmsync_server.store import bulk, contact
from crmsync_server.store.bulk import (
    Became,
    Before,
    Code,
    Finding,
    Head,
    Operation,
    Records,
    Taken,
    Terms,
)
from crmsync_server.store.contact_columns import Draft, Rewriting
from crmsync_server.store.content import Content, email_key, named
from crmsync_server.store.ids import new_ids

Item = TypeVar("Item")
Result = TypeVar("Result")
_New: TypeAlias = tuple[Head, Draft]

_AT_ONCE = 1_000
_IN_ONE_GO = 50  # that are judged before others have their turn: a millisecond
_UNKNOWN = "no contact is known by its key"
_NO_EMAIL = "the contact would have no email, and the CRM cannot hold it without one"


class MovedError(Exception):
    """An email went from one contact to another, or to none, while its contact was looked up."""


class Taking:
    """One operation under way, in one transaction.

    taken, findings: by the records' places; each record ends up in one of them.
    """

    def __init__(
        self, connection: AsyncConnection, org_id: str, terms: Terms, records: Records
    ) -> None:
        """Begin with nothing judged."""
        self.taken: dict[int, Taken] = {}
        self.findings: dict[int, Finding] = {}
        self._connection = connection
        self._org_id = org_id
        self._terms = terms
        self._records = records
        self._emails = dict(records.owners)  # whose they were when last looked up
        self._duplicates: dict[UUID, list[Head]] = {}

    async def run(self) -> None:
        """Judge all records, and write what the terms allow.

        Raises:
            sqlalchemy.exc.DBAPIError, asyncpg.PostgresError: a deadlock, or an email that was taken
                a moment ago: doing it again in another transaction will do.
            MovedError: as will it here. To locate only those records again would lock contacts
                out of their order.
        """
        new: list[Head] = []
        known: list[Head] = []
        for one in self._records.heads:
            (new if one.may_create and not self._was_known(one) else known).append(one)
        known += await self._create(new)
        located = await self._located(known)
        await self._change(located, await self._owners(located.values()))

    def contact_ids(self, *, removed: bool) -> list[UUID]:
        """Return the contacts whose records are to be removed, or those that are delivered."""
        gone = {Became.REMOVED, Became.DELETED}
        return [one.contact_id for one in self.taken.values() if (one.became in gone) == removed]

    def deleted_ids(self) -> list[UUID]:
        """Return the contacts that are to be deleted here."""
        return sorted(one.contact_id for one in self.taken.values() if one.became is Became.DELETED)

    def _was_known(self, head: Head) -> bool:
        """Tell whether an upsert's email had an owner a while ago."""
        return head.operation is Operation.UPSERT and head.email_key in self._emails

    async def _create(self, heads: Sequence[Head]) -> list[Head]:
        """Make new contacts; return those of the upserts whose email is known already."""
        known: list[Head] = []
        # Whoever has no email waits for nobody.
        waiting = sorted(heads, key=lambda one: (one.new_key is None, one.new_key or ""))
        drafts: Sequence[_New] = ()
        for some in _portions(waiting):
            drafts = await _meanwhile(self._create_all(drafts, known), self._drafts(some))
        await self._create_all(drafts, known)
        return known

    async def _create_all(self, drafts: Sequence[_New], known: list[Head]) -> None:
        while drafts:
            drafts = await self._create_some(drafts, known)

    async def _create_some(self, drafts: Sequence[_New], known: list[Head]) -> Sequence[_New]:
        """Make new contacts; return those whose email was taken, and is free again by now."""
        added = await self._added([draft for _, draft in drafts])
        taken: list[_New] = []
        for head, draft in drafts:
            if draft[0] in added:
                self.taken[head.place] = Taken(draft[0], Became.CREATED)
            else:
                taken.append((head, draft))
        owners = await self._having([head.new_key for head, _ in taken])
        again = []
        for head, draft in taken:
            owner = owners.get(head.new_key or "")
            if owner is None:
                again.append((head, draft))
            elif head.operation is Operation.UPSERT:
                self._emails[head.new_key or ""] = owner
                known.append(head)
            else:
                self._email_taken(head, owner)
        return again

    async def _drafts(self, heads: Sequence[Head]) -> Sequence[_New]:
        """Return what new contacts are to say."""
        drafts: list[_New] = []
        ids = iter(new_ids(len(heads)))
        for some in _portions(heads, _IN_ONE_GO):
            await asyncio.sleep(0)
            for head in some:
                content = named(self._records.load(head.place).content)
                if self._terms.requires_email and content.email is None:
                    self._find(head, Code.EMAIL_REQUIRED, _NO_EMAIL)
                else:
                    drafts.append((head, (next(ids), content)))
        return drafts

    async def _added(self, drafts: Sequence[Draft]) -> set[UUID]:
        if not drafts:
            return set()
        if self._terms.writes:
            return await contact.insert(self._connection, self._org_id, drafts)
        keys = {contact_id: email_key(content.email) for contact_id, content in drafts}
        owners = await self._having(list(keys.values()))
        return {contact_id for contact_id, key in keys.items() if key not in owners}

    async def _having(self, keys: Sequence[str | None]) -> Mapping[str, UUID]:
        """Return the contacts that have these emails, by the email's key."""
        wanted = [key for key in keys if key]
        if not wanted:
            return {}
        return await bulk.owners(self._connection, self._org_id, wanted)

    async def _located(self, heads: Sequence[Head]) -> dict[UUID, Head]:
        """Return the records by the contacts that they mean; of two that mean one, the first."""
        emails = {one.email_key for one in heads if one.email_key} - self._emails.keys()
        for keys in _portions(sorted(emails)):
            self._emails |= await self._having(keys)
        by_record = [one.crm_contact_id for one in heads if one.crm_contact_id]
        linked: Mapping[str, UUID] = {}
        if by_record:
            linked = await bulk.linked(self._connection, self._org_id, self._terms.crm, by_record)
        located: dict[UUID, Head] = {}
        for head in sorted(heads, key=lambda one: one.place):
            found = (
                head.contact_id
                or self._emails.get(head.email_key or "")
                or linked.get(head.crm_contact_id or "")
            )
            if found is None:
                self._find(head, Code.CONTACT_NOT_FOUND, _UNKNOWN)
            elif first := located.get(found):
                told = f"names the same contact as records[{first.place}]"
                self._find(head, Code.DUPLICATE, told, other=first.place, contact_id=found)
                self._duplicates.setdefault(found, []).append(head)
            else:
                located[found] = head
        return located

    async def _owners(self, heads: Iterable[Head]) -> dict[str, UUID]:
        """Return who has the emails that contacts are to have now."""
        wanted = [one.new_key for one in heads if one.new_key and one.new_key != one.email_key]
        owners: dict[str, UUID] = {}
        for keys in _portions(wanted):
            owners |= await self._having(keys)
        return owners

    async def _change(self, located: Mapping[UUID, Head], owners: Mapping[str, UUID]) -> None:
        drawn: Rewriting | None = None
        for ids in _portions(sorted(located)):
            befores = await self._befores(ids)
            judging = self._judged(ids, befores, located, owners)
            drawn = await _meanwhile(self._write(drawn), judging)
        await self._write(drawn)

    async def _judged(
        self,
        ids: Sequence[UUID],
        befores: Sequence[Before],
        located: Mapping[UUID, Head],
        owners: Mapping[str, UUID],
    ) -> Rewriting | None:
        """Judge the records of contacts, of which these exist; draw up what is to be written."""
        drafts: list[Draft] = []
        changed: list[Content] = []
        missing = set(ids)
        for some in _portions(befores, _IN_ONE_GO):
            await asyncio.sleep(0)
            for before in some:
                missing.discard(before.contact_id)
                if draft := self._draft(located[before.contact_id], before, owners):
                    drafts.append(draft)
                    changed.append(before.content)
        for contact_id in missing:
            self._check(located[contact_id], contact_id, None)
            self._find(located[contact_id], Code.CONTACT_NOT_FOUND, _UNKNOWN)
        return Rewriting.of(drafts, changed) if drafts else None

    async def _write(self, drawn: Rewriting | None) -> None:
        if drawn and self._terms.writes:
            await contact.rewrite(self._connection, self._org_id, drawn, but_for=self._terms.crm)

    def _draft(self, head: Head, before: Before, owners: Mapping[str, UUID]) -> Draft | None:
        self._check(head, before.contact_id, before.email_key)
        if head.operation is Operation.DELETE:
            became = Became.DELETED if head.deletes else Became.REMOVED
            self.taken[head.place] = Taken(before.contact_id, became)
            return None
        return self._changed(head, before, owners)

    def _check(self, head: Head, contact_id: UUID, email_key: str | None) -> None:
        """Refuse a contact that no longer has the emails by which records have located it."""
        for one in (head, *self._duplicates.get(contact_id, ())):
            if self._terms.writes and one.email_key not in {None, email_key}:
                raise MovedError

    async def _befores(self, ids: Sequence[UUID]) -> Sequence[Before]:
        look = bulk.lock if self._terms.writes else bulk.read
        return await look(self._connection, self._org_id, ids)

    def _changed(self, head: Head, before: Before, owners: Mapping[str, UUID]) -> Draft | None:
        """Return what is to be written of a contact, None where nothing is."""
        contact_id, _, content = before
        try:
            after = named(self._records.load(head.place).change(content), content)
        except InvalidRequestError as error:
            self._find(head, Code.INVALID, error.message, error.violations, contact_id=contact_id)
            return None
        if self._terms.requires_email and after.email is None:
            self._find(head, Code.EMAIL_REQUIRED, _NO_EMAIL, contact_id=contact_id)
            return None
        owner = owners.get(email_key(after.email) or "")
        if owner not in {None, contact_id}:
            self._email_taken(head, owner)
            return None
        changes = after != content
        self.taken[head.place] = Taken(contact_id, Became.UPDATED if changes else Became.UNCHANGED)
        return (contact_id, after) if changes else None

    def _email_taken(self, head: Head, owner: UUID | None) -> None:
        told = f"another contact has this email: {owner}"
        self._find(head, Code.EMAIL_TAKEN, told, contact_id=owner)

    def _find(
        self,
        head: Head,
        code: Code,
        message: str,
        violations: Sequence[Any] = (),
        *,
        other: int | None = None,
        contact_id: UUID | None = None,
    ) -> None:
        self.findings[head.place] = Finding(
            head.place, code, message, violations, other, contact_id
        )


async def _meanwhile(
    working: Coroutine[Any, Any, None], looking: Coroutine[Any, Any, Result]
) -> Result:
    """Return what the second comes to, once the first has ended and left the connection free.

    What goes wrong with the second, its cancellation too, ends the first.
    """
    work = asyncio.create_task(working)
    try:
        found = await looking
    except BaseException:
        # What becomes of the work says nothing any more, least of all to try again.
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        raise
    await work
    return found


def _portions(items: Sequence[Item], size: int = _AT_ONCE) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
