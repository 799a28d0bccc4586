"""What a workflow does with crmsync's bodies: verify, recognise repetitions, keep the contacts."""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.n8n_errors import WorkflowError
from crmsync_server.sandbox.wire import JsonObject

_VERSION = 1
_LATE_SECONDS = 300
_OURS = ("contact_id", "delivery_id", "idempotency_key", "properties")


@dataclass(slots=True)
class ReceivedContact:
    """One contact as the workflow keeps it; `times_*` count what was not a repetition."""

    contact_id: str
    fields: JsonObject = field(default_factory=dict)
    properties: JsonObject = field(default_factory=dict)
    times_created: int = 1
    times_updated: int = 0

    def merge(self, record: JsonObject) -> None:
        """Take a record over: null clears, what is absent stays."""
        told = {name: value for name, value in record.items() if name not in _OURS}
        _merge(self.fields, told)
        _merge(self.properties, record.get("properties") or {})


class Receiver:
    """Keeps what was delivered, once for each idempotency key."""

    def __init__(self, faults: FaultDial, calls: CallLog) -> None:
        """Keep nothing yet."""
        self._faults = faults
        self._calls = calls
        self.clear()

    def clear(self) -> None:
        """Forget all contacts and keys."""
        self._contacts: dict[str, ReceivedContact] = {}
        self._keys: set[str] = set()
        self.repetitions = 0

    def take(self, body: JsonObject) -> list[JsonObject]:
        """Take a body in; one `{delivery_id, status, code?, message?}` for each contact.

        Raises:
            WorkflowError: the workflow failed; nothing of the body was taken.
        """
        records = body.get("contacts")
        if body.get("version") != _VERSION or not isinstance(records, list):
            raise failed()
        rejected = [self._faults.rejects(str(record.get("email") or "")) for record in records]
        if any(rejected) and self._faults.settings.unnamed_culprits:
            raise failed()
        pairs = zip(records, rejected, strict=True)
        return [self._refuse(one) if refused else self._keep(one) for one, refused in pairs]

    def as_json(self) -> Iterator[JsonObject]:
        """Yield every contact, in the order of arrival."""
        for contact in list(self._contacts.values()):
            yield {
                "contact_id": contact.contact_id,
                "email": contact.fields.get("email"),
                "fields": contact.fields,
                "properties": contact.properties,
                "times_created": contact.times_created,
                "times_updated": contact.times_updated,
            }

    def _refuse(self, record: JsonObject) -> JsonObject:
        return {
            "delivery_id": record["delivery_id"],
            "status": "rejected",
            "code": "INVALID_CONTACT",
            "message": "the workflow's own rules do not take this contact",
        }

    def _keep(self, record: JsonObject) -> JsonObject:
        if record["idempotency_key"] in self._keys:
            self.repetitions += 1
        else:
            self._keys.add(record["idempotency_key"])
            self._write(record)
        return {"delivery_id": record["delivery_id"], "status": "synced"}

    def _write(self, record: JsonObject) -> None:
        contact = self._contacts.get(record["contact_id"])
        if contact is None:
            contact = self._contacts[record["contact_id"]] = ReceivedContact(record["contact_id"])
            self._calls.records_created += 1
        else:
            contact.times_updated += 1
            self._calls.records_updated += 1
        contact.merge(record)


def failed() -> WorkflowError:
    """Return what n8n tells of a workflow that failed, whatever the reason."""
    error = WorkflowError(HTTPStatus.INTERNAL_SERVER_ERROR, "Error in workflow")
    error.body.pop("code")
    return error


def verify(secret: str, headers: Mapping[str, str], raw: bytes, now: datetime) -> None:
    """Check the signature over timestamp, dot and body.

    Raises:
        WorkflowError: it is missing, wrong, or five minutes off.
    """
    timestamp = headers.get("x-crmsync-timestamp", "")
    signed = timestamp.encode() + b"." + raw
    expected = hmac.new(secret.encode(), signed, sha256).hexdigest()
    right = hmac.compare_digest(headers.get("x-crmsync-signature", ""), expected)
    off = abs(now.timestamp() - int(timestamp)) if timestamp.isdecimal() else _LATE_SECONDS + 1
    if not right or off > _LATE_SECONDS:
        raise failed()


def _merge(kept: JsonObject, told: JsonObject) -> None:
    for name, value in told.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
