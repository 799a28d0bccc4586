"""Keys that an issuer publishes: in a file, at a URL, rotated, and never of the wrong kind."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm
from typing_extensions import override

from crmsync_server.errors import UnauthenticatedError
from crmsync_server.rpc.keys import PublishedKeys, SharedSecret, from_file, from_url
from crmsync_server.rpc.tokens import Claims, TokenAuthenticator

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    """Make an RSA key; slow enough to make once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Make a key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def _published(key: Private, **more: str) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return {**RSAAlgorithm.to_jwk(public, as_dict=True), **more}
    return {**ECAlgorithm.to_jwk(public, as_dict=True), **more}


def _document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def _signed(key: Any, algorithm: str, key_id: str | None = None) -> str:  # noqa: ANN401 - any of PyJWT's keys
    claims = {"org_id": "acme", "roles": ["reader"], "exp": time() + 60}
    return jwt.encode(claims, key, algorithm, headers={"kid": key_id} if key_id else None)


@dataclass
class Issuer:
    """Publishes keys, counts how often they are read, and owns the clock."""

    document: bytes
    reads: int = 0
    now: float = 0.0
    broken: bool = False
    keys: PublishedKeys = field(init=False)

    def __post_init__(self) -> None:
        """Have the keys read from here."""
        self.keys = PublishedKeys(self._load, lambda: self.now)

    def _load(self) -> bytes:
        self.reads += 1
        if self.broken:
            raise OSError
        return self.document

    async def org_of(self, token: str) -> str:
        """Return the organization of a token that these keys verify."""
        caller = await TokenAuthenticator([self.keys], Claims()).authenticate(token)
        return caller.org_id


