"""The webhooks of a simulated Meta app: changes in entries, signed over the very bytes."""

import hashlib
import hmac
import json
from dataclasses import dataclass

from crmsync_server.sandbox.webhooks import Message, Sent
from crmsync_server.sandbox.wire import JsonObject


@dataclass(slots=True, eq=False)
class MetaHook:
    """Where an app wants its changes.

    changes_each: how many changes an entry holds at most; entries_each: how many entries a post.
    """

    url: str
    app_secret: str
    waba_id: str
    changes_each: int = 1
    entries_each: int = 1

    @property
    def max_events(self) -> int:
        """How many changes go into one post."""
        return self.changes_each * self.entries_each

    def compose(self, events: list[JsonObject], attempt: int) -> Message:
        """Write a post. Whatever is not ASCII is escaped, and so is every slash."""
        del attempt
        changes = [{"value": event, "field": "messages"} for event in events]
        entries = [
            {"id": self.waba_id, "changes": changes[start : start + self.changes_each]}
            for start in range(0, len(changes), self.changes_each)
        ]
        told = json.dumps({"object": "whatsapp_business_account", "entry": entries})
        body = told.replace("/", "\\/").encode()
        return Message(body, {"X-Hub-Signature-256": signature(self.app_secret, body)})

    def answered(self, sent: Sent) -> None:
        """Learn nothing: Meta goes on sending for days."""


def signature(app_secret: str, body: bytes) -> str:
    """Return how Meta signs a body."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
