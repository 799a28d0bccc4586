"""AnalyticsService behind a real server, over conflicts that a reading would have found."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from crmsync.v1.analytics_service_pb2_grpc import (
    AnalyticsServiceStub,
    add_AnalyticsServiceServicer_to_server,
)
from crmsync_server.crm.mapping import FieldMapping
from crmsync_server.rpc.analytics import AnalyticsService
from crmsync_server.rpc.conflict_messages import conflict as message_of
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.figures import Figures
from crmsync_server.rpc.health import Observer
from crmsync_server.rpc.health_rules import Bucket
from crmsync_server.store import base, conflict, conflict_log, contact
from crmsync_server.store.base import Base, Standing
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.sync.channels import with_fields
from crmsync_server.sync.conflict_sides import Sides
from crmsync_server.sync.events import EventHub
from crmsync_server.sync.lane_config import LaneConfig
from tests.rpc.admins import Doorkeeper
from tests.rpc.contacts import ORG
from tests.rpc.serving import serving

CRM = "hubspot"
EARLIER = datetime(2026, 7, 1, 12, tzinfo=UTC)
LATER = EARLIER + timedelta(hours=1)

Field = tuple[str, str | None, str, str]
"""A field in conflict: its name, base, ours and theirs."""

COMPANY: Field = ("company", "Acme", "Acme Ltd", "Acme Inc")
PHONE: Field = ("phone", "1", "12", "13")
TAGS: Field = ("tags", None, "a;b", "b;c")
PLAN: Field = ("properties.plan", "free", "pro", "gold")


@dataclass
class Desk:
    """A stub, and what the service told and was told.

    off: CRMs that take no work; mapping: what hubspot is told.
    """

    database: Database
    off: set[str] = field(default_factory=set)
    mapping: FieldMapping | None = None
    resolved: list[tuple[str, str, UUID | None]] = field(default_factory=list)
    stub: AnalyticsServiceStub = field(init=False)

    def service(self, hub: EventHub[Any]) -> AnalyticsService:
        """Build the service."""
        crms = Crms(["hubspot", "brevo"], self._traits)
        return AnalyticsService(
            self.database,
            crms,
            _now,
            self._sides,
            hub.watch,
            lambda *told: self.resolved.append(told),
            Figures(Observer(self.database, _allowances, _now), crms, timedelta(days=400)),
        )

    async def _traits(self, _org_id: str, crm: str) -> CrmTraits:
        return CrmTraits(crm not in self.off, requires_email=True, records_per_second=1.0)

    async def _sides(self, _org_id: str, _crm: str) -> Sides:
        return Sides.of(LaneConfig(mapping=self.mapping))


async def _allowances(_org_id: str, _crm: str) -> Sequence[Bucket]:
    return ()


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_desk(database: Database) -> AsyncGenerator[Desk]:
    """Serve AnalyticsService, and connect to it."""
    desk = Desk(database)
    hub = EventHub(database, message_of, conflict_log)
    hub.start()
    register: Any = partial(add_AnalyticsServiceServicer_to_server, desk.service(hub))
    try:
        async with serving(authenticator=Doorkeeper(), register=register) as running:
            desk.stub = AnalyticsServiceStub(running.channel)
            yield desk
    finally:
        await hub.stop()


async def opened(database: Database, *fields: Field, **where: Any) -> UUID:  # noqa: ANN401 - of Where
    """Have a reading find that a new contact and its record disagree; return the conflict's id."""
    return (await found(database, Where(**where), fields or (COMPANY,)))[1]


@dataclass(frozen=True, slots=True)
class Where:
    """Whose conflict it is, and when the sides changed."""

    org_id: str = ORG
    crm: str = CRM
    email: str | None = None
    last_name: str = "Lovelace"
    theirs_time: datetime | None = LATER


async def found(database: Database, where: Where, fields: Sequence[Field]) -> tuple[UUID, UUID]:
    """Have a reading find a conflict; return the contact's id and the conflict's."""
    async with database.org(where.org_id) as connection:
        known_by = Content(email=where.email, last_name=where.last_name)
        content = with_fields(known_by, {name: ours for name, _, ours, _ in fields})
        row = await contact.create(connection, where.org_id, content)
        key, names = str(row.id)[-8:], [name for name, *_ in fields]
        agreed = {name: _slot(name, text) for name, text, *_ in fields if text is not None}
        known = Base(row.id, key, agreed, where.theirs_time, names)
        await base.stand(connection, where.org_id, where.crm, [Standing(row.id, key, None)])
        await base.write(connection, where.org_id, where.crm, [known])
        documents = [_document(one) for one in fields]
        told = conflict.Conflict(row.id, key, documents, EARLIER, where.theirs_time)
        [conflict_id] = await conflict.write(connection, where.org_id, where.crm, [told], None)
    return row.id, conflict_id


async def base_of(database: Database, contact_id: UUID, crm: str = CRM) -> base.Known:
    """Return a contact with what is known of its record."""
    async with database.org(ORG) as connection:
        [known] = await base.find(connection, ORG, crm, contact_ids=[contact_id])
    return known


def _document(told: Field) -> dict[str, str]:
    name, agreed, ours, theirs = told
    document = {"field": name, "ours": ours, "theirs": theirs}
    return document if agreed is None else document | {"base": agreed}


def _slot(name: str, text: str) -> object:
    return text.split(";") if name == "tags" else text
