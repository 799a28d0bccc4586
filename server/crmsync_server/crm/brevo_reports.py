"""Reads the report files of a completed import: which rows Brevo refused, and why.

Their columns are not documented, and their separator varies, so a row is recognised by any
cell that holds an identifier of ours.
"""

import asyncio
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence

import aiohttp
import httpx

from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.brevo_rows import PHONE, Row
from crmsync_server.crm.hiding import keepable
from crmsync_server.crm.http import Caller, timeouts
from crmsync_server.crm.outcomes import Rejected
from crmsync_server.crm.replies import brief, mapping, text

_MAX_BYTES = 32_000_000
# The last one: a host whose xn--… is nothing.
_UNMAPPED = (aiohttp.ClientError, TimeoutError, UnicodeError)

Identifiers = Sequence[Mapping[str, int]]


async def refusals(
    caller: Caller, process: Mapping[str, object], rows: Sequence[Row]
) -> dict[int, Rejected]:
    """Download the reports a completed process names; outcomes of refused rows by position.

    A report that cannot be had names nobody: its rows are then found missing instead.
    """
    urls = {
        name: text(url)
        for name, url in mapping(mapping(process.get("info")).get("import")).items()
        if text(url).startswith(("https://", "http://"))
    }
    reports = await asyncio.gather(*(_download(caller, url) for url in urls.values()))
    known = identifiers(rows)
    found: dict[int, Rejected] = {}
    for name, report in zip(urls, reports, strict=True):
        for position, reason in named(report, known).items():
            message = brief(f"Brevo's report {name}: {reason}")
            found.setdefault(position, Rejected(name.upper(), message))
    return found


async def _download(caller: Caller, url: str) -> str:
    """Return a report's text; empty when it cannot be had or is too large."""
    try:
        async with asyncio.timeout(caller.total_timeout.total_seconds()):
            return await _content(caller, url)
    except (httpx.HTTPError, httpx.InvalidURL, *_UNMAPPED, AddressRefusedError):
        return ""


async def _content(caller: Caller, url: str) -> str:
    # Reports lie on a file store outside the API: it must not see the credentials.
    content = bytearray()
    timeout = timeouts(caller.read_timeout)
    async with caller.tools.client.stream("GET", url, timeout=timeout) as response:
        if not response.is_success:
            return ""
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > _MAX_BYTES:
                return ""
    return keepable(content.decode("utf-8-sig", errors="replace"))


def identifiers(rows: Sequence[Row]) -> Identifiers:
    """Return the positions of rows by their identifiers in lower case, the surest kind first."""
    sent = ((text(row.attributes.get(PHONE)), row.position) for row in rows)
    phones = {phone: position for phone, position in sent if phone}
    bare = {phone.removeprefix("+"): position for phone, position in phones.items()}
    return (
        {row.ext_id: row.position for row in rows},
        {row.email: row.position for row in rows},
        {**phones, **bare},
    )


def named(report: str, known: Identifiers) -> dict[int, str]:
    """Return the reason for every row that a report names, by position.

    known: what identifiers() returns; a line belongs to the surest identifier it holds.
    """
    lines = report.splitlines()
    separator = ";" if lines and ";" in lines[0] else ","
    found: dict[int, str] = {}
    for cells in _cells(lines, separator):
        position = _owner([cell.strip().lower() for cell in cells], known)
        if position is not None:
            found.setdefault(position, separator.join(cells))
    return found


def _cells(lines: Iterable[str], separator: str) -> Iterator[Sequence[str]]:
    """Read lines of cells, without those that no reader takes: one must not hide the rest."""
    reader = csv.reader(lines, delimiter=separator)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell longer than a reader takes
            continue


def _owner(cells: Sequence[str], known: Identifiers) -> int | None:
    return next((kind[cell] for kind in known for cell in cells if cell in kind), None)
