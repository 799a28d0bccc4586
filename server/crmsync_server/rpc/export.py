"""ExportRecords: what a search finds, as a file that is written while it is read."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crmsync.v1 import search_pb2
from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.errors import (
    ExportBusyError,
    ExportGivenUpError,
    ExportTooLargeError,
    InvalidRequestError,
    Violation,
)
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.export_formats import KINDS, PIECE, Format, Kind
from crmsync_server.rpc.handover import Handover, StuckError
from crmsync_server.rpc.search_request import query_of
from crmsync_server.store import export
from crmsync_server.store.db import Database
from crmsync_server.store.search_query import Query

MOST_EXPORTS = 4
# Of one organization: however slowly it reads, others find room.
MOST_EXPORTS_EACH = MOST_EXPORTS // 2
_ALL, _EACH = "server", "organization"
_WAIT = timedelta(seconds=10)
_PATIENCE = 300.0
_PREFIX = "EXPORT_FORMAT_"


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be exported, and how."""

    query: Query
    name: str
    kind: Kind
    columns: Sequence[str]


@dataclass(slots=True)
class Exports:
    """Sends files, a few at a time: each holds a connection and a snapshot while it runs.

    patience: for how many seconds a message waits for its reader, before the export is given up.
    """

    database: Database
    crms: Crms
    clock: Callable[[], datetime]
    patience: float = _PATIENCE
    _running: Counter[str] = field(default_factory=Counter, init=False)

    @property
    def running(self) -> int:
        """How many there are at the moment."""
        return self._running.total()

    async def stream(
        self, request: pb.ExportRecordsRequest
    ) -> AsyncGenerator[pb.ExportRecordsResponse]:
        """Yield the header and then the file; see the contract."""
        order = self._order(request)
        sent = Handover[pb.ExportRecordsResponse](self.patience)
        making = asyncio.create_task(self._make(order, sent), name="export")
        try:
            async with aclosing(sent.taken()) as messages:
                async for message in messages:
                    yield message
            await making
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

    async def _make(self, order: _Order, sent: Handover[pb.ExportRecordsResponse]) -> None:
        """Make the messages, beside the call: a reader that stops is not to keep what they need."""
        cells = export.cells(order.columns, as_json=order.kind.as_json)
        try:
            with self._place(order.query.org_id), _opened(order.kind.make(cells)) as file:
                async with aclosing(self._read(order, cells, file)) as messages:
                    async for message in messages:
                        await sent.give(message)
        except StuckError as error:
            raise ExportGivenUpError(self.patience, _WAIT) from error
        finally:
            sent.end()

    async def _read(
        self, order: _Order, cells: Sequence[export.Cell], file: Format
    ) -> AsyncGenerator[pb.ExportRecordsResponse]:
        done = 0
        async with self.database.org(order.query.org_id) as connection:
            matching, total = await export.begin(connection, order.query)
            if order.kind.limit is not None and total > order.kind.limit:
                raise ExportTooLargeError(order.name, order.kind.limit, total)
            yield pb.ExportRecordsResponse(header=self._header(order, total))
            for message in _chunks(file.begin(), 0):
                yield message
            async with aclosing(export.rows(connection, matching, cells)) as batches:
                async for batch in batches:
                    done += len(batch)
                    for message in _chunks(await file.add(batch), done):
                        yield message
        # The snapshot is not held while a complete file is sent.
        async with aclosing(file.end()) as pieces:
            async for piece in pieces:
                for message in _chunks(piece, done):
                    yield message

    def _order(self, request: pb.ExportRecordsRequest) -> _Order:
        columns = tuple(request.columns) or export.COLUMNS
        _refuse_unknown(columns, self.crms.known)
        number = request.format or search_pb2.EXPORT_FORMAT_CSV
        name = search_pb2.ExportFormat.Name(number).removeprefix(_PREFIX)
        query = query_of(request, current_caller().org_id, self.crms.known)
        return _Order(query, name, KINDS[number], columns)

    def _header(self, order: _Order, total: int) -> search_pb2.ExportHeader:
        return search_pb2.ExportHeader(
            total_size=total,
            file_name=f"contacts-{self.clock():%Y%m%dT%H%M%SZ}.{order.kind.suffix}",
            media_type=order.kind.media_type,
            columns=order.columns,
        )

    @contextmanager
    def _place(self, org_id: str) -> Iterator[None]:
        if self._running[org_id] >= MOST_EXPORTS_EACH:
            raise ExportBusyError(_EACH, MOST_EXPORTS_EACH, _WAIT)
        if self.running >= MOST_EXPORTS:
            raise ExportBusyError(_ALL, MOST_EXPORTS, _WAIT)
        self._running[org_id] += 1
        try:
            yield
        finally:
            self._running[org_id] -= 1
            self._running += Counter()  # forgets organizations without any


@contextmanager
def _opened(file: Format) -> Iterator[Format]:
    try:
        yield file
    finally:
        file.close()


def _chunks(data: bytes, done: int) -> Iterator[pb.ExportRecordsResponse]:
    """Yield data in pieces; without any, the progress alone."""
    for start in range(0, max(1, len(data)), PIECE):
        piece = data[start : start + PIECE]
        chunk = search_pb2.ExportChunk(data=piece, exported_count=done)
        yield pb.ExportRecordsResponse(chunk=chunk)


def _refuse_unknown(columns: Sequence[str], crms: Sequence[str]) -> None:
    known = {*export.COLUMNS, *(f"{export.STANDING}{crm}" for crm in crms)}
    told = f"must be one of {', '.join(sorted(known))} or {export.PROPERTY}key"
    wrong = [
        Violation(f"columns[{place}]", "columns.known", told)
        for place, name in enumerate(columns)
        if name not in known and name.removeprefix(export.PROPERTY) in {"", name}
    ]
    if wrong:
        raise InvalidRequestError(wrong)
