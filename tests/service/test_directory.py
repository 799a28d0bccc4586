"""What an account is, asked of the simulated CRMs through a real channel."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1 import contact_pb2, contact_service_pb2
from crmsync.v1 import crm_account_pb2 as account
from crmsync.v1 import crm_field_pb2 as field
from crmsync.v1.crm_field_pb2 import ExpectedCrmField, NewCrmField
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.service import accounts
from tests.service.accounts import Account
from tests.service.calls import failure, finished
from tests.service.test_connection import CRMS, queue, written

TELLING = ("hubspot", "brevo", "mautic", "zoho")
NAMES = {
    "hubspot": "lead_score",
    "brevo": "LEAD_SCORE",
    "mautic": "lead_score",
    "zoho": "Lead_score",
}
EMAILS = {"hubspot": "email", "brevo": "EMAIL", "mautic": "email", "zoho": "Email"}
TOKENS = {
    "mautic": "/oauth/v2/token",
    "zoho": "/oauth/v2/token",
    "hubspot": "/oauth/v3/token",
}
NUMBER, TEXT = field.CRM_FIELD_TYPE_NUMBER, field.CRM_FIELD_TYPE_TEXT
READY = account.CONNECTION_VERDICT_READY
UNUSABLE = account.CONNECTION_VERDICT_UNUSABLE
UNREACHABLE = account.CONNECTION_VERDICT_UNREACHABLE


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Point a server at the test's database, and at no account of any CRM."""
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "database_url": database_url,
            "database_pool_size": 5,
            "grpc_address": "127.0.0.1:0",
            "drain_timeout": "5",
            "allowed_networks": "127.0.0.0/8",
        }
    )


async def look(client: CrmsyncClient, crm: str) -> account.ConnectionStanding:
    """Look at an account."""
    request = pb.ValidateConnectionRequest(crm=crm)
    return (await client.connections.ValidateConnection(request)).standing


async def fields_of(client: CrmsyncClient, crm: str, **asked: Any) -> list[field.CrmField]:  # noqa: ANN401 - a field's
    """List the fields of a CRM's contacts."""
    request = pb.ListFieldsRequest(crm=crm, **asked)
    return [*(await client.connections.ListFields(request)).fields]


async def create(client: CrmsyncClient, crm: str, kind: field.CrmFieldType.ValueType) -> str:
    """Make the field of these tests, and return what became of it."""
    made = NewCrmField(name=NAMES[crm], label="Lead score", type=kind)
    request = pb.CreateFieldsRequest(crm=crm, fields=[made])
    [result] = (await client.connections.CreateFields(request)).results
    assert result.name == NAMES[crm]
    name = field.CrmFieldOutcome.Name(result.outcome)
    return name.removeprefix("CRM_FIELD_OUTCOME_")


async def check(client: CrmsyncClient, crm: str, kind: field.CrmFieldType.ValueType) -> str:
    """Compare the field of these tests, and return what was found."""
    expected = ExpectedCrmField(name=NAMES[crm], type=kind)
    request = pb.ValidateFieldsRequest(crm=crm, fields=[expected])
    [finding] = (await client.connections.ValidateFields(request)).findings
    return field.CrmFieldCheck.Name(finding.check).removeprefix("CRM_FIELD_CHECK_")


@pytest.mark.parametrize("crm", CRMS)
@pytest.mark.parametrize(
    ("account_of", "verdict"),
    [
        (accounts.good, READY),
        (accounts.bad, UNUSABLE),
        (accounts.unreachable, UNREACHABLE),
    ],
    ids=["good", "bad", "unreachable"],
)
async def test_an_account_is_looked_at_without_writing(
    client: CrmsyncClient,
    sandbox: Sandbox,
    crm: str,
    account_of: Callable[[Sandbox, str], Account],
    verdict: account.ConnectionVerdict.ValueType,
) -> None:
    """Each finding says what is the matter, and no reply repeats a secret."""
    given = account_of(sandbox, crm)
    await given.connect(client)
    standing = await look(client, crm)
    assert standing.verdict == verdict, standing
    assert [one.aspect for one in standing.findings] == [1, 2, 3, 4]
    assert all(one.message for one in standing.findings)
    assert written(sandbox) == 0
    assert not [one for one in secrets(given) if one in str(standing)]


def secrets(given: Account) -> list[str]:
    """Return those of an account's credentials that are secret."""
    shown = {"header_name", "client_id", "username"}
    return [value for name, value in given.secrets.items() if name not in shown]


