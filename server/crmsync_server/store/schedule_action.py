"""What schedules do: each kind of action knows how it is kept, and how it is run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import lead_session, queue, run, session
from crmsync_server.store.filter import compile_filter
from crmsync_server.store.filter_fields import contact_fields
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import Direction, SessionKind

_FILTER = "schedule.queue_all.filter.filter"  # where callers write it
_KIND = "kind"
_SYNC = "sync"
_LEADS = "sync_recent_leads"


@dataclass(frozen=True, slots=True)
class Action:
    """Queues all contacts that pass a filter.

    has_email: None means both.
    domain_id: a UUID; empty means any.
    filter: an AIP-160 filter; empty means all.
    """

    has_email: bool | None = None
    not_already_synced: bool = False
    domain_id: str = ""
    filter: str = ""
    high: bool = False
    force: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the action that a row of schedules holds."""
        return cls(**document)

    def document(self) -> Mapping[str, Any]:
        """Return the action as a row of schedules holds it."""
        return asdict(self)

    def condition(self) -> sa.ColumnElement[bool] | None:
        """Return what the filter asks of contacts; raises InvalidFilterError."""
        return compile_filter(self.filter, contact_fields(), _FILTER)

    async def run(
        self, connection: AsyncConnection, org_id: str, row: sa.Row[Any], *, requires_email: bool
    ) -> UUID:
        """Queue the contacts, and return the session."""
        selection = queue.Selection(
            requires_email=requires_email,
            has_email=self.has_email,
            not_already_synced=self.not_already_synced,
            domain_id=UUID(self.domain_id) if self.domain_id else None,
            condition=self.condition(),
        )
        order = queue.Order(
            crm=row.crm,
            session_id=new_id(),
            kind=SessionKind.RUN_SCHEDULE,
            creator=creator_of(row),
            high=self.high,
            force=self.force,
        )
        await queue.enqueue(connection, org_id, selection, order)
        return order.session_id


@dataclass(frozen=True, slots=True)
class SyncAction:
    """Synchronizes with a CRM: everything, or what has changed."""

    full: bool = False
    direction: Direction = Direction.PUSH

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the action that a row of schedules holds."""
        return cls(document["full"], Direction(document["direction"]))

    def document(self) -> Mapping[str, Any]:
        """Return the action as a row of schedules holds it."""
        return {_KIND: _SYNC, **asdict(self)}

    def condition(self) -> None:
        """Return nothing: there is no filter to be wrong."""

    async def run(
        self, connection: AsyncConnection, org_id: str, row: sa.Row[Any], *, requires_email: bool
    ) -> UUID:
        """Open the session, whose work a server does then; raises SessionActiveError."""
        del requires_email  # the run finds out
        opening = session.Opening(
            session_id=new_id(),
            kind=SessionKind.FULL_SYNC if self.full else SessionKind.INCREMENTAL_SYNC,
            crm=row.crm,
            creator=creator_of(row),
            direction=self.direction,
        )
        await session.open(connection, org_id, opening)
        await run.insert(connection, org_id, opening.session_id, row.crm, {})
        return opening.session_id


@dataclass(frozen=True, slots=True)
class SyncRecentLeadsAction:
    """Asks a CRM about the leads of the last days."""

    days: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the action that a row of schedules holds."""
        return cls(document["days"])

    def document(self) -> Mapping[str, Any]:
        """Return the action as a row of schedules holds it."""
        return {_KIND: _LEADS, **asdict(self)}

    def condition(self) -> None:
        """Return nothing: there is no filter to be wrong."""

    async def run(
        self, connection: AsyncConnection, org_id: str, row: sa.Row[Any], *, requires_email: bool
    ) -> UUID:
        """Open the session, whose work a server does then; raises SessionActiveError."""
        del requires_email  # leads are no contacts
        return await lead_session.open(
            connection, org_id, row.crm, days=self.days, creator=creator_of(row)
        )


AnyAction: TypeAlias = Action | SyncAction | SyncRecentLeadsAction


def action_of(document: Mapping[str, Any]) -> AnyAction:
    """Return the action, of whatever kind, that a row of schedules holds."""
    match document.get(_KIND):
        case "sync":
            return SyncAction.of(document)
        case "sync_recent_leads":
            return SyncRecentLeadsAction.of(document)
    return Action.of(document)


def creator_of(row: sa.Row[Any]) -> str:
    """Return who opens the sessions of a schedule."""
    return f"schedule:{row.id}"
