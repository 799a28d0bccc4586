"""How calls to Mautic are authorized: Basic, or OAuth2 with tokens that expire and rotate."""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Token
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.hiding import renewed
from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.mautic_errors import is_refusal, oauth_code, refused, verdict, words
from crmsync_server.crm.mautic_limits import HOURLY
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply, seconds, text

_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path
_NOBODYS = "crmsync-asks-who-it-is"
# It goes into a header as it is, whatever sent it.
_TOKEN = re.compile(r"[!-~]{1,4096}")
# What Mautic gives where its answer does not say.
_LIFE = timedelta(hours=1)


class Access(Protocol):
    """Authorizes the calls of one account."""

    async def introduce(self) -> Reply | Fault | None:
        """Ask for a token that cannot be had: `invalid_grant` says that the application is known.

        None, unasked, unless to authorize a call would use up what its owner still needs.
        """

    async def authorize(self, spent: str = "") -> str | Fault:
        """Return an Authorization header, or why there is none at the moment.

        spent: the header that Mautic has just refused; another one is returned, if there can be.
        Raises CredentialsRefusedError.
        """

    async def renew(self) -> datetime | Trouble | None:
        """Renew the token now, and return until when it holds; None where there is none.

        Raises CredentialsRefusedError.
        """


def access(account: Account, caller: Caller) -> Access:
    """Return how an account's calls are authorized; raises ValueError naming a missing secret."""
    if "client_id" in account.secrets or "client_secret" in account.secrets:
        return OAuth(
            caller,
            {name: _secret(account, name) for name in ("client_id", "client_secret")},
            account.secrets.get("refresh_token", ""),
        )
    username, password = (_secret(account, name) for name in ("username", "password"))
    if ":" in username:
        msg = f"the secret 'username' of the {account.crm} connection must be without a colon"
        raise ValueError(msg)
    return Basic(username, password)


def _secret(account: Account, name: str) -> str:
    # Unlike a token these never stand in a header as they are: any character will do.
    secret = account.secrets.get(name, "")
    if not secret.strip():
        msg = f"the secret {name!r} of the {account.crm} connection is missing"
        raise ValueError(msg)
    return secret


class Basic:
    """A user's name and password, the same for every call."""

    def __init__(self, username: str, password: str) -> None:
        """Take the credentials."""
        self._header = f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"

    async def authorize(self, spent: str = "") -> str | Fault:
        """Return the header: there is no other one."""
        del spent
        return self._header

    async def introduce(self) -> Reply | Fault | None:
        """Ask nothing: a password is not used up."""
        return None

    async def renew(self) -> datetime | Trouble | None:
        """Return None: a password does not expire."""
        return None


class _NotRenewedError(Exception):
    """No token could be had, for a reason that has nothing to do with the credentials."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class OAuth:
    """An application's id and secret, and a refresh token where a user authorized it."""

    def __init__(self, caller: Caller, client: Mapping[str, str], refresh_token: str) -> None:
        """Take the application; without a refresh token it acts for itself."""
        self._caller = caller
        self._client = client
        self._seed = refresh_token

    async def introduce(self) -> Reply | Fault | None:
        """Ask with a refresh token that is nobody's, where ours would be used up for nothing."""
        if not self._seed or self._caller.tools.tokens.lasting:
            return None
        form = {"grant_type": "refresh_token", "refresh_token": _NOBODYS}
        return await self._token({**self._client, **form})

    async def authorize(self, spent: str = "") -> str | Fault:
        """Return a bearer token, renewed when it has expired or was refused."""
        token = await self._current(self._renew, spent.removeprefix("Bearer "))
        return f"Bearer {token.value}" if isinstance(token, Token) else token

    async def renew(self) -> datetime | Trouble | None:
        """Renew the token, unless it would be lost with this adapter."""
        if self._seed and not self._caller.tools.tokens.lasting:
            told = "the refresh token works but once, and what it gives would not be kept"
            return Rejected("NOT_KEPT", told)
        renewals = 0

        async def renewed(refresh_token: str) -> Token:
            nonlocal renewals
            renewals += 1
            return await self._renew(refresh_token)

        token = await self._current(renewed)
        if isinstance(token, Token) and not renewals:
            token = await self._current(renewed, token.value)
        return token.expire_time if isinstance(token, Token) else unanswered(token)

    async def _current(
        self, renew: Callable[[str], Awaitable[Token]], refused: str = ""
    ) -> Token | Fault:
        try:
            return await self._caller.tools.tokens.current(renew, refused=refused)
        except _NotRenewedError as not_renewed:
            return not_renewed.fault
        except CredentialsRefusedError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever kept it away, nothing was sent
            return Retry("NO_TOKEN", f"no access token for Mautic ({type(fault).__name__})")

    async def _renew(self, refresh_token: str) -> Token:
        if not self._seed:
            return await self._ask({"grant_type": "client_credentials"}, "")
        held = refresh_token or self._seed
        try:
            return await self._exchange(held)
        except CredentialsRefusedError:
            # The one that was given with the credentials may be newer than the one we keep.
            if held == self._seed:
                raise
            return await self._exchange(self._seed)

    async def _exchange(self, refresh_token: str) -> Token:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._ask(form, refresh_token)

    async def _ask(self, form: Mapping[str, str], refresh_token: str) -> Token:
        now = self._caller.tools.clock()
        told = await self._token({**self._client, **form})
        if not isinstance(told, Reply):
            raise _NotRenewedError(_unsent(told))
        value = text(told.fields.get("access_token"))
        if told.status != HTTPStatus.OK or not _TOKEN.fullmatch(value):
            raise self._failure(told)
        life = seconds(text(told.fields.get("expires_in"))) or _LIFE
        after = renewed(text(told.fields.get("refresh_token")), refresh_token)
        return Token(value, now + life, after)

    async def _token(self, form: Mapping[str, str]) -> Reply | Fault:
        return await self._caller.call("POST", _TOKEN_PATH, buckets=(HOURLY,), form=form)

    def _failure(self, reply: Reply) -> Exception:
        if {"access_token", "refresh_token"} & reply.fields.keys():
            # Whatever is wrong with it: its text would be told with what is not to be told.
            odd = f"no access token from Mautic: its answer cannot be used (HTTP {reply.status})"
            return _NotRenewedError(Retry("NO_TOKEN", odd))
        if reply.status == HTTPStatus.BAD_REQUEST and oauth_code(reply):
            return CredentialsRefusedError(f"Mautic refuses the application: {words(reply)}")
        if is_refusal(reply):
            return refused(reply)
        found = verdict(reply, self._caller.tools.clock())
        outcome = found.outcome if isinstance(found, Faulted) else found.alone
        return _NotRenewedError(_unsent(outcome))


def _unsent(why: Outcome) -> Fault:
    """Return why nothing was sent: an unknown fate of the token is none of any record."""
    if isinstance(why, Postponed | Retry):
        return why
    words = why.message if isinstance(why, Unknown) else "its answer cannot be read"
    return Retry("NO_TOKEN", f"no access token from Mautic: {words}"[:500])
