"""Records for tests of what is read from CRMs, and what becomes of them here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync_server.crm.mapping import FieldMapping
from crmsync_server.crm.source import Record
from crmsync_server.store import contact
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.merging import Merging
from crmsync_server.store.states import Direction
from crmsync_server.sync.absorb import Absorbed, Terms, absorb, sweep
from tests.store.people import CRM, ORG

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ADA = Content("ada@example.com", "Ada Lovelace", "Ada", "Lovelace", company="Engines")


def later(days: int) -> datetime:
    """Return a time by the CRM's clock, long before every change here."""
    return LONG_AGO + timedelta(days=days)


def ada(key: str = "1", **told: Any) -> Record:  # noqa: ANN401 - whatever a record tells
    """Return a record that says of Ada what her contact says, but for what is told otherwise."""
    own = Record(
        key,
        email="ada@example.com",
        first_name="Ada",
        last_name="Lovelace",
        phone="",
        company="Engines",
        tags=(),
        modified_time=later(1),
    )
    return replace(own, **told)


@dataclass
class Reading:
    """Takes in records, each time in a transaction of its own.

    session_id: None takes them in as a webhook does.
    """

    database: Database
    merging: Merging = field(default_factory=Merging)
    mapping: FieldMapping | None = None
    direction: Direction = Direction.BOTH
    session_id: UUID | None = None

    @property
    def terms(self) -> Terms:
        """Return how they are taken in."""
        salt = self.mapping.salt if self.mapping else b""
        return Terms(ORG, CRM, self.direction, self.mapping, self.merging, salt, self.session_id)

    async def open(self) -> UUID:
        """Open a session, and read for it from now on."""
        self.session_id = new_id()
        await self.rows(
            "INSERT INTO sessions (org_id, id, kind, crm, state, creator, direction, pulling)"
            " VALUES (:org, :id, 'FULL_SYNC', :crm, 'RUNNING', 'tests', 'BOTH', true)",
            org=ORG,
            id=self.session_id,
            crm=CRM,
        )
        return self.session_id

    async def absorb(self, *records: Record, dry_run: bool = False) -> Absorbed:
        """Take in records."""
        async with self.database.org(ORG) as connection:
            return await absorb(connection, replace(self.terms, dry_run=dry_run), records)

    async def sweep(self, *keys: str) -> Absorbed:
        """Deal with records that are gone."""
        async with self.database.org(ORG) as connection:
            return await sweep(connection, self.terms, keys)

    async def keep(self, content: Content = ADA) -> UUID:
        """Add a contact."""
        async with self.database.org(ORG) as connection:
            row = await contact.create(connection, ORG, content)
        contact_id: UUID = row.id
        return contact_id

    async def edit(self, contact_id: UUID, **fields: Any) -> None:  # noqa: ANN401 - any field's value
        """Change a contact here."""
        async with self.database.org(ORG) as connection:
            await contact.update(
                connection, ORG, contact_id, lambda before: before._replace(**fields)
            )

    async def delete(self, contact_id: UUID) -> None:
        """Delete a contact here."""
        async with self.database.org(ORG) as connection:
            await contact.delete(connection, ORG, contact_id)

    async def contacts(self) -> Sequence[sa.Row[Any]]:
        """Return the living contacts in the order of their emails."""
        return await self.rows("SELECT * FROM contacts WHERE delete_time IS NULL ORDER BY email")

    async def contact(self) -> sa.Row[Any]:
        """Return the one living contact."""
        [row] = await self.contacts()
        return row

    async def standing(self) -> sa.Row[Any]:
        """Return the one standing."""
        [row] = await self.rows("SELECT * FROM contact_syncs")
        return row

    async def base(self) -> sa.Row[Any]:
        """Return the one base."""
        [row] = await self.rows("SELECT * FROM sync_bases")
        return row

    async def notes(self) -> dict[str, tuple[str | None, str | None]]:
        """Return what became of each record of the session: its action and its code."""
        rows = await self.rows(
            "SELECT key, action, error_code FROM session_records WHERE session_id = :id",
            id=self.session_id,
        )
        return {row.key: (row.action, row.error_code) for row in rows}

    async def rows(self, text: str, **parameters: object) -> Sequence[sa.Row[Any]]:
        """Run a statement of the test's own."""
        async with self.database.everyone() as connection:
            result = await connection.execute(sa.text(text), parameters)
            return result.all() if result.returns_rows else ()
