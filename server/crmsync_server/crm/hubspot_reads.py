"""Asks HubSpot which contacts it has, and what it holds of them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Caller
from crmsync_server.crm.hubspot_errors import credentials_error, is_not_found
from crmsync_server.crm.hubspot_limits import WAITING
from crmsync_server.crm.hubspot_times import instant
from crmsync_server.crm.hubspot_writes import CONTACTS, Write, properties
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced
from crmsync_server.crm.replies import Reply, brief, mapping, mappings, text

READ = f"{CONTACTS}/batch/read"
_EMAILS = ("email", "hs_additional_emails")
_READ_STATUS = frozenset({HTTPStatus.OK, HTTPStatus.MULTI_STATUS})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Record:
    """A contact as HubSpot holds it.

    emails: its primary address and its further ones, in lower case.
    modified_time: when it last changed; None where HubSpot does not tell.
    """

    id: str
    emails: frozenset[str]
    properties: Mapping[str, object]
    modified_time: datetime | None = None

    def holds(self, write: Write) -> bool:
        """Tell whether every value of a write is there, cleared ones included.

        Values are compared as they were sent: a value that HubSpot changes counts as missing.
        """
        kept = write.keep_email and write.record_id == self.id
        return (kept or write.email in self.emails) and all(
            text(self.properties.get(name.lower())) == value
            for name, value in properties(write).items()
            if name != "email"
        )


class Records:
    """The contacts of one portal."""

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

    async def read(
        self, keys: Iterable[str], names: Iterable[str], *, by_email: bool
    ) -> list[Record] | Refused[None] | Faulted[Outcome]:
        """Return those that exist, in any order, with these properties; one call at most.

        Args:
            keys: a hundred record ids at most, or addresses where `by_email`.
            names: of properties.
            by_email: whether the keys are addresses, primary or further ones.

        Raises:
            CredentialsRefusedError: HubSpot refuses the token.
        """
        inputs = [{"id": key} for key in sorted(set(keys))]
        if not inputs:
            return []
        shown = sorted({*_EMAILS, *(name.lower() for name in names)})
        by = {"idProperty": "email"} if by_email else {}
        body = {"inputs": inputs, "properties": shown, **by}
        reply = await self._caller.call("POST", READ, buckets=self._buckets, json=body)
        return await self._records(reply)

    async def _records(
        self, reply: Reply | Outcome
    ) -> list[Record] | Refused[None] | Faulted[Outcome]:
        match reply:
            case Postponed():
                return Faulted(reply)
            case Reply(status=status) if status in _READ_STATUS and "results" in reply.fields:
                return list(map(_record, _live(reply)))
            case Reply(status=HTTPStatus.NOT_FOUND) if is_not_found(reply.fields):
                return []
            case Reply(status=status) if status in _REFUSED:
                raise credentials_error(reply)
            case Reply(status=status) if status in WAITING:
                return Faulted(await self._wait(reply))
            case Reply(status=HTTPStatus.BAD_REQUEST) if reply.fields:
                return Refused(None)
        said = reply.text if isinstance(reply, Reply) else getattr(reply, "message", "")
        # Only a question was asked: whatever the fault, nothing was written.
        return Faulted(Retry("RECORDS_UNREAD", brief(f"HubSpot's records are unknown: {said}")))


def _live(reply: Reply) -> Iterable[Mapping[str, object]]:
    return (one for one in mappings(reply.fields["results"]) if one.get("archived") is not True)


def _record(result: Mapping[str, object]) -> Record:
    held = mapping(result.get("properties"))
    emails = ";".join(text(held.get(name)) for name in _EMAILS).lower().split(";")
    changed = instant(result.get("updatedAt"))
    addresses = frozenset(e.strip() for e in emails if e.strip())
    return Record(text(result.get("id")), addresses, held, changed)


def holders(records: Iterable[Record]) -> dict[str, Record]:
    """Return records by each of their addresses."""
    return {email: record for record in records for email in record.emails}


async def found_back(records: Records, writes: Sequence[Write]) -> dict[int, Synced]:
    """Return the writes that HubSpot already holds, by position.

    Looks for a known record by its id first, as the write did, and then by address. A fault ends
    the search; what was found before counts. Raises CredentialsRefusedError.
    """
    found: dict[int, Synced] = {}
    names = {name for write in writes for name in properties(write)}
    by_id = {write.record_id for write in writes if write.record_id}
    known = await records.read(by_id, names, by_email=False)
    if not isinstance(known, list):
        return found
    record_of = {record.id: record for record in known}
    gone = [write for write in writes if write.record_id not in record_of]
    others = await records.read({write.email for write in gone}, names, by_email=True)
    holder_of = holders(others if isinstance(others, list) else [])
    for write in writes:
        record = record_of.get(write.record_id) or holder_of.get(write.email)
        if record is not None and record.holds(write):
            synced = Synced(record.id, note=write.note, modified_time=record.modified_time)
            found[write.position] = synced
    return found
