"""ExportRecords, through a real channel: whole, in order, and ended when nobody reads it."""

import csv
import io
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
import pytest

from crmsync.v1 import search_pb2
from crmsync.v1 import search_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.service.calls import create, import_many

_MANY = 5_000


async def file_of(client: CrmsyncClient, request: pb.ExportRecordsRequest) -> tuple[int, bytes]:
    """Export, and return how many records were announced and the file."""
    total, data = 0, bytearray()
    async for message in client.search.ExportRecords(request):
        if message.HasField("header"):
            total = message.header.total_size
        data += message.chunk.data
    return total, bytes(data)


async def test_every_format_has_every_record(client: CrmsyncClient) -> None:
    """In the same order."""
    await import_many(client, _MANY)
    columns = ["email", "version"]
    formats = {
        kind: await file_of(
            client, pb.ExportRecordsRequest(format=kind, columns=columns, order_by="email")
        )
        for kind in (
            search_pb2.EXPORT_FORMAT_CSV,
            search_pb2.EXPORT_FORMAT_JSON,
            search_pb2.EXPORT_FORMAT_JSON_LINES,
        )
    }
    assert {total for total, _ in formats.values()} == {_MANY}
    _, as_csv = formats[search_pb2.EXPORT_FORMAT_CSV]
    rows = list(csv.DictReader(io.StringIO(as_csv.decode(), newline="")))
    emails = [row["email"] for row in rows]
    assert emails == sorted(f"person{number}@example.com" for number in range(_MANY))
    _, as_json = formats[search_pb2.EXPORT_FORMAT_JSON]
    assert [one["email"] for one in json.loads(as_json)] == emails
    _, lines = formats[search_pb2.EXPORT_FORMAT_JSON_LINES]
    assert [json.loads(line)["email"] for line in lines.splitlines()] == emails


async def test_a_reader_that_leaves_frees_its_connection(
    client: CrmsyncClient, database: Database
) -> None:
    """No transaction of it is left in the database."""
    await import_many(client, _MANY)
    async with aclosing(stream(client)) as messages:
        await anext(messages)

    async def nothing_is_open() -> None:
        async with database.everyone() as connection:
            answer = await connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%exported_%'"
                " AND state <> 'idle' AND pid <> pg_backend_pid()"
            )
            assert answer.scalar_one() == 0

    await eventually(nothing_is_open)


async def stream(client: CrmsyncClient) -> AsyncGenerator[pb.ExportRecordsResponse]:
    """Yield the messages of an export, and cancel it when the reader leaves."""
    call = client.search.ExportRecords(pb.ExportRecordsRequest())
    try:
        async for message in call:
            yield message
    finally:
        call.cancel()


async def test_an_export_ends_with_the_deadline_of_its_caller(client: CrmsyncClient) -> None:
    """And the next one is served."""
    await create(client)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async for _ in client.search.ExportRecords(pb.ExportRecordsRequest(), timeout=0.001):
            pass
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await file_of(client, pb.ExportRecordsRequest()))[0] == 1