@pytest.mark.parametrize("crm", TELLING)
async def test_an_account_tells_what_it_is(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Its permissions, its organization, its modules and its fields."""
    given = accounts.good(sandbox, crm)
    await given.connect(client)
    stub = client.connections
    allowed = await stub.GetPermissions(pb.GetPermissionsRequest(crm=crm))
    assert allowed.sufficient
    assert "contacts.read" in [one.name for one in allowed.permissions]
    whose = await stub.GetOrganization(pb.GetOrganizationRequest(crm=crm))
    assert whose.organization.id
    modules = await stub.ListModules(pb.ListModulesRequest(crm=crm))
    assert [one.name.lower() for one in modules.modules if one.synced] == ["contacts"]
    [email] = [one for one in await fields_of(client, crm) if one.maps_to == "email"]
    assert email.name == EMAILS[crm]
    assert not email.custom
    assert written(sandbox) == 0
    told = f"{allowed} {whose} {modules}"
    assert not [one for one in secrets(given) if one in told]


@pytest.mark.parametrize("crm", TELLING)
async def test_a_field_is_made_once_and_found_again(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Making it again writes nothing, and as another type it is a mismatch."""
    await accounts.good(sandbox, crm).connect(client)
    assert await check(client, crm, NUMBER) == "MISSING"
    assert await create(client, crm, NUMBER) == "CREATED"
    after = written(sandbox)
    assert await create(client, crm, NUMBER) == "EXISTS"
    assert await create(client, crm, TEXT) == "MISMATCH"
    assert written(sandbox) == after
    [made] = await fields_of(client, crm, name_contains="lead_score", only_custom=True)
    assert (made.name, made.type, made.custom) == (NAMES[crm], NUMBER, True)
    assert await check(client, crm, NUMBER) == "EXISTS"
    assert await check(client, crm, TEXT) == "MISMATCH"


async def deliver(client: CrmsyncClient, crm: str, email: str) -> None:
    """Deliver a contact that has a value for the field of these tests."""
    contact = contact_pb2.Contact(email=email, properties={NAMES[crm]: "17"})
    request = contact_service_pb2.CreateContactRequest(contact=contact)
    contact_id = (await client.contacts.CreateContact(request)).contact.id
    ended = await finished(client, await queue(client, contact_id, crm))
    assert ended.progress.synced == 1


@pytest.mark.parametrize("crm", TELLING)
async def test_a_field_that_was_made_is_written_from_then_on(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Although the adapter knew that there was none; the contact before went without it."""
    await accounts.good(sandbox, crm).connect(client)
    await deliver(client, crm, "before@example.com")
    assert await create(client, crm, NUMBER) == "CREATED"
    await deliver(client, crm, "after@example.com")
    before, after = (str(one) for one in sandbox.simulators[crm].contacts())
    assert NAMES[crm] not in before or "17" not in before
    assert NAMES[crm] in after
    assert "17" in after


@pytest.mark.parametrize("crm", TOKENS)
async def test_a_token_is_renewed_when_asked_for(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """The CRM gives another one each time, and the account works on with it."""
    await application(sandbox, crm).connect(client)
    request = pb.RefreshTokenRequest(crm=crm)
    first = (await client.connections.RefreshToken(request)).token
    token = (await client.connections.RefreshToken(request)).token
    assert first.status == token.status == account.TOKEN_STATUS_VALID
    assert renewals(sandbox, crm) == 2
    standing = await look(client, crm)
    assert (standing.verdict, standing.token) == (READY, token), standing
    assert renewals(sandbox, crm) == 2


@pytest.mark.parametrize("crm", ["hubspot", "zoho"])
async def test_a_token_that_was_taken_back_is_said_to_be_refused(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Renewing it does not help, and nothing of it is repeated."""
    given = application(sandbox, crm)
    await given.connect(client)
    getattr(sandbox, crm).tokens.revoke()
    failed = await failure(client.connections.RefreshToken(pb.RefreshTokenRequest(crm=crm)))
    assert failed.reason == "CREDENTIALS_REFUSED"
    assert not [one for one in secrets(given) if one in str(failed)]
    assert (await look(client, crm)).verdict == UNUSABLE


def application(sandbox: Sandbox, crm: str) -> Account:
    """Return an account whose credentials are renewed: at HubSpot, those of an application."""
    given = accounts.good(sandbox, crm)
    if crm != "hubspot":
        return given
    portal = sandbox.hubspot.settings
    names = ("client_id", "client_secret", "refresh_token")
    return replace(given, secrets={name: getattr(portal, name) for name in names})


def renewals(sandbox: Sandbox, crm: str) -> int:
    """Return how often a CRM was asked for a token."""
    calls = sandbox.simulators[crm].calls.as_json()["calls"]
    assert isinstance(calls, list)
    return sum(call["count"] for call in calls if call["path"] == TOKENS[crm])


@pytest.mark.parametrize("crm", ["hubspot", "brevo"])
async def test_a_key_has_nothing_to_renew(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """It is said, and is no error."""
    await accounts.good(sandbox, crm).connect(client)
    token = (await client.connections.RefreshToken(pb.RefreshTokenRequest(crm=crm))).token
    assert token.status == account.TOKEN_STATUS_NOT_USED


@pytest.mark.parametrize("crm", TELLING)
@pytest.mark.parametrize(
    ("account_of", "reason"),
    [(accounts.bad, "CREDENTIALS_REFUSED"), (accounts.unreachable, "CRM_UNAVAILABLE")],
    ids=["bad", "unreachable"],
)
async def test_an_account_that_does_not_answer_is_an_error(
    client: CrmsyncClient,
    sandbox: Sandbox,
    crm: str,
    account_of: Callable[[Sandbox, str], Account],
    reason: str,
) -> None:
    """With its reason, and without a secret."""
    given = account_of(sandbox, crm)
    await given.connect(client)
    failed = await failure(client.connections.ListFields(pb.ListFieldsRequest(crm=crm)))
    assert failed.reason == reason
    assert failed.metadata["crm"] == crm
    assert not [one for one in secrets(given) if one in failed.message]


async def test_a_crm_that_cannot_tell_says_so(client: CrmsyncClient, sandbox: Sandbox) -> None:
    """A webhook has no fields of its own."""
    await accounts.good(sandbox, "n8n").connect(client)
    failed = await failure(client.connections.ListFields(pb.ListFieldsRequest(crm="n8n")))
    assert failed.reason == "NOT_SUPPORTED"
    assert dict(failed.metadata) == {"crm": "n8n", "feature": "ListFields"}
