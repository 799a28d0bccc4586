"""Finds out what became of an import, record by record.

A completed import says nothing about a single row. The reports name the refused ones; the
others must be seen in the account, or they count as not delivered.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

from crmsync_server.crm.brevo_calls import Brevo, judge
from crmsync_server.crm.brevo_import import Ticket
from crmsync_server.crm.brevo_reports import refusals
from crmsync_server.crm.brevo_rows import Row, holds
from crmsync_server.crm.fanout import fan_out
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Synced, Unknown
from crmsync_server.crm.replies import Reply, mappings, text

_PAGE = 1000
# Others may change contacts by the million meanwhile; a page is only worth so much reading.
_MAX_PAGES = 50
_LOOKED = frozenset({HTTPStatus.OK, HTTPStatus.NOT_FOUND})
_ENDED = frozenset({"failed", "cancelled"})


class Settlement:
    """One settle of one import."""

    def __init__(self, brevo: Brevo, ticket: Ticket, guard: Guard) -> None:
        """Take the calls, the import and what bounds the time."""
        self._brevo = brevo
        self._ticket = ticket
        self._guard = guard

    async def run(self, rows: Sequence[Row]) -> list[Outcome]:
        """Ask once after the process; one outcome per row, Accepted while it still works.

        Raises CredentialsRefusedError; the ticket stays good.
        """
        reply = await self._brevo.process(quote(self._ticket.process_id, safe=""))
        if isinstance(reply, Reply) and reply.status == HTTPStatus.NOT_FOUND:
            return [Unknown(f"Brevo knows no process {self._ticket.process_id}")] * len(rows)
        if not isinstance(reply, Reply) or reply.status != HTTPStatus.OK:
            return self.later(reply, len(rows))
        status = text(reply.fields.get("status"))
        if status in _ENDED:
            retry = Retry(f"IMPORT_{status.upper()}", f"Brevo's import {status}")
            return [retry] * len(rows)
        if status != "completed":
            return self.later(None, len(rows))
        return await self._reconcile(rows, reply.fields)

    def later(self, answer: Reply | Outcome | None, count: int) -> list[Outcome]:
        """Answer Accepted again: nothing is known yet, and what was sent must not be forgotten."""
        now = self._brevo.now()
        if self._ticket.is_given_up(now):
            return [Unknown("Brevo did not complete the import within a day")] * count
        next_ticket = self._ticket.asked(answered=answer is None)
        verdict = judge(answer, self._brevo) if isinstance(answer, Reply) else answer
        wait = verdict.outcome if isinstance(verdict, Faulted) else verdict
        if isinstance(wait, Postponed):
            now = max(now, wait.until - next_ticket.wait)
        return [next_ticket.accepted(now)] * count

    async def _reconcile(self, rows: Sequence[Row], process: Mapping[str, object]) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        found.update(await refusals(self._brevo.caller, process, rows))
        unnamed = [row for row in rows if row.position not in found]
        seen = await self._modified({row.email for row in unnamed})
        if not isinstance(seen, set):
            return self.later(seen, len(rows))
        found.update({r.position: _synced(r) for r in unnamed if r.email in seen})
        found.update(await self._singly([row for row in rows if row.position not in found]))
        return [found[row.position] for row in rows]

    async def _singly(self, rows: Sequence[Row]) -> dict[int, Outcome]:
        """Look rows up one by one; what could not be looked up is asked after again later.

        Raises CredentialsRefusedError if that ended the search; the ticket stays good.
        """
        unanswered: dict[int, Outcome] = {}

        async def ask(row: Row) -> Outcome | Faulted[Outcome]:
            answer: Outcome | Faulted[Outcome]
            answer = await self._guard.call(lambda: self._look_up(row))
            if isinstance(answer, Faulted):
                unanswered[row.position] = answer.outcome
            return answer

        outcomes: list[Outcome] = await fan_out(rows, ask)
        found = {row.position: o for row, o in zip(rows, outcomes, strict=True)}
        if unanswered:
            self._guard.conclude(())
            # One wait for all of them, so that they stay together under one ticket.
            later = self.later(max(unanswered.values(), key=_until), 1)
            found.update(dict.fromkeys(unanswered, later[0]))
        return found

    async def _modified(self, wanted: set[str]) -> set[str] | Reply | Outcome:
        """Read back the wanted addresses among the contacts modified since the import began."""
        seen: set[str] = set()
        for page in range(_MAX_PAGES):
            reply = await self._page(page)
            if not isinstance(reply, Reply) or reply.status != HTTPStatus.OK:
                return reply
            contacts = mappings(reply.fields.get("contacts"))
            seen |= wanted & {text(contact.get("email")).lower() for contact in contacts}
            if len(contacts) < _PAGE or seen == wanted:
                break
        return seen

    async def _page(self, page: int) -> Reply | Outcome:
        since = self._ticket.since.astimezone(UTC).isoformat(timespec="milliseconds")
        params = {
            "modifiedSince": since.replace("+00:00", "Z"),
            "limit": str(_PAGE),
            "offset": str(page * _PAGE),
            "sort": "asc",
        }

        async def read() -> Reply | Outcome:
            return await self._brevo.contacts("GET", params=params)

        reply: Reply | Outcome | Faulted[Outcome] = await self._guard.call(read)
        return reply.outcome if isinstance(reply, Faulted) else reply

    async def _look_up(self, row: Row) -> Outcome | Faulted[Outcome]:
        """Look for one row in the account: as our id, then as its address."""
        for identifier, kind in ((row.ext_id, "ext_id"), (row.email, "email_id")):
            path = f"/{quote(identifier, safe='')}"
            reply = await self._brevo.contacts("GET", path, params={"identifierType": kind})
            if not isinstance(reply, Reply):
                return Faulted(reply)
            if reply.status == HTTPStatus.OK and self._is_delivered(row, reply.fields):
                return _synced(row)
            verdict = None if reply.status in _LOOKED else judge(reply, self._brevo)
            if isinstance(verdict, Faulted):
                return verdict
            if isinstance(verdict, Retry):
                return Faulted(verdict)
        return Retry("UNACCOUNTED", "Brevo's import completed without this contact")

    def _is_delivered(self, row: Row, contact: Mapping[str, object]) -> bool:
        # Found is not enough: it may be the contact as it was before the import.
        same_address = text(contact.get("email")).lower() == row.email
        return holds(row, contact) or (
            same_address and _modified_time(contact) >= self._ticket.since
        )


def _until(outcome: Outcome) -> datetime:
    if isinstance(outcome, Postponed):
        return outcome.until
    return datetime.min.replace(tzinfo=UTC)


def _synced(row: Row) -> Synced:
    return Synced(row.email, note=row.note)


def _modified_time(contact: Mapping[str, object]) -> datetime:
    try:
        found = datetime.fromisoformat(text(contact.get("modifiedAt")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
