"""What an n8n workflow receives: crmsync's own contract, version 1.

A field that is absent says nothing, and null clears. A record's idempotency key stays the same
while the same content is tried again, and is never that of an earlier or a later delivery.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.emails import deliverable

_VERSION = 1
_KEY_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Record:
    """One contact of a call.

    delivery_id: names this attempt for ever; a result repeats it.
    key: the idempotency key.
    """

    delivery_id: str
    key: str
    contact: Mapping[str, object]


def record(delivery: Delivery) -> Record:
    """Return the record of a delivery."""
    contact = _contact(delivery)
    # What n8n took last is part of the key: a contact that is changed and changed back is new.
    previous = delivery.crm_contact_id or ""
    digest = sha256(_canonical([previous, contact])).hexdigest()[:_KEY_DIGITS]
    return Record(f"{delivery.contact_id}:{delivery.attempt}", digest, contact)


def body(records: Sequence[Record]) -> dict[str, object]:
    """Return the body of the call that delivers these records."""
    contacts = [
        {"delivery_id": one.delivery_id, "idempotency_key": one.key, **one.contact}
        for one in records
    ]
    return {"version": _VERSION, "contacts": contacts}


def call_key(records: Sequence[Record]) -> str:
    """Return the idempotency key of a call: of one record its own, of several one of them all."""
    if len(records) == 1:
        return records[0].key
    return sha256(_canonical([one.key for one in records])).hexdigest()[:_KEY_DIGITS]


def signature(secret: str, raw: bytes, now: datetime) -> dict[str, str]:
    """Return the headers that prove who sent a body, and when: HMAC-SHA256 in hexadecimal."""
    timestamp = str(int(now.timestamp()))
    signed = timestamp.encode() + b"." + raw
    digest = hmac.new(secret.encode(), signed, sha256).hexdigest()
    return {"x-crmsync-timestamp": timestamp, "x-crmsync-signature": digest}


def _contact(delivery: Delivery) -> dict[str, object]:
    told: dict[str, object] = {
        "email": deliverable(delivery.email),
        "first_name": delivery.first_name,
        "last_name": delivery.last_name,
        "phone": delivery.phone,
        "company": delivery.company,
        "tags": list(delivery.tags),
    }
    own = delivery.blank - told.keys()
    properties = _told({**dict.fromkeys(sorted(own), ""), **delivery.properties}, own)
    contact = {"contact_id": str(delivery.contact_id), **_told(told, delivery.blank)}
    return {**contact, "properties": properties} if properties else contact


def _told(values: Mapping[str, object], blank: frozenset[str]) -> dict[str, object]:
    """Return the values that are there, and null for the empty ones that are to be cleared."""
    return {name: value or None for name, value in values.items() if value or name in blank}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
