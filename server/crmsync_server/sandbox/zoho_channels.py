"""Zoho's notification channels: who is told of changes, until when, and what they are told.

Nothing is signed: a receiver knows Zoho by the token that it chose. A notification names contacts
and fields, and has values only where they were asked for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.webhooks import Message, Sender, Sent
from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_organization import Organization

Operation: TypeAlias = Literal["insert", "update", "delete"]
EVENTS: Mapping[str, Operation] = {"create": "insert", "edit": "update", "delete": "delete"}
MODULE_ID = "554023000000002179"


@dataclass(slots=True, eq=False)
class Channel:
    """Where to tell of which changes to contacts, and until when."""

    id: str
    events: tuple[str, ...]
    url: str
    expires: datetime
    token: str | None
    with_values: bool
    base_url: str

    @property
    def max_events(self) -> int:
        """How many notifications go into one post."""
        return 1

    def compose(self, events: list[JsonObject], attempt: int) -> Message:
        """Write a post."""
        del attempt
        return Message(json.dumps(events[0]).encode(), {})

    def answered(self, sent: Sent) -> None:
        """Do nothing: Zoho goes on sending."""

    def wants(self, operation: Operation) -> bool:
        """Say whether the channel is told of this."""
        words = {event.partition(".")[2] for event in self.events}
        return "all" in words or any(EVENTS.get(word) == operation for word in words)


class Channels:
    """Keeps the channels, and writes what they are told."""

    def __init__(self, organization: Organization, faults: FaultDial, sender: Sender) -> None:
        """Tell of changes to this organization; the dial decides which notifications are lost."""
        self._organization = organization
        self._faults = faults
        self._sender = sender
        self.clear()

    def clear(self) -> None:
        """Forget all channels."""
        self.channels: dict[str, Channel] = {}

    def open(self) -> dict[str, Channel]:
        """Return the channels that have not expired."""
        now = self._organization.now()
        return {key: one for key, one in self.channels.items() if one.expires > now}

    def tell(self, operation: Operation, changed: Mapping[int, list[str]]) -> None:
        """Tell of contacts that were changed together, each with the fields concerned."""
        if not changed:
            return
        for channel in self.open().values():
            lost = self._faults.happens(self._faults.settings.lost_notification_rate)
            if channel.wants(operation) and not lost:
                self._sender.send(channel, [self._body(channel, operation, changed)])

    def _body(
        self, channel: Channel, operation: Operation, changed: Mapping[int, list[str]]
    ) -> JsonObject:
        held = self._organization.live.contacts
        values = [
            {
                "record_id": str(one),
                "values": {name: held[one].values.get(name) for name in names},
            }
            for one, names in changed.items()
            if channel.with_values and one in held
        ]
        return {
            "server_time": int(self._organization.now().timestamp() * 1000),
            "affected_values": values,
            "query_params": {},
            "module": "Contacts",
            "resource_uri": f"{channel.base_url}/crm/v8/Contacts",
            "ids": [str(one) for one in changed],
            "affected_fields": [{str(one): names} for one, names in changed.items()],
            "operation": operation,
            "channel_id": channel.id,
            "token": channel.token,
        }
