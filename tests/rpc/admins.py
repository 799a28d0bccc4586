"""AdminService behind a real server, and what it told the rest of the server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from crmsync.v1.admin_service_pb2_grpc import AdminServiceStub, add_AdminServiceServicer_to_server
from crmsync_server.crm.adapter import Capabilities, Limit
from crmsync_server.errors import CrmDisabledError
from crmsync_server.rpc.admin import AdminService, Crew
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.crm_config import Defaults
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.store.db import Database
from tests.rpc.contacts import ORG
from tests.rpc.serving import serving

ABLE = Capabilities(
    max_batch=100,
    concurrency=4,
    requires_email=True,
    idempotent=True,
    push_timeout=timedelta(seconds=10),
    limits=(Limit("burst", 190, timedelta(seconds=10)),),
)
"""What hubspot can do here; brevo has no credentials."""

READER = (("authorization", "Bearer reader"),)
OTHER = (("authorization", "Bearer globex"),)


class Doorkeeper:
    """Lets everybody in as an admin: of the organization that the token names, or of ORG."""

    async def authenticate(self, token: str | None) -> Caller:
        """Return who calls; the token `reader` is only that."""
        if token == "reader":
            return Caller(ORG, "ray", frozenset({Role.READER}))
        return Caller(token or ORG, "anna", frozenset({Role.ADMIN}))


@dataclass
class Office:
    """A stub, and what the service told.

    off: CRMs that take no work; told: what the service said, in order.
    """

    database: Database
    off: set[str] = field(default_factory=set)
    told: list[tuple[str, ...]] = field(default_factory=list)
    stub: AdminServiceStub = field(init=False)

    @property
    def service(self) -> AdminService:
        """Build the service."""
        crew = Crew(
            able=self._able,
            requires_email=self._requires_email,
            on_config=lambda *lane: self.told.append(("config", *lane)),
            on_queued=lambda *lane: self.told.append(("queued", *lane)),
            on_schedule=lambda: self.told.append(("schedule",)),
        )
        defaults = Defaults(5, timedelta(seconds=5))
        crms = Crms(["hubspot", "brevo"], self._traits)
        return AdminService(self.database, crms, crew, defaults, lambda: datetime.now(UTC))

    async def _able(self, _org_id: str, crm: str) -> Capabilities | None:
        return ABLE if crm == "hubspot" else None

    async def _requires_email(self, _org_id: str, crm: str) -> bool:
        if crm in self.off:
            raise CrmDisabledError(crm)
        return True

    async def _traits(self, _org_id: str, crm: str) -> CrmTraits:
        return CrmTraits(crm == "hubspot", requires_email=True, records_per_second=1.0)


@asynccontextmanager
async def open_office(database: Database) -> AsyncGenerator[Office]:
    """Serve AdminService, and connect to it."""
    office = Office(database)
    register: Any = partial(add_AdminServiceServicer_to_server, office.service)
    async with serving(authenticator=Doorkeeper(), register=register) as running:
        office.stub = AdminServiceStub(running.channel)
        yield office
