"""HubSpot's webhooks: arrays of events about contacts, signed with the app's secret."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import quote

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.hubspot_portal import Portal, PortalContact
from crmsync_server.sandbox.webhooks import Message, Sender, Sent
from crmsync_server.sandbox.wire import JsonObject

_MAX_EVENTS = 100
# What the receiver decodes in the URL before it computes the signature.
_DECODED = {quote(sign, safe=""): sign for sign in ":/?@!$'()*,;"}
_SUBSCRIPTIONS = {
    "contact.creation": 1,
    "contact.propertyChange": 2,
    "contact.deletion": 3,
    "contact.merge": 4,
}


@dataclass(frozen=True, slots=True)
class App:
    """The app whose webhooks they are."""

    id: int
    client_secret: str
    portal_id: int


@dataclass(slots=True)
class AppHook:
    """Where the app wants to be told."""

    url: str
    app: App
    clock: Clock
    max_events: int = field(default=_MAX_EVENTS, init=False)

    def compose(self, events: list[JsonObject], attempt: int) -> Message:
        """Write a post as HubSpot signs it: version 3, and the older version 1 beside it."""
        told = [event | {"attemptNumber": attempt} for event in events]
        body = json.dumps(told, separators=(",", ":")).encode()
        stamp = str(round(self.clock().timestamp() * 1000))
        secret = self.app.client_secret.encode()
        signed = b"POST" + _signed_url(self.url).encode() + body + stamp.encode()
        digest = hmac.new(secret, signed, hashlib.sha256).digest()
        headers = {
            "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
            "X-HubSpot-Request-Timestamp": stamp,
            "X-HubSpot-Signature": hashlib.sha256(secret + body).hexdigest(),
            "X-HubSpot-Signature-Version": "v1",
        }
        return Message(body, headers)

    def answered(self, sent: Sent) -> None:
        """Do nothing: HubSpot goes on sending."""


class Announcer:
    """Turns what happens in a portal into events, one for each property that changed."""

    def __init__(self, portal: Portal, app: App, clock: Clock, sender: Sender) -> None:
        """Watch this portal, and tell nobody yet."""
        self._portal = portal
        self._app = app
        self._clock = clock
        self._sender = sender
        self._ids = count(1)
        self._hook: AppHook | None = None
        portal.watchers.append(self)

    def subscribe(self, url: str | None) -> None:
        """Send events to this URL from now on; None sends none."""
        self._hook = None if url is None else AppHook(url, self._app, self._clock)

    def created(self, contact: PortalContact) -> None:
        """Tell of a new contact, and of each of its values."""
        self._tell("contact.creation", contact, {"changeFlag": "CREATED"})
        self._tell_values(contact, {})

    def seeded(self, contacts: list[PortalContact]) -> None:
        """Tell nobody."""

    def updated(self, contact: PortalContact, before: dict[str, str]) -> None:
        """Tell of each value that is not what it was."""
        self._tell_values(contact, before)

    def archived(self, contact: PortalContact) -> None:
        """Tell of a deletion."""
        self._tell("contact.deletion", contact, {"changeFlag": "DELETED"})

    def merged(self, survivor: PortalContact, primary: PortalContact, other: PortalContact) -> None:
        """Tell of a merge, in one event."""
        moved = [name for name in other.properties if name not in primary.properties]
        told = {
            "changeFlag": "MERGED",
            "primaryObjectId": int(primary.id),
            "mergedObjectIds": [int(other.id)],
            "newObjectId": int(survivor.id),
            "numberOfPropertiesMoved": len(moved),
        }
        self._tell("contact.merge", survivor, told)

    def cleared(self) -> None:
        """Begin to count anew."""
        self._ids = count(1)

    def _tell_values(self, contact: PortalContact, before: dict[str, str]) -> None:
        after = contact.properties
        for name in sorted(after.keys() | before.keys()):
            value = after.get(name, "")
            if value != before.get(name, ""):
                told = {"propertyName": name, "propertyValue": value, "isSensitive": False}
                self._tell("contact.propertyChange", contact, told)

    def _tell(self, kind: str, contact: PortalContact, more: JsonObject) -> None:
        if self._hook is None:
            return
        event: JsonObject = {
            "eventId": next(self._ids),
            "subscriptionId": _SUBSCRIPTIONS[kind],
            "subscriptionType": kind,
            "portalId": self._app.portal_id,
            "appId": self._app.id,
            "occurredAt": round(self._clock().timestamp() * 1000),
            "objectId": int(contact.id),
            "changeSource": self._portal.source,
            "sourceId": "userId:1" if self._portal.source == "CRM_UI" else str(self._app.id),
        }
        self._sender.send(self._hook, [event | more])


def _signed_url(url: str) -> str:
    for written, sign in _DECODED.items():
        url = url.replace(written, sign)
    return url
