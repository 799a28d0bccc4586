"""Bearer tokens: JWTs that name an organization and roles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from crmsync_server.errors import UnauthenticatedError
from crmsync_server.rpc.auth import Authenticator, Caller, Role
from crmsync_server.rpc.keys import Keys

DEFAULT_ORG = "default"
ANONYMOUS = "anonymous"

_LEEWAY = timedelta(seconds=10)  # between the clocks of the issuer and of this server
_LONGEST_ORG = 64  # characters
_LONGEST_SUBJECT = 256  # characters
_ROLES = {str(role): role for role in Role}

_MISSING = "There is no bearer token; give one in the metadata key `authorization`."
_FAULTS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "has expired",
    jwt.ImmatureSignatureError: "is not valid yet",
    jwt.InvalidAudienceError: "is for another audience",
    jwt.InvalidIssuerError: "is from another issuer",
    jwt.InvalidSignatureError: "has a signature that does not match",
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What tokens must say, and under which names.

    Attributes:
        audience: what `aud` must name; None for any.
        issuer: what `iss` must be; None for any.
        org: the claim that names the organization.
        roles: the claim that lists roles: an array, or a text with spaces.
        subscription: the claim that shows a subscription: true, or a text that is not empty.
    """

    audience: str | None = None
    issuer: str | None = None
    org: str = "org_id"
    roles: str = "roles"
    subscription: str = "subscription"


@dataclass(frozen=True, slots=True)
class TokenAuthenticator:
    """Everybody must show a token, signed with a key of one of these sets."""

    keys: Sequence[Keys]
    claims: Claims

    async def authenticate(self, token: str | None) -> Caller:
        """Return whom the token names.

        Raises:
            UnauthenticatedError: there is none, or it does not hold.
        """
        if token is None:
            raise UnauthenticatedError(_MISSING)
        try:
            return self._caller(await self._payload(token))
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise UnauthenticatedError(_fault(error)) from error

    async def _payload(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = str(header.get("alg"))
        keys = next((keys for keys in self.keys if algorithm in keys.algorithms), None)
        if keys is None:
            accepted = ", ".join(sorted(name for keys in self.keys for name in keys.algorithms))
            message = f"The token is not signed with an algorithm accepted here: {accepted}."
            raise UnauthenticatedError(message)
        return jwt.decode(
            token,
            await keys.find(algorithm, header.get("kid")),
            algorithms=[algorithm],
            audience=self.claims.audience,
            issuer=self.claims.issuer,
            leeway=_LEEWAY,
            options={"require": ["exp"], "verify_aud": self.claims.audience is not None},
        )

    def _caller(self, payload: Mapping[str, Any]) -> Caller:
        return Caller(
            org_id=_org_id(payload.get(self.claims.org), self.claims.org),
            subject=_subject(payload.get("sub", "")),
            roles=_roles(payload.get(self.claims.roles)),
            subscribed=_subscribed(payload.get(self.claims.subscription)),
        )


@dataclass(frozen=True, slots=True)
class OpenAuthenticator:
    """Whoever shows no token is one organization's admin: for a server on loopback only."""

    tokens: Authenticator

    async def authenticate(self, token: str | None) -> Caller:
        """Return whom the token names, or who acts without one.

        Raises:
            UnauthenticatedError: there is a token, and it does not hold.
        """
        if token is None:
            return Caller(DEFAULT_ORG, ANONYMOUS, frozenset(Role))
        return await self.tokens.authenticate(token)


def mint(secret: str, caller: Caller, lifetime: timedelta, claims: Claims | None = None) -> str:
    """Return an HS256 token that names this caller, good from now on."""
    claims = claims or Claims()
    now = datetime.now(UTC)
    payload = {
        claims.org: caller.org_id,
        claims.roles: sorted(map(str, caller.roles)),
        claims.subscription: caller.subscribed or None,
        "sub": caller.subject,
        "aud": claims.audience,
        "iss": claims.issuer,
        "iat": now,
        "exp": now + lifetime,
    }
    told = {claim: value for claim, value in payload.items() if value is not None}
    return jwt.encode(told, secret, algorithm="HS256")


def is_org_id(told: object) -> bool:
    """Tell whether an organization may be called so."""
    # "*" means all organizations to the store, and "/" separates names in its hints.
    return _is_name(told, _LONGEST_ORG) and told != "*" and "/" not in str(told)


def is_subject(told: object) -> bool:
    """Tell whether a token may name a caller so; one without a name is nobody in particular."""
    return told == "" or _is_name(told, _LONGEST_SUBJECT)


def _is_name(told: object, longest: int) -> bool:
    if not isinstance(told, str) or not told.strip():
        return False
    return len(told) <= longest and told.isprintable()


def _org_id(told: object, claim: str) -> str:
    if not is_org_id(told):
        message = (
            f"The token's claim `{claim}` must name an organization by 1 to {_LONGEST_ORG} "
            "printable characters without a slash, and not by an asterisk or spaces alone."
        )
        raise UnauthenticatedError(message)
    return str(told)


def _subject(told: object) -> str:
    if not is_subject(told):
        message = (
            f"The token's claim `sub` must be a text of at most {_LONGEST_SUBJECT} "
            "printable characters."
        )
        raise UnauthenticatedError(message)
    return str(told)


def _roles(told: object) -> frozenset[Role]:
    names = told.split() if isinstance(told, str) else told
    listed = names if isinstance(names, list) else []
    return frozenset(_ROLES[name] for name in listed if isinstance(name, str) and name in _ROLES)


def _subscribed(told: object) -> bool:
    return told is True or (isinstance(told, str) and bool(told.strip()))


def _fault(error: Exception) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The token lacks the claim `{error.claim}`."
    faults = (fault for kind, fault in _FAULTS.items() if isinstance(error, kind))
    return f"The token {next(faults, 'is no valid JWT')}."
