"""Delivers a batch to a portal: updates where the record is known, upserts by email elsewhere."""

from collections.abc import Sequence

from crmsync_server.crm import hubspot_limits as limits
from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.hubspot_day import BUCKETS
from crmsync_server.crm.hubspot_errors import Result
from crmsync_server.crm.hubspot_portal import Portal
from crmsync_server.crm.hubspot_reads import Record, holders
from crmsync_server.crm.hubspot_replies import answer
from crmsync_server.crm.hubspot_writes import Write, body, calls, path
from crmsync_server.crm.outcomes import Outcome, Skipped, SkipReason
from crmsync_server.crm.replies import Reply


class Push:
    """One push under way."""

    def __init__(self, portal: Portal, guard: Guard) -> None:
        """Take the portal, and what bounds the time."""
        self._portal = portal
        self._guard = guard

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Deliver a batch; one outcome each. Raises CredentialsRefusedError."""
        outcomes: dict[int, Outcome] = {}
        await self._portal.prepare()
        writes = await self._portal.writes(batch, self._guard)
        if isinstance(writes, Faulted):
            sendable = [at for at, one in enumerate(batch) if deliverable(one.email)]
            outcomes.update(dict.fromkeys(sendable, writes.outcome))
        pending: Sequence[Write] = [] if isinstance(writes, Faulted) else writes
        while pending:
            aimed, later = await self._aimed(pending, outcomes)
            pending = [*await self._round(aimed, outcomes), *later]
        self._guard.conclude(outcomes.values())
        skipped = Skipped(SkipReason.NO_EMAIL)
        return [outcomes.get(at, skipped) for at in range(len(batch))]

    async def _aimed(
        self, writes: Sequence[Write], outcomes: dict[int, Outcome]
    ) -> tuple[list[Write], list[Write]]:
        """Return the writes, aimed at the records that must be looked for and are there.

        Apart from them those that must wait: what an earlier one creates is there for them too.
        """
        unsure = {write.position for write in writes if self._portal.must_look_up(write)}
        emails = sorted({write.email for write in writes if write.position in unsure})
        found = dict(zip(emails, await deliver(emails, self._look_up), strict=True))
        aimed: list[Write] = []
        later: list[Write] = []
        for write in writes:
            match found.get(write.email) if write.position in unsure else None:
                case None if write.position in unsure and _is_created_by(aimed, write.email):
                    later.append(write.again())
                case None:
                    aimed.append(write)
                case Record(id=record_id):
                    aimed.append(write.found(record_id))
                case outcome:
                    outcomes[write.position] = outcome
        return aimed, later

    async def _look_up(self, emails: Sequence[str]) -> Answer[Record | Outcome | None]:
        """Return the record of each address; None where there is none, or it is refused alone."""
        read = self._portal.records.read
        answer: list[Record] | Refused[None] | Faulted[Outcome]
        answer = await self._guard.call(lambda: read(emails, (), by_email=True))
        if isinstance(answer, Faulted):
            return Faulted(answer.outcome)
        if isinstance(answer, Refused):
            return Refused(None)
        holder_of = holders(answer)
        return [holder_of.get(email) for email in emails]

    async def _round(self, writes: Sequence[Write], outcomes: dict[int, Outcome]) -> list[Write]:
        """Make the calls for these writes; returns the ones that must go another way."""
        turned: list[Write] = []
        for call in calls(writes):
            for write, result in zip(call, await deliver(call, self._send), strict=True):
                if isinstance(result, Write):
                    turned.append(result)
                else:
                    outcomes[write.position] = result
        return turned

    async def _send(self, call: Sequence[Write]) -> Answer[Result]:
        return await self._guard.call(lambda: self._answer(call))

    async def _answer(
        self, call: Sequence[Write]
    ) -> Sequence[Result] | Refused[Result] | Faulted[Outcome]:
        reply = await self._portal.caller.call("POST", path(call), buckets=BUCKETS, json=body(call))
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status not in limits.WAITING:
            return answer(call, reply)
        postponed = await self._portal.postponed(reply)
        # A lock holds only the records of this call; anything else holds the whole account.
        return Faulted(postponed) if postponed.lane else [postponed] * len(call)


def _is_created_by(writes: Sequence[Write], email: str) -> bool:
    return any(write.email == email and not write.record_id for write in writes)
