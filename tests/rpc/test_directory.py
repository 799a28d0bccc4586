"""What an account is: what each call tells of it, and how it says that the CRM does not answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it ships no types

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1 import crm_account_pb2 as account
from crmsync.v1 import crm_field_pb2 as field
from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.directory import (
    Choice,
    CrmField,
    Directory,
    FieldType,
    Module,
    Organization,
    Permission,
)
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.errors import CrmUnavailableError
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.inquiries import Inquiries
from crmsync_server.store.db import Database
from tests.rpc.directories import CANARY, KNOWN, NOW, House, telling, traits
from tests.rpc.serving import failure_of

HOUR = timedelta(hours=1)
NEW = [field.NewCrmField(name="Score", type=field.CRM_FIELD_TYPE_NUMBER)]
FIELDS = [
    CrmField("Score", "Lead score", FieldType.NUMBER, "integer", custom=True),
    CrmField(
        "Rating",
        "Rating",
        FieldType.PICKLIST,
        "picklist",
        required=True,
        choices=[Choice("A", "Best"), Choice("B")],
    ),
    CrmField(
        "Email",
        "E-mail\ud800",
        FieldType.EMAIL,
        "email",
        max_length=100,
        unique=True,
        maps_to="email",
    ),
    CrmField("Created_Time", "Created", FieldType.DATE_TIME, "datetime", read_only=True),
]

Call = Callable[[House, str], Awaitable[Any]]
# What each call asks the directory.
CALLS: dict[str, tuple[str, Call]] = {
    "RefreshToken": (
        "refresh_token",
        lambda house, crm: house.stub.RefreshToken(pb.RefreshTokenRequest(crm=crm)),
    ),
    "GetPermissions": (
        "permissions",
        lambda house, crm: house.stub.GetPermissions(pb.GetPermissionsRequest(crm=crm)),
    ),
    "GetOrganization": (
        "organization",
        lambda house, crm: house.stub.GetOrganization(pb.GetOrganizationRequest(crm=crm)),
    ),
    "ListModules": (
        "modules",
        lambda house, crm: house.stub.ListModules(pb.ListModulesRequest(crm=crm)),
    ),
    "ListFields": (
        "fields",
        lambda house, crm: house.stub.ListFields(pb.ListFieldsRequest(crm=crm)),
    ),
    "CreateFields": (
        "create_fields",
        lambda house, crm: house.stub.CreateFields(pb.CreateFieldsRequest(crm=crm, fields=NEW)),
    ),
    "ValidateFields": (
        "fields",
        lambda house, crm: house.stub.ValidateFields(pb.ValidateFieldsRequest(crm=crm)),
    ),
}


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Run a service."""
    async with telling(database) as running:
        yield running


