"""Minting a token as the command line asks for it; what is wrong with that is refused."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

from crmsync_server.cli.running import refuse
from crmsync_server.development import development_secret
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import Claims, is_org_id, is_subject, mint
from crmsync_server.settings import Settings
from crmsync_server.settings.kinds import Duration


def lifetime(ttl: str) -> timedelta:
    """Return how long a token is to be good for."""
    try:
        return TypeAdapter[timedelta](Duration).validate_python(ttl)
    except ValidationError:
        refuse(f"--ttl takes a positive number of seconds, or a duration like PT12H: not {ttl}.")


def caller(org: str, subject: str, roles: Sequence[str], *, subscribed: bool) -> Caller:
    """Return whom a token is to be for."""
    known = {str(role): role for role in Role}
    if unknown := sorted(set(roles) - set(known)):
        refuse(f"--role takes one of {', '.join(known)}: not {', '.join(unknown)}.")
    if not is_org_id(org):
        refuse("--org takes 1 to 64 printable characters without a slash, and no asterisk alone.")
    if not is_subject(subject):
        refuse("--subject takes at most 256 printable characters.")
    return Caller(org, subject, frozenset(known[name] for name in roles), subscribed=subscribed)


def minted(settings: Settings, caller: Caller, lifetime: timedelta) -> str:
    """Return a token that a server with these settings accepts."""
    claims = Claims(
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        org=settings.org_claim,
        roles=settings.roles_claim,
    )
    return mint(_signing_secret(settings), caller, lifetime, claims)


def _signing_secret(settings: Settings) -> str:
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    if settings.authenticates:
        refuse("This server accepts tokens of the issuer whose keys it was given, and no others.")
    try:
        return development_secret(settings.data_dir)
    except OSError as error:
        refuse(str(error))
