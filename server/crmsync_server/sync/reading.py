"""Reading ahead: the CRM is asked for the next pages while those before are being stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Cursor, Page, Record, Scope, Source, Trouble

_AHEAD = 8  # pages
_TOGETHER = 1000  # records that are stored in one transaction, or those of a single larger page
# Seconds that pages wait for others to be stored with: a transaction has a price of its own.
_GATHERING = 0.2


@dataclass(frozen=True, slots=True)
class Batch:
    """Pages that are stored together.

    cursor: after the last of them; None at the end. pages: how many they are.
    """

    records: Sequence[Record]
    cursor: Cursor | None
    pages: int
    last: Page


class Reading:
    """Pages of one source from a cursor on, in order."""

    def __init__(self, source: Source, scope: Scope, cursor: Cursor) -> None:
        """Nothing is asked before the reading is entered."""
        self._source = source
        self._scope = scope
        self._cursor = cursor
        self._read: asyncio.Queue[Page | Trouble | Exception] = asyncio.Queue(_AHEAD)
        self._kept: Page | Trouble | Exception | None = None

    async def next(self) -> Batch | Trouble:
        """Return what comes next: several pages at once, where they come within a moment.

        Raises what the source raised.
        """
        first = self._kept or await self._read.get()
        self._kept = None
        if isinstance(first, Exception):
            raise first
        if not isinstance(first, Page):
            return first
        pages = [first]
        # What has come by then is enough.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GATHERING):
                await self._gather(pages)
        records = [record for page in pages for record in page.records]
        return Batch(records, pages[-1].cursor, len(pages), pages[-1])

    async def _gather(self, pages: list[Page]) -> None:
        """Add what follows, until it is enough for one transaction."""
        while self._goes_on(pages):
            following = await self._read.get()
            if not isinstance(following, Page) or not _fits(pages, following):
                self._kept = following
                return
            pages.append(following)

    def _goes_on(self, pages: Sequence[Page]) -> bool:
        whole = pages[-1].cursor is None or pages[-1].ready_time is not None
        return not whole and sum(len(page.records) for page in pages) < _TOGETHER

    async def read(self) -> None:
        """Ask for page after page, until the last one or the first trouble."""
        cursor: Cursor | None = self._cursor
        while cursor is not None:
            try:
                answer = await self._source.page(self._scope, cursor)
            except Exception as error:  # noqa: BLE001 - it is raised again by `next`
                await self._read.put(error)
                return
            await self._read.put(answer)
            if isinstance(answer, Postponed | Retry | Rejected) or answer.ready_time is not None:
                return
            cursor = answer.cursor


def _fits(pages: Sequence[Page], following: Page) -> bool:
    size = sum(len(page.records) for page in pages)
    return size + len(following.records) <= _TOGETHER


@asynccontextmanager
async def reading(source: Source, scope: Scope, cursor: Cursor) -> AsyncIterator[Reading]:
    """Read ahead for as long as the block runs."""
    pages = Reading(source, scope, cursor)
    task = asyncio.create_task(pages.read(), name="read ahead")
    try:
        yield pages
    finally:
        task.cancel()
        await asyncio.wait([task])
