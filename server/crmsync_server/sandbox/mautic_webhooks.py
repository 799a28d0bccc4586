"""Mautic's webhooks: what happened to contacts, keyed by event, signed with a secret."""

import base64
import hashlib
import hmac
import json
from collections.abc import Collection
from dataclasses import dataclass

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.mautic_errors import MauticError
from crmsync_server.sandbox.mautic_instance import Instance, InstanceContact, printed
from crmsync_server.sandbox.webhooks import Message, Sender, Sent
from crmsync_server.sandbox.wire import JsonObject

TRIGGERS = {
    "mautic.lead_post_save_new": "Contact identified",
    "mautic.lead_post_save_update": "Contact updated",
    "mautic.lead_post_delete": "Contact deleted",
}
"""What can be subscribed to, with what Mautic calls it."""
_KIND = "event type"


@dataclass(frozen=True, slots=True)
class HookRules:
    """How an instance sends, and when it gives a receiver up."""

    max_events: int
    failures_allowed: int


@dataclass(slots=True, eq=False)
class MauticHook:
    """One webhook; one that failed too often is no longer published."""

    id: int
    url: str
    secret: str
    triggers: frozenset[str]
    rules: HookRules
    name: str = ""
    newest_first: bool = False
    is_published: bool = True
    failures: int = 0

    @property
    def max_events(self) -> int:
        """How many events go into one post."""
        return self.rules.max_events

    def compose(self, events: list[JsonObject], attempt: int) -> Message:
        """Write a post: an object of lists, one for each kind of event."""
        del attempt
        told: dict[str, list[JsonObject]] = {}
        for event in reversed(events) if self.newest_first else events:
            payload = {name: value for name, value in event.items() if name != _KIND}
            told.setdefault(str(event[_KIND]), []).append(payload)
        body = json.dumps(told).encode()
        digest = hmac.new(self.secret.encode(), body, hashlib.sha256).digest()
        return Message(body, {"Webhook-Signature": base64.b64encode(digest).decode()})

    def answered(self, sent: Sent) -> None:
        """Count failures in a row; too many of them unpublish the webhook."""
        self.failures = 0 if sent.taken else self.failures + 1
        if self.failures >= self.rules.failures_allowed:
            self.is_published = False

    def as_json(self) -> JsonObject:
        """Return the webhook as Mautic prints it."""
        return {
            "id": self.id,
            "name": self.name,
            "webhookUrl": self.url,
            "secret": self.secret,
            "eventsOrderbyDir": "DESC" if self.newest_first else "ASC",
            "isPublished": self.is_published,
            "triggers": sorted(self.triggers),
        }


class Announcer:
    """Holds the webhooks of an instance, and turns what happens to contacts into events."""

    def __init__(self, instance: Instance, rules: HookRules, clock: Clock, sender: Sender) -> None:
        """Watch this instance; nobody has subscribed."""
        self._instance = instance
        self._rules = rules
        self._clock = clock
        self._sender = sender
        self.hooks: dict[int, MauticHook] = {}
        self._last_id = 0
        instance.watchers.append(self)

    def clear(self) -> None:
        """Forget who subscribed."""
        self.hooks.clear()

    def subscribe(
        self, url: str, secret: str, triggers: Collection[str], *, newest_first: bool = False
    ) -> MauticHook:
        """Add a webhook.

        Raises:
            MauticError: 400, there is no such trigger, or none is given.
        """
        unknown = sorted(set(triggers) - TRIGGERS.keys())
        if unknown or not triggers:
            message = f"triggers: some of {', '.join(TRIGGERS)} are needed, not {unknown}."
            raise MauticError(400, message, details={"triggers": ["not valid"]})
        self._last_id += 1
        hook = MauticHook(self._last_id, url, secret, frozenset(triggers), self._rules)
        hook.newest_first = newest_first
        self.hooks[hook.id] = hook
        return hook

    def created(self, contact: InstanceContact) -> None:
        """Tell of a new contact, unless nothing is known of it."""
        if contact.id not in self._instance.anonymous:
            self._tell("mautic.lead_post_save_new", contact)

    def updated(self, contact: InstanceContact) -> None:
        """Tell of a change, unless nothing is known of the contact."""
        if contact.id not in self._instance.anonymous:
            self._tell("mautic.lead_post_save_update", contact)

    def deleted(self, contact: InstanceContact) -> None:
        """Tell of a deletion; the id stands beside the contact, which has none any more."""
        self._tell("mautic.lead_post_delete", contact)

    def _tell(self, kind: str, contact: InstanceContact) -> None:
        hooks = [one for one in self.hooks.values() if one.is_published and kind in one.triggers]
        if not hooks:
            return
        event: JsonObject = {_KIND: kind, "contact": self._instance.as_json(contact)}
        if kind == "mautic.lead_post_delete":
            event["contact"]["id"] = None
            event["id"] = contact.id
        event["timestamp"] = printed(self._clock())
        for hook in hooks:
            self._sender.send(hook, [event])
