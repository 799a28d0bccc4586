"""Telling how the demo went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from crmsync.v1.contact_service_pb2 import ImportContactsResponse
    from crmsync_server.demo.account import Account
    from crmsync_server.demo.steps import Result

_EXAMPLES = 5


def imported(console: Console, lines: int, told: ImportContactsResponse) -> None:
    """Tell what became of the file's lines."""
    folded = told.updated + told.unchanged
    console.print(
        f"Imported: {lines:,} lines = {told.created:,} created + {folded:,} folded into others"
        f" + {told.rejected:,} rejected."
    )


def result(console: Console, found: Result, seconds: float) -> None:
    """Tell the account of each CRM, everything that is wrong with it, and the time it took."""
    console.print("What the CRMs hold against what the database says:")
    table = Table("CRM", box=SIMPLE, padding=(0, 1), pad_edge=False)
    for heading in ("accepted", "complete", "error", "skipped", "lost", "duplicated", "retried"):
        table.add_column(heading, justify="right")
    for one in found.accounts:
        table.add_row(one.crm, *(f"{number:,}" for number in _numbers(one)))
    console.print(table)
    for one in found.accounts:
        _problems(console, one)
    for broken in found.broken_promises:
        console.print(f"broken promise: {broken}", markup=False)
    verdict = "The account balances" if found.balances else "The account does NOT balance"
    console.print(f"{verdict}: accepted = complete + error + skipped.")
    retried = sum(one.faulted for one in found.accounts)
    console.print(f"{retried:,} deliveries met a fault and were made again. Took {seconds:.1f} s.")


def _numbers(one: Account) -> Sequence[int]:
    lost = len(one.lost) + one.unaccounted
    ended = (one.complete, one.error, one.skipped)
    return (one.accepted, *ended, lost, len(one.duplicated), one.faulted)


def _problems(console: Console, one: Account) -> None:
    wrong = {
        "confirmed but not there": one.lost,
        "there with other fields": one.altered,
        "there although nothing should be": one.unexpected,
        "there more than once": one.duplicated,
    }
    for what, emails in wrong.items():
        if emails:
            some = ", ".join(emails[:_EXAMPLES])
            console.print(f"{one.crm}: {len(emails):,} {what}, such as {some}")
