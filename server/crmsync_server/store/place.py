"""Places in the stream of events, and the resume tokens that name them.

A token is 48 bytes, 64 characters: a digest, which system it is of, and either the event that the
place is right after, or the first transaction of which nothing was told. The digest is bound to the
organization. It guards against mistakes, not against forgery: a forged token reads nothing that the
caller could not read anyway.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple
from uuid import UUID

_DIGEST_BYTES = 8
_LAYOUT = Struct(">4sQ16sI4sI")  # system, transaction, contact, attempt, CRM, seconds since 1970
_TOKEN_BYTES = _DIGEST_BYTES + _LAYOUT.size
_NOBODY = UUID(int=0)


class Key(NamedTuple):
    """Where an event comes among those of its organization; keys sort as Postgres sorts them."""

    transaction: int
    contact_id: UUID = _NOBODY
    crm: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Right after the event of this key, or before everything of its transaction.

    time: when the event ended; of a border, when it was the newest one.
    """

    key: Key
    time: datetime


@dataclass(frozen=True, slots=True)
class Named:
    """What a token says of a place: enough to find the event again.

    system: a digest of the cluster that the transaction is of.
    crm: a digest of the CRM's id.
    time: in whole seconds.
    """

    system: bytes
    transaction: int
    contact_id: UUID
    attempt: int
    crm: bytes
    time: datetime

    @property
    def border(self) -> Place | None:
        """The place, when it is the border of a transaction; None when it is after an event."""
        return None if self.attempt else Place(Key(self.transaction), self.time)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a watch begins: after a token, with the oldest event that is kept, or now."""

    token: Named | None = None
    from_beginning: bool = False


def later(one: Place, other: Place) -> Place:
    """Return which of two places comes later."""
    return max(one, other, key=lambda place: place.key)


def token(org_id: str, system: int, place: Place) -> str:
    """Return the token of a place in an organization's events; system identifies the cluster."""
    key = place.key
    payload = _LAYOUT.pack(
        digest_of(str(system)),
        key.transaction,
        key.contact_id.bytes,
        key.attempt,
        digest_of(key.crm),
        int(place.time.timestamp()),
    )
    return base64.urlsafe_b64encode(_signed(org_id, payload)).decode()


def named(org_id: str, given: str) -> Named | None:
    """Return what a token says; None when it is damaged, or another organization's."""
    try:
        whole = base64.b64decode(given.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        return None
    payload = whole[_DIGEST_BYTES:]
    if len(whole) != _TOKEN_BYTES or whole != _signed(org_id, payload):
        return None
    system, transaction, contact, attempt, crm, seconds = _LAYOUT.unpack(payload)
    time = datetime.fromtimestamp(seconds, UTC)
    return Named(system, transaction, UUID(bytes=contact), attempt, crm, time)


def digest_of(text: str) -> bytes:
    """Return the four bytes by which tokens tell systems and CRMs apart."""
    return blake2b(text.encode(), digest_size=4).digest()


def _signed(org_id: str, payload: bytes) -> bytes:
    key = blake2b(org_id.encode()).digest()
    return blake2b(payload, key=key, digest_size=_DIGEST_BYTES).digest() + payload
