"""The account: what a CRM holds against what the database says, record by record."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from crmsync_server.demo.holdings import Fields, Held
from crmsync_server.store.states import AttemptOutcome, SyncStatus


@dataclass(frozen=True, slots=True)
class Told:
    """What the database says about one contact at one CRM.

    email: in lower case.
    uncertain: whether an attempt's outcome is unknown, so that the CRM may hold what was refused.
    """

    email: str
    status: str
    crm_contact_id: str
    fields: Fields
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """How one CRM's deliveries ended, and every way in which that is not what the CRM holds.

    accepted: contacts that the session was opened with.
    attempts: deliveries by what they ended in, as the history keeps them.
    lost: confirmed, says the database, but not there.
    altered: there, but with other fields or another id.
    unexpected: there, although nothing should be.
    duplicated: there more than once.
    """

    crm: str
    accepted: int
    complete: int
    error: int
    skipped: int
    attempts: Mapping[str, int] = field(default_factory=dict)
    lost: Sequence[str] = ()
    altered: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    duplicated: Sequence[str] = ()

    @property
    def unaccounted(self) -> int:
        """Return how many accepted contacts have no outcome."""
        return self.accepted - self.complete - self.error - self.skipped

    @property
    def faulted(self) -> int:
        """Return how many deliveries met a fault and were made again."""
        done = {AttemptOutcome.SYNCED, AttemptOutcome.SKIPPED, AttemptOutcome.REJECTED}
        return sum(count for outcome, count in self.attempts.items() if outcome not in done)

    @property
    def balances(self) -> bool:
        """Tell whether every accepted contact ended in one outcome, and that is the truth."""
        wrong = (self.lost, self.altered, self.unexpected, self.duplicated)
        return self.unaccounted == 0 and not any(wrong)


def account(
    crm: str,
    accepted: int,
    told: Sequence[Told],
    held: Sequence[Held],
    attempts: Mapping[str, int],
) -> Account:
    """Compare what the database tells with what the CRM holds."""
    by_email = {contact.email: contact for contact in held}
    ended = Counter(one.status for one in told)
    return Account(
        crm,
        accepted,
        ended[SyncStatus.COMPLETE],
        ended[SyncStatus.ERROR],
        ended[SyncStatus.SKIPPED],
        attempts,
        lost=list(_lost(told, by_email)),
        altered=list(_altered(told, by_email)),
        unexpected=list(_unexpected(told, by_email)),
        duplicated=list(_duplicated(held)),
    )


def _lost(told: Iterable[Told], held: Mapping[str, Held]) -> Iterator[str]:
    for one in told:
        if one.status == SyncStatus.COMPLETE and one.email not in held:
            yield one.email


def _altered(told: Iterable[Told], held: Mapping[str, Held]) -> Iterator[str]:
    for one in told:
        there = held.get(one.email)
        if one.status == SyncStatus.COMPLETE and there is not None:
            same_id = there.crm_contact_id == one.crm_contact_id
            if there.fields != one.fields or not same_id:
                yield one.email


def _unexpected(told: Iterable[Told], held: Mapping[str, Held]) -> Iterator[str]:
    # A contact with the CRM's id was confirmed once, whatever became of it later.
    expected = {one.email for one in told if one.crm_contact_id or one.uncertain}
    yield from sorted(held.keys() - expected)


def _duplicated(held: Iterable[Held]) -> Iterator[str]:
    times: Counter[str] = Counter()
    for contact in held:
        times[contact.email] += contact.times_created
    yield from (email for email, count in times.items() if count > 1)
