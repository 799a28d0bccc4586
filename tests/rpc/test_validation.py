"""Requests that break rules are told every one of them; none reaches a handler."""

from time import perf_counter
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from crmsync.v1 import analytics_service_pb2, contact_service_pb2, sync_service_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.crm_config_pb2 import E164Transform, TextTransform, Transform
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_server.errors import InvalidRequestError, TooManyItemsError, Violation
from crmsync_server.rpc.validation import read, violations
from tests.rpc.serving import SERVICE, Script, all_of, failure_of, serving

UUID = "01890a5d-ac96-774b-bcce-b302099a8057"
A_UUID = "must be a valid UUID"


def _check(request: Message) -> Message:
    return read(request.SerializeToString(), type(request).FromString)


def test_every_violation_is_listed_with_its_path_its_rule_and_what_would_be_right() -> None:
    """Nested fields, items of lists, entries of maps and their keys."""
    request = contact_service_pb2.CreateContactRequest(
        contact=Contact(
            email="ada",
            name="n" * 201,
            tags=["a", "a", ""],
            properties={"": "v", 'a "b"': "v" * 4001},
        ),
        request_id="7",
    )
    with pytest.raises(InvalidRequestError) as caught:
        _check(request)
    assert set(caught.value.violations) == {
        Violation("contact.email", "string.email", "must be a valid email address"),
        Violation("contact.name", "string.max_len", "must be at most 200 characters"),
        Violation("contact.tags", "repeated.unique", "must not hold an item twice"),
        Violation("contact.tags[2]", "string.min_len", "must not be empty"),
        Violation('contact.properties[""]', "string.min_len", "the key must not be empty"),
        Violation(
            'contact.properties["a \\"b\\""]', "string.max_len", "must be at most 4000 characters"
        ),
        Violation("request_id", "string.uuid", A_UUID),
    }


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (
            contact_service_pb2.CreateContactRequest(contact=Contact(tags=[""]), request_id="7"),
            {"contact", "contact.tags[0]", "request_id"},
        ),
        (
            contact_service_pb2.UpdateContactRequest(
                contact=Contact(id="7", email="ada"), update_mask=FieldMask(paths=["id"])
            ),
            {"contact.id", "contact.email", "update_mask.paths[0]"},
        ),
        (
            contact_service_pb2.ListContactsRequest(
                page_size=-1, order_by="shoe_size", search="s" * 201
            ),
            {"page_size", "order_by", "search"},
        ),
        (
            contact_service_pb2.CreateContactRequest(contact=Contact(first_name=" ", phone="\t")),
            {"contact"},
        ),
    ],
)
def test_rules_that_no_proto_declares_are_checked_with_the_others(
    request_: Message, fields: set[str]
) -> None:
    """Whoever mends the request mends it once."""
    with pytest.raises(InvalidRequestError) as caught:
        _check(request_)
    assert {one.field for one in caught.value.violations} == fields


def test_a_mask_that_names_another_field_is_told_those_that_can_be_changed() -> None:
    """Nobody has to look them up."""
    contact, mask = Contact(id=UUID), FieldMask(paths=["shoe_size"])
    request = contact_service_pb2.UpdateContactRequest(contact=contact, update_mask=mask)
    with pytest.raises(InvalidRequestError) as caught:
        _check(request)
    [violation] = caught.value.violations
    assert violation.description == (
        "must be one of email, name, first_name, last_name, phone, company, tags, notes, avatar,"
        " domain_id, properties and properties.key"
    )


@pytest.mark.parametrize(
    ("request_", "violation"),
    [
        (
            contact_service_pb2.CreateContactRequest(),
            Violation("contact", "required", "must be set"),
        ),
        (pb.GetSessionRequest(), Violation("session_id", "string.uuid_empty", A_UUID)),
        (
            pb.ListSessionsRequest(kind=99),  # type: ignore[arg-type]  # no member, on purpose
            Violation(
                "kind",
                "enum.defined_only",
                "must be one of SESSION_KIND_QUEUE_CONTACT, SESSION_KIND_BULK_QUEUE_CONTACTS,"
                " SESSION_KIND_QUEUE_ALL_CONTACTS, SESSION_KIND_RETRY_CONTACT,"
                " SESSION_KIND_RETRY_ALL_FAILURES, SESSION_KIND_RUN_SCHEDULE,"
                " SESSION_KIND_FULL_SYNC, SESSION_KIND_INCREMENTAL_SYNC,"
                " SESSION_KIND_MANUAL_SYNC, SESSION_KIND_RESOLVE_CONFLICT,"
                " SESSION_KIND_LEAD_STATUS_SYNC, SESSION_KIND_APPLY_BATCH,"
                " SESSION_KIND_MASS_UPDATE",
            ),
        ),
        (
            Transform(text=TextTransform.TEXT_TRANSFORM_UNSPECIFIED),
            Violation(
                "text",
                "enum.not_in",
                "must be one of TEXT_TRANSFORM_LOWER, TEXT_TRANSFORM_UPPER, TEXT_TRANSFORM_TRIM",
            ),
        ),
        (
            analytics_service_pb2.ResolveConflictRequest(
                conflict_id=UUID,
                fields={"company": analytics_service_pb2.FieldResolution(choice=0)},  # type: ignore[arg-type]  # no member, on purpose
            ),
            Violation(
                'fields["company"].choice',
                "enum.not_in",
                "must be one of CONFLICT_CHOICE_OURS, CONFLICT_CHOICE_THEIRS,"
                " CONFLICT_CHOICE_NEWEST",
            ),
        ),
        (
            E164Transform(region="india"),
            Violation("region", "string.pattern", "must match ^[A-Z]{2}$"),
        ),
        (
            sync_service_pb2.BulkQueueContactsRequest(crm="brevo"),
            Violation("contact_ids", "repeated.min_items", "must not be empty"),
        ),
        (
            contact_service_pb2.ListContactsRequest(tags=["x"] * 11),
            Violation("tags", "repeated.max_items", "must hold at most 10 items"),
        ),
        (
            contact_service_pb2.CreateContactRequest(
                contact=Contact(name="x", properties={f"p{place}": "" for place in range(101)})
            ),
            Violation("contact.properties", "map.max_pairs", "must hold at most 100 entries"),
        ),
        (
            sync_service_pb2.BulkQueueContactsRequest(crm="brevo", contact_ids=[UUID, "7"]),
            Violation("contact_ids[1]", "string.uuid", A_UUID),
        ),
        (
            pb.ListSessionsRequest(crm="bre\0vo"),
            Violation("crm", "string.nul", "must not hold a NUL character"),
        ),
    ],
)
def test_a_violation_says_what_would_be_right(request_: Message, violation: Violation) -> None:
    """Not only what is wrong."""
    assert violations(request_) == [violation]


