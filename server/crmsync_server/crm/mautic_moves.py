"""Contacts whose address has changed: a batch would find nobody under the new one, and add them.

Their records are changed one by one instead. A record whose new address is taken is left alone:
to change it would merge it into the other. Where the holder waits for an address as well, as when
two contacts swap theirs, each is written to the holder of its address, as every batch does, and
each record so gets the right values. Any other holder may be somebody else's record, and its values
with it: such a contact is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.mautic_calls import CONTACTS, Contacts, Mautic
from crmsync_server.crm.mautic_errors import verdict
from crmsync_server.crm.mautic_replies import held
from crmsync_server.crm.mautic_rows import Row, body, email_of
from crmsync_server.crm.outcomes import Outcome, Rejected, Synced
from crmsync_server.crm.replies import Reply, mapping

_TAKEN = Rejected("EMAIL_TAKEN", "another of Mautic's contacts has this email")


@dataclass(frozen=True, slots=True)
class Moved:
    """Outcomes by position, and the rows that a batch is to write."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    rest: list[Row] = field(default_factory=list)


class Moves:
    """The changes of address of one push."""

    def __init__(self, mautic: Mautic, guard: Guard) -> None:
        """Take the calls, and what stops them."""
        self._mautic = mautic
        self._guard = guard

    async def run(self, rows: Sequence[Row]) -> Moved:
        """Change the records of the rows that have moved; one call for each, after two to look."""
        known = [row for row in rows if row.record_id]
        ids = [row.record_id for row in known]
        records = await self._find("id", ids) if ids else {}
        if isinstance(records, Faulted):
            return _faulted(rows, known, records)
        former = {str(number): email_of(contact) for number, contact in records.items()}
        moving = [row for row in known if former.get(row.record_id, row.email) != row.email]
        holders = await self._find("email", [row.email for row in moving]) if moving else {}
        if isinstance(holders, Faulted):
            return _faulted(rows, moving, holders)
        taken = {email_of(contact) for contact in holders.values()}
        return await self._change(rows, moving, former, taken)

    async def _change(
        self, rows: Sequence[Row], moving: list[Row], former: dict[str, str], taken: set[str]
    ) -> Moved:
        outcomes: dict[int, Outcome] = {}
        # A record that moves on may free the address that another one of the batch waits for.
        while free := next((row for row in moving if row.email not in taken), None):
            moving.remove(free)
            outcome = await self._edit(free)
            if outcome is None:
                continue
            outcomes[free.positions[0]] = outcome
            if isinstance(outcome, Synced):
                taken.discard(former[free.record_id])
                taken.add(free.email)
                # Two contacts that shared a record part here: only one of them can keep it.
                moving = [row for row in moving if row.record_id != free.record_id]
        outcomes |= _refused(moving, former)
        rest = [row for row in rows if row.positions[0] not in outcomes]
        return Moved(outcomes, rest)

    async def _edit(self, row: Row) -> Outcome | None:
        """Change one record; None when it is gone."""

        async def send() -> Outcome | Faulted[Outcome] | None:
            path = f"{CONTACTS}/{row.record_id}/edit"
            reply = await self._mautic.call("PATCH", path, json=body(row))
            if not isinstance(reply, Reply):
                return Faulted(reply)
            if reply.status == HTTPStatus.OK and "contact" in reply.fields:
                return held(row, mapping(reply.fields.get("contact")))
            if reply.status == HTTPStatus.NOT_FOUND and reply.fields:
                return None
            found = verdict(reply, self._mautic.now())
            return found if isinstance(found, Faulted) else found.alone

        answer: Outcome | Faulted[Outcome] | None = await self._guard.call(send)
        return answer.outcome if isinstance(answer, Faulted) else answer

    async def _find(self, column: str, values: list[str]) -> Contacts | Faulted[Outcome]:
        return await self._guard.call(lambda: self._mautic.find(column, values))


def _refused(stuck: Sequence[Row], former: Mapping[str, str]) -> dict[int, Outcome]:
    """Return the outcomes of those whose address is held by a record that waits for none."""
    outcomes: dict[int, Outcome] = {}
    waiting = list(stuck)
    while True:
        freed = {former[row.record_id] for row in waiting}
        lost = [row for row in waiting if row.email not in freed]
        if not lost:
            return outcomes
        outcomes |= dict.fromkeys((row.positions[0] for row in lost), _TAKEN)
        waiting = [row for row in waiting if row.email in freed]


def _faulted(rows: Sequence[Row], concerned: Sequence[Row], fault: Faulted[Outcome]) -> Moved:
    """Return the fault for the rows that it concerns; the others are to be written all the same."""
    outcomes = {row.positions[0]: fault.outcome for row in concerned}
    return Moved(outcomes, [row for row in rows if row.positions[0] not in outcomes])
