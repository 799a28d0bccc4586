"""Records of bulk operations: which rules they break, whom they name, and how they are kept."""

import pytest

from crmsync.v1 import bulk_record_pb2 as pb
from crmsync.v1.bulk_record_pb2 import BulkRecord
from crmsync.v1.contact_pb2 import Contact
from crmsync_server.rpc.bulk_records import Names, broken, head, tidy
from crmsync_server.rpc.bulk_stream import Stream
from crmsync_server.rpc.spool import Spool

CREATE = pb.BULK_OPERATION_CREATE
UPDATE = pb.BULK_OPERATION_UPDATE
UPSERT = pb.BULK_OPERATION_UPSERT
DELETE = pb.BULK_OPERATION_DELETE
ADA = Contact(email="ada@example.com", first_name="Ada")
ID = "0197a000-0000-7000-8000-000000000001"


def masked(*paths: str) -> BulkRecord:
    """Return an update of these fields."""
    record = BulkRecord(operation=UPDATE, contact=ADA)
    record.update_mask.paths.extend(paths)
    return record


@pytest.mark.parametrize(
    "record",
    [
        BulkRecord(operation=CREATE, contact=Contact(phone="+4930")),
        BulkRecord(operation=UPDATE, contact_id=ID, contact=Contact()),
        BulkRecord(operation=UPDATE, email="Ada@example.com", contact=ADA),
        BulkRecord(operation=UPSERT, contact=ADA),
        BulkRecord(operation=UPSERT, email="ADA@example.com ", contact=ADA),
        BulkRecord(operation=DELETE, crm_contact_id="4711", delete_contact=True),
        BulkRecord(operation=DELETE, contact=Contact(email="ada@example.com")),
        masked("email", "tags", "properties.plan"),
    ],
    ids=str,
)
def test_a_good_record_breaks_no_rule(record: BulkRecord) -> None:
    """Whatever names its contact."""
    tidy(record)
    assert not broken(record)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (BulkRecord(contact=ADA), "operation"),
        (BulkRecord(operation=9, contact=ADA), "operation"),  # type: ignore[arg-type]
        (BulkRecord(operation=CREATE), "contact"),
        (BulkRecord(operation=CREATE, contact=Contact(company="X")), "contact"),
        (BulkRecord(operation=CREATE, contact=Contact(email="ada")), "contact.email"),
        (BulkRecord(operation=CREATE, contact_id=ID, contact=ADA), "contact_id"),
        (BulkRecord(operation=CREATE, contact=Contact(id=ID, phone="+1")), "contact.id"),
        (BulkRecord(operation=CREATE, contact=Contact(phone="\0")), "contact.phone"),
        (BulkRecord(operation=UPDATE, contact=Contact(phone="+1")), "key"),
        (BulkRecord(operation=UPDATE, contact_id="7", contact=ADA), "contact_id"),
        (BulkRecord(operation=UPDATE, email="ada", contact=ADA), "email"),
        (BulkRecord(operation=UPDATE, crm_contact_id="", contact=ADA), "crm_contact_id"),
        (BulkRecord(operation=UPDATE, contact_id=ID), "contact"),
        (BulkRecord(operation=UPSERT, email="bea@example.com", contact=ADA), "contact.email"),
        (BulkRecord(operation=UPSERT, contact=ADA, delete_contact=True), "delete_contact"),
        (BulkRecord(operation=DELETE), "key"),
        (BulkRecord(operation=DELETE, contact=ADA), "contact"),
        (masked("version"), "update_mask.paths[0]"),
        (masked("email", "properties."), "update_mask.paths[1]"),
    ],
    ids=str,
)
def test_a_broken_rule_is_named_with_its_field(record: BulkRecord, field: str) -> None:
    """Below the path of the record itself."""
    assert field in {one.field for one in broken(record)}
    assert f"records[3].{field}" in {one.field for one in broken(record, "records[3]")}


def test_a_mask_belongs_to_changes_alone() -> None:
    """A new contact gets everything, and a removal changes nothing."""
    for operation in (CREATE, DELETE):
        record = masked("email")
        record.operation = operation
        assert "update_mask" in {one.field for one in broken(record)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            BulkRecord(operation=UPSERT, contact=ADA),
            BulkRecord(operation=DELETE, email="ADA@example.com"),
        ),
        (
            BulkRecord(operation=DELETE, contact_id=ID),
            BulkRecord(operation=UPDATE, contact_id=ID.upper(), contact=Contact(phone="+1")),
        ),
        (
            BulkRecord(operation=DELETE, crm_contact_id="7"),
            BulkRecord(operation=UPDATE, crm_contact_id="7", contact=ADA),
        ),
        (
            BulkRecord(operation=UPDATE, contact_id=ID, contact=ADA),
            BulkRecord(operation=CREATE, contact=ADA),
        ),
    ],
    ids=["one email", "one id", "one record", "an email that is moved to"],
)
def test_who_is_named_twice_is_found(one: BulkRecord, other: BulkRecord) -> None:
    """By whichever key, and without regard to case."""
    names = Names()
    assert names.first(head(4, one)) is None
    assert names.first(head(9, other)) == 4


def test_different_keys_of_one_text_are_not_one_contact() -> None:
    """Brevo's ids are emails: a record's id is no contact's email."""
    names = Names()
    by_record = BulkRecord(operation=DELETE, crm_contact_id="ada@example.com")
    assert names.first(head(0, by_record)) is None
    assert names.first(head(1, BulkRecord(operation=DELETE, email="ada@example.com"))) is None


@pytest.mark.parametrize("in_memory", [1, 1_000_000], ids=["in a file", "in memory"])
def test_what_was_spooled_is_found_again_in_any_order(in_memory: int) -> None:
    """Empty pieces too."""
    pieces = [b"", b"a" * 1_000, b"", b"\0b", *(bytes([n]) * n for n in range(200))]
    with Spool(in_memory) as spool:
        for piece in pieces:
            spool.add(piece)
        assert len(spool) == len(pieces)
        order = sorted(range(len(pieces)), key=lambda n: n * 7919 % len(pieces))
        assert all(spool.get(number) == pieces[number] for number in order)


def test_a_stream_is_told_apart_from_one_whose_records_end_elsewhere() -> None:
    """What one record says is not what two say together."""
    whole = [BulkRecord(operation=UPSERT, contact=ADA)]
    parts = [BulkRecord(operation=UPSERT), BulkRecord(contact=ADA)]
    found = set()
    for records in (whole, parts):
        with Spool() as spool:
            stream = Stream(spool, removes=True)
            stream.add(records)
            found.add(stream.fingerprint(b""))
    assert len(found) == 2
