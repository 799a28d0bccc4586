"""Removes contacts from a Mautic, many in a call.

Mautic's answer shows the contacts as they were before, and its errors have places whose meaning
differs between versions. So where it tells of errors, what is still there is looked for.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.bisect import Answer, deliver
from crmsync_server.crm.emails import deliverable
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.mautic_calls import CONTACTS, Contacts, Mautic
from crmsync_server.crm.mautic_errors import outcome_of, verdict
from crmsync_server.crm.mautic_push import STARTING
from crmsync_server.crm.mautic_replies import indexed
from crmsync_server.crm.mautic_rows import email_of
from crmsync_server.crm.outcomes import Outcome, Rejected, Retry, Synced
from crmsync_server.crm.replies import Reply

_BATCH = f"{CONTACTS}/batch/delete"
_ACCOUNTS = frozenset({"contacts", "errors"})


class Delete:
    """One batch of removals under way."""

    def __init__(self, mautic: Mautic) -> None:
        """Take the instance; nothing is called yet."""
        self._mautic = mautic
        self._guard = Guard(mautic.now, STARTING)

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Remove the records; one outcome each. Raises CredentialsRefusedError."""
        outcomes: dict[int, Outcome] = {}
        targets = await self._found(batch, outcomes)
        records = list(dict.fromkeys(targets.values()))
        ended: dict[str, Outcome] = {}
        portion = self._mautic.portion
        for start in range(0, len(records), portion):
            call = records[start : start + portion]
            ended |= dict(zip(call, await deliver(call, self._send), strict=True))
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
        found: Contacts | Faulted[Outcome] = {}
        if emails:
            found = await self._guard.call(lambda: self._mautic.find("email", emails))
        # The newest comes last, and stays: Mautic too writes to that one.
        shown = {} if isinstance(found, Faulted) else found
        newest = {email_of(shown[number]): str(number) for number in sorted(shown)}
        for at, email in unlinked.items():
            if isinstance(found, Faulted) and email:
                outcomes[at] = found.outcome
            elif email and email in newest:
                targets[at] = newest[email]
            else:
                outcomes[at] = Synced("")
        return targets

    async def _send(self, call: Sequence[str]) -> Answer[Outcome]:
        return await self._guard.call(lambda: self._answer(call))

    async def _answer(self, call: Sequence[str]) -> Answer[Outcome]:
        reply = await self._mautic.call("DELETE", _BATCH, params={"ids": ",".join(call)})
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status != HTTPStatus.OK or not _ACCOUNTS & reply.fields.keys():
            return verdict(reply, self._mautic.now())
        errors = indexed(reply.fields.get("errors"))
        if not errors:
            return [Synced(record_id) for record_id in call]
        return await self._account(call, errors)

    async def _account(
        self, call: Sequence[str], errors: Mapping[int, Mapping[str, object]]
    ) -> Answer[Outcome]:
        """Return what became of each: what is not there any more is gone, whatever was said."""
        there = await self._mautic.find("id", call)
        if isinstance(there, Faulted):
            return there
        told = next(iter(errors.values()))
        return [
            _left(errors.get(at, told)) if int(record_id) in there else Synced(record_id)
            for at, record_id in enumerate(call)
        ]


def _left(error: Mapping[str, object]) -> Outcome:
    outcome = outcome_of(error)
    if isinstance(outcome, Rejected | Retry):
        return outcome
    return Retry("UNACCOUNTED", "Mautic left the contact where it is, and does not say why")
