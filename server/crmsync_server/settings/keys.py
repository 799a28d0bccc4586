"""The keys that credentials are encrypted under, as a setting or a file tells them."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY_BYTES = 32


def encryption_keys(told: str) -> dict[str, bytes]:
    """Read keys of 32 bytes by id, in order, from `id:base64` entries; # begins a comment.

    Raises ValueError, which repeats no key.
    """
    lines = (line.partition("#")[0] for line in told.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    found: dict[str, bytes] = {}
    for place, entry in enumerate(entries, 1):
        key_id, _, encoded = entry.partition(":")
        if not _KEY_ID.fullmatch(key_id):
            message = f"key {place} must be id:base64, its id of letters, digits, '.', '_' and '-'"
            raise ValueError(message)
        if key_id in found:
            message = f"key {place} must have an id of its own, and has that of another"
            raise ValueError(message)
        found[key_id] = _key(place, encoded)
    if not found:
        message = "there must be one key at least, as id:base64"
        raise ValueError(message)
    return found


def _key(place: int, encoded: str) -> bytes:
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != _KEY_BYTES:
        # By its place: what stands where an id should may be the key.
        message = (
            f"key {place} must be id:base64, with {_KEY_BYTES} bytes (openssl rand -base64 32)"
        )
        raise ValueError(message)
    return secret


def _encryption_keys(told: SecretStr) -> SecretStr:
    encryption_keys(told.get_secret_value())
    return told


EncryptionKeys = Annotated[SecretStr, AfterValidator(_encryption_keys)]