@pytest.mark.parametrize("method", CALLS)
async def test_an_account_that_cannot_be_asked_is_refused(house: House, method: str) -> None:
    """Each way in its own words, and nobody is asked."""
    _, call = CALLS[method]
    told = [await failure_of(call(house, crm)) for crm in ("salesforce", "mautic", "brevo", "n8n")]
    assert [(one.code, one.info.reason) for one in told] == [
        (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_CRM"),
        (grpc.StatusCode.FAILED_PRECONDITION, "CRM_DISABLED"),
        (grpc.StatusCode.FAILED_PRECONDITION, "CONNECTION_MISCONFIGURED"),
        (grpc.StatusCode.FAILED_PRECONDITION, "NOT_SUPPORTED"),
    ]
    assert told[2].message == "the URL of the brevo connection is missing"
    assert told[3].info.metadata == {"crm": "n8n", "feature": method}
    assert house.directory.asked == []


REFUSED = CredentialsRefusedError(f"invalid_client: {CANARY}")
TROUBLES: list[tuple[object, grpc.StatusCode, str, dict[str, str]]] = [
    (
        REFUSED,
        grpc.StatusCode.FAILED_PRECONDITION,
        "CREDENTIALS_REFUSED",
        {"crm": "zoho"},
    ),
    (
        AddressRefusedError("crm.internal may not be called"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONNECTION_MISCONFIGURED",
        {"crm": "zoho"},
    ),
    (
        Postponed(NOW + HOUR, "RATE_LIMIT", f"wait, {CANARY}"),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "CRM_BUSY",
        {"crm": "zoho", "crm_code": "RATE_LIMIT"},
    ),
    (
        QuotaExhaustedError("daily", NOW + HOUR),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "CRM_BUSY",
        {"crm": "zoho", "crm_code": "daily"},
    ),
    (
        Retry("HTTP_503", f"down, {CANARY}"),
        grpc.StatusCode.UNAVAILABLE,
        "CRM_UNAVAILABLE",
        {"crm": "zoho", "crm_code": "HTTP_503"},
    ),
    (
        Rejected("OAUTH_SCOPE_MISMATCH", f"no scope for {CANARY}", "r-1"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CRM_REFUSED",
        {"crm": "zoho", "crm_code": "OAUTH_SCOPE_MISMATCH", "crm_request_id": "r-1"},
    ),
    (
        TimeoutError(),
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        {},
    ),
    (
        RuntimeError(CANARY),
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        {},
    ),
]


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    ("answer", "code", "reason", "metadata"),
    TROUBLES,
    ids=[type(trouble).__name__ for trouble, *_ in TROUBLES],
)
async def test_why_there_is_no_answer_is_told_without_secrets(
    house: House,
    method: str,
    answer: object,
    code: grpc.StatusCode,
    reason: str,
    metadata: dict[str, str],
) -> None:
    """In the CRM's words, with its code; what is the adapter's own fault is in the log alone."""
    question, call = CALLS[method]
    house.tell(**{question: answer})
    refused = await failure_of(call(house, "zoho"))
    assert (refused.code, refused.info.reason) == (code, reason)
    if reason != "INTERNAL":
        assert dict(refused.info.metadata) == metadata
    assert CANARY not in f"{refused} {refused.status}"


async def test_who_is_asked_to_wait_is_told_how_long(house: House) -> None:
    """Also where a fault says when it will be over; a time that has passed means soon."""
    for answer, seconds in (
        (Postponed(NOW + HOUR, "RATE_LIMIT"), 3600),
        (Postponed(NOW - HOUR, "RATE_LIMIT"), 1),
        (Retry("HTTP_503", "down", NOW + timedelta(seconds=7)), 7),
    ):
        house.tell(modules=answer)
        refused = await failure_of(CALLS["ListModules"][1](house, "zoho"))
        assert refused.detail(error_details_pb2.RetryInfo).retry_delay.seconds == seconds


async def test_an_adapter_that_knows_that_its_crm_has_no_such_thing_says_so(house: House) -> None:
    """As if it had no directory at all."""
    house.tell(modules=Rejected("NOT_SUPPORTED", "there are none"))
    refused = await failure_of(CALLS["ListModules"][1](house, "zoho"))
    assert refused.info.reason == "NOT_SUPPORTED"
    assert refused.info.metadata == {"crm": "zoho", "feature": "ListModules"}


async def test_a_renewed_token_is_told_by_its_end(house: House) -> None:
    """Credentials that need none have nothing to renew."""
    house.tell(refresh_token=NOW + HOUR)
    token = (await house.stub.RefreshToken(pb.RefreshTokenRequest(crm="zoho"))).token
    assert token.status == account.TOKEN_STATUS_VALID
    assert token.expire_time.seconds == int((NOW + HOUR).timestamp())
    house.tell(refresh_token=None)
    token = (await house.stub.RefreshToken(pb.RefreshTokenRequest(crm="zoho"))).token
    assert token == account.TokenStanding(status=account.TOKEN_STATUS_NOT_USED)


async def test_permissions_suffice_unless_one_that_is_needed_is_denied(house: House) -> None:
    """What the CRM does not tell is no denial."""
    optional = Permission("users.read", granted=False, needed=False)
    unknown = Permission("contacts.write", granted=None)
    house.tell(
        permissions=[Permission("contacts.read", granted=True, detail="scope"), unknown, optional]
    )
    told = await house.stub.GetPermissions(pb.GetPermissionsRequest(crm="zoho"))
    assert told.sufficient
    assert [(one.name, one.grant, one.needed) for one in told.permissions] == [
        ("contacts.read", account.CRM_PERMISSION_GRANT_GRANTED, True),
        ("contacts.write", account.CRM_PERMISSION_GRANT_UNKNOWN, True),
        ("users.read", account.CRM_PERMISSION_GRANT_DENIED, False),
    ]
    assert told.permissions[0].detail == "scope"
    house.tell(permissions=[Permission("contacts.read", granted=False)])
    assert not (await house.stub.GetPermissions(pb.GetPermissionsRequest(crm="zoho"))).sufficient


async def test_an_organization_is_told_as_the_crm_tells_it(house: House) -> None:
    """Whatever it does not tell is unset."""
    house.tell(organization=Organization("7", "Acme", country="IN", time_zone="Asia/Kolkata"))
    told = await house.stub.GetOrganization(pb.GetOrganizationRequest(crm="zoho"))
    assert told.organization == account.CrmOrganization(
        id="7", name="Acme", country="IN", time_zone="Asia/Kolkata"
    )
    assert told.crm == "zoho"


async def test_modules_come_by_name(house: House) -> None:
    """Whatever order the CRM has."""
    house.tell(modules=[Module("Deals", "Deals"), Module("Contacts", "People", synced=True)])
    told = await house.stub.ListModules(pb.ListModulesRequest(crm="zoho"))
    assert list(told.modules) == [
        account.CrmModule(name="Contacts", label="People", synced=True, creatable=True),
        account.CrmModule(name="Deals", label="Deals", creatable=True),
    ]


async def test_fields_come_by_name_with_all_that_the_crm_tells(house: House) -> None:
    """Text that cannot travel is replaced."""
    house.tell(fields=FIELDS)
    told = await house.stub.ListFields(pb.ListFieldsRequest(crm="zoho"))
    assert [one.name for one in told.fields] == ["Created_Time", "Email", "Rating", "Score"]
    created, email, rating, score = told.fields
    assert created.read_only
    assert created.type == field.CRM_FIELD_TYPE_DATE_TIME
    assert email == field.CrmField(
        name="Email",
        label="E-mail�",
        type=field.CRM_FIELD_TYPE_EMAIL,
        vendor_type="email",
        max_length=100,
        unique=True,
        maps_to="email",
    )
    assert rating.required
    assert [(one.value, one.label) for one in rating.choices] == [("A", "Best"), ("B", "")]
    assert score.custom
    assert not score.HasField("max_length")
    assert (told.total_size, told.crm) == (4, "zoho")


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"name_contains": "SCORE"}, ["Score"]),
        ({"name_contains": "e-mail"}, ["Email"]),
        ({"only_custom": True}, ["Score"]),
        ({"only_custom": True, "name_contains": "email"}, []),
    ],
)
async def test_fields_are_narrowed_by_name_label_and_origin(
    house: House, asked: dict[str, Any], names: list[str]
) -> None:
    """Capitals make no difference."""
    house.tell(fields=FIELDS)
    told = await house.stub.ListFields(pb.ListFieldsRequest(crm="zoho", **asked))
    assert [one.name for one in told.fields] == names
    assert told.total_size == len(names)


async def test_fields_beyond_a_page_are_counted(house: House) -> None:
    """So that nobody takes the first 2,000 for all."""
    house.tell(fields=[CrmField(f"f{n:05}", "", FieldType.TEXT, "text") for n in range(2_003)])
    told = await house.stub.ListFields(pb.ListFieldsRequest(crm="zoho"))
    assert (len(told.fields), told.total_size) == (2_000, 2_003)
    assert told.fields[-1].name == "f01999"


async def test_a_crm_that_does_not_answer_is_given_up(house: House) -> None:
    """The question is cancelled, and the caller may ask again."""
    cancelled = asyncio.Event()

    async def never(_: Directory) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "an answer"

    inquiries = Inquiries(house.accounts, Crms(KNOWN, traits), lambda: NOW)
    stored = await house.accounts.stored("acme", "zoho", fresh=True)
    assert stored is not None
    with pytest.raises(CrmUnavailableError, match=r"did not answer within 0\.01 s") as raised:
        await inquiries.ask_of(stored, ("zoho", "ListFields"), never, timedelta(milliseconds=10))
    assert raised.value.metadata == {"crm": "zoho", "crm_code": "TIMEOUT"}
    assert cancelled.is_set()
