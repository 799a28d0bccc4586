"""How long CRMs took to answer, kept as a histogram that can be added up over any time.

Four steps double the time: from one millisecond on, each step is 19 % longer than the one before.
A time is told as the middle of its step, so that it is right to within 10 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log2

_STEPS_TO_DOUBLE = 4
_LAST = 85  # some 45 minutes; whatever took longer is counted there


@dataclass(frozen=True, slots=True)
class Answered:
    """One call to a CRM about a batch of records.

    seconds: how long it took, without the time in which it waited for its turn.
    records: how many attempts ended with its answer.
    """

    seconds: float
    records: int


def histogram(calls: Sequence[Answered]) -> list[int]:
    """Count calls by the step of their time, up to the last step that is needed."""
    steps = [_step_of(one.seconds) for one in calls]
    counts = [0] * (max(steps, default=-1) + 1)
    for step in steps:
        counts[step] += 1
    return counts


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the seconds within which a share of the calls was answered; None without calls."""
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    step = next(place for place, seen in enumerate(accumulate(counts)) if seen >= wanted and seen)
    middle: float = 2 ** ((step + 0.5) / _STEPS_TO_DOUBLE)
    return middle / 1000


def _step_of(seconds: float) -> int:
    milliseconds = seconds * 1000
    if milliseconds <= 1:
        return 0
    return min(_LAST, int(_STEPS_TO_DOUBLE * log2(milliseconds)))
