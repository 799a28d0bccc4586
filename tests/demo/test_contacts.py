"""The demo's contacts: varied, and the same every time."""

from collections import Counter
from pathlib import Path

import pytest

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.demo import contacts
from crmsync_server.rpc.validation import violations


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a thousand contacts."""
    path = tmp_path / "contacts.csv"
    contacts.write(path, 1000, seed=1)
    return path


@pytest.fixture
def people(file: Path) -> list[Contact]:
    """Read them."""
    return list(contacts.read(file))


def test_the_same_seed_writes_the_same_file(file: Path, tmp_path: Path) -> None:
    """So that two runs can be compared."""
    again, other = tmp_path / "again.csv", tmp_path / "other.csv"
    contacts.write(again, 1000, seed=1)
    contacts.write(other, 1000, seed=2)
    assert again.read_bytes() == file.read_bytes()
    assert other.read_bytes() != file.read_bytes()


def test_every_line_is_a_contact(people: list[Contact]) -> None:
    """Commas, quotes and semicolons in values are no separators."""
    assert len(people) == 1000


def test_some_addresses_differ_by_case_only(people: list[Contact]) -> None:
    """They must fold into one contact, whether or not they say the same."""
    valid = [person for person in people if not violations(person)]
    times = Counter(person.email.lower() for person in valid)
    assert sum(count - 1 for count in times.values()) == 25
    assert len({person.email for person in valid}) > len(times)


def test_some_addresses_are_invalid_and_the_others_are_valid(people: list[Contact]) -> None:
    """The rules are those of the contract."""
    broken = [person.email for person in people if violations(person)]
    assert len(broken) == 4
    assert not any("person" in email for email in broken)


def test_names_are_varied(people: list[Contact]) -> None:
    """Accents, other scripts, emoji, plus-addresses, and none at all."""
    names = "".join(person.first_name + person.last_name for person in people)
    assert {"é", "ب", "李", "🚀", "'", ";"} <= set(names)
    assert any("+" in person.email for person in people)
    assert any(not person.first_name and not person.last_name for person in people)
