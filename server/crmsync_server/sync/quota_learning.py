"""What a CRM says of its own book is noted in ours: calls of others, other limits, refusals."""

from dataclasses import dataclass

from crmsync_server.store.quota import Book
from crmsync_server.sync.quota_book import allowed, held
from crmsync_server.sync.quota_rules import Rules

_LEAST_RATE = 1 / 16
_ONE_EVENT = 10.0
_SAME_RESET = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a reply's headers told at a moment, by the database's clock.

    reset: when the period begins anew, None where they do not tell.
    """

    at: float
    calls: int | None
    remaining: int | None
    reset: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A 429 at a moment, and until when the CRM wants no call."""

    at: float
    until: float


def learn(book: Book, rules: Rules, told: Told) -> None:
    """Take over what was told of a bucket."""
    if told.calls is not None and told.calls > 0:
        book.calls = told.calls if rules.ceiling is None else min(told.calls, rules.ceiling)
    if rules.is_daily and told.reset is not None and told.reset > told.at:
        _take_over_reset(book, told.reset)
    if told.remaining is not None and told.remaining >= 0:
        counted = max(0, (told.calls or book.calls) - told.remaining)
        _compare(book, rules, told, counted)


def refuse(book: Book, rules: Rules, refused: Refused) -> None:
    """Grant nothing until the CRM wants calls again, and half as many then; a day is used up."""
    if rules.is_daily and refused.until > refused.at + _SAME_RESET:
        book.reset = refused.until
        book.spent = {rules.slot_of(refused.at): book.calls}
    elif not rules.is_daily and _is_new(book, refused):
        share = allowed(book, refused.at) / book.calls
        book.rate, book.refused = max(_LEAST_RATE, share / 2), refused.at
    book.blocked_until = max(refused.until, book.blocked_until or refused.until)


def _is_new(book: Book, refused: Refused) -> bool:
    """Tell whether this is no more of a refusal that is known: calls under way are all refused."""
    return book.refused is None or refused.at >= max(
        book.refused + min(book.period, _ONE_EVENT), book.blocked_until or 0.0
    )


def _take_over_reset(book: Book, reset: float) -> None:
    if book.reset is None:
        book.reset = reset
    elif abs(reset - book.reset) > _SAME_RESET:
        if reset > book.reset + book.period / 2:
            # The CRM is in its next day already.
            book.spent = {}
        book.reset = reset


def _compare(book: Book, rules: Rules, told: Told, counted: int) -> None:
    """Note calls that the CRM has counted and nobody of us has made.

    Everything that was granted may be among the counted calls: what is more than that is of others.
    """
    ours = held(book, rules, told.at)
    if counted > ours + max(2, book.calls // 50):
        begun = told.at
        if told.reset is not None and not rules.is_daily:
            begun = min(told.at, told.reset - book.period)
        slot = rules.slot_of(begun)
        book.spent[slot] = book.spent.get(slot, 0) + counted - ours
    elif rules.is_daily and counted < ours - (margin := max(20, book.calls // 100)):
        # Our day did not begin when the CRM's did, or a server died with calls in its hands.
        book.spent = {rules.slot_of(told.at): counted + margin}