@pytest.mark.parametrize(
    ("contact", "path"),
    [
        (Contact(notes="a\0b"), "contacts[3].notes"),
        (Contact(tags=["a", "b\0"]), "contacts[3].tags[1]"),
        (Contact(properties={"a\0": "b"}), 'contacts[3].properties["a\\u0000"]'),
        (Contact(properties={"a": "b\0"}), 'contacts[3].properties["a"]'),
    ],
)
def test_a_nul_is_found_wherever_it_hides(contact: Contact, path: str) -> None:
    """Postgres would refuse it in the middle of a batch."""
    assert [found.field for found in violations(contact, "contacts[3]")] == [path]


@pytest.mark.parametrize("prefix", ["", "contacts[7]"])
def test_a_valid_message_breaks_nothing(prefix: str) -> None:
    """A zero byte that belongs to no text does no harm."""
    contact = Contact(email="ada@example.org", tags=["t" * 64], last_message_time=Timestamp())
    assert b"\0" in contact.SerializeToString()
    assert violations(contact, prefix) == []


def test_too_many_items_are_counted_against_the_limit() -> None:
    """Whatever else is wrong with them."""
    request = sync_service_pb2.BulkQueueContactsRequest(crm="brevo", contact_ids=[""] * 10_001)
    with pytest.raises(TooManyItemsError) as caught:
        _check(request)
    assert caught.value.metadata == {"field": "contact_ids", "limit": "10000", "received": "10001"}


def test_as_many_items_as_the_limit_are_taken() -> None:
    """The limit itself is allowed."""
    request = sync_service_pb2.BulkQueueContactsRequest(crm="brevo", contact_ids=[UUID] * 10_000)
    assert _check(request) == request


@pytest.mark.parametrize(
    "contact", [Contact(tags=[""] * 1_000_000), Contact(tags=["\0"] * 1_000_000)]
)
def test_a_million_violations_do_not_hold_up_the_others(contact: Contact) -> None:
    """They would take a quarter of a minute to collect, on the event loop."""
    started = perf_counter()
    assert violations(contact)
    assert perf_counter() - started < 3


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\x02\xc3\x28"])
async def test_bytes_that_are_no_request_are_invalid(raw: bytes) -> None:
    """Text that is no UTF-8 is such a case too."""
    async with serving() as running:
        call = running.channel.unary_unary(f"/{SERVICE}/GetSession", None, None)
        failure = await failure_of(call(raw))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.info.reason == "INVALID_REQUEST"


async def test_an_invalid_request_reaches_no_handler() -> None:
    """Neither of a call that answers once, nor of a stream."""
    reached: list[str] = []

    async def reach() -> None:
        reached.append("handler")

    async with serving(Script(reach)) as running:
        stub = SessionServiceStub(running.channel)
        once = await failure_of(stub.GetSession(pb.GetSessionRequest(session_id="7")))
        watch = stub.WatchSession(pb.WatchSessionRequest(session_id="7", resume_token="t" * 65))
        stream = await failure_of(all_of(watch))
    assert once.violations == {"session_id": A_UUID}
    assert stream.violations == {
        "session_id": A_UUID,
        "resume_token": "must be at most 64 characters",
    }
    assert once.code is stream.code is grpc.StatusCode.INVALID_ARGUMENT
    assert reached == []


async def test_each_message_of_a_request_stream_is_checked() -> None:
    """The valid ones before it have been handled."""
    handled: list[Any] = []

    async def count(requests: Any, _context: object) -> bytes:  # noqa: ANN401 - an async iterator
        async for request in requests:
            handled.append(request)  # noqa: PERF401 - kept when the stream fails
        return b""

    def register(server: grpc.aio.Server) -> None:
        handler = grpc.stream_unary_rpc_method_handler(
            count, request_deserializer=pb.GetSessionRequest.FromString
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("crmsync.v1.Test", {"GetAll": handler})]
        )

    valid, invalid = pb.GetSessionRequest(session_id=UUID), pb.GetSessionRequest(session_id="7")
    async with serving(register=register) as running:
        call: Any = running.channel.stream_unary("/crmsync.v1.Test/GetAll", None, None)
        messages = [one.SerializeToString() for one in (valid, invalid, valid)]
        failure = await failure_of(call(iter(messages)))
    assert failure.violations == {"session_id": A_UUID}
    assert handled == [valid]
