"""The formats of exported files: each turns rows of cells into bytes as they come."""

import asyncio
import csv
import io
import json
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import xlsxwriter  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import search_pb2 as pb
from crmsync_server.errors import ExportCellTooLongError
from crmsync_server.store.export import Cell, Row

XLSX_LIMIT = 1_048_575
"""Records that a sheet holds below its heading."""

_SHEET = "XLSX"
_CELL_LIMIT = 32_767  # characters; what is longer would be cut without a word

PIECE = 1 << 20
"""Bytes of a file that are sent at once, at most."""

# What makes a spreadsheet take a cell for a formula, its wide forms included, and what it skips
# before looking.
_RUN = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_encoded: Callable[[str], str] = json.encoder.encode_basestring


class Format(Protocol):
    """Writes one file."""

    def begin(self) -> bytes:
        """Return what comes before the first row."""

    async def add(self, rows: Sequence[Row]) -> bytes:
        """Take rows, and return what can be sent of the file so far; maybe nothing."""

    def end(self) -> AsyncGenerator[bytes]:
        """Yield what comes after the last row."""

    def close(self) -> None:
        """Forget the file; it may be complete or not."""


class Kind(NamedTuple):
    """What is known of a format beforehand."""

    suffix: str
    media_type: str
    make: Callable[[Sequence[Cell]], Format]
    as_json: bool = False
    limit: int | None = None


def neutral(cell: str | None) -> str:
    """Return a cell that no spreadsheet runs."""
    if not cell:
        return ""
    return f"'{cell}" if cell[0] in _RUN else cell


class Csv:
    """Comma-separated values, as RFC 4180 has them."""

    def __init__(self, columns: Sequence[Cell]) -> None:
        """Take the columns."""
        self._columns = columns

    def begin(self) -> bytes:
        """Return the heading."""
        return _csv([[neutral(cell.name) for cell in self._columns]])

    async def add(self, rows: Sequence[Row]) -> bytes:
        """Return the rows' lines."""
        return _csv([[neutral(cell) for cell in row] for row in rows])

    async def end(self) -> AsyncGenerator[bytes]:
        """Yield nothing."""
        nothing: Sequence[bytes] = ()
        for piece in nothing:
            yield piece

    def close(self) -> None:
        """Forget nothing."""


class Json:
    """Objects one after the other: in lines, or in one array."""

    def __init__(self, columns: Sequence[Cell], *, array: bool = False) -> None:
        """Take the columns."""
        names = [_encoded(cell.name) for cell in columns]
        self._keys = [f"{',' if place else '{'}{name}:" for place, name in enumerate(names)]
        self._raw = [cell.is_json for cell in columns]
        self._between = ",\n" if array else "\n"
        self._array = array
        self._first = True

    def begin(self) -> bytes:
        """Return what opens the array."""
        return b"[" if self._array else b""

    async def add(self, rows: Sequence[Row]) -> bytes:
        """Return the rows' objects."""
        text = self._between.join(map(self._object, rows))
        if self._array:
            text = text if self._first else self._between + text
            self._first = False
            return text.encode()
        return f"{text}\n".encode()

    async def end(self) -> AsyncGenerator[bytes]:
        """Yield what closes the array."""
        if self._array:
            yield b"]\n"

    def close(self) -> None:
        """Forget nothing."""

    def _object(self, row: Row) -> str:
        parts = []
        for key, cell, raw in zip(self._keys, row, self._raw, strict=True):
            value = "null" if cell is None else cell if raw else _encoded(cell)
            parts.append(key + value)
        return "".join(parts) + "}"


class Xlsx:
    """A workbook, written to a temporary file row by row."""

    def __init__(self, columns: Sequence[Cell]) -> None:
        """Open the file and write the heading."""
        self._folder = tempfile.TemporaryDirectory(prefix="crmsync-export-")
        self._path = Path(self._folder.name) / "export.xlsx"
        options = {
            "constant_memory": True,
            "tmpdir": self._folder.name,
            "strings_to_formulas": False,
            "strings_to_numbers": False,
            "strings_to_urls": False,
        }
        self._book = xlsxwriter.Workbook(str(self._path), options)
        self._sheet = self._book.add_worksheet("Contacts")
        self._place = 0
        self._columns = columns
        self._write([[cell.name for cell in columns]])

    def begin(self) -> bytes:
        """Return nothing: the file is sent when it is complete."""
        return b""

    async def add(self, rows: Sequence[Row]) -> bytes:
        """Write the rows, beside the event loop."""
        await asyncio.to_thread(self._write, rows)
        return b""

    async def end(self) -> AsyncGenerator[bytes]:
        """Complete the file and yield it."""
        await asyncio.to_thread(self._book.close)
        with self._path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece

    def close(self) -> None:
        """Remove the file, and whatever it was made from."""
        if not self._book.fileclosed:
            self._sheet.row_data_fh.close()
            self._book.fileclosed = True
        self._folder.cleanup()

    def _write(self, rows: Sequence[Row]) -> None:
        write = self._sheet.write_string
        for row in rows:
            for column, cell in enumerate(row):
                if cell:
                    write(self._place, column, self._fitting(column, neutral(cell)))
            self._place += 1

    def _fitting(self, column: int, cell: str) -> str:
        """Return a cell; raises ExportCellTooLongError for one that a sheet cannot hold."""
        if (length := len(cell)) > _CELL_LIMIT:
            name = self._columns[column].name
            raise ExportCellTooLongError(_SHEET, _CELL_LIMIT, name, length)
        return cell


def _json_array(columns: Sequence[Cell]) -> Format:
    return Json(columns, array=True)


KINDS = {
    pb.EXPORT_FORMAT_CSV: Kind("csv", "text/csv; charset=utf-8", Csv),
    pb.EXPORT_FORMAT_XLSX: Kind(
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Xlsx,
        limit=XLSX_LIMIT,
    ),
    pb.EXPORT_FORMAT_JSON_LINES: Kind("jsonl", "application/jsonl", Json, as_json=True),
    pb.EXPORT_FORMAT_JSON: Kind("json", "application/json", _json_array, as_json=True),
}


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