async def test_rsa_and_elliptic_keys_verify_their_own_algorithms(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    """By the key's id, or without one when only one key fits."""
    issuer = Issuer(_document(_published(rsa_key, kid="r"), _published(ec_key, kid="e")))
    assert await issuer.org_of(_signed(rsa_key, "RS256", "r")) == "acme"
    assert await issuer.org_of(_signed(ec_key, "ES256", "e")) == "acme"
    assert await issuer.org_of(_signed(ec_key, "ES256")) == "acme"
    assert issuer.reads == 1


async def test_a_public_key_never_serves_as_a_shared_secret(rsa_key: rsa.RSAPrivateKey) -> None:
    """The classic forgery: HS256, keyed with what everybody can read."""
    pem = rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = {"alg": "HS256", "kid": "r"}
    claims = {"org_id": "acme", "exp": time() + 60}
    parts = [jwt.utils.base64url_encode(json.dumps(part).encode()) for part in (header, claims)]
    signing = b".".join(parts)
    signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(signing, pem)
    forged = (signing + b"." + jwt.utils.base64url_encode(signature)).decode()
    published = Issuer(_document(_published(rsa_key, kid="r"))).keys
    both = TokenAuthenticator([published, SharedSecret("s" * 32)], Claims())
    with pytest.raises(UnauthenticatedError, match="signature that does not match"):
        await both.authenticate(forged)
    with pytest.raises(UnauthenticatedError, match="algorithm accepted here: ES256, RS256"):
        await TokenAuthenticator([published], Claims()).authenticate(forged)


async def test_a_published_symmetric_key_is_left_out(rsa_key: rsa.RSAPrivateKey) -> None:
    """As are keys for encryption, and broken ones; the rest of the set is good."""
    issuer = Issuer(
        _document(
            {"kty": "oct", "kid": "o", "k": "c2VjcmV0", "alg": "RS256"},
            _published(rsa_key, kid="enc", use="enc"),
            _published(rsa_key, kid="ps", alg="PS256"),
            {"kty": "RSA", "kid": "broken"},
            _published(rsa_key, kid="good", use="sig", alg="RS256"),
        )
    )
    assert await issuer.org_of(_signed(rsa_key, "RS256", "good")) == "acme"
    for key_id in ("o", "enc", "ps", "broken"):
        with pytest.raises(UnauthenticatedError, match="not published"):
            await issuer.org_of(_signed(rsa_key, "RS256", key_id))


async def test_a_key_of_one_kind_does_not_serve_the_other(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    """Whatever id the token claims."""
    issuer = Issuer(_document(_published(rsa_key, kid="r")))
    with pytest.raises(UnauthenticatedError, match="not published"):
        await issuer.org_of(_signed(ec_key, "ES256", "r"))


async def test_a_rotated_key_is_found_and_the_withdrawn_one_forgotten(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    """An unknown id reads the set again; so does age."""
    issuer = Issuer(_document(_published(rsa_key, kid="old")))
    assert await issuer.org_of(_signed(rsa_key, "RS256", "old"))
    issuer.document = _document(_published(ec_key, kid="new"))
    issuer.now = 11
    assert await issuer.org_of(_signed(ec_key, "ES256", "new"))
    with pytest.raises(UnauthenticatedError, match="not published"):
        await issuer.org_of(_signed(rsa_key, "RS256", "old"))


async def test_a_withdrawn_key_is_good_for_five_minutes_at_most(
    rsa_key: rsa.RSAPrivateKey,
) -> None:
    """Also when nobody shows a newer one."""
    issuer = Issuer(_document(_published(rsa_key, kid="old")))
    token = _signed(rsa_key, "RS256", "old")
    assert await issuer.org_of(token)
    issuer.document = _document()
    issuer.now = 301
    with pytest.raises(UnauthenticatedError, match="not published"):
        await issuer.org_of(token)


async def test_made_up_key_ids_do_not_become_requests_to_the_issuer(
    rsa_key: rsa.RSAPrivateKey,
) -> None:
    """Forgers come in crowds; the issuer is asked once."""
    issuer = Issuer(_document(_published(rsa_key, kid="r")))
    forged = [_signed(rsa_key, "RS256", f"made-up-{number}") for number in range(20)]
    calls = [issuer.org_of(token) for token in forged]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, UnauthenticatedError) for answer in answers)
    assert issuer.reads == 1


@pytest.mark.parametrize("document", [b"", b"[]", b'{"keys": 7}', b"[" * 100_000])
async def test_keys_stay_good_while_their_issuer_is_down(
    rsa_key: rsa.RSAPrivateKey, document: bytes
) -> None:
    """An issuer that answers nonsense is down too."""
    issuer = Issuer(_document(_published(rsa_key, kid="r")))
    token = _signed(rsa_key, "RS256", "r")
    assert await issuer.org_of(token)
    issuer.now, issuer.broken = 301, True
    assert await issuer.org_of(token)
    issuer.now, issuer.broken, issuer.document = 602, False, document
    assert await issuer.org_of(token)
    assert issuer.reads == 3


async def test_nobody_comes_in_before_keys_could_be_read(rsa_key: rsa.RSAPrivateKey) -> None:
    """And soon after they can, everybody does."""
    issuer = Issuer(_document(_published(rsa_key, kid="r")), broken=True)
    token = _signed(rsa_key, "RS256", "r")
    with pytest.raises(UnauthenticatedError, match="not published"):
        await issuer.org_of(token)
    issuer.now, issuer.broken = 11, False
    assert await issuer.org_of(token) == "acme"


async def test_keys_in_a_file_may_be_replaced(
    tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    """A secret that is mounted anew is such a file."""
    path = tmp_path / "jwks.json"
    path.write_bytes(_document(_published(ec_key, kid="e")))
    key = await from_file(path).find("ES256", "e")
    assert key.public_numbers() == ec_key.public_key().public_numbers()


@pytest.fixture
def jwks_url(ec_key: ec.EllipticCurvePrivateKey) -> Iterator[str]:
    """Publish the key over HTTP on loopback."""
    document = _document(_published(ec_key, kid="e"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/jwks" else 404)
            self.end_headers()
            self.wfile.write(document)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_keys_are_read_from_a_url(jwks_url: str, ec_key: ec.EllipticCurvePrivateKey) -> None:
    """A URL that answers an error has no keys."""
    key = await from_url(f"{jwks_url}/jwks").find("ES256", "e")
    assert key.public_numbers() == ec_key.public_key().public_numbers()
    with pytest.raises(UnauthenticatedError, match="not published"):
        await from_url(f"{jwks_url}/nothing").find("ES256", "e")
