"""What a webhook told of messages, as the JSON that it is kept as until it is worked off."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crmsync_server.crm.messaging import Change, Fault, FaultKind, Incoming, Sender, StatusTold

_KEY_BYTES = 16


def written(change: Change) -> str:
    """Return a change as JSON, the same for the same change; `change_of` reads it."""
    told = {
        "phone_number_id": change.phone_number_id,
        "waba_id": change.waba_id,
        "business_id": change.business_id,
        "contacts": [_sender(one) for one in change.contacts],
        "messages": [_message(one) for one in change.messages],
        "statuses": [_status(one) for one in change.statuses],
    }
    return json.dumps(told, separators=(",", ":"), sort_keys=True)


def key_of(text: str) -> bytes:
    """Return a hash of a change as it is written, by which it is known when it is sent again."""
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()


def change_of(told: Mapping[str, Any]) -> Change:
    """Return the change that was written."""
    return Change(
        phone_number_id=told["phone_number_id"],
        waba_id=told["waba_id"],
        business_id=told["business_id"],
        contacts=[Sender(*one) for one in told["contacts"]],
        messages=[
            Incoming(one["id"], one["from"], one["type"], one["text"], _time(one), one["payload"])
            for one in told["messages"]
        ],
        statuses=[
            StatusTold(
                one["id"], one["status"], _time(one), one["to"], _faults(one["errors"]), one["ours"]
            )
            for one in told["statuses"]
        ],
    )


def _sender(one: Sender) -> Sequence[str]:
    """Most have no id beside their number: they are written as they were before there was one."""
    return [one.wa_id, one.name, one.user_id] if one.user_id else [one.wa_id, one.name]


def _message(one: Incoming) -> Mapping[str, Any]:
    return {
        "id": one.whatsapp_id,
        "from": one.from_,
        "type": one.type,
        "text": one.text,
        "time": one.time.timestamp(),
        "payload": one.payload,
    }


def _status(one: StatusTold) -> Mapping[str, Any]:
    return {
        "id": one.whatsapp_id,
        "status": one.status,
        "time": one.time.timestamp(),
        "to": one.recipient,
        "errors": [[error.kind, error.code, error.message] for error in one.errors],
        "ours": one.callback_data,
    }


def _time(told: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(told["time"], UTC)


def _faults(told: Sequence[Sequence[Any]]) -> Sequence[Fault]:
    return [Fault(FaultKind(kind), code, message) for kind, code, message in told]
