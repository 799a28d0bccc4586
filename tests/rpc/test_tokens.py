"""Tokens that hold, and every way in which one does not."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest

from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_server.rpc.auth import Authenticator, Caller, Role, current_caller
from crmsync_server.rpc.keys import SharedSecret
from crmsync_server.rpc.tokens import Claims, OpenAuthenticator, TokenAuthenticator, mint
from tests.rpc.serving import GET, Failure, Script, failure_of, serving

SECRET = "a secret long enough for every HMAC, so that none is refused for its key alone"
HOUR = timedelta(hours=1)
ADA = Caller("acme", "ada", frozenset({Role.WRITER}))
AUTHENTICATOR = TokenAuthenticator([SharedSecret(SECRET)], Claims())


def _token(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    good = {"org_id": "acme", "roles": ["reader"], "exp": datetime.now(UTC) + HOUR}
    told = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(told, secret, algorithm)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unsigned() -> str:
    return f"{_part({'alg': 'none'})}.{_part({'org_id': 'acme', 'roles': ['admin']})}."


async def _refused(header: str | None, authenticator: Authenticator = AUTHENTICATOR) -> Failure:
    metadata = [("authorization", header)] if header is not None else []
    async with serving(Script(), authenticator) as running:
        stub = SessionServiceStub(running.channel)
        failure = await failure_of(stub.GetSession(GET, metadata=metadata))
    assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    assert failure.info.reason == "UNAUTHENTICATED"
    return failure


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "no bearer token"),
        ("", "`Bearer TOKEN`"),
        ("Basic YWRhOmxvdmVsYWNl", "`Bearer TOKEN`"),
        ("Bearer", "no valid JWT"),
        ("Bearer abc.def.ghi", "no valid JWT"),
        (f"Bearer {_part('[' * 5_000)}.e30.", "no valid JWT"),
        (f"Bearer {base64.b64encode(b'[' * 5_000).decode()}.e30.", "no valid JWT"),
        (f"Bearer {_unsigned()}", "algorithm accepted here: HS256"),
        (f"Bearer {_token(algorithm='HS512')}", "algorithm accepted here: HS256"),
        (f"Bearer {_token(secret='another ' + SECRET)}", "signature that does not match"),
        (f"Bearer {_token(exp=None)}", "lacks the claim `exp`"),
        (f"Bearer {_token(exp=1)}", "has expired"),
        (f"Bearer {_token(exp='soon')}", "no valid JWT"),
        (f"Bearer {_token(nbf=2**33)}", "not valid yet"),
    ],
)
async def test_a_token_that_does_not_hold_is_refused_with_what_is_wrong(
    header: str | None, message: str
) -> None:
    """The message never repeats any of the token."""
    assert message in (await _refused(header)).message


@pytest.mark.parametrize(
    "org_id", [None, "", " ", "*", "a/b", "a\nb", "a\0b", "\ud800", "o" * 65, 7, ["acme"]]
)
async def test_a_token_must_name_an_organization_that_can_be_one(org_id: object) -> None:
    """Above all not the name that stands for all organizations."""
    failure = await _refused(f"Bearer {_token(org_id=org_id)}")
    assert "`org_id` must name an organization" in failure.message


@pytest.mark.parametrize("subject", ["a\0da", "a\nda", "\ud800", " ", "s" * 257])
async def test_a_token_must_name_its_caller_printably(subject: str) -> None:
    """The name is stored with what the caller does, and read by people."""
    failure = await _refused(f"Bearer {_token(sub=subject)}")
    assert "`sub` must be a text" in failure.message


async def test_a_token_need_not_name_its_caller() -> None:
    """A service's token may say no more than which organization it works for."""
    assert (await AUTHENTICATOR.authenticate(_token())).subject == ""


async def test_two_authorizations_are_refused() -> None:
    """A proxy may look at the one, and this server at the other."""
    metadata = [("authorization", f"Bearer {_token()}")] * 2
    async with serving(Script(), AUTHENTICATOR) as running:
        stub = SessionServiceStub(running.channel)
        failure = await failure_of(stub.GetSession(GET, metadata=metadata))
    assert failure.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({}, "lacks the claim `"),
        ({"aud": "crmsync"}, "lacks the claim `iss`"),
        ({"aud": "other", "iss": "https://issuer"}, "for another audience"),
        ({"aud": "crmsync", "iss": "https://other"}, "from another issuer"),
    ],
)
async def test_an_audience_and_an_issuer_are_demanded_when_they_are_set(
    claims: dict[str, Any], message: str
) -> None:
    """A token for another service does not open this one."""
    strict = TokenAuthenticator(
        [SharedSecret(SECRET)], Claims(audience="crmsync", issuer="https://issuer")
    )
    failure = await _refused(f"Bearer {_token(**claims)}", strict)
    assert message in failure.message


async def test_an_audience_nobody_asked_for_does_no_harm() -> None:
    """Issuers add one by themselves."""
    caller = await AUTHENTICATOR.authenticate(_token(aud="any", iss="any"))
    assert caller.org_id == "acme"


async def test_a_minted_token_names_its_caller() -> None:
    """With the names and the demands that the server is set to."""
    claims = Claims(audience="crmsync", issuer="https://issuer", org="tenant", roles="scope")
    authenticator = TokenAuthenticator([SharedSecret(SECRET)], claims)
    assert await authenticator.authenticate(mint(SECRET, ADA, HOUR, claims)) == ADA


async def test_the_caller_of_a_call_is_whom_its_token_names() -> None:
    """Whatever the case of the scheme's name."""
    seen = []

    async def remember() -> None:
        seen.append(current_caller())

    async with serving(Script(remember), AUTHENTICATOR) as running:
        metadata = [("authorization", f"bearer {mint(SECRET, ADA, HOUR)}")]
        await SessionServiceStub(running.channel).GetSession(GET, metadata=metadata)
    assert seen == [ADA]


@pytest.mark.parametrize(
    ("told", "roles"),
    [
        (["reader", "admin"], {Role.READER, Role.ADMIN}),
        ("reader writer", {Role.READER, Role.WRITER}),
        (["owner", 7, None], set()),
        ({"admin": True}, set()),
        (None, set()),
    ],
)
async def test_roles_are_listed_and_unknown_ones_grant_nothing(
    told: object, roles: set[Role]
) -> None:
    """As an array, or as OAuth's text with spaces."""
    caller = await AUTHENTICATOR.authenticate(_token(roles=told))
    assert caller.roles == roles


async def test_an_open_server_takes_callers_without_a_token_for_its_admin() -> None:
    """They act for the one default organization."""
    caller = await OpenAuthenticator(AUTHENTICATOR).authenticate(None)
    assert caller == Caller("default", "anonymous", frozenset(Role))


async def test_an_open_server_still_holds_a_token_to_its_word() -> None:
    """A development token acts for its own organization; a bad one for nobody."""
    authenticator = OpenAuthenticator(AUTHENTICATOR)
    assert await authenticator.authenticate(mint(SECRET, ADA, HOUR)) == ADA
    await _refused(f"Bearer {_token(exp=1)}", authenticator)
