"""What HubSpot's search knows of a portal: every contact as it was a little while ago.

A change shows up in search once the index has caught up with it. Until then a new contact is not
found, and a changed one is found, and shown, with its old values. Deletions show at once.
"""

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from crmsync_server.sandbox.clock import Clock, isoformat
from crmsync_server.sandbox.hubspot_portal import Portal, PortalContact
from crmsync_server.sandbox.timeline import Timeline


class SearchIndex:
    """Follows a portal at a distance of `lag`."""

    def __init__(self, portal: Portal, clock: Clock, lag: timedelta) -> None:
        """Follow this portal."""
        self.lag = lag
        self.modified = Timeline()
        """By when the values that search shows were written, in milliseconds since 1970."""
        self.made = Timeline()
        """By when they were created, likewise."""
        self._portal = portal
        self._clock = clock
        self._shown: dict[int, PortalContact] = {}
        self._awaited: deque[tuple[datetime, PortalContact]] = deque()
        self._changes_awaited: dict[int, int] = {}
        portal.watchers.append(self)

    def catch_up(self) -> None:
        """Take in the changes that are old enough by now."""
        now = self._clock()
        while self._awaited and self._awaited[0][0] <= now:
            _, contact = self._awaited.popleft()
            self._take_in(contact)

    def is_behind(self) -> bool:
        """Tell whether there are changes that search does not show yet."""
        self.catch_up()
        return bool(self._awaited)

    def contact(self, number: int) -> PortalContact:
        """Return a contact as search shows it."""
        return self._shown.get(number) or self._portal.contacts[str(number)]

    def created(self, contact: PortalContact) -> None:
        """Take a new contact in later."""
        self._await(contact)

    def seeded(self, contacts: list[PortalContact]) -> None:
        """Take contacts in at once, as if they had been there for long."""
        self.modified.fill((int(one.id), epoch_milliseconds(one.updated_at)) for one in contacts)
        self.made.fill((int(one.id), epoch_milliseconds(one.created_at)) for one in contacts)

    def updated(self, contact: PortalContact, before: dict[str, str]) -> None:
        """Go on to show what a contact was, until its change is old enough."""
        number = int(contact.id)
        instant = self.modified.instants.get(number)
        if instant is not None and number not in self._shown and self.lag:
            stamp = isoformat(datetime.fromtimestamp(instant / 1000, tz=UTC))
            self._shown[number] = replace(contact, properties=before, updated_at=stamp)
        self._await(contact)

    def archived(self, contact: PortalContact) -> None:
        """Forget a contact at once."""
        number = int(contact.id)
        self._shown.pop(number, None)
        self.modified.discard(number)
        self.made.discard(number)

    def merged(self, survivor: PortalContact, primary: PortalContact, other: PortalContact) -> None:
        """Forget those that are gone at once; the one that is left is taken in later."""
        self.archived(other)
        if survivor.id == primary.id:
            self.updated(survivor, primary.properties)
        else:
            self.archived(primary)
            self._await(survivor)

    def cleared(self) -> None:
        """Forget everything."""
        self.modified, self.made = Timeline(), Timeline()
        self._shown.clear()
        self._awaited.clear()
        self._changes_awaited.clear()

    def _await(self, contact: PortalContact) -> None:
        number = int(contact.id)
        self._changes_awaited[number] = self._changes_awaited.get(number, 0) + 1
        if self.lag:
            self._awaited.append((self._clock() + self.lag, replace(contact)))
        else:
            self._take_in(contact)

    def _take_in(self, contact: PortalContact) -> None:
        number = int(contact.id)
        awaited = self._changes_awaited.pop(number) - 1
        if awaited:
            self._changes_awaited[number] = awaited
        if self._portal.contacts[contact.id].archived:
            return
        if awaited:
            self._shown[number] = contact
        else:
            self._shown.pop(number, None)
        self.modified.put(number, epoch_milliseconds(contact.updated_at))
        self.made.put(number, epoch_milliseconds(contact.created_at))


@lru_cache(maxsize=4096)
def epoch_milliseconds(text: str) -> int:
    """Return the milliseconds since 1970 of an instant as HubSpot prints it."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
