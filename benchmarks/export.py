"""How fast a million contacts are exported, and whether the server's memory grows with them."""

import time

from benchmarks import search
from benchmarks.figures import Bar, Figure, say
from benchmarks.service import Service, client
from crmsync.v1 import search_pb2
from crmsync.v1.search_service_pb2 import ExportRecordsRequest
from crmsync_client import CrmsyncClient

_XLSX_SHARE = 0.1  # enough to tell a rate


async def measure(service: Service, scale: float) -> list[Figure]:
    """Export everything as CSV and as JSON lines, and a part as a workbook."""
    count = max(20_000, int(search.COUNT * scale))
    await search.fill(service.database, count)
    async with client(service) as caller:
        before = service.peak_megabytes()
        as_csv = await _rate(caller, search_pb2.EXPORT_FORMAT_CSV, "")
        grown = service.peak_megabytes() - before
        lines = await _rate(caller, search_pb2.EXPORT_FORMAT_JSON_LINES, "")
        workbook = await _rate(
            caller, search_pb2.EXPORT_FORMAT_XLSX, search.since(int(count * (1 - _XLSX_SHARE)))
        )
    ratio = "of the rate of CSV"
    return [
        Figure(f"ExportRecords, {count:,} contacts as CSV", as_csv, "rows/s", Bar(50_000)),
        Figure("server memory, grown by that", grown, "MB", Bar(50, most=True)),
        Figure(
            "ExportRecords as JSON lines", lines, "rows/s", ratio=f"{lines / as_csv:.2f} {ratio}"
        ),
        Figure(
            "ExportRecords as XLSX", workbook, "rows/s", ratio=f"{workbook / as_csv:.2f} {ratio}"
        ),
    ]


async def _rate(
    caller: CrmsyncClient, format_: search_pb2.ExportFormat.ValueType, filter_text: str
) -> float:
    """Read an export to its end; return rows per second."""
    started = time.perf_counter()
    total = size = done = 0
    request = ExportRecordsRequest(format=format_, filter=filter_text)
    async for message in caller.search.ExportRecords(request):
        total += message.header.total_size
        size += len(message.chunk.data)
        done = max(done, message.chunk.exported_count)
    elapsed = time.perf_counter() - started
    if done != total or not total:
        fault = f"{done} of {total} contacts were exported"
        raise RuntimeError(fault)
    say(f"  {search_pb2.ExportFormat.Name(format_)}: {total:,} rows, {size / 1e6:,.0f} MB")
    return total / elapsed
