"""Short ways to change many contacts at once, and to look at what became of them."""

from collections.abc import AsyncIterator, Iterable, Sequence

from crmsync.v1 import bulk_record_pb2 as record_pb
from crmsync.v1 import bulk_service_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync_client import CrmsyncClient

CREATE = record_pb.BULK_OPERATION_CREATE
UPDATE = record_pb.BULK_OPERATION_UPDATE
UPSERT = record_pb.BULK_OPERATION_UPSERT
DELETE = record_pb.BULK_OPERATION_DELETE

SYNCED = record_pb.BULK_RESULT_STATUS_SYNCED
SKIPPED = record_pb.BULK_RESULT_STATUS_SKIPPED
FAILED = record_pb.BULK_RESULT_STATUS_FAILED
PENDING = record_pb.BULK_RESULT_STATUS_PENDING
CANCELLED = record_pb.BULK_RESULT_STATUS_CANCELLED


def person(number: int, **fields: str) -> Contact:
    """Return a contact of its own email."""
    said = {"first_name": f"P{number}", **fields}
    return Contact(email=f"person{number}@example.com", **said)  # type: ignore[arg-type]


def upserts(count: int, first: int = 0, **fields: str) -> list[record_pb.BulkRecord]:
    """Return records that create or change so many contacts."""
    return [
        record_pb.BulkRecord(operation=UPSERT, contact=person(number, **fields))
        for number in range(first, first + count)
    ]


def deletes(count: int, first: int = 0) -> list[record_pb.BulkRecord]:
    """Return records that remove those of so many contacts, by email."""
    return [
        record_pb.BulkRecord(operation=DELETE, email=f"person{number}@example.com")
        for number in range(first, first + count)
    ]


async def apply(
    client: CrmsyncClient,
    *records: record_pb.BulkRecord,
    crm: str = "hubspot",
    timeout: float | None = 20,  # noqa: ASYNC109 - gRPC's own deadline
    **fields: object,
) -> pb.ApplyBatchResponse:
    """Apply records within a deadline."""
    request = pb.ApplyBatchRequest(crm=crm, records=records, **fields)  # type: ignore[arg-type]
    return await client.bulk.ApplyBatch(request, timeout=timeout)


async def mass(
    client: CrmsyncClient,
    records: Sequence[record_pb.BulkRecord],
    *,
    crm: str = "hubspot",
    size: int = 1_000,
    **options: object,
) -> pb.StartMassUpdateResponse:
    """Start a mass update: the options come first, then messages of so many records."""
    first = pb.StartMassUpdateRequest(crm=crm, **options)  # type: ignore[arg-type]
    rest = [pb.StartMassUpdateRequest(records=part) for part in _parts(records, size)]
    return await client.bulk.StartMassUpdate(iter([first, *rest]))


async def validated(
    client: CrmsyncClient, records: Sequence[record_pb.BulkRecord], crm: str = "hubspot"
) -> pb.ValidateBatchResponse:
    """Have records judged."""
    first = pb.ValidateBatchRequest(crm=crm)
    rest = [pb.ValidateBatchRequest(records=part) for part in _parts(records, 1_000)]
    return await client.bulk.ValidateBatch(iter([first, *rest]))


async def held_open(
    records: Sequence[record_pb.BulkRecord], crm: str = "hubspot"
) -> AsyncIterator[pb.StartMassUpdateRequest]:
    """Yield a stream of one message with records."""
    yield pb.StartMassUpdateRequest(crm=crm, records=records)


def _parts(
    records: Sequence[record_pb.BulkRecord], size: int
) -> Iterable[Sequence[record_pb.BulkRecord]]:
    return [records[start : start + size] for start in range(0, len(records), size)]
