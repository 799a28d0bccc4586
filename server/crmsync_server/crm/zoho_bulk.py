"""Reads everything by a bulk job: Zoho writes a CSV file, which is fetched and read in slices.

A job's result is kept for a day. Where its file is not at hand any more it is fetched again, and a
cursor says at which byte to go on, so that another server can.
"""

import asyncio
import csv
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import BinaryIO

from crmsync_server.crm.outcomes import Rejected, Retry
from crmsync_server.crm.replies import Reply, iso_time, mapping, text
from crmsync_server.crm.source import Cursor
from crmsync_server.crm.zoho_access import Grant
from crmsync_server.crm.zoho_calls import BULK, Call, Zoho, is_spent
from crmsync_server.crm.zoho_errors import Trouble, entries, trouble

ROWS = 1_000
_CREDITS = 50
_FIRST_WAIT = timedelta(seconds=10)
_WAIT = timedelta(seconds=30)
# Zoho has many jobs to do; one that is not done by then is given up.
_LONGEST_JOB = timedelta(hours=2)
_LONGEST_ZIP = 1024**3
_LONGEST_CSV = 4 * 1024**3
_PIECE = 1024**2
_DONE, _FAILED = frozenset({"COMPLETED"}), frozenset({"FAILURE", "FAILED"})
_MADE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED})
_UNREADABLE = (zipfile.BadZipFile, zlib.error, csv.Error, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that Zoho has taken in, and when to ask after it."""

    cursor: Cursor
    ready: datetime


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows by field, and where to go on; None after the last row of the last job."""

    rows: Sequence[Mapping[str, object]]
    cursor: Cursor | None
    ready: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: Sequence[Mapping[str, object]]
    offset: int
    ended: bool


class _UnreadableError(Exception):
    """A result that is no zip with one CSV file in it, or too long."""


class Bulk:
    """The bulk jobs of one organization; the file of one of them is kept at hand."""

    def __init__(self, zoho: Zoho) -> None:
        """Take the calls; nothing is called yet."""
        self._zoho = zoho
        self._job = ""
        self._file: BinaryIO | None = None
        self._closing: weakref.finalize[..., Bulk] | None = None
        self._reading = asyncio.Lock()

    async def begin(
        self, names: Mapping[str, str], more: Mapping[str, object] | None = None
    ) -> Begun | Trouble | None:
        """Ask for a job; None where Zoho takes none of the kind. Raises CredentialsRefusedError.

        names: the columns, by the fields that they are for. more: which page of the result.
        """
        fields = list(names.values())
        query = {"module": {"api_name": "Contacts"}, "fields": fields, **(more or {"page": 1})}
        call = Call("POST", BULK, _CREDITS, json={"query": query, "file_type": "csv"})
        reply = await self._zoho.call(call)
        now = self._zoho.now()
        told = entries(reply) if isinstance(reply, Reply) and reply.status in _MADE else []
        job = text(mapping(told[0].get("details")).get("id")) if told else ""
        if job:
            return Begun({"job": job, "made": now.isoformat()}, now + _FIRST_WAIT)
        why = trouble(reply, now)
        return None if isinstance(why, Rejected) else why

    async def page(self, names: Mapping[str, str], cursor: Cursor) -> Slice | Trouble | None:
        """Return the next rows, or when there will be some; None where the job came to nothing.

        Raises CredentialsRefusedError.
        """
        job, offset = text(cursor.get("job")), cursor.get("offset")
        if isinstance(offset, int):
            return await self._rows(names, cursor, job, offset)
        call = Call("GET", f"{BULK}/{job}")
        reply = await self._zoho.call(call)
        told = entries(reply) if isinstance(reply, Reply) and reply.status == HTTPStatus.OK else []
        if not told:
            return self._lost(reply)
        state = text(told[0].get("state")).upper()
        now = self._zoho.now()
        if state in _FAILED:
            return None
        if state not in _DONE:
            made = iso_time(cursor.get("made"))
            late = made is None or now - made > _LONGEST_JOB
            return None if late else Slice((), cursor, now + _WAIT)
        result = mapping(told[0].get("result"))
        return Slice((), {"job": job, "offset": 0, "next": _next(result)})

    def _lost(self, reply: object) -> Trouble | None:
        if isinstance(reply, Reply) and reply.status == HTTPStatus.NOT_FOUND:
            return None
        why = trouble(reply, self._zoho.now())
        return None if isinstance(why, Rejected) else why

    async def _rows(
        self, names: Mapping[str, str], cursor: Cursor, job: str, offset: int
    ) -> Slice | Trouble | None:
        async with self._reading:
            if self._file is None or self._job != job:
                fault = await self._fetch(job)
                if fault is not None:
                    return self._lost(fault) if isinstance(fault, Reply) else fault
            file = self._file
            try:
                found = await asyncio.to_thread(_slice, file, offset, names) if file else None
            except _UNREADABLE as why:
                self._close()
                return Retry("BAD_RESULT", f"a bulk result cannot be read ({type(why).__name__})")
        if found is None or not found.ended:
            after = {**cursor, "offset": offset if found is None else found.offset}
            return Slice(() if found is None else found.rows, after)
        self._close()
        return await self._last(names, found.rows, mapping(cursor.get("next")))

    async def _last(
        self,
        names: Mapping[str, str],
        rows: Sequence[Mapping[str, object]],
        more: Mapping[str, object],
    ) -> Slice | Trouble | None:
        """Return the last rows of a job, and ask for the next job where there is more."""
        if not more:
            return Slice(rows, None)
        begun = await self.begin(names, more)
        return Slice(rows, begun.cursor, begun.ready) if isinstance(begun, Begun) else begun

    async def _fetch(self, job: str) -> Reply | Trouble | None:
        """Fetch a job's file; returns why there is none."""
        call = Call("GET", f"{BULK}/{job}/result")
        with tempfile.TemporaryFile() as packed:
            reply = await self._downloaded(call, packed)
            if not isinstance(reply, Reply):
                return trouble(reply, self._zoho.now())
            if reply.status != HTTPStatus.OK:
                return reply
            file = await asyncio.to_thread(tempfile.TemporaryFile)
            try:
                await asyncio.to_thread(_unpack, packed, file)
            except (_UnreadableError, RuntimeError, *_UNREADABLE) as why:
                file.close()
                return Retry("BAD_RESULT", f"a bulk result cannot be read ({type(why).__name__})")
        self._close()
        self._job, self._file = job, file
        # A reading that is given up leaves its file behind, until the adapter is gone.
        self._closing = weakref.finalize(self, file.close)
        return None

    async def _downloaded(self, call: Call, into: BinaryIO) -> object:
        grant = await self._zoho.access.authorize()
        reply = await self._got(grant, call, into)
        if isinstance(grant, Grant) and is_spent(reply):
            return await self._got(await self._zoho.access.authorize(spent=grant.kept), call, into)
        return reply

    async def _got(self, grant: object, call: Call, into: BinaryIO) -> object:
        if not isinstance(grant, Grant):
            return grant
        caller = self._zoho.authorized(grant, call)
        return await caller.download(call.path, into, buckets=call.buckets, longest=_LONGEST_ZIP)

    def _close(self) -> None:
        if self._closing is not None:
            self._closing()
        self._job, self._file, self._closing = "", None, None


def _next(result: Mapping[str, object]) -> Mapping[str, object]:
    """Return which page to ask for after this one; empty where it is the last."""
    if result.get("more_records") is not True:
        return {}
    token = text(result.get("next_page_token"))
    page = result.get("page")
    return {"page_token": token} if token else {"page": (page if isinstance(page, int) else 1) + 1}


def _unpack(packed: BinaryIO, into: BinaryIO) -> None:
    """Write the one CSV file of a zip file, piece by piece."""
    packed.seek(0)
    with zipfile.ZipFile(packed) as archive:
        inside = [one for one in archive.infolist() if one.filename.lower().endswith(".csv")]
        if len(inside) != 1:
            raise _UnreadableError
        with archive.open(inside[0]) as member:
            length = 0
            while piece := member.read(_PIECE):
                length += len(piece)
                if length > _LONGEST_CSV:
                    raise _UnreadableError
                into.write(piece)


def _slice(file: BinaryIO, offset: int, names: Mapping[str, str]) -> _Rows:
    """Read so many rows from an offset on; the first line of the file names the columns."""
    file.seek(0)
    heads = next(csv.reader(_lines(file)), [])
    places = {head.strip().lower(): at for at, head in enumerate(heads)}
    wanted = {name: places.get(column.lower()) for name, column in names.items()}
    if offset:
        file.seek(offset)
    rows: list[Mapping[str, object]] = []
    reader = csv.reader(_lines(file))
    while len(rows) < ROWS:
        values = next(reader, None)
        if values is None:
            return _Rows(rows, file.tell(), ended=True)
        if values:
            rows.append(_row(values, wanted))
    return _Rows(rows, file.tell(), ended=False)


def _lines(file: BinaryIO) -> Iterator[str]:
    # Line by line, so that the place in the file is that of the row that was read last.
    while line := file.readline():
        yield line.decode("utf-8-sig", "replace")


def _row(values: Sequence[str], wanted: Mapping[str, int | None]) -> Mapping[str, object]:
    return {name: values[at] for name, at in wanted.items() if at is not None and at < len(values)}
