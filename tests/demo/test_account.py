"""The account: it balances when everything is right, and says what is wrong."""

from dataclasses import replace

import pytest

from crmsync_server.demo.account import Account, Told, account
from crmsync_server.demo.holdings import Fields, Held, held
from crmsync_server.store.states import AttemptOutcome, SyncStatus

ADA = Fields("Ada", "Lovelace", "+447900000001", "Analytical Engines")


def _told(name: str, status: SyncStatus = SyncStatus.COMPLETE, **changes: bool) -> Told:
    crm_contact_id = f"id-{name}" if status == SyncStatus.COMPLETE else ""
    uncertain = changes.get("uncertain", False)
    return Told(f"{name}@example.com", status, crm_contact_id, ADA, uncertain)


def _held(name: str) -> Held:
    return Held(f"{name}@example.com", f"id-{name}", ADA)


def _account(told: list[Told], there: list[Held], accepted: int | None = None) -> Account:
    total = len(told) if accepted is None else accepted
    return account("hubspot", total, told, there, {})


def test_an_account_without_a_difference_balances() -> None:
    """Complete is there, refused is not."""
    told = [_told("a"), _told("b", SyncStatus.ERROR), _told("c", SyncStatus.SKIPPED)]
    found = _account(told, [_held("a")])
    assert found.balances
    assert (found.complete, found.error, found.skipped, found.unaccounted) == (1, 1, 1, 0)


def test_a_confirmed_contact_that_is_not_there_is_lost() -> None:
    """The worst that can happen."""
    found = _account([_told("a"), _told("b")], [_held("a")])
    assert found.lost == ["b@example.com"]
    assert not found.balances


@pytest.mark.parametrize(
    "there",
    [
        replace(_held("a"), fields=replace(ADA, last_name="Byron")),
        replace(_held("a"), crm_contact_id="somebody-else"),
    ],
)
def test_a_contact_with_other_fields_or_another_id_is_altered(there: Held) -> None:
    """An address alone proves nothing."""
    found = _account([_told("a")], [there])
    assert found.altered == ["a@example.com"]
    assert not found.balances


def test_a_refused_contact_that_is_there_is_unexpected() -> None:
    """The database says less than the truth."""
    found = _account([_told("a", SyncStatus.ERROR)], [_held("a")])
    assert found.unexpected == ["a@example.com"]
    assert not found.balances


def test_a_refused_contact_may_be_there_when_an_outcome_was_unknown() -> None:
    """A delivery that was never answered may have been applied."""
    assert _account([_told("a", SyncStatus.ERROR, uncertain=True)], [_held("a")]).balances


def test_a_contact_that_nobody_sent_is_unexpected() -> None:
    """A CRM that was empty holds nothing else."""
    assert not _account([_told("a")], [_held("a"), _held("z")]).balances


@pytest.mark.parametrize(
    "there", [[_held("a"), _held("a")], [replace(_held("a"), times_created=2)]]
)
def test_a_contact_that_is_there_twice_is_duplicated(there: list[Held]) -> None:
    """Side by side, or made twice."""
    found = _account([_told("a")], there)
    assert found.duplicated == ["a@example.com"]
    assert not found.balances


@pytest.mark.parametrize("status", [SyncStatus.QUEUED, SyncStatus.PROCESSING, SyncStatus.SELECTED])
def test_an_accepted_contact_without_an_outcome_is_unaccounted(status: SyncStatus) -> None:
    """Sooner or later everything ends."""
    found = _account([_told("a"), _told("b", status)], [_held("a")])
    assert found.unaccounted == 1
    assert not found.balances


def test_an_accepted_contact_that_the_database_forgot_is_unaccounted() -> None:
    """The session's total is what was promised."""
    assert not _account([_told("a")], [_held("a")], accepted=2).balances


def test_deliveries_that_met_a_fault_are_counted() -> None:
    """Whatever the fault was."""
    attempts: dict[str, int] = {
        AttemptOutcome.SYNCED: 90,
        AttemptOutcome.REJECTED: 10,
        AttemptOutcome.RETRY: 5,
        AttemptOutcome.UNKNOWN: 3,
        AttemptOutcome.POSTPONED: 2,
    }
    assert account("hubspot", 0, [], [], attempts).faulted == 10


def test_both_crms_are_read_in_the_same_words() -> None:
    """Each prints a contact in its own way."""
    hubspot = {
        "id": "101",
        "email": "Ada@Example.com",
        "properties": {
            "firstname": "Ada",
            "lastname": "Lovelace",
            "phone": "+447900000001",
            "company": "Analytical Engines",
        },
        "times_created": 1,
    }
    brevo = {
        "email": "Ada@Example.com",
        "attributes": {
            "FIRSTNAME": "Ada",
            "LASTNAME": "Lovelace",
            "SMS": "+447900000001",
            "COMPANY": "Analytical Engines",
        },
        "times_created": 1,
    }
    assert held("hubspot", hubspot) == Held("ada@example.com", "101", ADA)
    assert held("brevo", brevo) == Held("ada@example.com", "ada@example.com", ADA)
