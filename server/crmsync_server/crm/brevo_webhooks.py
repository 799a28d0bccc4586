"""Brevo's webhooks: no signature exists, so that a secret which comes along proves who sends them.

Facts this file stands on: an event's `id` is the webhook's, not the contact's, which only its
address names; with `batched` many events come in one array.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.hiding import keepable
from crmsync_server.crm.replies import mappings, text, texts
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError

_BEARER = "authorization"
_HEADER = re.compile(r"[a-z0-9-]{1,100}")
# As Brevo spells them when it sends them, and when they are chosen; dashes and case aside.
_KINDS = {
    "contactupdated": NoticeKind.CHANGED,
    "contactdeleted": NoticeKind.DELETED,
    "listaddition": NoticeKind.CHANGED,
    "unsubscribe": NoticeKind.CHANGED,
    "unsubscribed": NoticeKind.CHANGED,
}


class BrevoWebhooks:
    """What one account sends, with the secret `webhook_token`.

    It comes as a bearer's token, or as it is in the header that the option `webhook_header` names.
    """

    def __init__(self, account: Account) -> None:
        """Take the secret; raises ValueError naming an option that is wrong."""
        self._token = account.secrets.get("webhook_token", "").strip()
        self._header = account.options.get("webhook_header", _BEARER).strip().lower()
        if not _HEADER.fullmatch(self._header):
            msg = (
                f"the option 'webhook_header' of the {account.crm} connection must be the name "
                "of a header: letters, digits and dashes"
            )
            raise ValueError(msg)

    @property
    def configured(self) -> bool:
        """Whether there is a token."""
        return bool(self._token)

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether the token came along."""
        given = inbound.headers.get(self._header, "").strip()
        if self._header == _BEARER:
            scheme, _, given = given.partition(" ")
            given = given.strip() if scheme.lower() == "bearer" else ""
        same = hmac.compare_digest(_bytes(given), _bytes(self._token))
        return self.configured and same

    def read(self, inbound: Inbound) -> Sequence[Notice]:
        """Return which contacts changed or are gone; raises UnreadableError."""
        try:
            body = json.loads(inbound.body)
        except (ValueError, RecursionError):
            msg = "the body is no JSON"
            raise UnreadableError(msg) from None
        events = mappings(body if isinstance(body, list) else [body])
        if not any(text(event.get("event")) for event in events):
            msg = "the body holds no event"
            raise UnreadableError(msg)
        return [notice for event in events for notice in _notices(event)]


def _notices(event: Mapping[str, object]) -> Iterator[Notice]:
    name = re.sub("[^a-z]", "", text(event.get("event")).lower())
    kind = _KINDS.get(name)
    if kind is None:
        return
    told = json.dumps(event, sort_keys=True, default=str)
    # Brevo has no other number for an event, and repeats it as it was.
    key = hashlib.sha256(_bytes(told)).hexdigest()
    for email in _emails(event):
        yield Notice(f"{name}:{key}:{_digest(email)}", kind, email=email)


def _emails(event: Mapping[str, object]) -> Sequence[str]:
    """Return the address of a contact, and the one that it has just got."""
    changes = [
        value
        for change in mappings(event.get("content"))
        for name, value in change.items()
        if name.lower() == "email"
    ]
    given = [*texts(event.get("email")), *(found for one in changes for found in texts(one))]
    addresses = (deliverable(keepable(one)) for one in given)
    return list(dict.fromkeys(address for address in addresses if "@" in address))


def _digest(email: str) -> str:
    return hashlib.sha256(_bytes(email)).hexdigest()[:16]


def _bytes(words: str) -> bytes:
    return words.encode(errors="backslashreplace")
