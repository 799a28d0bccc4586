"""How an OAuth application's calls to HubSpot are authorized: with tokens that expire.

A token is renewed when its time is over, as HubSpot told it with the token. That a call is refused
does not mean that; only a refusal that names the expiry is believed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Token
from crmsync_server.crm.hiding import renewed
from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.hubspot_limits import WAITING, wait
from crmsync_server.crm.outcomes import Postponed, Retry
from crmsync_server.crm.replies import Reply, brief, seconds, text

TOKEN_PATH = "/oauth/v3/token"  # noqa: S105 - a path
INTROSPECT_PATH = f"{TOKEN_PATH}/introspect"
# It goes into a header as it is, whatever sent it.
_TOKEN = re.compile(r"[!-~]{1,4096}")
# Where HubSpot's answer does not say; commonly a token holds for half an hour.
_LIFE = timedelta(minutes=20)
_REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def application(account: Account) -> Mapping[str, str]:
    """Return the secrets of an OAuth application, nothing where a token was given instead.

    Raises ValueError naming the secret that is missing, or one too many.
    """
    if not account.secrets.keys() & {"client_id", "refresh_token"}:
        return {}
    if account.secrets.get("token"):
        msg = (
            f"the secret 'token' of the {account.crm} connection must be left out where "
            "'refresh_token' is given"
        )
        raise ValueError(msg)
    return {name: _secret(account, name) for name in ("client_id", "client_secret")} | {
        "refresh_token": _secret(account, "refresh_token")
    }


def _secret(account: Account, name: str) -> str:
    # Unlike a token these never stand in a header as they are: any character will do.
    secret = account.secrets.get(name, "").strip()
    if not secret:
        msg = f"the secret {name!r} of the {account.crm} connection is missing"
        raise ValueError(msg)
    return secret


class _NotRenewedError(Exception):
    """No token could be had, for a reason that has nothing to do with the credentials."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class OAuth:
    """An application that a user authorized for one portal."""

    def __init__(self, caller: Caller, secrets: Mapping[str, str]) -> None:
        """Take what calls the token endpoint, and what `application` returned."""
        self._caller = caller
        self._client = {name: secrets[name] for name in ("client_id", "client_secret")}
        self._seed = secrets["refresh_token"]
        self._renewals = 0

    @property
    def lasting(self) -> bool:
        """Whether a token is kept; where it is not, the refresh token is better not used up."""
        return self._caller.tools.tokens.lasting

    async def token(self, spent: str = "") -> Token | Fault:
        """Return a token that holds, or why there is none at the moment.

        spent: the value that HubSpot has just called expired. Raises CredentialsRefusedError.
        """
        try:
            return await self._caller.tools.tokens.current(self._renew, refused=spent)
        except _NotRenewedError as not_renewed:
            return not_renewed.fault
        except CredentialsRefusedError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever kept it away, nothing was sent
            return Retry("NO_TOKEN", f"no access token for HubSpot ({type(fault).__name__})")

    async def renewed(self) -> datetime | Fault:
        """Renew the token now, unless somebody just did; returns until when it holds."""
        before = self._renewals
        held = await self.token()
        if isinstance(held, Token) and self._renewals == before:
            held = await self.token(spent=held.value)
        return held.expire_time if isinstance(held, Token) else held

    async def introspect(self, token: str = "") -> Reply | Fault:
        """Ask what a token may do; without one whether the refresh token still holds."""
        hint = "access_token" if token else "refresh_token"
        form = {**self._client, "token": token or self._seed, "token_type_hint": hint}
        return await self._caller.call("POST", INTROSPECT_PATH, buckets=(), form=form)

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
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client}
        # Asking for a token draws on no limit of the portal's.
        told = await self._caller.call("POST", TOKEN_PATH, buckets=(), form=form)
        if not isinstance(told, Reply):
            raise _NotRenewedError(_unsent(told))
        value = text(told.fields.get("access_token"))
        if told.status != HTTPStatus.OK or not _TOKEN.fullmatch(value):
            raise self._failure(told)
        self._renewals += 1
        life = seconds(text(told.fields.get("expires_in"))) or _LIFE
        after = renewed(text(told.fields.get("refresh_token")), refresh_token)
        return Token(value, now + life, after)

    def _failure(self, reply: Reply) -> Exception:
        if {"access_token", "refresh_token"} & reply.fields.keys():
            # Whatever is wrong with it: its text would be told with what is not to be told.
            odd = f"no access token from HubSpot: its answer cannot be used (HTTP {reply.status})"
            return _NotRenewedError(Retry("NO_TOKEN", odd))
        if is_refusal(reply):
            return refused(reply)
        if reply.status in WAITING:
            return _NotRenewedError(wait(reply, self._caller.tools.clock(), UTC))
        message = brief(f"no access token from HubSpot: it answered {reply.status}: {reply.text}")
        return _NotRenewedError(Retry("NO_TOKEN", message))


def is_refusal(reply: Reply) -> bool:
    """Tell whether the token endpoint refuses the application, or what it shows."""
    return reply.status in _REFUSALS and bool(reply.fields)


def refused(reply: Reply) -> CredentialsRefusedError:
    """Say why the token endpoint refuses the application."""
    said = text(reply.fields.get("message")) or text(reply.fields.get("error_description"))
    words = brief(said) or reply.text
    return CredentialsRefusedError(f"HubSpot refuses the application: {words}")


@dataclass(frozen=True, slots=True)
class Authorized(Caller):
    """The calls of an OAuth application: each with a token that holds."""

    oauth: OAuth = field(repr=False, kw_only=True)

    async def call(
        self,
        method: str,
        path: str,
        *,
        buckets: Sequence[str],
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply | Fault:
        """Make a call; once more with a new token where HubSpot calls this one expired.

        Raises CredentialsRefusedError when there is no token to be had.
        """
        spent = ""
        while True:
            token = await self.oauth.token(spent)
            if not isinstance(token, Token):
                return token
            reply = await self._with(token).call(
                method, path, buckets=buckets, json=json, form=form, params=params
            )
            if spent or not _says_expired(reply):
                return reply
            spent = token.value

    def _with(self, token: Token) -> Caller:
        headers = {"authorization": f"Bearer {token.value}"}
        limits, hidden = self.limits, (token.value,)
        return Caller(
            self.vendor, self.account, self.tools, headers, self.read_timeout, limits, hidden
        )


def _says_expired(reply: Reply | Fault) -> bool:
    return (
        isinstance(reply, Reply)
        and reply.status == HTTPStatus.UNAUTHORIZED
        and "EXPIRED" in text(reply.fields.get("category")).upper()
    )


def _unsent(fault: Fault) -> Fault:
    """Return why nothing was sent: an unknown fate of the token is none of any record."""
    if isinstance(fault, Postponed | Retry):
        return fault
    return Retry("NO_TOKEN", brief(f"no access token from HubSpot: {fault.message}"))
