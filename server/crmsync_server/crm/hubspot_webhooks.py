"""Webhooks that HubSpot sends: its third kind of signature, and up to a hundred events in one.

Webhooks also carry signatures of the first two kinds, which leave the time out, so that anybody
who ever saw one could send it again. They are not looked at.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from crmsync_server.crm.hubspot_times import instant
from crmsync_server.crm.replies import count, text, texts
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError

_SIGNATURE = "x-hubspot-signature-v3"
_TIMESTAMP = "x-hubspot-request-timestamp"
_LONGEST_AGE = timedelta(minutes=5)
# HubSpot signs the address with these spelt out, and every other sign as it was sent.
_SPELT_OUT = re.compile("%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
_LONGEST_KEY = 200
_CONTACT_TYPE = "0-1"
_CHANGES = frozenset({"creation", "propertyChange", "restore", "merge"})
_DELETIONS = frozenset({"deletion", "privacyDeletion"})


class HubSpotWebhooks:
    """Reads what an application sends of one portal; see crm.webhook.Webhooks."""

    def __init__(self, client_secret: str, portal_id: str) -> None:
        """Take the application's secret, empty without one, and the portal; empty for any."""
        self._secret = client_secret.encode()
        self._portal_id = portal_id

    @property
    def configured(self) -> bool:
        """Whether there is a secret to verify with."""
        return bool(self._secret)

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether HubSpot signed this for our address, five minutes ago at most."""
        timestamp = inbound.headers.get(_TIMESTAMP, "")
        sent = instant(timestamp) if count(timestamp) is not None else None
        if not self.configured or sent is None:
            return False
        shown = inbound.headers.get(_SIGNATURE, "").encode(errors="replace")
        matches = hmac.compare_digest(self._signature(inbound, timestamp), shown)
        return matches and abs(inbound.receive_time - sent) <= _LONGEST_AGE

    def read(self, inbound: Inbound) -> Sequence[Notice]:
        """Return the notices of an array of events; raises UnreadableError."""
        try:
            events = json.loads(inbound.body)
        except (ValueError, RecursionError):
            events = None
        if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
            msg = "the body must be a JSON array of objects"
            raise UnreadableError(msg)
        ours = [one for one in events if self._is_ours(one)]
        return list({one.key: one for event in ours for one in _notices(event)}.values())

    def _signature(self, inbound: Inbound, timestamp: str) -> bytes:
        url = _SPELT_OUT.sub(lambda found: chr(int(found[1], 16)), inbound.url)
        head = f"{inbound.method.upper()}{url}".encode(errors="replace")
        signed = head + inbound.body + timestamp.encode(errors="replace")
        return base64.b64encode(hmac.digest(self._secret, signed, hashlib.sha256))

    def _is_ours(self, event: Mapping[str, object]) -> bool:
        """Tell whether an event is about our portal: an application may serve many."""
        portal_id = text(event.get("portalId"))
        return not self._portal_id or not portal_id or portal_id == self._portal_id


def _notices(event: Mapping[str, object]) -> Iterator[Notice]:
    subject, _, what = text(event.get("subscriptionType")).partition(".")
    about = subject == "contact" or (
        subject == "object" and text(event.get("objectTypeId")) == _CONTACT_TYPE
    )
    if not about or what not in _CHANGES | _DELETIONS:
        return
    kind = NoticeKind.DELETED if what in _DELETIONS else NoticeKind.CHANGED
    ids = _records(event)
    if not ids:
        msg = f"an event of the type {subject}.{what} does not say which contact it is about"
        raise UnreadableError(msg)
    for record_id in ids:
        yield Notice(_key(event, record_id), kind, crm_contact_id=record_id)


def _records(event: Mapping[str, object]) -> list[str]:
    """Return the contacts of an event: of a merge those that went in, and what came out."""
    named = ("objectId", "primaryObjectId", "newObjectId", "mergedObjectIds")
    ids = [one for name in named for one in texts(event.get(name))]
    return [one for one in dict.fromkeys(ids) if count(one)]


def _key(event: Mapping[str, object], record_id: str) -> str:
    """Name a notice: the ids of events alone are not unique."""
    told = [text(event.get(name)) for name in ("eventId", "subscriptionType", "occurredAt")]
    key = ":".join([*told, record_id])
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()
