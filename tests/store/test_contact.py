"""Changes of contacts, as the engine must learn of them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync_server.store import contact, queue
from crmsync_server.store.contact_import import take_in
from crmsync_server.store.content import Content, content_hash, named, overlaid
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id
from crmsync_server.store.states import SessionKind
from tests.eventually import eventually

ORG = "acme"
ADA = Content("ada@example.com", first_name="Ada", tags=("a", "b"), properties={"x": "1", "y": "2"})


@dataclass(frozen=True, slots=True)
class Kept:
    """A contact in the database, and what is done with it."""

    database: Database
    contact_id: UUID

    async def enqueue(self, crm: str) -> None:
        """Queue it for a CRM."""
        order = queue.Order(crm, new_id(), SessionKind.QUEUE_CONTACT, "tests")
        async with self.database.org(ORG) as connection:
            await queue.enqueue(connection, ORG, queue.Selection([self.contact_id]), order)

    async def claim(self, crm: str) -> None:
        """Claim it as the engine does."""
        async with self.database.org(ORG) as connection:
            terms = queue.Terms(1, timedelta(minutes=1), "tests")
            assert await queue.claim(connection, ORG, crm, terms)

    async def edit(self) -> None:
        """Change it."""
        async with self.database.org(ORG) as connection:
            await contact.update(
                connection, ORG, self.contact_id, lambda one: one._replace(phone=f"{one.phone}1")
            )

    async def bring_in(self) -> None:
        """Change it by an import."""
        async with self.database.org(ORG) as connection:
            await take_in(connection, ORG, [ADA._replace(phone="2")])

    async def delete(self) -> None:
        """Delete it."""
        async with self.database.org(ORG) as connection:
            await contact.delete(connection, ORG, self.contact_id)

    async def wanted(self) -> dict[str, tuple[int, int | None]]:
        """Return the version wanted and the version claimed, by CRM."""
        query = sa.text("SELECT crm, wanted_version, claimed_version FROM contact_syncs")
        async with self.database.org(ORG) as connection:
            rows = await connection.execute(query)
        return {row.crm: (row.wanted_version, row.claimed_version) for row in rows}


@pytest.fixture
async def kept(database: Database) -> Kept:
    """Keep one contact."""
    async with database.org(ORG) as connection:
        row = await contact.create(connection, ORG, ADA)
    return Kept(database, row.id)


@pytest.mark.parametrize("change", [Kept.edit, Kept.bring_in, Kept.delete])
async def test_what_waits_or_is_on_its_way_wants_the_change(
    kept: Kept, change: Callable[[Kept], Awaitable[None]]
) -> None:
    """At every CRM; the one that claimed the version before knows that it is behind."""
    await kept.enqueue("hubspot")
    await kept.enqueue("brevo")
    await kept.claim("brevo")
    await change(kept)
    assert await kept.wanted() == {"hubspot": (2, None), "brevo": (2, 1)}


async def test_what_is_at_rest_is_left_at_rest(kept: Kept) -> None:
    """A change queues nothing by itself, and wants nothing of a delivery that has ended."""
    await kept.enqueue("hubspot")
    async with kept.database.org(ORG) as connection:
        rest = "UPDATE contact_syncs SET sync_status = 'SELECTED', processing_status = NULL"
        await connection.execute(sa.text(rest))
    await kept.edit()
    assert await kept.wanted() == {"hubspot": (1, None)}


async def test_no_change_is_lost_to_a_claim_that_comes_before_its_commit(kept: Kept) -> None:
    """Whoever queues a contact that is being changed waits for the change, then delivers it.

    One that was never selected has no standing to wait for: test_races.py.
    """
    await test_what_is_at_rest_is_left_at_rest(kept)
    before = await _version(kept)
    async with kept.database.org(ORG) as connection:
        await contact.update(connection, ORG, kept.contact_id, lambda one: one._replace(phone="3"))
        queueing = asyncio.create_task(kept.enqueue("hubspot"))
        await eventually(lambda: _waits_for_a_lock(kept.database))
        assert not queueing.done()
    await queueing
    await kept.claim("hubspot")
    [(_, claimed)] = (await kept.wanted()).values()
    assert claimed == before + 1


async def _version(kept: Kept) -> int:
    async with kept.database.org(ORG) as connection:
        return int((await contact.get(connection, ORG, kept.contact_id)).version)


async def _waits_for_a_lock(database: Database) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with database.everyone() as connection:
        assert await connection.scalar(sa.text(query)) == 1


async def test_edits_at_once_are_all_made(kept: Kept) -> None:
    """Each begins where the one before it ended."""
    await asyncio.gather(*(kept.edit() for _ in range(5)))
    async with kept.database.org(ORG) as connection:
        row = await contact.get(connection, ORG, kept.contact_id)
    assert (row.phone, row.version) == ("11111", 6)


async def test_an_import_and_edits_of_the_same_contacts_all_end(kept: Kept) -> None:
    """With deliveries being queued meanwhile: everybody locks in one order."""
    await asyncio.gather(
        *(kept.edit() for _ in range(3)),
        *(kept.bring_in() for _ in range(3)),
        *(kept.enqueue(crm) for crm in ("hubspot", "brevo", "mautic")),
    )
    assert set(await kept.wanted()) == {"hubspot", "brevo", "mautic"}


@pytest.mark.parametrize(
    "same",
    [
        ADA._replace(email="ADA@Example.com"),
        ADA._replace(tags=("b", "a")),
        ADA._replace(properties={"y": "2", "x": "1"}),
        ADA._replace(notes="n", avatar="a", domain_id=new_id(), name="Countess"),
    ],
)
def test_the_hash_stays_when_nothing_that_is_pushed_changes(same: Content) -> None:
    """Order, case of the email, and what no CRM is given."""
    assert content_hash(same) == content_hash(ADA)
    assert len(content_hash(same)) == 16


@pytest.mark.parametrize(
    "other",
    [
        ADA._replace(email=None),
        ADA._replace(first_name="", last_name="Ada"),
        ADA._replace(tags=("a", "b", "x"), properties={"1": "y", "2": ""}),
        ADA._replace(tags=(), properties={"a": "b", "x": "1", "y": "2"}),
    ],
)
def test_the_hash_changes_with_anything_that_is_pushed(other: Content) -> None:
    """Values do not pass for those of the next field."""
    assert content_hash(other) != content_hash(ADA)


def test_a_derived_name_keeps_to_its_length() -> None:
    """Two names of a hundred characters and the space between are one too long."""
    assert len(named(Content(first_name="a" * 100, last_name="b" * 100)).name) == 200


def test_what_is_empty_takes_nothing_away() -> None:
    """Laid over a content, it leaves it as it is."""
    assert overlaid(ADA, Content()) == ADA
    assert overlaid(Content(), ADA) == ADA
