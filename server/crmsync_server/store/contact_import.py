"""Taking in many contacts at once: each creates a contact, or updates the one with its email."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import contact
from crmsync_server.store.content import Content, email_key, named, overlaid
from crmsync_server.store.ids import new_ids


@dataclass(slots=True)
class Tally:
    """What became of contacts that were taken in."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A contact that may become a new one, under this id."""

    contact_id: UUID
    key: str
    content: Content


async def take_in(connection: AsyncConnection, org_id: str, contents: Iterable[Content]) -> Tally:
    """Create or update contacts by their emails; those without one are created.

    An update leaves a field as it is where the incoming one is empty: a list of contacts seldom has
    a column for everything, and what it does not say, it does not deny.

    The result is that of taking them in one after the other, however they were grouped.
    """
    tally = Tally()
    waiting = _folded(contents, tally)
    while waiting:
        # New ones first: most imports bring nothing else, and then this one statement is all.
        drafts = [(one.contact_id, named(one.content)) for one in waiting]
        added = await contact.insert(connection, org_id, drafts)
        tally.created += len(added)
        known = [one for one in waiting if one.contact_id not in added]
        # What was deleted in between is new after all.
        waiting = await _update(connection, org_id, known, tally) if known else []
    return tally


def _folded(contents: Iterable[Content], tally: Tally) -> list[_Incoming]:
    """Return the contacts in the order of their emails, those with the same one joined."""
    folded: dict[str, Content] = {}
    without_email = []
    for content in contents:
        key = email_key(content.email)
        if key is None:
            without_email.append(content)
        elif (before := folded.get(key)) is None:
            folded[key] = content
        else:
            folded[key] = after = overlaid(before, content)
            _count_change(tally, before, after)
    ids = iter(new_ids(len(folded) + len(without_email)))
    incoming = [_Incoming(next(ids), key, content) for key, content in folded.items()]
    incoming.sort(key=lambda one: one.key)
    incoming += [_Incoming(next(ids), "", content) for content in without_email]
    return incoming


async def _update(
    connection: AsyncConnection, org_id: str, known: Sequence[_Incoming], tally: Tally
) -> list[_Incoming]:
    """Update the contacts that have these emails; return those that nobody has any more."""
    by_key = {one.key: one for one in known}
    changed = []
    for row in await contact.find(connection, org_id, list(by_key)):
        before = Content.of(row)
        if _joined(before, by_key[row.email_key]) == before:
            tally.unchanged += 1
            del by_key[row.email_key]
        else:
            changed.append(row.id)
    # Only what changes is locked, and then read again: it may have changed meanwhile.
    drafts = []
    for row in await contact.lock(connection, org_id, changed) if changed else ():
        incoming = by_key.pop(row.email_key, None)
        if incoming is None:
            continue
        before = Content.of(row)
        after = _joined(before, incoming)
        _count_change(tally, before, after)
        if after != before:
            drafts.append((row.id, after))
    if drafts:
        await contact.write(connection, org_id, drafts)
    return list(by_key.values())


def _joined(before: Content, incoming: _Incoming) -> Content:
    return named(overlaid(before, incoming.content), before)


def _count_change(tally: Tally, before: Content, after: Content) -> None:
    if after == before:
        tally.unchanged += 1
    else:
        tally.updated += 1
