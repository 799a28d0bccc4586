"""Taking in users: who is meant by each entry, what becomes of them, and of those nobody named."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import ReconcileRunningError, TooManyDeactivationsError
from crmsync_server.store import user
from crmsync_server.store.content import email_key
from crmsync_server.store.ids import new_ids
from crmsync_server.store.user import Draft

_DEFAULT_ROLE = "user"


@dataclass(frozen=True, slots=True)
class Entry:
    """One user as they were given, and valid; empty and None keep what there is.

    index: the place in the call.
    """

    index: int
    external_id: str
    email: str
    first_name: str = ""
    last_name: str = ""
    role: str = ""
    is_active: bool | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what the email is compared by."""
        return email_key(self.email) or ""


@dataclass(frozen=True, slots=True)
class Mention:
    """What an entry that is not valid says of whom it means: whoever it names stays."""

    external_id: str
    email: str


class Became(StrEnum):
    """What became of an entry."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an entry; user_id is None where it failed and names nobody known."""

    index: int
    became: Became
    user_id: UUID | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be done. named: users who are not to be deactivated."""

    results: Sequence[Result]
    created: Sequence[Draft]
    updated: Sequence[Draft]
    named: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a synchronization goes. max_share: of the active users that may be deactivated."""

    reconcile: bool
    max_share: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a synchronization did. deactivated: rows of id, external_id and email."""

    results: Sequence[Result]
    deactivated: Sequence[sa.Row[Any]]


async def synchronize(
    connection: AsyncConnection,
    org_id: str,
    entries: Sequence[Entry],
    mentions: Sequence[Mention],
    terms: Terms,
) -> Outcome:
    """Take in users, in the connection's transaction.

    Raises:
        ReconcileRunningError: another reconcile of the organization is under way.
        TooManyDeactivationsError: more users would be deactivated than may be.
        sqlalchemy.exc.IntegrityError: somebody else took an email meanwhile; do it again.
    """
    if not terms.reconcile:
        await user.share(connection, org_id)
    elif not await user.reserve(connection, org_id):
        raise ReconcileRunningError
    said: list[Entry | Mention] = [*entries, *mentions]
    external_ids = sorted({one.external_id for one in said} - {""})
    keys = sorted({email_key(one.email) or "" for one in said} - {""})
    known = await user.find(connection, org_id, external_ids, keys)
    settled = settle(entries, mentions, known)
    before = await user.active(connection, org_id) if terms.reconcile else 0
    await user.write(connection, org_id, settled.updated)
    await user.insert(connection, org_id, settled.created)
    deactivated: Sequence[sa.Row[Any]] = ()
    if terms.reconcile:
        deactivated = await user.deactivate(connection, org_id, sorted(settled.named))
        # Of 100 users 0.29 are 29, which floating point numbers say are a little less.
        if len(deactivated) > Fraction(str(terms.max_share)) * before:
            raise TooManyDeactivationsError(len(deactivated), before, terms.max_share)
    return Outcome(settled.results, deactivated)


def settle(
    entries: Sequence[Entry], mentions: Sequence[Mention], known: Sequence[sa.Row[Any]]
) -> Settled:
    """Decide who is meant by each entry, and what becomes of them. Pure."""
    people = {row.id: Draft.of(row) for row in known}
    by_external = {one.external_id: one for one in people.values()}
    by_key = {email_key(one.email) or "": one for one in people.values()}
    failed = _duplicates(entries)
    # Who is named by an entry that is not valid keeps the external id as well.
    mentioned = {one.external_id for one in mentions}
    valid = [one for one in entries if one.index not in failed]
    meant = _meant(valid, mentioned, by_external, by_key)
    failed |= _taken(entries, meant, by_key, failed)
    ids = iter(new_ids(len(entries)))
    results, created, updated = [], [], []
    for one in entries:
        before = meant.get(one.index)
        if one.index in failed:
            code, message = failed[one.index]
            known_one = before or by_external.get(one.external_id) or by_key.get(one.key)
            user_id = known_one.id if known_one else None
            results.append(Result(one.index, Became.FAILED, user_id, code, message))
        elif before is None:
            draft = _new(one, next(ids))
            created.append(draft)
            results.append(Result(one.index, Became.CREATED, draft.id))
        elif (after := _changed(before, one)) != before:
            updated.append(after)
            results.append(Result(one.index, Became.UPDATED, before.id))
        else:
            results.append(Result(one.index, Became.UNCHANGED, before.id))
    named = _named([*entries, *mentions], by_external, by_key)
    return Settled(results, created, updated, named | {one.id for one in created})


def _duplicates(entries: Sequence[Entry]) -> dict[int, tuple[str, str]]:
    """Return the entries that repeat an earlier one, with why they fail."""
    found: dict[int, tuple[str, str]] = {}
    externals: dict[str, int] = {}
    keys: dict[str, int] = {}
    for one in entries:
        first = externals.get(one.external_id)
        if first is None and one.key in keys:
            found[one.index] = "DUPLICATE", f"has the email of entry {keys[one.key]}"
        elif first is not None:
            found[one.index] = "DUPLICATE", f"has the external_id of entry {first}"
        else:
            externals[one.external_id], keys[one.key] = one.index, one.index
    return found


def _meant(
    entries: Sequence[Entry],
    mentioned: Collection[str],
    by_external: Mapping[str, Draft],
    by_key: Mapping[str, Draft],
) -> dict[int, Draft]:
    """Return whom entries mean: by external id, or by an email whose owner nobody names so."""
    given = {one.external_id for one in entries}.union(mentioned)
    found = {}
    for one in entries:
        owner = by_key.get(one.key)
        if one.external_id in by_external:
            found[one.index] = by_external[one.external_id]
        elif owner is not None and owner.external_id not in given:
            found[one.index] = owner
    return found


def _taken(
    entries: Sequence[Entry],
    meant: Mapping[int, Draft],
    by_key: Mapping[str, Draft],
    failed: Mapping[int, tuple[str, str]],
) -> dict[int, tuple[str, str]]:
    """Return the entries whose email stays another's, which may make others fail in turn."""
    found: dict[int, tuple[str, str]] = {}
    alive = {one.index: one for one in entries if one.index not in failed}
    while True:
        moving = {
            meant[index].id
            for index, one in alive.items()
            if index in meant and one.key != (email_key(meant[index].email) or "")
        }
        refused = [
            (index, owner)
            for index, one in alive.items()
            if (owner := by_key.get(one.key)) is not None
            and owner.id not in moving
            and (index not in meant or owner.id != meant[index].id)
        ]
        if not refused:
            return found
        for index, owner in refused:
            told = f"the email is that of the user with the external_id {owner.external_id}"
            found[index] = "EMAIL_TAKEN", told
            del alive[index]


def _named(
    said: Iterable[Entry | Mention], by_external: Mapping[str, Draft], by_key: Mapping[str, Draft]
) -> frozenset[UUID]:
    found = set()
    for one in said:
        for person in (by_external.get(one.external_id), by_key.get(email_key(one.email) or "")):
            if person is not None:
                found.add(person.id)
    return frozenset(found)


def _new(one: Entry, user_id: UUID) -> Draft:
    return Draft(
        user_id,
        one.external_id,
        one.email,
        one.first_name,
        one.last_name,
        one.role or _DEFAULT_ROLE,
        one.is_active is not False,
        _merged({}, one.metadata),
    )


def _changed(before: Draft, one: Entry) -> Draft:
    return Draft(
        before.id,
        one.external_id,
        # Written otherwise, the same address is no change of who somebody is, but one all the same.
        one.email,
        one.first_name or before.first_name,
        one.last_name or before.last_name,
        one.role or before.role,
        before.is_active if one.is_active is None else one.is_active,
        _merged(before.metadata, one.metadata),
    )


def _merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    joined = {**before, **given}
    return {name: value for name, value in joined.items() if value is not None}
