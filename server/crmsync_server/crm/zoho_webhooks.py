"""What Zoho's notifications tell: a channel's token, which nothing signs, and the ids of records.

A notification is {server_time, module, ids, operation, channel_id, token, …}; the token is the one
that the channel was made with (`POST /crm/v8/actions/watch`), of 50 characters at most.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from crmsync_server.crm.replies import mapping, text, texts
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError

_MODULE = "contacts"


class ZohoWebhooks:
    """Reads the notifications of one organization."""

    def __init__(self, token: str) -> None:
        """Take the token that channels show; empty where there is none."""
        self._token = token.strip().encode()

    @property
    def configured(self) -> bool:
        """Whether there is a token to compare with."""
        return bool(self._token)

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether the body shows the token; never raises."""
        shown = text(_body(inbound).get("token")).encode("utf-8", "replace")
        # Digests are of one length: not even the token's can be guessed at.
        same = hmac.compare_digest(_digest(shown), _digest(self._token))
        return same and self.configured

    def read(self, inbound: Inbound) -> Sequence[Notice]:
        """Return a notice for each contact of a notification; raises UnreadableError."""
        told = _body(inbound)
        module, operation = (text(told.get(name)).lower() for name in ("module", "operation"))
        if not module or not operation:
            msg = "a notification of Zoho names its module and operation; this one does not"
            raise UnreadableError(msg)
        if module != _MODULE:
            return ()
        ids = texts(told.get("ids"))
        if not ids:
            msg = "a notification of Zoho has ids; this one has none"
            raise UnreadableError(msg)
        kind = NoticeKind.DELETED if operation == "delete" else NoticeKind.CHANGED
        return [Notice(_key(told, operation, one), kind, crm_contact_id=one) for one in ids]


def _key(told: Mapping[str, object], operation: str, record_id: str) -> str:
    """Return what the same notification sent again would give: Zoho names none."""
    when = text(told.get("server_time"))
    parts = [text(told.get("channel_id")), operation, record_id, when]
    if not when:
        parts.append(json.dumps(told, sort_keys=True))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _body(inbound: Inbound) -> Mapping[str, object]:
    try:
        return mapping(json.loads(inbound.body))
    except (ValueError, RecursionError):
        return {}
