"""Delivers contacts to Mautic in batches that create or change by email.

Only POST batch/new does so: PUT batch/edit makes duplicates, and blanks what is not named.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.bisect import Answer, Refused, deliver
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.mautic_calls import CONTACTS, Mautic
from crmsync_server.crm.mautic_errors import verdict, words
from crmsync_server.crm.mautic_moves import Moves
from crmsync_server.crm.mautic_replies import account
from crmsync_server.crm.mautic_rows import Row, body, row, together
from crmsync_server.crm.outcomes import Outcome, Skipped, SkipReason
from crmsync_server.crm.replies import Reply

# How long a push may start calls; the last one may take its whole time.
STARTING = timedelta(seconds=90)
_WRITTEN = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
# A body without either of them is not about records: its errors are in no order of ours.
_ACCOUNTS = frozenset({"contacts", "statusCodes"})
_TOO_MANY = re.compile(r"\bmax(?:imum)? of (\d{1,9}) entit", re.IGNORECASE)
# Enough to find one record among 200; a Mautic that answers nothing but 500 is not asked on.
_CRASHES_IN_A_ROW = 9


class Push:
    """One push under way."""

    def __init__(self, mautic: Mautic) -> None:
        """Take the instance; nothing is called yet."""
        self._mautic = mautic
        self._guard = Guard(mautic.now, STARTING)
        self._crashes_in_a_row = 0

    async def run(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Deliver a batch; one outcome each. Raises CredentialsRefusedError."""
        rows = [row(at, delivery) for at, delivery in enumerate(batch)]
        moved = await Moves(self._mautic, self._guard).run([row for row in rows if row.email])
        merged = together(moved.rest)
        written = await self._in_portions(merged)
        outcomes = dict(moved.outcomes)
        for one, outcome in zip(merged, written, strict=True):
            outcomes.update(dict.fromkeys(one.positions, outcome))
        self._guard.conclude(outcomes.values())
        skipped = Skipped(SkipReason.NO_EMAIL)
        return [outcomes.get(at, skipped) for at in range(len(batch))]

    async def _in_portions(self, rows: Sequence[Row]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(rows):
            start = len(outcomes)
            outcomes += await deliver(rows[start : start + self._mautic.portion], self._send)
        return outcomes

    async def _send(self, call: Sequence[Row]) -> Answer[Outcome]:
        return await self._guard.call(lambda: self._answer(call))

    async def _answer(self, call: Sequence[Row]) -> Answer[Outcome]:
        records = [body(row) for row in call]
        reply = await self._mautic.call("POST", f"{CONTACTS}/batch/new", json=records)
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status in _WRITTEN and _ACCOUNTS & reply.fields.keys():
            self._crashes_in_a_row = 0
            return account(call, reply)
        if reply.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return await self._crashed(call, reply)
        return verdict(reply, self._mautic.now())

    async def _crashed(self, call: Sequence[Row], reply: Reply) -> Answer[Outcome]:
        """Read a 500: too many records, which is for good, or a fault of one or of all."""
        too_many = _TOO_MANY.search(words(reply))
        if too_many and len(call) > 1:
            # Mautic checks the number first, so that nothing was applied.
            told = int(too_many[1])
            self._mautic.portion = told if 0 < told < len(call) else (len(call) + 1) // 2
            return await self._in_portions(call)
        self._crashes_in_a_row += 1
        found = verdict(reply, self._mautic.now())
        if isinstance(found, Refused) and self._crashes_in_a_row >= _CRASHES_IN_A_ROW:
            return Faulted(found.alone)
        return found
