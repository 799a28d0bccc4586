"""Who may call, and what credentials are kept under."""

from crmsync_server.rpc.auth import Authenticator
from crmsync_server.rpc.keys import Keys, SharedSecret, from_file, from_url
from crmsync_server.rpc.tokens import Claims, OpenAuthenticator, TokenAuthenticator
from crmsync_server.settings import Settings
from crmsync_server.store.keys import GivenKeys, KeyFile
from crmsync_server.store.keys import Keys as EncryptionKeys


def authenticator_of(settings: Settings, development_secret: str | None) -> Authenticator:
    """Return what tells callers apart: tokens, or on loopback without a setting also nobody.

    development_secret: what `token` mints with when no setting says how tokens are signed.
    """
    claims = Claims(
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        org=settings.org_claim,
        roles=settings.roles_claim,
    )
    if settings.authenticates:
        return TokenAuthenticator(_keys(settings), claims)
    development = [SharedSecret(development_secret)] if development_secret else []
    return OpenAuthenticator(TokenAuthenticator(development, claims))


def _keys(settings: Settings) -> list[Keys]:
    keys: list[Keys] = []
    if settings.jwt_secret is not None:
        keys.append(SharedSecret(settings.jwt_secret.get_secret_value()))
    if settings.jwks_url is not None:
        keys.append(from_url(settings.jwks_url))
    if settings.jwks_file is not None:
        keys.append(from_file(settings.jwks_file))
    return keys


def encryption_keys(settings: Settings) -> EncryptionKeys:
    """Return the keys of all credentials: the settings', or those of a file of our own."""
    if settings.encryption_keys is not None:
        return GivenKeys(settings.encryption_keys.get_secret_value())
    file = KeyFile(settings.data_dir)
    file.check()  # a file that cannot be used is said now, and not when it is needed
    return file
