"""Brevo's webhooks: who subscribed, and what they are told of contacts.

Nothing is signed: a receiver knows Brevo by the bearer token or the header that it asked for. Of an
event `event`, `email`, `id`, `date`, `ts` and `api_key_name` are documented; the rest is a guess.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from crmsync_server.sandbox.brevo_account import Account
from crmsync_server.sandbox.brevo_errors import INVALID, BrevoError
from crmsync_server.sandbox.brevo_records import AccountContact
from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.webhooks import Message, Sender, Sent
from crmsync_server.sandbox.wire import JsonObject

MAX_WEBHOOKS = 40
CONTACT_EVENTS = {
    "contactUpdated": "contact_updated",
    "contactDeleted": "contact_deleted",
    "listAddition": "list_addition",
}
"""What is subscribed to, and what it is called in an event."""
_OTHER_EVENTS = (
    "spam",
    "opened",
    "click",
    "hardBounce",
    "softBounce",
    "delivered",
    "unsubscribed",
)
EVENTS = (*CONTACT_EVENTS, *_OTHER_EVENTS)
_BATCH = 100
_API_KEY_NAME = "sandbox"


@dataclass(slots=True, eq=False)
class Webhook:
    """One subscription; `batched` ones get arrays of events."""

    id: int
    url: str
    events: frozenset[str]
    description: str = ""
    token: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    batched: bool = False
    created_at: str = ""

    @property
    def max_events(self) -> int:
        """How many events go into one post."""
        return _BATCH if self.batched else 1

    def compose(self, events: list[JsonObject], attempt: int) -> Message:
        """Write a post."""
        del attempt
        body = json.dumps(events if self.batched else events[0]).encode()
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return Message(body, {**self.headers, **bearer})

    def answered(self, sent: Sent) -> None:
        """Do nothing: Brevo goes on sending."""

    def as_json(self) -> JsonObject:
        """Return the webhook as Brevo prints it, without its secrets."""
        return {
            "id": self.id,
            "url": self.url,
            "type": "marketing",
            "events": sorted(self.events),
            "description": self.description,
            "batched": self.batched,
            "createdAt": self.created_at,
            "modifiedAt": self.created_at,
        }


class Announcer:
    """Holds the webhooks of an account, and turns what happens to its contacts into events."""

    def __init__(self, account: Account, clock: Clock, sender: Sender) -> None:
        """Watch this account; nobody has subscribed."""
        self._account = account
        self._clock = clock
        self._sender = sender
        self.webhooks: dict[int, Webhook] = {}
        self._last_id = 0
        account.watchers.append(self)

    def clear(self) -> None:
        """Forget who subscribed."""
        self.webhooks.clear()

    def subscribe(
        self,
        url: str,
        events: Collection[str],
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        batched: bool = False,
    ) -> Webhook:
        """Add a webhook.

        Raises:
            BrevoError: 400, an event is unknown, or there are 40 webhooks.
        """
        unknown = sorted(set(events) - set(EVENTS))
        if unknown or not events:
            raise BrevoError(400, f"events should be some of {', '.join(EVENTS)}", code=INVALID)
        if len(self.webhooks) >= MAX_WEBHOOKS:
            raise BrevoError(400, f"At most {MAX_WEBHOOKS} webhooks are allowed")
        self._last_id += 1
        webhook = Webhook(
            self._last_id,
            url,
            frozenset(events),
            token=token,
            headers=headers or {},
            batched=batched,
            created_at=isoformat(self._clock()),
        )
        self.webhooks[webhook.id] = webhook
        return webhook

    def updated(self, contact: AccountContact) -> None:
        """Tell of a change, with all attributes."""
        self._tell("contactUpdated", contact, {"content": [contact.attributes]})

    def deleted(self, contact: AccountContact) -> None:
        """Tell of a deletion."""
        self._tell("contactDeleted", contact, {})

    def listed(self, contact: AccountContact, list_ids: list[int]) -> None:
        """Tell that a contact was added to lists."""
        self._tell("listAddition", contact, {"list_id": list_ids})

    def _tell(self, kind: str, contact: AccountContact, more: JsonObject) -> None:
        now = self._clock()
        for webhook in self.webhooks.values():
            if kind in webhook.events:
                event = {
                    "id": webhook.id,  # of the webhook: an event names its contact by email alone
                    "event": CONTACT_EVENTS[kind],
                    "email": contact.shown_email,
                    "date": now.strftime("%Y-%m-%d %H:%M:%S"),
                    "ts": int(now.timestamp()),
                    "api_key_name": _API_KEY_NAME if self._account.by_api else "",
                }
                self._sender.send(webhook, [event | more])
