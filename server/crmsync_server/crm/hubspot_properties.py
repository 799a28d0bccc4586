"""Which contact properties a portal has: HubSpot refuses a whole record for one that it has not."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Caller
from crmsync_server.crm.hubspot_errors import credentials_error
from crmsync_server.crm.hubspot_limits import WAITING
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry
from crmsync_server.crm.replies import Reply, mapping, mappings, text

PROPERTIES = "/crm/v3/properties/contacts"
_MAX_AGE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the properties that can be written, in lower case as HubSpot keeps them.

    known: None where the token may not read them: then every name is taken for one.
    readable: with those that HubSpot computes besides; None likewise.
    custom: those that the organization made, as far as is known.
    """

    known: frozenset[str] | None = None
    readable: frozenset[str] | None = None
    custom: frozenset[str] = frozenset()

    def kept(self, properties: Mapping[str, str]) -> Mapping[str, str]:
        """Return the properties that the portal has, under its names for them."""
        if self.known is None:
            return properties
        lowered = {name.lower(): value for name, value in properties.items()}
        return {name: value for name, value in lowered.items() if name in self.known}

    def note(self, properties: Mapping[str, str]) -> str:
        """Say which properties the portal does not have; empty when it has all."""
        known = self.known
        left_out = [] if known is None else [n for n in properties if n.lower() not in known]
        return f"not sent, HubSpot has no place for it: {', '.join(left_out)}" if left_out else ""


class PropertyNames:
    """The names of one portal, read again once they are old."""

    def __init__(
        self,
        caller: Caller,
        buckets: Sequence[str],
        wait: Callable[[Reply], Awaitable[Postponed]],
    ) -> None:
        """Nothing is called yet.

        Args:
            caller: the portal's.
            buckets: what each call takes from.
            wait: reads until when a reply with one of `hubspot_limits.WAITING` asks to wait.
        """
        self._caller = caller
        self._buckets = buckets
        self._wait = wait
        self._names = Names()
        self._read_time: datetime | None = None

    async def read(self) -> Names | Faulted[Outcome]:
        """Return the names, or what a push ends in that cannot tell what to send.

        Raises:
            CredentialsRefusedError: HubSpot refuses the token itself.
        """
        now = self._caller.tools.clock()
        if self._read_time is not None and now - self._read_time < _MAX_AGE:
            return self._names
        reply = await self._caller.call("GET", PROPERTIES, buckets=self._buckets)
        match reply:
            case Postponed():
                return Faulted(reply)
            case Reply(status=HTTPStatus.OK) if "results" in reply.fields:
                self._names = _names(reply.fields)
            case Reply(status=HTTPStatus.FORBIDDEN):  # contacts may be open to it all the same
                self._names = Names()
            case Reply(status=HTTPStatus.UNAUTHORIZED):
                raise credentials_error(reply)
            case Reply() if reply.status in WAITING:
                return Faulted(await self._wait(reply))
            case _:
                said = reply.text if isinstance(reply, Reply) else reply.message
                message = f"HubSpot's properties are unknown: {said}"[:500]
                return Faulted(Retry("PROPERTIES_UNKNOWN", message))
        self._read_time = now
        return self._names


def _names(body: Mapping[str, object]) -> Names:
    """Read GET /crm/v3/properties/contacts; what HubSpot computes can be read alone."""
    entries = {text(one.get("name")).lower(): one for one in mappings(body["results"])}
    return Names(
        frozenset(name for name, entry in entries.items() if not is_read_only(entry)),
        frozenset(entries),
        frozenset(name for name, entry in entries.items() if is_custom(entry)),
    )


def is_read_only(entry: Mapping[str, object]) -> bool:
    """Tell whether HubSpot alone writes a property."""
    return mapping(entry.get("modificationMetadata")).get("readOnlyValue") is True


def is_custom(entry: Mapping[str, object]) -> bool:
    """Tell whether the organization made a property."""
    return entry.get("hubspotDefined") is not True
