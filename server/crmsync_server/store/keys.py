"""The keys that credentials are encrypted under, each with an id: from a setting, or from a file.

A key is written `id:base64`, its secret 32 bytes. The first one encrypts; the others still decrypt,
until the rotation has moved everything to the first.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from crmsync_server.settings.keys import encryption_keys

FILE_NAME = "encryption-keys"

_BYTES = 32
_FOR_OTHERS = 0o077

_log = structlog.get_logger()


class KeyFileError(ValueError):
    """The file of keys cannot be used; the text names it and says what would be right."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the file, and go on with what is wrong about it."""
        super().__init__(f"the file of encryption keys {path} {why}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of 256 bits, and the id that is stored with what it encrypts."""

    id: str
    secret: bytes = field(repr=False)


class Keys(Protocol):
    """Where keys come from."""

    def current(self) -> Key:
        """Return the key that encrypts; raises KeyFileError."""

    def find(self, key_id: str) -> Key | None:
        """Return the key of this id, None when there is none; raises KeyFileError."""


class GivenKeys:
    """Keys that a setting holds."""

    def __init__(self, told: str) -> None:
        """Read `id:base64` entries, separated by commas; raises ValueError, repeating no key."""
        self._keys = _keys(told)

    def current(self) -> Key:
        """Return the first key."""
        return next(iter(self._keys.values()))

    def find(self, key_id: str) -> Key | None:
        """Return the key of this id, None when the setting has none."""
        return self._keys.get(key_id)


class KeyFile:
    """Keys in a file that only its owner can read, a line for each; made when first needed."""

    def __init__(self, data_dir: Path) -> None:
        """Name the folder; nothing is read or made yet."""
        self._path = data_dir.expanduser() / FILE_NAME
        self._keys: Mapping[str, Key] = {}

    def check(self) -> None:
        """Read the file if there is one; raises KeyFileError."""
        if self._path.exists():
            self._keys = self._read()

    def current(self) -> Key:
        """Return the file's first key, made if there is no file; raises KeyFileError."""
        if not self._keys:
            self._keys = self._read() if self._path.exists() else self._make()
        return next(iter(self._keys.values()))

    def find(self, key_id: str) -> Key | None:
        """Return the key of this id; the file is read again for one that is not known yet."""
        if key_id not in self._keys:
            self.check()
        return self._keys.get(key_id)

    def _read(self) -> Mapping[str, Key]:
        try:
            mode = self._path.stat().st_mode
            told = self._path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it holds more than ASCII"
            raise KeyFileError(self._path, f"cannot be read ({why})") from None
        if mode & _FOR_OTHERS:
            wrong = f"has mode {mode & 0o777:04o}, and others could use it; it must have 0600"
            raise KeyFileError(self._path, wrong)
        try:
            return _keys(told)
        except ValueError as error:
            raise KeyFileError(self._path, f"is damaged: {error}") from None

    def _make(self) -> Mapping[str, Key]:
        draft = self._path.with_name(f"{FILE_NAME}.{secrets.token_hex(4)}")
        key = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
        try:
            self._path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            draft.touch(mode=0o600)
            draft.write_text(f"{secrets.token_hex(4)}:{key}\n", encoding="ascii")
            _sync(draft)
            # Linked in whole, and only if nobody else was first: two processes never make two keys.
            with suppress(FileExistsError):
                self._path.hardlink_to(draft)
            draft.unlink()
            _sync(self._path.parent)
        except OSError as error:
            raise KeyFileError(self._path, f"cannot be made ({error.strerror})") from None
        made = self._read()
        _log.info("made the key of all credentials; keep a copy of it", file=str(self._path))
        return made


def _keys(told: str) -> Mapping[str, Key]:
    return {key_id: Key(key_id, secret) for key_id, secret in encryption_keys(told).items()}


def _sync(path: Path) -> None:
    # A key that is lost to a power failure takes every credential with it.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
