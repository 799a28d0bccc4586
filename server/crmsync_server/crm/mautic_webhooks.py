"""Mautic's webhooks: signed with a secret, and about contacts by their ids.

Facts this file stands on: a body is an object of events, each with an array of payloads, up to ten
in a queue and in no order to rely on; a payload has the contact, whose id is empty once it is
deleted and stands beside it then.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence

from crmsync_server.crm.adapter import Account
from crmsync_server.crm.replies import count, mapping, mappings, text
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError

_SIGNATURE = "webhook-signature"
_EVENTS = "mautic."
_KINDS = {
    "mautic.lead_post_save_new": NoticeKind.CHANGED,
    "mautic.lead_post_save_update": NoticeKind.CHANGED,
    "mautic.lead_points_change": NoticeKind.CHANGED,
    "mautic.lead_company_change": NoticeKind.CHANGED,
    "mautic.lead_post_delete": NoticeKind.DELETED,
}


class MauticWebhooks:
    """What one instance sends, signed with the secret `webhook_secret`."""

    def __init__(self, account: Account) -> None:
        """Take the secret."""
        self._secret = account.secrets.get("webhook_secret", "")

    @property
    def configured(self) -> bool:
        """Whether there is a secret."""
        return bool(self._secret)

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether the body was signed with the secret; Mautic does not sign when."""
        digest = hmac.new(_bytes(self._secret), inbound.body, hashlib.sha256).digest()
        given = inbound.headers.get(_SIGNATURE, "").strip()
        same = hmac.compare_digest(_bytes(given), base64.b64encode(digest))
        return self.configured and same

    def read(self, inbound: Inbound) -> Sequence[Notice]:
        """Return which contacts changed or are gone; raises UnreadableError."""
        try:
            body = mapping(json.loads(inbound.body))
        except (ValueError, RecursionError):
            msg = "the body is no JSON"
            raise UnreadableError(msg) from None
        if not any(name.startswith(_EVENTS) for name in body):
            msg = "the body holds no event"
            raise UnreadableError(msg)
        return [
            notice
            for event, payloads in body.items()
            if event in _KINDS
            for payload in _listed(payloads)
            for notice in _notices(event, payload)
        ]


def _listed(payloads: object) -> Sequence[Mapping[str, object]]:
    """Return the payloads of an event; one alone, in a test that Mautic sends, is no array."""
    return mappings(payloads if isinstance(payloads, list) else [payloads])


def _notices(event: str, payload: Mapping[str, object]) -> Iterator[Notice]:
    contact = mapping(payload.get("contact")) or mapping(payload.get("lead"))
    record_id = text(payload.get("id")) if _KINDS[event] is NoticeKind.DELETED else ""
    record_id = record_id or text(contact.get("id"))
    if count(record_id) is None:
        return
    # It is sent again as it was; another change differs, in the same second too.
    told = json.dumps(payload, sort_keys=True)
    digest = hashlib.sha256(_bytes(told)).hexdigest()
    yield Notice(f"{event}:{record_id}:{digest}", _KINDS[event], crm_contact_id=record_id)


def _bytes(words: str) -> bytes:
    return words.encode(errors="backslashreplace")
