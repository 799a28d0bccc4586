"""Access tokens for Zoho: had for a refresh token, which stays; ten of them in ten minutes at most.

Failures come with HTTP 200 and {"error": …}. A token's reply also says where the API is that the
token is for (`api_domain`); it is kept together with the token, after a blank.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Token
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.outcomes import Outcome, Postponed, Retry, Unknown
from crmsync_server.crm.replies import Reply, brief, seconds, text
from crmsync_server.crm.zoho_errors import verdict
from crmsync_server.crm.zoho_options import Hosts

TOKEN_LIMIT = "TOKEN_LIMIT"  # noqa: S105 - a code
_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path
_TOKEN = re.compile(r"[!-~]{1,2048}")
_LIFE = timedelta(hours=1)
_TOKENS_WINDOW = timedelta(minutes=10)
_SECRETS = ("client_id", "client_secret", "refresh_token")
_PASSING = frozenset({"general_error", "internal_server_error", "server_error"})


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, as it is kept and as it is used.

    kept: the token and where its API is, as one text.
    """

    kept: str = field(repr=False)
    token: str = field(repr=False)
    api_url: str
    expire_time: datetime


class _NotRenewedError(Exception):
    """No token could be had, for a reason that has nothing to do with the credentials."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Access:
    """Authorizes the calls of one account."""

    def __init__(self, account: Account, hosts: Hosts, caller: Caller) -> None:
        """Take the account; raises ValueError naming a secret that is missing."""
        client = {name: _secret(account, name) for name in _SECRETS}
        self._seed = client.pop("refresh_token")
        self._client = client
        self._hosts = hosts
        accounts = replace(caller.account, base_url=hosts.accounts_url)
        self._caller = replace(caller, vendor="Zoho's accounts server", account=accounts)

    async def authorize(self, spent: str = "") -> Grant | Fault:
        """Return a token, or why there is none at the moment.

        spent: what was kept of the token that Zoho has just refused; another one is returned.
        Raises CredentialsRefusedError.
        """
        return await self._granted(self._renew, spent)

    async def renew(self) -> Grant | Fault:
        """Return a new token, although the one at hand may still be good."""
        renewed: list[Token] = []

        async def renewing(refresh_token: str) -> Token:
            renewed.append(await self._renew(refresh_token))
            return renewed[-1]

        held = await self._granted(renewing, "")
        if isinstance(held, Grant) and not renewed:
            return await self._granted(renewing, held.kept)
        return held

    async def _granted(self, renew: Callable[[str], Awaitable[Token]], spent: str) -> Grant | Fault:
        try:
            token = await self._caller.tools.tokens.current(renew, refused=spent)
        except _NotRenewedError as not_renewed:
            return not_renewed.fault
        except CredentialsRefusedError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever kept it away, nothing was sent
            return Retry("NO_TOKEN", f"no access token for Zoho ({type(fault).__name__})")
        value, _, told = token.value.partition(" ")
        return Grant(token.value, value, self._hosts.api(told), token.expire_time)

    async def _renew(self, refresh_token: str) -> Token:
        held = refresh_token or self._seed
        try:
            return await self._exchange(held)
        except CredentialsRefusedError:
            # The one that was given with the credentials may be newer than the one we keep.
            if held == self._seed:
                raise
            return await self._exchange(self._seed)

    async def _exchange(self, refresh_token: str) -> Token:
        now = self._caller.tools.clock()
        form = {**self._client, "grant_type": "refresh_token", "refresh_token": refresh_token}
        # The accounts server counts tokens, not credits of the API.
        told = await self._caller.call("POST", _TOKEN_PATH, buckets=(), form=form)
        if not isinstance(told, Reply):
            raise _NotRenewedError(_unsent(told))
        value = text(told.fields.get("access_token"))
        if told.status != HTTPStatus.OK or not _TOKEN.fullmatch(value):
            raise self._failure(told, now)
        life = seconds(text(told.fields.get("expires_in"))) or _LIFE
        domain = text(told.fields.get("api_domain")).strip().rstrip("/")
        kept = f"{value} {domain}" if domain and " " not in domain else value
        return Token(kept, now + life, text(told.fields.get("refresh_token")) or refresh_token)

    def _failure(self, reply: Reply, now: datetime) -> Exception:
        if {"access_token", "refresh_token"} & reply.fields.keys():
            # Whatever is wrong with it: its text would be told with what is not to be told.
            odd = f"no access token from Zoho: its answer cannot be used (HTTP {reply.status})"
            return _NotRenewedError(Retry("NO_TOKEN", odd))
        error = text(reply.fields.get("error")).strip().lower().replace(" ", "_")
        if error == "access_denied" or "too_many" in error:
            told = brief(f"Zoho gives no more than ten tokens in ten minutes: {reply.text}")
            return _NotRenewedError(Postponed(now + _TOKENS_WINDOW, TOKEN_LIMIT, told))
        if error and error not in _PASSING and reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return CredentialsRefusedError(brief(f"Zoho refuses {_blamed(error)}: {error}"))
        if error and reply.status < HTTPStatus.BAD_REQUEST:
            return _NotRenewedError(Retry("NO_TOKEN", brief(f"no token from Zoho: {error}")))
        try:
            found = verdict(reply, now)
        except CredentialsRefusedError as refused:
            return refused
        return _NotRenewedError(
            _unsent(found.outcome if isinstance(found, Faulted) else found.alone)
        )


def _blamed(error: str) -> str:
    where = "or it belongs to another data centre (option accounts_url)"
    if error.startswith("invalid_client"):
        return f"the client, {where}"
    return f"the refresh token, {where}" if error.startswith("invalid_") else "the credentials"


def _secret(account: Account, name: str) -> str:
    secret = account.secrets.get(name, "").strip()
    if not secret:
        msg = f"the secret {name!r} of the {account.crm} connection is missing"
        raise ValueError(msg)
    return secret


def _unsent(why: Outcome) -> Fault:
    """Return why nothing was sent: an unknown fate of the token is none of any record."""
    if isinstance(why, Postponed | Retry):
        return why
    said = why.message if isinstance(why, Unknown) else "its answer cannot be read"
    return Retry("NO_TOKEN", f"no access token from Zoho: {said}"[:500])
