"""ExportRecords: the files, what is neutralized in them, and who may have how many at once."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import grpc
import pytest

from crmsync.v1 import search_pb2
from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.rpc import export_formats
from crmsync_server.rpc.export import MOST_EXPORTS, MOST_EXPORTS_EACH
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from tests.eventually import eventually
from tests.rpc.contacts import refusal
from tests.rpc.searches import ORG, Searching, exported, searching
from tests.store import people
from tests.store.failing import fail

COLUMNS = ("name", "email", "tags", "properties.plan", "sync.hubspot")
FORMULAS = ("=1+1", "+49 30", "-1", "@sum(a1)", "\t=1", "\r=1", "\uff1d1")


@pytest.fixture
async def service(database: Database) -> AsyncGenerator[Searching]:
    """Run the service."""
    async with searching(database) as running:
        yield running


def request_of(format_: search_pb2.ExportFormat.ValueType, **said: str) -> pb.ExportRecordsRequest:
    """Ask for some columns in a format."""
    return pb.ExportRecordsRequest(format=format_, columns=COLUMNS, order_by="name", **said)


async def fill(service: Searching) -> None:
    """Keep three contacts, one of which has failed."""
    [ada, *_] = await service.add(
        Content("ada@example.com", name='Ada "A", née\nB', tags=("vip", "a,b")),
        Content("bob@example.com", name="Bob", properties={"plan": "gold"}),
        Content(None, name="Zoë"),
    )
    await fail(service.database, [ada])


async def test_csv_reads_back_as_it_was(service: Searching) -> None:
    """Quotes, commas, newlines and letters of any kind; the header tells what comes."""
    await fill(service)
    first, data, progress = await exported(service.stub, request_of(search_pb2.EXPORT_FORMAT_CSV))
    assert first.header == search_pb2.ExportHeader(
        total_size=3,
        file_name="contacts-20260131T120000Z.csv",
        media_type="text/csv; charset=utf-8",
        columns=COLUMNS,
    )
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [
        list(COLUMNS),
        ['Ada "A", née\nB', "ada@example.com", "vip, a,b", "", "ERROR"],
        ["Bob", "bob@example.com", "", "gold", ""],
        ["Zoë", "", "", "", ""],
    ]
    assert progress[-1] == 3


@pytest.mark.parametrize(
    "format_", [search_pb2.EXPORT_FORMAT_JSON, search_pb2.EXPORT_FORMAT_JSON_LINES]
)
async def test_json_keeps_types_and_what_is_missing(
    service: Searching, format_: search_pb2.ExportFormat.ValueType
) -> None:
    """One array, or one object in each line."""
    await fill(service)
    _, data, _ = await exported(service.stub, request_of(format_))
    text = data.decode()
    is_array = format_ == search_pb2.EXPORT_FORMAT_JSON
    read = json.loads(text) if is_array else [json.loads(line) for line in text.splitlines()]
    assert [one["tags"] for one in read] == [["vip", "a,b"], [], []]
    assert [one["name"] for one in read] == ['Ada "A", née\nB', "Bob", "Zoë"]
    assert [one["email"] for one in read] == ["ada@example.com", "bob@example.com", None]
    assert [one["properties.plan"] for one in read] == [None, "gold", None]


async def test_every_field_comes_unless_columns_are_named(service: Searching) -> None:
    """With times in UTC, numbers as numbers, and all properties."""
    await service.add(Content("ada@example.com", properties={"plan": "gold"}))
    request = pb.ExportRecordsRequest(format=search_pb2.EXPORT_FORMAT_JSON)
    first, data, _ = await exported(service.stub, request)
    [one] = json.loads(data)
    assert list(one) == list(first.header.columns)
    assert one["properties"] == {"plan": "gold"}
    assert (one["version"], one["unread_count"], one["last_message_time"]) == (1, 0, None)
    assert one["create_time"].endswith("Z")


@pytest.mark.parametrize(
    ("format_", "data"),
    [(search_pb2.EXPORT_FORMAT_JSON, b"[]\n"), (search_pb2.EXPORT_FORMAT_JSON_LINES, b"")],
)
async def test_nothing_found_is_an_empty_file(
    service: Searching, format_: search_pb2.ExportFormat.ValueType, data: bytes
) -> None:
    """And no error."""
    first, found, _ = await exported(service.stub, request_of(format_, text="nobody"))
    assert (first.header.total_size, found) == (0, data)


async def test_text_and_filter_choose_what_is_exported(service: Searching) -> None:
    """As they do in a search."""
    await fill(service)
    request = request_of(search_pb2.EXPORT_FORMAT_CSV, text="exam", filter="NOT tags:vip")
    first, data, _ = await exported(service.stub, request)
    assert first.header.total_size == 1
    assert data.decode().splitlines()[1:] == ["Bob,bob@example.com,,gold,"]


async def test_no_cell_is_run_by_a_spreadsheet(service: Searching) -> None:
    """In CSV and XLSX, whichever way a formula can begin; JSON keeps what was there."""
    await service.add(*(Content(f"{n}@x.test", name=text) for n, text in enumerate(FORMULAS)))
    names = {}
    for format_ in (search_pb2.EXPORT_FORMAT_CSV, search_pb2.EXPORT_FORMAT_JSON):
        request = pb.ExportRecordsRequest(format=format_, columns=["name"], order_by="create_time")
        _, names[format_], _ = await exported(service.stub, request)
    rows = list(csv.reader(io.StringIO(names[search_pb2.EXPORT_FORMAT_CSV].decode(), newline="")))
    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in FORMULAS]
    read = json.loads(names[search_pb2.EXPORT_FORMAT_JSON])
    assert [one["name"] for one in read] == list(FORMULAS)
    request = pb.ExportRecordsRequest(format=search_pb2.EXPORT_FORMAT_XLSX, columns=["name"])
    _, data, _ = await exported(service.stub, request)
    sheet = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert sheet.count("&apos;") + sheet.count(">'") == len(FORMULAS)


async def test_a_workbook_holds_every_row(service: Searching) -> None:
    """It is sent when it is complete, with the progress before."""
    await fill(service)
    first, data, progress = await exported(service.stub, request_of(search_pb2.EXPORT_FORMAT_XLSX))
    assert first.header.file_name == "contacts-20260131T120000Z.xlsx"
    sheet = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == 4
    assert "bob@example.com" in sheet
    assert progress[:2] == [0, 3]


async def test_what_no_cell_of_a_sheet_holds_is_refused(service: Searching) -> None:
    """Naming the column, instead of a file with half a value; other formats have all of it."""
    properties = {f"k{number}": "v" * 4_000 for number in range(9)}
    await service.add(Content("a@x.test", properties=properties))
    sheet = pb.ExportRecordsRequest(format=search_pb2.EXPORT_FORMAT_XLSX)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await exported(service.stub, sheet)
    refused = refusal(failure)
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "EXPORT_CELL_TOO_LONG",
    )
    assert refused.metadata["column"] == "properties"
    assert refused.metadata["limit"] == "32767"
    _, data, _ = await exported(service.stub, pb.ExportRecordsRequest(columns=["properties"]))
    [_, [told]] = csv.reader(io.StringIO(data.decode(), newline=""))
    assert json.loads(told) == properties
    sheet.columns.append("properties.k8")
    assert (await exported(service.stub, sheet))[1]


async def test_more_than_a_sheet_holds_is_refused(
    service: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent; other formats take it."""
    await fill(service)
    number = search_pb2.EXPORT_FORMAT_XLSX
    smaller = export_formats.KINDS[number]._replace(limit=2)
    monkeypatch.setitem(export_formats.KINDS, number, smaller)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await exported(service.stub, request_of(number))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "EXPORT_TOO_LARGE"
    assert refused.metadata == {"format": "XLSX", "limit": "2", "total_size": "3"}


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.ExportRecordsRequest(columns=["name", "org_id"]), ["columns[1]"]),
        (pb.ExportRecordsRequest(columns=["properties.", "sync.x"]), ["columns[0]", "columns[1]"]),
        (pb.ExportRecordsRequest(columns=["name", "name"]), ["columns"]),
        (pb.ExportRecordsRequest(order_by="phone"), ["order_by"]),
        (pb.ExportRecordsRequest(text="?"), ["text"]),
    ],
    ids=str,
)
async def test_bad_input_sends_nothing(
    service: Searching, request_: pb.ExportRecordsRequest, fields: list[str]
) -> None:
    """It is refused by its field."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await exported(service.stub, request_)
    assert refusal(failure).fields == fields


async def test_a_file_is_of_one_instant(service: Searching) -> None:
    """What changes while it is read is not in it, and its rows are as many as were told."""
    await people.populate(service.database, 20_000)
    call = service.stub.ExportRecords(pb.ExportRecordsRequest(columns=["id", "email", "version"]))
    messages = aiter(call)
    header = (await anext(messages)).header
    await service.add(Content("late@example.com"))
    data = b"".join([message.chunk.data async for message in messages])
    assert len(data.splitlines()) - 1 == header.total_size == 20_000
    assert b"late@example.com" not in data


async def heavy(service: Searching, *org_ids: str) -> None:
    """Keep so much of each organization that no buffer on the way takes it all."""
    for org_id in org_ids:
        many = (Content(f"{n}@x.test", notes="n" * 10_000) for n in range(600))
        await service.add(*many, org_id=org_id)


async def begun(service: Searching, org_id: str, stack: AsyncExitStack) -> None:
    """Begin an export that is cancelled in the end, and read no more than its header."""
    metadata = (("authorization", f"Bearer {org_id}"),)
    call = service.stub.ExportRecords(pb.ExportRecordsRequest(), metadata=metadata)
    stack.callback(call.cancel)
    assert (await anext(aiter(call))).HasField("header")


async def busy(service: Searching, org_id: str) -> dict[str, str]:
    """Ask for one export too many; return what is said of it."""
    metadata = (("authorization", f"Bearer {org_id}"),)
    call = service.stub.ExportRecords(pb.ExportRecordsRequest(), metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await anext(aiter(call))
    refused = refusal(failure)
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "EXPORT_BUSY"
    return dict(refused.metadata)


async def test_a_caller_that_goes_away_ends_the_work(service: Searching) -> None:
    """And makes room for another; as many as may run at once are told apart from too many."""
    others = [f"org{number}" for number in range(MOST_EXPORTS // MOST_EXPORTS_EACH)]
    await heavy(service, *others, ORG)
    async with AsyncExitStack() as stack:
        for org_id in others:
            for _ in range(MOST_EXPORTS_EACH):
                await begun(service, org_id, stack)
        assert await busy(service, ORG) == {"scope": "server", "limit": str(MOST_EXPORTS)}

    async def over() -> None:
        await asyncio.sleep(0)
        assert service.exports.running == 0

    await eventually(over)
    first, _, _ = await exported(service.stub, pb.ExportRecordsRequest(columns=["id"]))
    assert first.header.total_size == 600


async def test_one_organization_leaves_places_to_others(service: Searching) -> None:
    """However slowly it reads what it has begun, half of the places are not its own."""
    await heavy(service, ORG)
    async with AsyncExitStack() as stack:
        for _ in range(MOST_EXPORTS_EACH):
            await begun(service, ORG, stack)
        told = {"scope": "organization", "limit": str(MOST_EXPORTS_EACH)}
        assert await busy(service, ORG) == told
        await begun(service, "globex", stack)


async def test_a_caller_that_stops_reading_makes_room_for_others(service: Searching) -> None:
    """Its work is given up when nobody took a message for a while, and it is told so."""
    others = ("globex", "initech")
    await heavy(service, ORG, *others)
    service.exports.patience = 0.05
    calls = [
        service.stub.ExportRecords(
            pb.ExportRecordsRequest(), metadata=(("authorization", f"Bearer {org_id}"),)
        )
        for org_id in others
        for _ in range(MOST_EXPORTS_EACH)
    ]
    for call in calls:
        assert (await anext(aiter(call))).HasField("header")

    async def over() -> None:
        assert service.exports.running == 0

    await eventually(over)
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            [_ async for _ in call]
        assert refusal(failure).reason == "EXPORT_GIVEN_UP"
    service.exports.patience = 60
    first, _, _ = await exported(service.stub, pb.ExportRecordsRequest(columns=["id"]))
    assert first.header.total_size == 600
