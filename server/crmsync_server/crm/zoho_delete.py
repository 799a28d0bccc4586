"""Removes contacts from one Zoho: into its recycle bin, a hundred in a call.

A reply tells of each record by its place. What it says of a record that is gone is also what it
says of one that it does not let go: so those are looked at again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.outcomes import Outcome, Rejected, Retry, Synced
from crmsync_server.crm.replies import Reply, text
from crmsync_server.crm.zoho_calls import CONTACTS, Call
from crmsync_server.crm.zoho_errors import code, entries, outcome_of, verdict
from crmsync_server.crm.zoho_limits import credits_for
from crmsync_server.crm.zoho_options import MAX_BATCH
from crmsync_server.crm.zoho_push import STARTING, Office

_WORKFLOW = "workflow"


class Delete:
    """One batch of removals under way."""

    def __init__(self, office: Office) -> None:
        """Take what it works with; nothing is called yet."""
        self._office = office
        self._guard = Guard(office.zoho.now, STARTING)

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Remove the records; one outcome each. Raises CredentialsRefusedError."""
        outcomes: dict[int, Outcome] = {}
        targets = await self._found(batch, outcomes)
        records = list(dict.fromkeys(targets.values()))
        ended: dict[str, Outcome] = {}
        for start in range(0, len(records), MAX_BATCH):
            call = records[start : start + MAX_BATCH]
            ended |= dict(zip(call, await deliver(call, self._send), strict=True))
        ended |= await self._looked_at(ended)
        outcomes |= {at: ended[record_id] for at, record_id in targets.items()}
        self._guard.conclude(outcomes.values())
        return [outcomes[at] for at in range(len(batch))]

    async def _found(
        self, batch: Sequence[Delivery], outcomes: dict[int, Outcome]
    ) -> dict[int, str]:
        """Return the records of the deliveries; where there is none, it is gone."""
        targets: dict[int, str] = {}
        unlinked: dict[int, str] = {}
        for at, one in enumerate(batch):
            record_id = one.crm_contact_id or ""
            if record_id.isascii() and record_id.isdecimal():
                targets[at] = record_id
            elif record_id:
                outcomes[at] = Synced(record_id)
            else:
                unlinked[at] = deliverable(one.email)
        emails = [email for email in unlinked.values() if email]
        found = await self._guard.call(lambda: self._holders(emails)) if emails else {}
        for at, email in unlinked.items():
            if isinstance(found, Faulted) and email:
                outcomes[at] = found.outcome
            elif isinstance(found, Faulted) or email not in found:
                outcomes[at] = Synced("")
            else:
                targets[at] = found[email]
        return targets

    async def _holders(self, emails: Sequence[str]) -> dict[str, str] | Faulted[Outcome]:
        found = await self._office.reads.holders(emails)
        return found if isinstance(found, dict) else Faulted(found)

    async def _send(self, call: Sequence[str]) -> Answer[Outcome]:
        return await self._guard.call(lambda: self._answer(call))

    async def _answer(self, call: Sequence[str]) -> Answer[Outcome]:
        zoho, trigger = self._office.zoho, self._office.writing.trigger
        told = trigger is None or _WORKFLOW in trigger
        params = {"ids": ",".join(call), "wf_trigger": "true" if told else "false"}
        reply = await zoho.call(Call("DELETE", CONTACTS, credits_for(len(call)), params=params))
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if found := entries(reply):
            return self._account(call, found)
        judged = verdict(reply, zoho.now())
        return judged if isinstance(judged, Faulted) else Refused(judged.alone)

    def _account(self, call: Sequence[str], found: Sequence[Mapping[str, object]]) -> list[Outcome]:
        now = self._office.zoho.now()
        missing = Retry("UNACCOUNTED", "Zoho's reply does not account for this record")
        if len(found) > len(call):
            return [missing] * len(call)
        told = [_result(one, entry, now) for one, entry in zip(call, found, strict=False)]
        return [*told, *[missing] * (len(call) - len(found))]

    async def _looked_at(self, ended: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Return those of the refused records that are gone; refused is what is still there."""
        refused = [one for one, outcome in ended.items() if isinstance(outcome, Rejected)]
        if not refused:
            return {}
        there = await self._guard.call(lambda: self._there(refused))
        if isinstance(there, Faulted):
            return dict.fromkeys(refused, there.outcome)
        return {one: Synced(one) for one in refused if one not in there}

    async def _there(self, ids: Sequence[str]) -> frozenset[str] | Faulted[Outcome]:
        found = await self._office.reads.by_ids(ids, ["id"])
        return frozenset(found) if isinstance(found, dict) else Faulted(found)


def _result(record_id: str, entry: Mapping[str, object], now: datetime) -> Outcome:
    if code(entry) == "SUCCESS" and text(entry.get("status")).lower() != "error":
        return Synced(record_id)
    return outcome_of(entry, now)
