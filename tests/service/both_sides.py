"""Somebody who changes contacts here and at a CRM, and what must have come of it in the end."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import sqlalchemy as sa
from google.protobuf.message import Message

from crmsync.v1 import (
    admin_service_pb2,
    contact_pb2,
    contact_service_pb2,
    crm_config_pb2,
    session_pb2,
)
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from tests.eventually import eventually
from tests.service.calls import finished
from tests.service.stage import Stage
from tests.service.starting import BOTH, changes, full
from tests.service.two_sides import Fields, There

HERE, THERE = "here", "there"
_PATIENCE = 6  # sessions until both sides have told each other everything
_GONE = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS}


@dataclass
class Person:
    """What is known of whoever has an email.

    told: by field, the last value that each side gave it. shaken: whether there were others of that
    email, or it was merged, or a server was lost meanwhile: then nothing is known.
    """

    told: dict[str, dict[str, str]] = field(default_factory=dict)
    shaken: bool = False

    def tell(self, side: str, values: Fields) -> None:
        """Note what a side says."""
        for name, value in values.items():
            self.told.setdefault(name, {})[side] = value


@dataclass
class Play:
    """One organization and its account at a CRM."""

    stage: Stage
    org_id: str
    client: CrmsyncClient
    there: There
    webhook_url: str
    people: dict[str, Person] = field(default_factory=dict)
    policies: set[int] = field(default_factory=set)
    sessions: list[str] = field(default_factory=list)

    # What is done

    async def living(self) -> Sequence[sa.Row[Any]]:
        """Return the contacts here, in an order that stays."""
        return await self.stage.rows(
            "SELECT * FROM contacts WHERE org_id = :org_id AND delete_time IS NULL"
            " ORDER BY email_key",
            org_id=self.org_id,
        )

    async def call(self, call: Awaitable[Message]) -> bool:
        """Make a call; whatever a session did meanwhile may have left nothing to do."""
        try:
            await call
        except grpc.aio.AioRpcError as error:
            if error.code() not in _GONE:
                raise
            return False
        return True

    def person(self, email: str) -> Person:
        """Return what is known of somebody."""
        return self.people.setdefault(canonical("email", email), Person())

    async def configure(self, settings: crm_config_pb2.MergeSettings) -> None:
        """Say how both sides are brought together."""
        config = crm_config_pb2.CrmConfig(crm=self.there.crm, merge_settings=settings)
        await self.client.admin.UpdateCrmConfig(
            admin_service_pb2.UpdateCrmConfigRequest(config=config)
        )
        self.policies.add(settings.policy)

    async def create_here(self, values: Fields) -> None:
        """Add a contact."""
        person = self.person(values["email"])
        person.shaken |= bool(person.told)
        request = contact_service_pb2.CreateContactRequest(contact=message(values))
        if await self.call(self.client.contacts.CreateContact(request)):
            person.tell(HERE, values)

    async def edit_here(self, contact_id: str, email: str, values: Fields) -> None:
        """Change a contact."""
        contact = message(values)
        contact.id = contact_id
        request = contact_service_pb2.UpdateContactRequest(contact=contact)
        request.update_mask.paths.extend(values)
        if await self.call(self.client.contacts.UpdateContact(request)):
            self.person(email).tell(HERE, values)

    async def delete_here(self, contact_id: str, email: str) -> None:
        """Delete a contact."""
        self.person(email).shaken = True
        request = contact_service_pb2.DeleteContactRequest(contact_id=contact_id)
        await self.call(self.client.contacts.DeleteContact(request))

    def create_there(self, values: Fields) -> None:
        """Add a record."""
        person = self.person(values["email"])
        person.shaken |= bool(person.told)
        if self.there.add(values):
            person.tell(THERE, values)

    def edit_there(self, pick: int, values: Fields) -> None:
        """Change a record."""
        if keys := [*self.there.held()]:
            key = keys[pick % len(keys)]
            self.person(self.there.held()[key]["email"]).tell(THERE, values)
            self.there.edit(key, values)

    def delete_there(self, pick: int) -> None:
        """Delete a record."""
        if keys := [*self.there.held()]:
            key = keys[pick % len(keys)]
            self.person(self.there.held()[key]["email"]).shaken = True
            self.there.remove(key)

    def merge_there(self, loser: int, winner: int) -> None:
        """Merge two records."""
        keys = [*self.there.held()]
        if keys and (gone := keys[loser % len(keys)]) != (left := keys[winner % len(keys)]):
            for key in (gone, left):
                self.person(self.there.held()[key]["email"]).shaken = True
            self.there.merge(gone, left)

    def subscribe(self, *, on: bool) -> None:
        """Have the CRM tell of changes, or not."""
        self.there.subscribe(self.webhook_url if on else None)

    async def crash_after(self, calls: int) -> None:
        """Cut the server down once so many more calls have come, or the session has ended."""
        before = self.there.calls()

        async def reached() -> None:
            running = await self.stage.rows(
                "SELECT 1 FROM sessions WHERE org_id = :org_id AND end_time IS NULL",
                org_id=self.org_id,
            )
            assert not running or self.there.calls() >= before + calls

        await eventually(reached, within=20)
        for person in self.people.values():
            # Nobody knows what a delivery has brought that was under way: policies decide.
            person.shaken = True
        await self.stage.cut_down()
        await self.stage.start()

    async def begin(self, request: pb.StartSessionRequest) -> str:
        """Start a session beside those that go on."""
        request.allow_parallel = True
        session = (await self.client.sessions.StartSession(request)).session
        self.sessions.append(session.id)
        return session.id

    async def ended(self) -> None:
        """Wait for every session to end well."""
        while self.sessions:
            session = await finished(self.client, self.sessions.pop())
            assert session.state == session_pb2.SESSION_STATE_SUCCEEDED, session

    # What must have come of it

    async def settle(self) -> None:
        """Let both sides tell each other everything: then nothing moves any more."""
        self.there.lag(0)
        self.subscribe(on=False)
        await self.ended()
        await eventually(self._nothing_lags, within=10)
        moved = await self.moved(changes(self.there.crm, BOTH))
        for _ in range(_PATIENCE):
            moved = moved and await self.moved(changes(self.there.crm, BOTH))
        assert not moved, f"sessions go on moving what nobody has changed: {moved}"
        moved = await self.moved(full(self.there.crm, BOTH))
        assert not moved, f"a full session moves what nobody has changed: {moved}"

    async def moved(self, request: pb.StartSessionRequest) -> list[str]:
        """Synchronize, and return what is on either side that was not there before."""
        before = await self._state()
        await self.begin(request)
        await self.ended()
        return sorted(await self._state() - before)

    async def check(self) -> None:
        """Compare both sides, and both with what was done to them."""
        broken = await self.stage.violations()
        assert not broken, broken
        contacts, held = await self.living(), self.there.held()
        links = {row.contact_id: row for row in await self._links()}
        disputed = await self._disputed()
        linked = {links[row.id].crm_contact_id: row for row in contacts if row.id in links}
        assert len(linked) == len([row for row in contacts if row.id in links])
        for row in contacts:
            if row.id in links:
                self._alike(row, held, links[row.id].crm_contact_id, disputed.get(row.id, set()))
        await self._nobody_is_lost(contacts, held, linked)

    def _alike(
        self, row: sa.Row[Any], held: dict[str, Fields], key: str, disputed: set[str]
    ) -> None:
        assert key in held, f"{row.email} is linked to {key}, which is gone"
        for name in ("email", *self.there.fields):
            ours, theirs = canonical(name, value_of(row, name)), canonical(name, held[key][name])
            told = f"{row.email}: {name} is {ours!r} here and {theirs!r} there"
            if name in disputed:
                continue
            assert ours == theirs, told
            self._nothing_undone(row.email, name, ours)

    def _nothing_undone(self, email: str, name: str, value: str) -> None:
        """Insist that what one side alone has said is what both have."""
        person = self.person(email)
        told = {side: canonical(name, one) for side, one in person.told.get(name, {}).items()}
        never_empty = crm_config_pb2.MERGE_POLICY_NEVER_EMPTY in self.policies
        if person.shaken or not told or (never_empty and "" in told.values()):
            return
        assert value in told.values(), f"{email}: {name} is {value!r}, told was {told}"

    async def _nobody_is_lost(
        self, contacts: Sequence[sa.Row[Any]], held: dict[str, Fields], linked: dict[str, Any]
    ) -> None:
        here = [canonical("email", row.email) for row in contacts]
        there = [canonical("email", one["email"]) for one in held.values()]
        assert len(set(here)) == len(here)
        assert len(set(there)) == len(there)
        deleted = await self.stage.rows(
            "SELECT email_key FROM contacts WHERE org_id = :org_id AND delete_time IS NOT NULL",
            org_id=self.org_id,
        )
        allowed = {row.email_key for row in deleted}
        for key, one in held.items():
            email = canonical("email", one["email"])
            assert key in linked or email in allowed, f"{email} has no contact"

    async def _nothing_lags(self) -> None:
        assert not self.there.is_behind()
        assert not await self.stage.rows(
            "SELECT 1 FROM notices WHERE org_id = :org_id AND done_time IS NULL",
            org_id=self.org_id,
        )

    async def _state(self) -> set[str]:
        """Return all that a session may change on either side, and every delivery to the CRM.

        Not those that needed no call: a contact with a conflict is looked at in each session.
        """
        rows = await self.stage.rows(
            "SELECT c.email, c.version, c.delete_time IS NULL, cs.crm_contact_id,"
            " (SELECT count(*) FROM sync_attempts AS sa WHERE sa.org_id = c.org_id"
            " AND sa.contact_id = c.id AND sa.outcome <> 'SKIPPED'),"
            " b.crm_contact_id, CAST(b.fields AS text), b.conflicted, f.id, CAST(f.fields AS text)"
            " FROM contacts AS c"
            " LEFT JOIN contact_syncs AS cs ON cs.org_id = c.org_id AND cs.contact_id = c.id"
            " LEFT JOIN sync_bases AS b ON b.org_id = c.org_id AND b.contact_id = c.id"
            " LEFT JOIN conflicts AS f ON f.org_id = c.org_id AND f.contact_id = c.id"
            " AND f.state = 'OPEN' WHERE c.org_id = :org_id",
            org_id=self.org_id,
        )
        return {str(tuple(row)) for row in rows} | {str(one) for one in self.there.held().items()}

    async def _links(self) -> Sequence[sa.Row[Any]]:
        return await self.stage.rows(
            "SELECT contact_id, crm_contact_id FROM sync_bases WHERE org_id = :org_id",
            org_id=self.org_id,
        )

    async def _disputed(self) -> dict[Any, set[str]]:
        rows = await self.stage.rows(
            "SELECT contact_id, fields FROM conflicts WHERE org_id = :org_id AND state = 'OPEN'",
            org_id=self.org_id,
        )
        return {row.contact_id: {one["field"] for one in row.fields} for row in rows}


def message(values: Fields) -> contact_pb2.Contact:
    """Return a contact that says this."""
    contact = contact_pb2.Contact()
    for name, value in values.items():
        if name.startswith("properties."):
            contact.properties[name.removeprefix("properties.")] = value
        else:
            setattr(contact, name, value)
    return contact


def value_of(row: sa.Row[Any], name: str) -> str:
    """Return a contact's field."""
    if name.startswith("properties."):
        return str(row.properties.get(name.removeprefix("properties."), ""))
    return str(getattr(row, name) or "")


def canonical(name: str, value: str) -> str:
    """Return what a value comes down to, by rules of the test's own."""
    if name == "email":
        return value.strip().lower()
    if name == "phone":
        return "".join(character for character in value if character.isdigit())
    return " ".join(value.split())
