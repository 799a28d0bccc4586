"""Encryption of credentials: bound to their place, under keys that are told apart by their ids."""

import base64
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from crmsync_server.store.keys import FILE_NAME, GivenKeys, Key, KeyFile, KeyFileError
from crmsync_server.store.vault import Account, DamagedError, UnknownKeyError, Vault

SECRET = "xkeysib-canary"
FIRST = base64.b64encode(bytes(32)).decode()
SECOND = base64.b64encode(bytes([1] * 32)).decode()
HERE = Account("acme", uuid4())
PLACE = HERE.secret("api_key")


def vault(told: str = f"one:{FIRST}") -> Vault:
    """Return a vault with keys from a setting."""
    return Vault(GivenKeys(told))


def test_what_is_sealed_can_be_opened_again() -> None:
    """And shows nothing of itself; twice the same text looks different."""
    sealed = vault().seal(PLACE, SECRET)
    assert vault().open(PLACE, "one", sealed) == SECRET
    assert SECRET.encode() not in sealed
    assert sealed != vault().seal(PLACE, SECRET)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, org_id="other"),
        replace(PLACE, connection_id=uuid4()),
        replace(PLACE, name="token"),
        HERE.token("api_key"),
    ],
)
def test_what_is_sealed_cannot_be_moved(elsewhere: object) -> None:
    """To another organization, connection, name or kind: it opens in its own place alone."""
    sealed = vault().seal(PLACE, SECRET)
    with pytest.raises(DamagedError, match="was changed or moved"):
        vault().open(elsewhere, "one", sealed)  # type: ignore[arg-type]  # parametrized


@pytest.mark.parametrize("place", [0, 12, -1])
def test_a_changed_byte_is_found_out(place: int) -> None:
    """In the nonce, the text or the tag."""
    sealed = bytearray(vault().seal(PLACE, SECRET))
    sealed[place] ^= 1
    with pytest.raises(DamagedError, match=f"'api_key' of connection {HERE.connection_id}"):
        vault().open(PLACE, "one", bytes(sealed))


def test_what_is_too_short_is_damaged() -> None:
    """Even when it is empty."""
    with pytest.raises(DamagedError):
        vault().open(PLACE, "one", b"")


def test_an_unknown_key_is_named_with_its_connection() -> None:
    """So that an operator knows which key to bring back, and what for."""
    sealed = vault().seal(PLACE, SECRET)
    with pytest.raises(UnknownKeyError, match=f"{HERE.connection_id}.*'one'.*CRMSYNC_ENCRYPTION"):
        vault(f"two:{SECOND}").open(PLACE, "one", sealed)


def test_the_first_key_seals_and_the_others_still_open() -> None:
    """Which is how keys are replaced."""
    old = vault().seal(PLACE, SECRET)
    both = vault(f"two:{SECOND},one:{FIRST}")
    assert both.current_key() == "two"
    assert both.open(PLACE, "one", old) == SECRET
    assert both.open(PLACE, "two", both.seal(PLACE, SECRET)) == SECRET


def test_the_id_of_a_key_is_bound_too() -> None:
    """A key that is renamed opens nothing: it is not the one that was meant."""
    sealed = vault().seal(PLACE, SECRET)
    with pytest.raises(DamagedError):
        vault(f"two:{FIRST}").open(PLACE, "two", sealed)


def test_a_fingerprint_needs_the_key() -> None:
    """The same text has the same one, and under another key another."""
    assert vault().fingerprint(SECRET) == vault().fingerprint(SECRET)
    assert vault().fingerprint(SECRET) != vault().fingerprint("other")
    assert vault().fingerprint(SECRET) != vault(f"one:{SECOND}").fingerprint(SECRET)


def test_no_class_shows_a_key() -> None:
    """Nor does a vault, or where its keys come from."""
    keys = GivenKeys(f"one:{FIRST}")
    shown = repr(keys.current()) + str(Key("one", bytes(32))) + repr(keys) + repr(Vault(keys))
    assert FIRST not in shown
    assert "\\x00" not in shown


def test_a_key_file_is_made_when_it_is_first_needed(data_dir: Path) -> None:
    """For its owner alone, and the same for whoever comes next; a look at it makes none."""
    keys = KeyFile(data_dir)
    keys.check()
    assert keys.find("any") is None
    assert not data_dir.exists()
    made = keys.current()
    assert (data_dir / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in data_dir.iterdir()] == [FILE_NAME]
    assert KeyFile(data_dir).current() == made
    assert KeyFile(data_dir).find(made.id) == made


def test_a_key_that_somebody_else_made_is_found(data_dir: Path) -> None:
    """A second process, that began before there was a file, reads it when it meets the key."""
    early = KeyFile(data_dir)
    early.check()
    made = KeyFile(data_dir).current()
    assert early.find(made.id) == made
    assert early.current() == made


def test_a_line_on_top_is_the_new_key(data_dir: Path) -> None:
    """Comments and empty lines are no keys."""
    path = data_dir / FILE_NAME
    KeyFile(data_dir).current()
    path.write_text(f"# rotated\n\nnew:{SECOND}\n{path.read_text()}")
    assert KeyFile(data_dir).current() == Key("new", bytes([1] * 32))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_use_is_refused(data_dir: Path, mode: int) -> None:
    """The error names the file, its mode and the right one."""
    keys = KeyFile(data_dir)
    keys.current()
    (data_dir / FILE_NAME).chmod(mode)
    with pytest.raises(KeyFileError, match=f"{FILE_NAME} has mode {mode:04o}.*must have 0600"):
        KeyFile(data_dir).check()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "one key at least"),
        (b"one", "key 1 must be id:base64, with 32 bytes"),
        (b"one:c2hvcnQ=", "key 1 must be id:base64, with 32 bytes"),
        (f"one:{FIRST}\none:{SECOND}".encode(), "key 2 must have an id of its own"),
        (f"one two:{FIRST}".encode(), "key 1 must be id:base64"),
        (b"\xff\xfe", "more than ASCII"),
    ],
)
def test_a_damaged_file_is_refused(data_dir: Path, content: bytes, why: str) -> None:
    """And neither replaced nor repeated: the key may still be in a backup."""
    KeyFile(data_dir).current()
    (data_dir / FILE_NAME).write_bytes(content)
    for use in (KeyFile(data_dir).check, KeyFile(data_dir).current):
        with pytest.raises(KeyFileError, match=why) as refused:
            use()
        assert FIRST not in str(refused.value)
        assert "c2hvcnQ" not in str(refused.value)
    assert (data_dir / FILE_NAME).read_bytes() == content


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    """It names the file that was to be made."""
    (tmp_path / "data").write_text("")
    with pytest.raises(KeyFileError, match=f"{FILE_NAME} cannot be made"):
        KeyFile(tmp_path / "data").current()
