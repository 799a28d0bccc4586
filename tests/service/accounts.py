"""Credentials of the simulated CRMs, good and bad, and short ways to connect with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.server import Sandbox

NOWHERE = "http://127.0.0.1:1"  # nobody listens there


@dataclass(frozen=True, slots=True)
class Account:
    """An account at a simulated CRM."""

    crm: str
    base_url: str
    secrets: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def given(self) -> pb.TestCredentialsRequest:
        """Ask for a test of these credentials."""
        credentials = Credentials(secrets=self.secrets)
        given = pb.GivenCredentials(
            crm=self.crm, base_url=self.base_url, options=self.options, credentials=credentials
        )
        return pb.TestCredentialsRequest(given=given)

    async def connect(self, client: CrmsyncClient) -> Connection:
        """Create a connection with these credentials."""
        connection = Connection(crm=self.crm, base_url=self.base_url, options=self.options)
        request = pb.CreateConnectionRequest(
            connection=connection, credentials=Credentials(secrets=self.secrets)
        )
        return (await client.connections.CreateConnection(request)).connection


def good(sandbox: Sandbox, crm: str) -> Account:
    """Return an account whose credentials the CRM takes."""
    url, quick = sandbox.urls[crm], {"timeout_seconds": "1"}
    match crm:
        case "hubspot":
            return Account(crm, url, {"token": sandbox.hubspot.settings.token}, quick)
        case "brevo":
            return Account(crm, url, {"api_key": sandbox.brevo.settings.api_key}, quick)
        case "mautic":
            mautic = sandbox.mautic.settings
            secrets = {
                "client_id": mautic.client_id,
                "client_secret": mautic.client_secret,
                "refresh_token": mautic.refresh_token,
            }
            return Account(crm, url, secrets, quick)
        case "zoho":
            zoho = sandbox.zoho.settings
            secrets = {
                "client_id": zoho.client_id,
                "client_secret": zoho.client_secret,
                "refresh_token": zoho.refresh_token,
            }
            return Account(crm, url, secrets, quick)
        case "trading":
            broker = sandbox.trading.settings
            secrets = {"username": broker.username, "password": broker.password}
            return Account(crm, url, secrets, quick)
    node = sandbox.n8n.settings.credentials
    secrets = {
        "header_name": node.header_name,
        "header_value": node.header_value,
        "signing_secret": node.signing_secret,
    }
    return Account(crm, url, secrets, quick | {"auth": "header"})


def bad(sandbox: Sandbox, crm: str) -> Account:
    """Return an account that the CRM refuses; at n8n, a webhook that no workflow listens at."""
    account = good(sandbox, crm)
    if crm == "n8n":
        return replace(account, base_url=f"{account.base_url}-unknown")
    *_, name = account.secrets
    if crm == "mautic":
        name = "client_secret"
    return replace(account, secrets={**account.secrets, name: "wrong"})


def unreachable(sandbox: Sandbox, crm: str) -> Account:
    """Return an account at a place where nobody answers."""
    return replace(good(sandbox, crm), base_url=f"{NOWHERE}/webhook/contacts")
