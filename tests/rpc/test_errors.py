"""Every error reaches a caller with its code, its reason and all of its details."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as rpc  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1.error_reason_pb2 import ErrorReason
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_server import errors
from crmsync_server.errors import CrmsyncError, Violation, to_status
from tests.rpc.serving import GET, Raising, Script, failure_of, serving

Code = grpc.StatusCode

EMAIL = Violation("contact.email", "string.email", "must be a valid email address")
NAME = Violation("contact.name", "string.max_len", "must be at most 200 characters")
BAD_REQUEST = rpc.BadRequest(
    field_violations=[
        {"field": EMAIL.field, "description": EMAIL.description, "reason": "STRING_EMAIL"},
        {"field": NAME.field, "description": NAME.description, "reason": "STRING_MAX_LEN"},
    ]
)
RETRY = rpc.RetryInfo(retry_delay={"seconds": 2})

# An error, its code, its reason, its metadata, and its details beside the ErrorInfo.
CASES: list[tuple[CrmsyncError, Code, str, dict[str, str], list[Message]]] = [
    (
        errors.InvalidRequestError([EMAIL, NAME]),
        Code.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        {},
        [BAD_REQUEST],
    ),
    (
        errors.UnknownCrmError("zoho{", ["hubspot", "brevo"]),
        Code.INVALID_ARGUMENT,
        "UNKNOWN_CRM",
        {"crm": "zoho{", "known": "brevo,hubspot"},
        [],
    ),
    (errors.InvalidPageTokenError(), Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", {}, []),
    (
        errors.RequestIdReusedError("r-1", "QueueContact"),
        Code.INVALID_ARGUMENT,
        "REQUEST_ID_REUSED",
        {"request_id": "r-1", "method": "QueueContact"},
        [],
    ),
    (
        errors.ContactNotFoundError("c-1"),
        Code.NOT_FOUND,
        "CONTACT_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Contact",
                resource_name="c-1",
                description="There is no contact of this id.",
            )
        ],
    ),
    (
        errors.SessionNotFoundError("s-1"),
        Code.NOT_FOUND,
        "SESSION_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Session",
                resource_name="s-1",
                description="There is no session of this id.",
            )
        ],
    ),
    (
        errors.UserNotFoundError("u-1"),
        Code.NOT_FOUND,
        "USER_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.User",
                resource_name="u-1",
                description="There is no such user.",
            )
        ],
    ),
    (
        errors.OrganizationMismatchError(3, "evil"),
        Code.PERMISSION_DENIED,
        "ORGANIZATION_MISMATCH",
        {"index": "3", "org_code": "evil"},
        [],
    ),
    (
        errors.TooManyDeactivationsError(3, 10, 0.2),
        Code.FAILED_PRECONDITION,
        "TOO_MANY_DEACTIVATIONS",
        {"deactivations": "3", "active": "10", "max_share": "0.2"},
        [],
    ),
    (errors.ReconcileRunningError(), Code.ABORTED, "RECONCILE_RUNNING", {}, []),
    (
        errors.ContactsBusyError(3, timedelta(seconds=2)),
        Code.ABORTED,
        "CONTACTS_BUSY",
        {"tries": "3"},
        [RETRY],
    ),
    (
        errors.BatchRejectedError([EMAIL, NAME], received=9, rejected=2),
        Code.INVALID_ARGUMENT,
        "BATCH_REJECTED",
        {"received": "9", "rejected": "2"},
        [BAD_REQUEST],
    ),
    (
        errors.ConflictNotFoundError("k-1"),
        Code.NOT_FOUND,
        "CONFLICT_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Conflict",
                resource_name="k-1",
                description="There is no conflict of this id.",
            )
        ],
    ),
    (
        errors.ConflictClosedError("k-1", "RESOLVED"),
        Code.FAILED_PRECONDITION,
        "CONFLICT_CLOSED",
        {"conflict_id": "k-1", "state": "RESOLVED"},
        [],
    ),
    (
        errors.SessionActiveError("s-1", "zoho", "FULL_SYNC"),
        Code.FAILED_PRECONDITION,
        "SESSION_ACTIVE",
        {"session_id": "s-1", "crm": "zoho", "kind": "FULL_SYNC"},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Session",
                resource_name="s-1",
                description="The session s-1 of the same kind is active at zoho.",
            )
        ],
    ),
    (
        errors.PlanNotReadyError("s-1", "EXPIRED"),
        Code.FAILED_PRECONDITION,
        "PLAN_NOT_READY",
        {"session_id": "s-1", "why": "EXPIRED"},
        [],
    ),
    (
        errors.EmailTakenError("c-1"),
        Code.ALREADY_EXISTS,
        "EMAIL_TAKEN",
        {"contact_id": "c-1"},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Contact",
                resource_name="c-1",
                description="Another contact has this email: c-1.",
            )
        ],
    ),
    (
        errors.EmailRequiredError("c-1", "brevo"),
        Code.FAILED_PRECONDITION,
        "EMAIL_REQUIRED",
        {"contact_id": "c-1", "crm": "brevo"},
        [],
    ),
    (
        errors.CrmDisabledError("brevo"),
        Code.FAILED_PRECONDITION,
        "CRM_DISABLED",
        {"crm": "brevo"},
        [],
    ),
    (
        errors.SessionEndedError("s-1", "SUCCEEDED"),
        Code.FAILED_PRECONDITION,
        "SESSION_ENDED",
        {"session_id": "s-1", "state": "SUCCEEDED"},
        [],
    ),
    (errors.VersionMismatchError(7), Code.ABORTED, "VERSION_MISMATCH", {"version": "7"}, []),
    (
        errors.UnauthenticatedError("The token has expired."),
        Code.UNAUTHENTICATED,
        "UNAUTHENTICATED",
        {},
        [],
    ),
    (
        errors.RoleRequiredError("/crmsync.v1.SyncService/QueueContact", "writer"),
        Code.PERMISSION_DENIED,
        "ROLE_REQUIRED",
        {"method": "/crmsync.v1.SyncService/QueueContact", "required_role": "writer"},
        [],
    ),
    (
        errors.TooManyItemsError("contact_ids", 10_000, 10_001),
        Code.RESOURCE_EXHAUSTED,
        "TOO_MANY_ITEMS",
        {"field": "contact_ids", "limit": "10000", "received": "10001"},
        [
            rpc.QuotaFailure(
                violations=[
                    {
                        "subject": "contact_ids",
                        "description": "contact_ids holds 10001 items; "
                        "one call takes at most 10000.",
                    }
                ]
            )
        ],
    ),
    (
        errors.DrainingError(resume_token="t-1"),
        Code.UNAVAILABLE,
        "DRAINING",
        {"resume_token": "t-1"},
        [],
    ),
    (errors.DatabaseUnavailableError(), Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", {}, [RETRY]),
    (errors.InternalError("e-1"), Code.INTERNAL, "INTERNAL", {"error_id": "e-1"}, []),
    (
        errors.ImportInterruptedError(errors.DatabaseUnavailableError(), 2_000, "r-1"),
        Code.UNAVAILABLE,
        "IMPORT_INTERRUPTED",
        {"acknowledged": "2000", "request_id": "r-1"},
        [RETRY],
    ),
    (
        errors.ConnectionNotFoundError("n-1"),
        Code.NOT_FOUND,
        "CONNECTION_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Connection",
                resource_name="n-1",
                description="There is no connection of this id.",
            )
        ],
    ),
    (
        errors.ConnectionExistsError("n-1", "mautic"),
        Code.ALREADY_EXISTS,
        "CONNECTION_EXISTS",
        {"connection_id": "n-1", "crm": "mautic"},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Connection",
                resource_name="n-1",
                description="There is a connection to mautic already: n-1.",
            )
        ],
    ),
    (
        errors.LeadNotFoundError("s-1"),
        Code.NOT_FOUND,
        "LEAD_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Lead",
                resource_name="s-1",
                description="There is no lead of this id.",
            )
        ],
    ),
    (
        errors.LeadNotAtCrmError("s-1", "trading"),
        Code.NOT_FOUND,
        "LEAD_NOT_AT_CRM",
        {"lead_id": "s-1", "crm": "trading"},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Lead",
                resource_name="s-1",
                description="The CRM knows neither the id nor the email of this lead.",
            )
        ],
    ),
    (
        errors.LeadBusyError("s-1", timedelta(seconds=2)),
        Code.ABORTED,
        "LEAD_BUSY",
        {"lead_id": "s-1"},
        [RETRY],
    ),
    (
        errors.ScheduleNotFoundError("d-1"),
        Code.NOT_FOUND,
        "SCHEDULE_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Schedule",
                resource_name="d-1",
                description="There is no schedule of this id.",
            )
        ],
    ),
    (
        errors.NotInErrorError("c-1", "brevo", "COMPLETE"),
        Code.FAILED_PRECONDITION,
        "NOT_IN_ERROR",
        {"contact_id": "c-1", "crm": "brevo", "sync_status": "COMPLETE"},
        [],
    ),
    (
        errors.NotQueuedError("c-1", "brevo", None),
        Code.FAILED_PRECONDITION,
        "NOT_QUEUED",
        {"contact_id": "c-1", "crm": "brevo", "sync_status": "NONE"},
        [],
    ),
    (
        errors.InvalidFilterError("filter.filter", 7, "a value"),
        Code.INVALID_ARGUMENT,
        "INVALID_FILTER",
        {"field": "filter.filter", "position": "7", "expected": "a value"},
        [
            rpc.BadRequest(
                field_violations=[
                    {
                        "field": "filter.filter",
                        "description": "filter.filter is wrong at character 7; "
                        "expected was a value.",
                        "reason": "FILTER",
                    }
                ]
            )
        ],
    ),
    (
        errors.ResumeTokenExpiredError("t-9", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        Code.OUT_OF_RANGE,
        "RESUME_TOKEN_EXPIRED",
        {"oldest_token": "t-9", "oldest_time": "2026-01-02T03:04:05Z"},
        [],
    ),
    (
        errors.UrlNotAllowedError("connection.base_url", "crm.internal"),
        Code.INVALID_ARGUMENT,
        "URL_NOT_ALLOWED",
        {"field": "connection.base_url", "host": "crm.internal"},
        [
            rpc.BadRequest(
                field_violations=[
                    {
                        "field": "connection.base_url",
                        "description": "must be an address that this server may call",
                        "reason": "URL_NOT_ALLOWED",
                    }
                ]
            )
        ],
    ),
    (
        errors.NotSupportedError("n8n", "ListFields"),
        Code.FAILED_PRECONDITION,
        "NOT_SUPPORTED",
        {"crm": "n8n", "feature": "ListFields"},
        [],
    ),
    (
        errors.ConversationNotFoundError("v-1"),
        Code.NOT_FOUND,
        "CONVERSATION_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.Conversation",
                resource_name="v-1",
                description="There is no conversation of this id.",
            )
        ],
    ),
    (
        errors.AccountNotFoundError("acme"),
        Code.NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
        {},
        [
            rpc.ResourceInfo(
                resource_type="crmsync.v1.WhatsAppAccount",
                resource_name="acme",
                description="No WhatsApp account is connected.",
            )
        ],
    ),
    (
        errors.AccountNotSyncedError(["business_id", "phone_numbers"]),
        Code.FAILED_PRECONDITION,
        "ACCOUNT_NOT_SYNCED",
        {"missing": "business_id,phone_numbers"},
        [],
    ),
    (
        errors.NoCrmReadyError("c-1", {"zoho": "CRM_DISABLED"}),
        Code.FAILED_PRECONDITION,
        "NO_CRM_READY",
        {"contact_id": "c-1", "skipped": "zoho=CRM_DISABLED"},
        [],
    ),
    (
        errors.ExportTooLargeError("XLSX", 10, 11),
        Code.FAILED_PRECONDITION,
        "EXPORT_TOO_LARGE",
        {"format": "XLSX", "limit": "10", "total_size": "11"},
        [],
    ),
    (
        errors.ExportCellTooLongError("XLSX", 10, "notes", 11),
        Code.FAILED_PRECONDITION,
        "EXPORT_CELL_TOO_LONG",
        {"format": "XLSX", "limit": "10", "column": "notes", "length": "11"},
        [],
    ),
    (
        errors.ExportBusyError("organization", 2, timedelta(seconds=2)),
        Code.RESOURCE_EXHAUSTED,
        "EXPORT_BUSY",
        {"scope": "organization", "limit": "2"},
        [RETRY],
    ),
    (
        errors.ExportGivenUpError(300.0, timedelta(seconds=2)),
        Code.RESOURCE_EXHAUSTED,
        "EXPORT_GIVEN_UP",
        {"seconds": "300"},
        [RETRY],
    ),
    (
        errors.SubscriptionRequiredError("/m"),
        Code.PERMISSION_DENIED,
        "SUBSCRIPTION_REQUIRED",
        {"method": "/m"},
        [],
    ),
    (
        errors.RateLimitedError("/m", 100, "ada", timedelta(seconds=2)),
        Code.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        {"method": "/m", "limit": "100"},
        [
            RETRY,
            rpc.QuotaFailure(
                violations=[
                    {
                        "subject": "caller:ada",
                        "description": "/m may be called 100 times an hour.",
                    }
                ]
            ),
        ],
    ),
    (
        errors.TemplateRequiredError("c-1", "2026-01-30T10:15:00Z"),
        Code.FAILED_PRECONDITION,
        "TEMPLATE_REQUIRED",
        {"contact_id": "c-1", "window_end_time": "2026-01-30T10:15:00Z"},
        [],
    ),
    (
        errors.RefusedCredentialsError("zoho"),
        Code.FAILED_PRECONDITION,
        "CREDENTIALS_REFUSED",
        {"crm": "zoho"},
        [],
    ),
    (
        errors.CrmBusyError("zoho", "RATE_LIMIT", wait=timedelta(seconds=2)),
        Code.RESOURCE_EXHAUSTED,
        "CRM_BUSY",
        {"crm": "zoho", "crm_code": "RATE_LIMIT"},
        [RETRY],
    ),
    (
        errors.CrmUnavailableError("zoho", "HTTP_503", wait=timedelta(seconds=2)),
        Code.UNAVAILABLE,
        "CRM_UNAVAILABLE",
        {"crm": "zoho", "crm_code": "HTTP_503"},
        [RETRY],
    ),
    (
        errors.CrmRefusedError("zoho", "NO_SCOPE", request_id="r-1"),
        Code.FAILED_PRECONDITION,
        "CRM_REFUSED",
        {"crm": "zoho", "crm_code": "NO_SCOPE", "crm_request_id": "r-1"},
        [],
    ),
    (
        errors.ConnectionMisconfiguredError("zoho"),
        Code.FAILED_PRECONDITION,
        "CONNECTION_MISCONFIGURED",
        {"crm": "zoho"},
        [],
    ),
]


@pytest.mark.parametrize(
    ("error", "code", "reason", "metadata", "details"), CASES, ids=[case[2] for case in CASES]
)
async def test_an_error_arrives_with_all_it_says(
    error: CrmsyncError, code: Code, reason: str, metadata: dict[str, str], details: list[Message]
) -> None:
    """Code, message, reason, metadata and every further detail, and nothing else."""
    async with serving(Script(Raising(error))) as running:
        failure = await failure_of(SessionServiceStub(running.channel).GetSession(GET))
    assert (failure.code, failure.message) == (code, error.message)
    assert failure.info == rpc.ErrorInfo(reason=reason, domain="crmsync", metadata=metadata)
    assert [failure.detail(type(detail)) for detail in details] == details
    assert len(failure.status.details) == 1 + len(details)


def test_every_reason_of_the_contract_has_an_error() -> None:
    """The list of cases above leaves none out."""
    told = {f"ERROR_REASON_{case[2]}" for case in CASES}
    assert told == set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}


def test_every_error_has_a_reason_and_a_message_of_its_own() -> None:
    """No class borrows from another, and every message is filled in."""
    leaves = [kind for kind in _kinds(CrmsyncError) if not kind.__subclasses__()]
    assert {kind.reason for kind in leaves} == {case[0].reason for case in CASES}
    assert len({kind.reason for kind in leaves}) == len(leaves)
    assert all("{" not in error.message.replace("zoho{", "") for error, *_ in CASES)


def test_an_import_says_how_far_it_came_and_why_it_ended() -> None:
    """The message holds both; the metadata is for programs."""
    error = errors.ImportInterruptedError(errors.InternalError("e-1"), 2_000, "r-1")
    assert "2000 records are kept" in error.message
    assert "e-1" in error.message


def test_more_violations_than_trailers_can_hold_are_counted() -> None:
    """The first are listed, and the message says how many there are."""
    error = errors.InvalidRequestError([EMAIL] * 10_000)
    status = to_status(error)
    assert error.message.startswith("10000 violations, of which the first ")
    assert status.ByteSize() < 6_000


@pytest.mark.parametrize("key", ["k" * 100_000, "\N{SLIGHTLY SMILING FACE}" * 10_000])
async def test_an_error_about_a_huge_key_still_arrives(key: str) -> None:
    """Text that the caller chose cannot push the status out of the trailers."""
    violation = Violation(f'contact.properties["{key}"]', "string.max_len", "must be shorter")
    error = errors.InvalidRequestError([violation] * 100)
    async with serving(Script(Raising(error))) as running:
        failure = await failure_of(SessionServiceStub(running.channel).GetSession(GET))
    assert failure.code is Code.INVALID_ARGUMENT
    assert list(failure.violations.values()) == ["must be shorter"]


def _kinds(kind: type[CrmsyncError]) -> Iterator[type[CrmsyncError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)
