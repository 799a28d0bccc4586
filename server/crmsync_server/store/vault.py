"""Encryption of credentials at rest: AES-256-GCM, each text bound to the place it is kept in."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crmsync_server.store.keys import Key, Keys

_NONCE_BYTES = 12
_FORMAT = "crmsync/1"
_FINGERPRINTING = b"crmsync fingerprint"


class VaultError(ValueError):
    """What is stored encrypted cannot be read; the text is fit for anybody to read."""


class UnknownKeyError(VaultError):
    """A connection's credentials are under a key that this server does not have."""

    def __init__(self, key_id: str, place: "Place") -> None:
        """Name the key and the connection."""
        super().__init__(
            f"the credentials of connection {place.connection_id} are encrypted under the key "
            f"{key_id!r}, which this server does not have; add it to CRMSYNC_ENCRYPTION_KEYS or to "
            "the file encryption-keys in the data directory"
        )
        self.key_id = key_id


class DamagedError(VaultError):
    """A stored text was changed, moved from another place, or encrypted under another key."""

    def __init__(self, key_id: str, place: "Place") -> None:
        """Name the place and the key."""
        super().__init__(
            f"the {place.kind} {place.name!r} of connection {place.connection_id} cannot be "
            f"decrypted with the key {key_id!r}: it was changed or moved, or the key is another one"
        )
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encrypted text is kept; it can be decrypted as nothing else.

    kind: `secret` or `token`.
    name: of the secret, or which of the tokens.
    """

    org_id: str
    connection_id: UUID
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """A connection as its places are told from those of all others."""

    org_id: str
    connection_id: UUID

    def secret(self, name: str) -> Place:
        """Return where one of its secrets is kept."""
        return Place(self.org_id, self.connection_id, "secret", name)

    def token(self, name: str) -> Place:
        """Return where one of its tokens is kept."""
        return Place(self.org_id, self.connection_id, "token", name)


class Vault:
    """Encrypts and decrypts; it keeps nothing but where its keys are."""

    def __init__(self, keys: Keys) -> None:
        """Work with these keys."""
        self._keys = keys

    def current_key(self) -> str:
        """Return the id of the key that `seal` uses; raises KeyFileError."""
        return self._keys.current().id

    def knows(self, key_id: str) -> bool:
        """Tell whether there is a key of this id; raises KeyFileError."""
        return self._keys.find(key_id) is not None

    def seal(self, place: Place, text: str) -> bytes:
        """Encrypt a text under the current key; raises KeyFileError."""
        key = self._keys.current()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(key.secret).encrypt(nonce, text.encode(), _bound(place, key))

    def open(self, place: Place, key_id: str, sealed: bytes) -> str:
        """Decrypt a text; raises UnknownKeyError, DamagedError or KeyFileError."""
        key = self._keys.find(key_id)
        if key is None:
            raise UnknownKeyError(key_id, place)
        nonce, sealed_text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(key.secret).decrypt(nonce, sealed_text, _bound(place, key)).decode()
        except (InvalidTag, ValueError):
            raise DamagedError(key_id, place) from None

    def seal_all(self, account: Account, secrets: Mapping[str, str]) -> dict[str, bytes]:
        """Encrypt the secrets of a connection."""
        return {name: self.seal(account.secret(name), text) for name, text in secrets.items()}

    def open_all(
        self, account: Account, key_id: str, sealed: Mapping[str, bytes]
    ) -> dict[str, str]:
        """Decrypt the secrets of a connection; raises as `open` does."""
        return {
            name: self.open(account.secret(name), key_id, text) for name, text in sealed.items()
        }

    def fingerprint(self, text: str) -> str:
        """Return what tells a text from others, and whoever has no key nothing of it."""
        key = self._keys.current()
        own = hmac.digest(key.secret, _FINGERPRINTING, hashlib.sha256)
        return hmac.new(own, text.encode(), hashlib.sha256).hexdigest()


def _bound(place: Place, key: Key) -> bytes:
    """Return the associated data: JSON, for it can be read in one way only."""
    return json.dumps([_FORMAT, key.id, *map(str, astuple(place))]).encode()
