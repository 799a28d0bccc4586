"""The keys that tokens are verified with: a shared secret, or a published set (JWKS)."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt
import structlog
from typing_extensions import override

from crmsync_server.errors import UnauthenticatedError

_FETCH_TIMEOUT = 5.0  # seconds
_LONGEST_SET = 1_000_000  # bytes
_MAX_AGE = 300.0  # seconds; a key that is withdrawn is good for no longer
_MIN_AGE = 10.0  # made-up key ids ask for the set no more often than this

_log = structlog.get_logger()


class Keys(Protocol):
    """Keys of a kind, and the algorithms that they are for. No key serves a foreign algorithm."""

    @property
    def algorithms(self) -> frozenset[str]:
        """The names of the algorithms, as in a token's header."""

    async def find(self, algorithm: str, key_id: str | None) -> Any:  # noqa: ANN401 - PyJWT's key types
        """Return the key that a token says it is signed with.

        Raises:
            UnauthenticatedError: there is no such key.
        """


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """One secret, for HS256; the id of a key does not matter."""

    secret: str

    @property
    def algorithms(self) -> frozenset[str]:
        """Only HS256."""
        return frozenset({"HS256"})

    async def find(self, _algorithm: str, _key_id: str | None) -> str:
        """Return the secret."""
        return self.secret


@dataclass(frozen=True, slots=True)
class _PublishedKey:
    key_id: str | None
    algorithm: str
    key: Any

    def serves(self, algorithm: str, key_id: str | None) -> bool:
        return self.algorithm == algorithm and key_id in {None, self.key_id}


class PublishedKeys:
    """A JWKS, for RS256 and ES256, read again when it is old or lacks a key.

    While it cannot be read, the keys read last stay good.
    """

    def __init__(
        self, load: Callable[[], bytes], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is read before the first token.

        Args:
            load: returns the set as JSON; runs in a thread. Raises OSError.
            clock: in seconds.
        """
        self._load = load
        self._clock = clock
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._keys: list[_PublishedKey] = []

    @property
    def algorithms(self) -> frozenset[str]:
        """Only those of public keys."""
        return frozenset({"RS256", "ES256"})

    async def find(self, algorithm: str, key_id: str | None) -> Any:  # noqa: ANN401 - PyJWT's key types
        """Return the published key of this id, or, without an id, the only one that fits.

        Raises:
            UnauthenticatedError: there is no such key, or more than one.
        """
        await self._read_if_older(_MAX_AGE)
        if not (fitting := self._fitting(algorithm, key_id)):
            await self._read_if_older(_MIN_AGE)
            fitting = self._fitting(algorithm, key_id)
        if len(fitting) != 1:
            message = "The token is signed with a key that is not published."
            raise UnauthenticatedError(message)
        return fitting[0].key

    def _fitting(self, algorithm: str, key_id: str | None) -> list[_PublishedKey]:
        return [key for key in self._keys if key.serves(algorithm, key_id)]

    async def _read_if_older(self, age: float) -> None:
        if self._clock() - self._read_at < age:
            return
        async with self._reading:  # and who waited finds it done
            if self._clock() - self._read_at >= age:
                await self._read()

    async def _read(self) -> None:
        try:
            self._keys = _parsed(await asyncio.to_thread(self._load))
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the published keys cannot be read", error=str(error))
        self._read_at = self._clock()


def from_url(url: str) -> PublishedKeys:
    """Return the keys published at an http or https URL."""

    def load() -> bytes:
        # The settings admit no other scheme.
        with urllib.request.urlopen(url, timeout=_FETCH_TIMEOUT) as reply:  # noqa: S310
            return bytes(reply.read(_LONGEST_SET))

    return PublishedKeys(load)


def from_file(path: Path) -> PublishedKeys:
    """Return the keys kept in a file, which may be replaced while the server runs."""
    return PublishedKeys(path.read_bytes)


class _UnusableKeyError(ValueError):
    """The set holds a key of another kind, or a broken one."""

    @override
    def __str__(self) -> str:
        return "not a key for RS256 or ES256"


def _parsed(document: bytes) -> list[_PublishedKey]:
    published = json.loads(document)
    if not isinstance(published, dict) or not isinstance(published.get("keys"), list):
        message = "not a JWKS"
        raise ValueError(message)  # noqa: TRY004 - a fault of the document, as any other in it
    keys = []
    for one in published["keys"]:
        try:
            keys.append(_published_key(one))
        except (jwt.PyJWTError, ValueError) as error:
            _log.info("a published key is left out", error=str(error))
    return keys


def _published_key(told: Mapping[str, Any]) -> _PublishedKey:
    # The key's own type decides: a set cannot smuggle in a symmetric key.
    algorithm = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}.get(
        (str(told.get("kty")), told.get("crv"))
    )
    if algorithm is None or told.get("alg", algorithm) != algorithm or told.get("use") == "enc":
        raise _UnusableKeyError
    key = jwt.PyJWK(dict(told), algorithm=algorithm).key
    return _PublishedKey(told.get("kid"), algorithm, key)
