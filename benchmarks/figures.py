"""What a benchmark found, and how it is printed."""

import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

_HEADER = ("what", "figure", "bar", "ratio", "met")


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach, or with most, must not exceed."""

    value: float
    most: bool = False

    def met(self, value: float) -> bool:
        """Whether a figure clears it."""
        return value <= self.value if self.most else value >= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    unit: of value and bar; empty for a plain ratio.
    ratio: how the value relates to another of the same run, in words; empty when to none.
    """

    what: str
    value: float
    unit: str = ""
    bar: Bar | None = None
    ratio: str = ""

    def cells(self) -> Sequence[str]:
        """Return the row as it is printed."""
        met = "" if self.bar is None else "yes" if self.bar.met(self.value) else "MISSED"
        return (self.what, _told(self.value, self.unit), self._bar(), self.ratio, met)

    def _bar(self) -> str:
        if self.bar is None:
            return ""
        return f"{'≤' if self.bar.most else '≥'} {_told(self.bar.value, self.unit)}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures in columns: what, figure, bar, ratio, met."""
    rows = [_HEADER, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def machine(postgres_version: str) -> str:
    """Say what it was measured on, in one line."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, load {load:.1f} at the start, {platform.system()} "
        f"{platform.release()}, PostgreSQL {postgres_version}, Python {platform.python_version()}"
    )


def say(text: str) -> None:
    """Tell how far we are, beside the result."""
    print(text, file=sys.stderr, flush=True)


async def medians(
    trials: Mapping[str, Callable[[], Awaitable[float]]], rounds: int
) -> dict[str, float]:
    """Run every trial once in each round, and return the median of each.

    In turn, not one after the other: what else the machine does then falls on all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in trials}
    for turn in range(rounds):
        for name, trial in trials.items():
            found[name].append(await trial())
            say(f"  round {turn + 1} of {rounds}: {name} {found[name][-1]:,.0f}/s")
    return {name: statistics.median(values) for name, values in found.items()}


def _told(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 2  # noqa: PLR2004 - three digits say enough
    return f"{value:,.{digits}f} {unit}".rstrip()
