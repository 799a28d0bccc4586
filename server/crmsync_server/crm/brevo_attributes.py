"""Which attributes a Brevo account has: a push, a reading and a question about them share them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.brevo_calls import Brevo, judge
from crmsync_server.crm.brevo_rows import attribute_types
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.replies import Reply, mappings

_MAX_AGE = timedelta(minutes=10)

Definitions = list[Mapping[str, object]]


class Attributes:
    """The attributes of one account, read again once they are old."""

    def __init__(self, brevo: Brevo) -> None:
        """Take the account's calls; nothing is called yet."""
        self._brevo = brevo
        self._held: Definitions = []
        self._read_time: datetime | None = None

    async def types(self) -> Mapping[str, str] | Faulted[Outcome]:
        """Return the type of each attribute that can be written, by name.

        Raises CredentialsRefusedError.
        """
        found = await self.definitions()
        return found if isinstance(found, Faulted) else attribute_types(found)

    async def definitions(self, *, fresh: bool = False) -> Definitions | Faulted[Outcome]:
        """Return the attributes as Brevo defines them; fresh: not those of minutes ago.

        Raises CredentialsRefusedError.
        """
        now = self._brevo.now()
        if not fresh and self._read_time is not None and now - self._read_time < _MAX_AGE:
            return self._held
        reply = await self._brevo.contacts("GET", "/attributes")
        if not isinstance(reply, Reply):
            return _unread(reply)
        if reply.status != HTTPStatus.OK or "attributes" not in reply.fields:
            verdict = judge(reply, self._brevo)
            return _unread(verdict.outcome if isinstance(verdict, Faulted) else verdict)
        self._held, self._read_time = mappings(reply.fields.get("attributes")), now
        return self._held


def _unread(why: Outcome) -> Faulted[Outcome]:
    """Return what ends before it could begin: whatever the fault, nothing was sent."""
    if isinstance(why, Postponed):
        return Faulted(why)
    words = why.message if isinstance(why, Retry | Unknown | Rejected) else ""
    return Faulted(Retry("ATTRIBUTES_UNKNOWN", f"Brevo's attributes are unknown: {words}"[:500]))
