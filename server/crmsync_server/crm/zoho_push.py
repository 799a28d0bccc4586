"""Delivers contacts to Zoho: by record id where it is known, else by an upsert on the address.

An update by id moves a changed address with its record, and needs no last name; an upsert would
leave the old address behind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.outcomes import Outcome, Rejected, Retry, Skipped, SkipReason
from crmsync_server.crm.replies import Reply
from crmsync_server.crm.zoho_calls import CONTACTS, Call, Zoho
from crmsync_server.crm.zoho_companies import Companies
from crmsync_server.crm.zoho_errors import entries, verdict
from crmsync_server.crm.zoho_fields import FieldBook, Fields
from crmsync_server.crm.zoho_limits import credits_for
from crmsync_server.crm.zoho_options import MAX_BATCH, Writing
from crmsync_server.crm.zoho_reads import Reads
from crmsync_server.crm.zoho_replies import Result, Turn, account
from crmsync_server.crm.zoho_rows import Row, body, row, together

# How long a push may start calls; the last one may take its whole time.
STARTING = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Office:
    """What deliveries to one organization work with."""

    zoho: Zoho
    writing: Writing
    fields: FieldBook
    companies: Companies
    reads: Reads


@dataclass(slots=True)
class Push:
    """One push under way."""

    office: Office
    guard: Guard = field(init=False)
    fields: Fields = field(default_factory=Fields)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.guard = Guard(self.office.zoho.now, STARTING)

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Deliver a batch; one outcome each. Raises CredentialsRefusedError."""
        rows = await self._rows(batch)
        rows = await self._with_companies(rows)
        turned = await self._write([one for one in rows if one.record_id])
        # A record that moved on may have freed the address that another one of the batch needs.
        taken = await self._write([one for one in turned if one.record_id])
        new = [one for one in rows if not one.record_id]
        # Whoever has the address is written to then, as by every upsert.
        new += [one.aimed("") for one in (*(t for t in turned if not t.record_id), *taken)]
        await self._make(new)
        self.guard.conclude(self.outcomes.values())
        skipped = Skipped(SkipReason.NO_EMAIL)
        return [self.outcomes.get(at, skipped) for at in range(len(batch))]

    async def _rows(self, batch: Sequence[Delivery]) -> list[Row]:
        found = await self.guard.call(self._read_fields)
        self.fields = Fields() if isinstance(found, Faulted) else found
        company = self.office.writing.company_field
        rows = [row(at, one, self.fields, company) for at, one in enumerate(batch)]
        sendable = together([one for one in rows if one.email])
        return self._end(sendable, found.outcome) if isinstance(found, Faulted) else sendable

    async def _read_fields(self) -> Fields | Faulted[Outcome]:
        found = await self.office.fields.read()
        return found if isinstance(found, Fields) else Faulted(found)

    async def _with_companies(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows with their company among the values."""
        name = self.office.writing.company_field
        place = self.fields.find(name)
        named = [one for one in rows if one.company is not None]
        if not named:
            return list(rows)
        if place is None or not place.writable:
            return [_left_out(one, f"{name}, for there is no such field") for one in rows]
        if not place.is_reference:
            return [_with(one, place.name, one.company or None) for one in rows]
        companies = self.office.companies
        fault = await self.guard.call(lambda: companies.find(one.company or "" for one in named))
        if fault is not None:
            self._end(named, fault.outcome)
            return [one for one in rows if one.company is None]
        return [self._employed(one, place.name) for one in rows]

    def _employed(self, one: Row, name: str) -> Row:
        if not one.company:
            return _with(one, name, None)
        record_id = self.office.companies.record_id(one.company)
        if record_id:
            return _with(one, name, {"id": record_id})
        return _left_out(one, f"{name} ({self.office.companies.why(one.company)})")

    async def _make(self, rows: Sequence[Row]) -> None:
        """Write rows whose record is not known: those without a last name are looked up first.

        Zoho demands a last name of an upsert, and a made-up one must not replace one that is there.
        """
        nameless = [one for one in rows if not one.has_last_name]
        found = await self.guard.call(lambda: self._holders(nameless)) if nameless else {}
        if isinstance(found, Faulted):
            self._end(nameless, found.outcome)
            nameless, found = [], {}
        there = [one.aimed(found[one.email]) for one in nameless if one.email in found]
        rest = [one for one in nameless if one.email not in found]
        for lost in await self._write(there):
            why = Turn.TAKEN if lost.record_id else Turn.GONE
            self._end([lost], Retry("RECORD_MOVED", f"looked up a moment ago: {why.value}"))
        named = [one for one in rows if one.has_last_name]
        self._end(await self._write([*named, *(one.named() for one in rest)]), _strange())

    async def _holders(self, rows: Sequence[Row]) -> dict[str, str] | Faulted[Outcome]:
        found = await self.office.reads.holders([one.email for one in rows])
        return found if isinstance(found, dict) else Faulted(found)

    async def _write(self, rows: Sequence[Row]) -> list[Row]:
        """Write rows of one way; returns those that must go another one, without an id if gone."""
        rows = self._checkable(rows)
        turned: list[Row] = []
        for start in range(0, len(rows), MAX_BATCH):
            call = rows[start : start + MAX_BATCH]
            results: list[Result] = await deliver(call, self._send)
            for one, result in zip(call, results, strict=True):
                if isinstance(result, Turn):
                    turned.append(one if result is Turn.TAKEN else one.aimed(""))
                else:
                    self._end([one], result)
        return turned

    def _checkable(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows that an upsert can find again: Zoho makes a new record of any other."""
        checked = self.office.writing.check_fields
        blind = [
            one
            for one in rows
            if not one.record_id and not any(body(one).get(name) for name in checked)
        ]
        self._end(blind, Rejected("NO_CHECK_FIELD", f"it has no value for {', '.join(checked)}"))
        return [one for one in rows if one not in blind]

    async def _send(self, call: Sequence[Row]) -> Answer[Result]:
        return await self.guard.call(lambda: self._answer(call))

    async def _answer(self, call: Sequence[Row]) -> Answer[Result]:
        zoho, writing = self.office.zoho, self.office.writing
        json: dict[str, object] = {"data": [body(one) for one in call]}
        if writing.trigger is not None:
            json["trigger"] = list(writing.trigger)
        method, path = ("PUT", CONTACTS) if call[0].record_id else ("POST", f"{CONTACTS}/upsert")
        if method == "POST":
            json["duplicate_check_fields"] = list(writing.check_fields)
        reply = await zoho.call(Call(method, path, credits_for(len(call)), json=json))
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if entries(reply):
            return account(call, reply, zoho.now())
        found = verdict(reply, zoho.now())
        return found if isinstance(found, Faulted) else Refused(found.alone)

    def _end(self, rows: Iterable[Row], outcome: Outcome) -> list[Row]:
        """Note what rows end in; returns none of them."""
        for one in rows:
            self.outcomes.update(dict.fromkeys(one.positions, outcome))
        return []


def _strange() -> Outcome:
    return Retry("UNACCOUNTED", "Zoho answers an upsert as if it were an update")


def _with(one: Row, name: str, value: object) -> Row:
    if one.company is None:
        return one
    return replace(one, values={**one.values, name: value})


def _left_out(one: Row, what: str) -> Row:
    if one.company is None:
        return one
    return replace(one, company=None, notes=(*one.notes, f"not sent: {what}"))
