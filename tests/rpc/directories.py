"""A ConnectionService whose CRMs are in memory, and tell of themselves what a test wants."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from crmsync.v1.connection_service_pb2_grpc import (
    ConnectionServiceStub,
    add_ConnectionServiceServicer_to_server,
)
from crmsync_server.crm.adapter import Account, Adapter, Standing
from crmsync_server.crm.directory import NewField
from crmsync_server.rpc.connection import ConnectionService
from crmsync_server.rpc.credentials import Stored
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.store.db import Database
from crmsync_server.sync.discretion import Discreet
from tests.rpc.serving import serving
from tests.store import accounts
from tests.sync.adapters import Scripted

CANARY = "canary-5f0c2a91"
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
KNOWN = ("brevo", "mautic", "n8n", "zoho")


@dataclass
class ScriptedDirectory:
    """Tells what it was given, by the method's name; an exception is raised.

    made: what it was asked to make, call by call.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    made: list[Sequence[NewField]] = field(default_factory=list)

    async def _told(self, method: str) -> Any:  # noqa: ANN401 - whatever the test gave
        self.asked.append(method)
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fields(self) -> Any:  # noqa: ANN401 - whatever the test gave
        """Tell the fields."""
        return await self._told("fields")

    async def create_fields(self, fields: Sequence[NewField]) -> Any:  # noqa: ANN401 - likewise
        """Tell what became of them."""
        self.made.append(fields)
        return await self._told("create_fields")

    async def permissions(self) -> Any:  # noqa: ANN401 - likewise
        """Tell the permissions."""
        return await self._told("permissions")

    async def organization(self) -> Any:  # noqa: ANN401 - likewise
        """Tell the organization."""
        return await self._told("organization")

    async def modules(self) -> Any:  # noqa: ANN401 - likewise
        """Tell the modules."""
        return await self._told("modules")

    async def refresh_token(self) -> Any:  # noqa: ANN401 - likewise
        """Tell until when the new token holds."""
        return await self._told("refresh_token")


class Telling(Scripted):
    """An adapter with a directory."""

    directory: ScriptedDirectory


@dataclass
class Accounts:
    """The account at zoho tells of itself, that at n8n cannot, brevo's is unfit, mautic has none.

    expire_time: until when zoho's token holds.
    """

    zoho: Telling
    n8n: Scripted
    expire_time: datetime | None = None

    async def stored(self, _org_id: str, crm: str, *, fresh: bool = False) -> Stored | None:
        """Return an account."""
        assert fresh
        match crm:
            case "zoho":
                return Stored(Discreet(self.zoho, [CANARY]), 1, self._expiry)
            case "n8n":
                return Stored(Discreet(self.n8n, [CANARY]), 1, _never)
            case "brevo":
                message = "the URL of the brevo connection is missing"
                raise ValueError(message)
        return None

    def build(self, account: Account) -> Adapter:
        """Build nothing: these tests give no credentials."""
        raise AssertionError(account)

    async def _expiry(self) -> datetime | None:
        return self.expire_time


async def _never() -> None:
    return None


@dataclass
class House:
    """A running service, what its CRM tells, and whose adapters were given up."""

    stub: ConnectionServiceStub
    accounts: Accounts
    changed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def directory(self) -> ScriptedDirectory:
        """What zoho tells."""
        return self.accounts.zoho.directory

    def tell(self, **answers: object) -> None:
        """Make zoho tell this."""
        self.directory.answers.update(answers)

    def check(self, standing: Standing) -> None:
        """Make zoho's credentials be found like this."""
        self.accounts.zoho.standings = [standing]


async def traits(_org_id: str, _crm: str) -> CrmTraits:
    """Return those of any CRM."""
    return CrmTraits(enabled=True, requires_email=False, records_per_second=1.0)


@asynccontextmanager
async def telling(database: Database) -> AsyncIterator[House]:
    """Run a service."""
    zoho = Telling()
    zoho.directory = ScriptedDirectory()
    desk = Accounts(zoho, Scripted())
    changed: list[tuple[str, str]] = []

    service = ConnectionService(
        database,
        accounts.vault(),
        desk,
        Crms(KNOWN, traits),
        (),
        on_changed=lambda *lane: changed.append(lane),
        on_queued=lambda *_: None,
        clock=lambda: NOW,
    )
    register = partial(add_ConnectionServiceServicer_to_server, service)
    async with serving(register=register) as running:
        yield House(ConnectionServiceStub(running.channel), desk, changed)
