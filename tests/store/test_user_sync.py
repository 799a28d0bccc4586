"""Who is meant by the entries of a synchronization of users."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from crmsync_server.store.user_sync import Became, Entry, Mention, settle


def known(external_id: str, email: str) -> Any:  # noqa: ANN401 - a row
    """Return a user as the table has them."""
    return SimpleNamespace(
        id=UUID(int=1),
        external_id=external_id,
        email=email,
        first_name="",
        last_name="",
        role="user",
        is_active=True,
        metadata={},
    )


def test_who_is_named_by_an_entry_that_is_not_valid_is_taken_over_by_no_other() -> None:
    """Their external id stands in the call: the email alone does not make another of them."""
    settled = settle(
        [Entry(1, "e-2", "ada@example.com")],
        [Mention("e-1", "")],
        [known("e-1", "ada@example.com")],
    )
    (result,) = settled.results
    assert (result.became, result.code) == (Became.FAILED, "EMAIL_TAKEN")
    assert (settled.created, settled.updated) == ([], [])
    assert settled.named == {UUID(int=1)}


def test_who_is_named_by_their_email_alone_gets_the_external_id() -> None:
    """Nobody in the call says that they have another."""
    settled = settle([Entry(0, "e-2", "ada@example.com")], [], [known("e-1", "ada@example.com")])
    assert [(one.id, one.external_id) for one in settled.updated] == [(UUID(int=1), "e-2")]
