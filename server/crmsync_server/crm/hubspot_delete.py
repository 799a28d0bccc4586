"""Removes the records of contacts from a portal: into its recycle bin, a hundred in a call.

HubSpot answers 204 whatever the records' state was, gone ones and unknown ids included. The id of a
contact that was merged away says nothing there, so the ids are followed to who is left first.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from uuid import UUID

from crmsync_server.crm import hubspot_limits as limits
from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.hubspot_day import BUCKETS
from crmsync_server.crm.hubspot_lookup import living
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_reads import Record, holders
from crmsync_server.crm.hubspot_records import MERGED
from crmsync_server.crm.hubspot_replies import answer
from crmsync_server.crm.hubspot_writes import CONTACTS, MAX_BATCH, Write
from crmsync_server.crm.outcomes import Outcome, Synced
from crmsync_server.crm.replies import Reply, text

_ARCHIVE = f"{CONTACTS}/batch/archive"
_NOBODY = Delivery(UUID(int=0), 0, None, "")


class Delete:
    """One batch of removals under way."""

    def __init__(self, portal: Portal, guard: Guard) -> None:
        """Take the portal, and what bounds the time."""
        self._portal = portal
        self._guard = guard

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Remove the records; one outcome each. Raises CredentialsRefusedError."""
        await self._portal.prepare()
        outcomes: dict[int, Outcome] = {}
        targets: dict[int, str] = {}
        for start in range(0, len(batch), MAX_BATCH):
            some = dict(enumerate(batch[start : start + MAX_BATCH], start))
            targets |= await self._found(some, outcomes)
        records = list(dict.fromkeys(targets.values()))
        ended: dict[str, Outcome] = {}
        for start in range(0, len(records), MAX_BATCH):
            call = records[start : start + MAX_BATCH]
            ended |= dict(zip(call, await deliver(call, self._send), strict=True))
        outcomes |= {at: ended[record_id] for at, record_id in targets.items()}
        self._guard.conclude(outcomes.values())
        return [outcomes[at] for at in range(len(batch))]

    async def _found(
        self, some: Mapping[int, Delivery], outcomes: dict[int, Outcome]
    ) -> dict[int, str]:
        """Return the records that are there; what is gone, or cannot be known, has its outcome."""
        linked = {at: one.crm_contact_id for at, one in some.items() if one.crm_contact_id}
        unlinked = {at: deliverable(one.email) for at, one in some.items() if at not in linked}
        by_id = await self._guard.call(lambda: self._living(sorted(set(linked.values()))))
        found: dict[int, str] = {}
        for at, record_id in linked.items():
            if isinstance(by_id, Faulted):
                outcomes[at] = by_id.outcome
            elif record_id in by_id:
                found[at] = by_id[record_id]
            else:
                outcomes[at] = Synced(record_id)
        emails = sorted({email for email in unlinked.values() if email})
        by_email = dict(zip(emails, await deliver(emails, self._look_up), strict=True))
        for at, email in unlinked.items():
            match by_email.get(email):
                case None:
                    outcomes[at] = Synced("")
                case Record(id=record_id):
                    found[at] = record_id
                case outcome:
                    outcomes[at] = outcome
        return found

    async def _living(self, ids: Sequence[str]) -> dict[str, str] | Faulted[Outcome]:
        # An id of another form was never HubSpot's, and would sink the whole question.
        known = [one for one in ids if one.isascii() and one.isdecimal()]
        found = await living(self._portal, known, [MERGED]) if known else {}
        if not isinstance(found, dict):
            return Faulted(found)
        return {one: text(result.get("id")) for one, result in found.items()}

    async def _look_up(self, emails: Sequence[str]) -> Answer[Record | Outcome | None]:
        """Return the record of each address; None where there is none, or it is refused alone."""
        read = self._portal.records.read
        found: list[Record] | Refused[None] | Faulted[Outcome]
        found = await self._guard.call(lambda: read(emails, (), by_email=True))
        if isinstance(found, Faulted):
            return Faulted(found.outcome)
        if isinstance(found, Refused):
            return Refused(None)
        holder_of = holders(found)
        return [holder_of.get(email) for email in emails]

    async def _send(self, call: Sequence[str]) -> Answer[Outcome]:
        return await self._guard.call(lambda: self._answer(call))

    async def _answer(self, call: Sequence[str]) -> Answer[Outcome]:
        json = {"inputs": [{"id": record_id} for record_id in call]}
        reply = await self._portal.caller.call("POST", _ARCHIVE, buckets=BUCKETS, json=json)
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status == HTTPStatus.NO_CONTENT:
            return [Synced(record_id) for record_id in call]
        if reply.status not in limits.WAITING:
            return _refusal(call, reply)
        postponed = await self._portal.postponed(reply)
        return Faulted(postponed) if postponed.lane else [postponed] * len(call)


def _refusal(call: Sequence[str], reply: Reply) -> Answer[Outcome]:
    """Read what is no 204, as of an update of these records; one that is not found is gone."""
    writes = [Write(at, _NOBODY, "", record_id) for at, record_id in enumerate(call)]
    found = answer(writes, reply)
    if isinstance(found, Faulted):
        return found
    if isinstance(found, Refused):
        culprits = {at: _ended(one, call[at]) for at, one in found.culprits.items()}
        return Refused(_ended(found.alone, call[0]), culprits)
    return [_ended(one, record_id) for one, record_id in zip(found, call, strict=True)]


def _ended(result: Outcome | Write, record_id: str) -> Outcome:
    return Synced(record_id) if isinstance(result, Write) else result
