"""The duty of notices at work on the test's database, before a CRM that does as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits, Trouble
from crmsync_server.store import notice
from crmsync_server.store.db import Database
from crmsync_server.store.merging import Merging
from crmsync_server.store.notice import Told
from crmsync_server.store.notify import Notifier
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.notices import Notices
from crmsync_server.sync.run import Desk, FailedError, Reader
from crmsync_server.sync.verdict import RetryPolicy
from tests.store.people import CRM, ORG
from tests.sync.bench import now

Answer = Mapping[str, Record | None] | Trouble | Exception
NOWHERE = timedelta(0)


class Crm:
    """A CRM's source: the records that it holds, and what it answers instead, in order.

    asked: the ids and emails of each call. begun: a call is under way; lets_go: calls go on.
    """

    def __init__(self, *records: Record, batch: int = 100) -> None:
        """Hold these records."""
        self.traits = SourceTraits(
            tells_deletions=True, tells_times=True, overlap=NOWHERE, fetch_batch=batch
        )
        self.records = {one.crm_contact_id: one for one in records}
        self.instead: list[Answer] = []
        self.always: Callable[[Sequence[str]], Answer | None] = lambda _: None
        self.asked: list[list[str]] = []
        self.begun = asyncio.Event()
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Not for notices."""
        raise NotImplementedError

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Answer by id."""
        del names
        found = {one: self.records.get(one) for one in ids}
        return await self._answer(ids, found)

    async def find(
        self, emails: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Answer by email."""
        del names
        by_email = {one.email: one for one in self.records.values()}
        return await self._answer(emails, {one: by_email.get(one) for one in emails})

    async def _answer(
        self, asked: Sequence[str], found: Mapping[str, Record | None]
    ) -> Mapping[str, Record | None] | Trouble:
        self.asked.append(sorted(asked))
        self.begun.set()
        await self.lets_go.wait()
        answer = self.instead.pop(0) if self.instead else self.always(asked) or found
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Office:
    """Everything that a duty needs, and what it told.

    crm: None where the organization has no account. refused: what was told of refused credentials.
    """

    database: Database
    crm: Crm | None
    merging: Merging = field(default_factory=Merging)
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(jitter=lambda: 0.0))
    lease: timedelta = timedelta(minutes=1)
    refused: list[str] = field(default_factory=list)
    queued: list[str | None] = field(default_factory=list)

    @property
    def duty(self) -> Notices:
        """Return a duty that looks often."""
        hints = Hints(Notifier(self.database), self.queued.append, lambda _: None)
        desk = Desk(
            database=self.database,
            hints=hints,
            policy=self.policy,
            clock=now,
            owner="tests",
            lease=self.lease,
            readers=self._reader,
            on_refused=self._on_refused,
        )
        return Notices(desk, poll_interval=0.05)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Notices]:
        """Run the duty."""
        duty = self.duty
        duty.start()
        try:
            yield duty
        finally:
            await duty.stop()

    async def tell(self, *told: Told) -> None:
        """Keep notices that are due at once."""
        async with self.database.org(ORG) as connection:
            await notice.insert(connection, ORG, CRM, told, NOWHERE)

    async def rows(self, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
        """Run a statement of the test's own."""
        async with self.database.everyone() as connection:
            result = await connection.execute(sa.text(text), parameters)
            return result.all() if result.returns_rows else ()

    async def outcomes(self) -> Mapping[str, str]:
        """Return what became of each notice that is done, by key."""
        rows = await self.rows("SELECT key, outcome FROM notices WHERE done_time IS NOT NULL")
        return {row.key: row.outcome for row in rows}

    async def ended(self, outcomes: Mapping[str, str]) -> None:
        """AssertionError unless just these notices have ended so."""
        assert await self.outcomes() == outcomes

    async def waits(self, code: str, tries: int) -> datetime:
        """AssertionError unless the one notice waits for this reason; return until when."""
        [row] = await self.rows("SELECT * FROM notices WHERE done_time IS NULL")
        assert (row.outcome, row.retry_count) == (code, tries)
        until: datetime = row.due_time
        return until

    async def let_pass(self, time: timedelta) -> None:
        """Let the time pass for every notice."""
        text = "UPDATE notices SET due_time = due_time - CAST(:t AS interval)"
        await self.rows(text, t=time)

    async def _reader(self, org_id: str, crm: str) -> Reader:
        assert (org_id, crm) == (ORG, CRM)
        if self.crm is None:
            message = "no account"
            raise FailedError(message, "CRM_DISABLED")
        return Reader(
            self.crm, LaneConfig(merging=self.merging), requires_email=True, batch_size=100
        )

    async def _on_refused(self, org_id: str, crm: str, message: str) -> None:
        self.refused.append(f"{org_id}/{crm}: {message}")


def change(key: str, record: str = "1") -> Told:
    """Return that a record changed."""
    return Told(key, "CHANGED", crm_contact_id=record)


def deletion(key: str, record: str = "1") -> Told:
    """Return that a record was deleted."""
    return Told(key, "DELETED", crm_contact_id=record)
