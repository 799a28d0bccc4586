"""What a bucket grants, given what all replicas have noted of it: arithmetic, and no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from crmsync_server.store.quota import Book
from crmsync_server.sync.quota_rules import EARLY, LATE, Rules

_RECOVERY = 0.1
_RECOVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """A granted call: it is made at its moment or, at the latest, at its deadline."""

    at: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a process asks for.

    lag: how long an answer takes to come, so that its calls are not too late when it is there.
    """

    calls: int
    urgent: bool
    lag: float = 0.0


def fresh(rules: Rules) -> Book:
    """Return the book of a bucket that nobody has drawn on."""
    return Book(rules.bucket, rules.calls, rules.period, rules.calls)


def roll(book: Book, rules: Rules, now: float) -> None:
    """Bring a book up to now: what no longer counts is struck out, a new day begins."""
    if rules.ceiling is not None:
        book.calls = min(book.calls, rules.ceiling)
    if book.reset is None and rules.is_daily and rules.zone is not None:
        book.reset = rules.next_reset(now, now)
    if book.reset is None:
        oldest = rules.oldest(now)
        book.spent = {slot: calls for slot, calls in book.spent.items() if slot >= oldest}
    elif now >= book.reset + LATE:
        book.spent = {}
        book.reset = rules.next_reset(book.reset, now)
    if book.blocked_until is not None and book.blocked_until <= now:
        book.blocked_until = None


def allowed(book: Book, now: float) -> int:
    """Return how many calls a window holds now: fewer after a 429, and slowly more again."""
    if book.refused is None:
        return book.calls
    recovered = _RECOVERY * (now - book.refused) / min(book.period, _RECOVERY_SECONDS)
    return max(1, int(book.calls * min(1.0, book.rate + max(0.0, recovered))))


def held(book: Book, rules: Rules, at: float) -> int:
    """Return how many granted calls a window that ends at a moment holds."""
    if book.reset is not None:
        return sum(book.spent.values())
    oldest = rules.oldest(at)
    return sum(calls for slot, calls in book.spent.items() if slot >= oldest)


def grant(book: Book, rules: Rules, now: float, wanted: Wanted) -> Sequence[Call] | float:
    """Grant up to so many calls and note them, or return when it is worth asking again.

    Every call fits at its own moment, with all that was granted before; later moments of this
    lot, which are a pace apart, see what leaves the window until then.
    """
    if wanted.urgent:
        book.urgent = now
    if (opens := _opens(book, now)) > now:
        return opens
    total = allowed(book, now)
    room = total if wanted.urgent else total - _kept(book, rules, total, now)
    calls: list[Call] = []
    at = now
    while len(calls) < wanted.calls:
        pace = now if wanted.urgent else _paced(book, rules, total, now)
        at = max(pace, _vacant(book, rules, calls[-1].at if calls else now, room))
        if at > now + rules.span:
            break
        calls.append(_note(book, rules, total, Call(at, at + rules.slack + wanted.lag)))
    if calls:
        return calls
    if book.reset is not None:
        return _released(book, rules, now, total, urgent=wanted.urgent)
    return at - rules.span / 2


def give_back(book: Book, rules: Rules, unspent: Sequence[Call]) -> None:
    """Strike out calls that were granted and never made."""
    for call in unspent:
        slot = rules.slot_of(call.deadline)
        if slot in book.spent:
            book.spent[slot] -= 1
            if not book.spent[slot]:
                del book.spent[slot]


def _opens(book: Book, at: float) -> float:
    opens = max(at, book.blocked_until or at)
    if book.reset is not None and opens >= book.reset - EARLY:
        return max(opens, book.reset + LATE)
    return opens


def _kept(book: Book, rules: Rules, total: int, at: float) -> int:
    left = None if book.reset is None else max(0.0, book.reset - at)
    is_used = book.urgent is not None and at - book.urgent < rules.period
    return rules.reserve(total, left, is_used=is_used)


def _paced(book: Book, rules: Rules, total: int, start: float) -> float:
    """Return the moment of the next call by the pace."""
    return max(start, book.arrival - rules.lead(total) * rules.interval(total))


def _vacant(book: Book, rules: Rules, at: float, room: int) -> float:
    """Return when a window has room for one more call, not before a moment."""
    count = held(book, rules, at)
    if count < room:
        return at
    if book.reset is not None:
        return inf
    for slot in sorted(slot for slot in book.spent if slot >= rules.oldest(at)):
        count -= book.spent[slot]
        if count < room:
            return rules.leaves(slot)
    return inf


def _note(book: Book, rules: Rules, total: int, call: Call) -> Call:
    if book.reset is not None:
        call = Call(call.at, min(call.deadline, book.reset - EARLY))
    book.arrival = max(book.arrival, call.at) + rules.interval(total)
    slot = rules.slot_of(call.deadline)
    book.spent[slot] = book.spent.get(slot, 0) + 1
    return call


def _released(book: Book, rules: Rules, now: float, total: int, *, urgent: bool) -> float:
    """Return when a day that is used up has calls again: at its reset, or when some are released.

    What is kept for urgent work is less with every tenth of the day that is over.
    """
    assert book.reset is not None  # noqa: S101 - what the type cannot tell
    spent = held(book, rules, now)
    if not urgent and spent < total:
        steps = int((book.reset - now) / rules.step())
        for step in range(steps, 0, -1):
            at = book.reset - step * rules.step()
            # A moment later: at the step itself rounding may still count the calls as kept.
            if at > now and spent < total - rules.reserve(total, step * rules.step() - 1.0):
                return at + 1.0
    return book.reset + LATE
