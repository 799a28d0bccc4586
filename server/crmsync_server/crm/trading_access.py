"""How calls to the Trading CRM are authorized: a token by user name and password, or a key."""

import re
from datetime import timedelta
from http import HTTPStatus
from typing import Protocol

from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Token
from crmsync_server.crm.http import Caller, Fault, credential
from crmsync_server.crm.outcomes import Postponed, Retry, Unknown
from crmsync_server.crm.replies import Reply, seconds, text
from crmsync_server.crm.trading_replies import is_refusal, refused, trouble, words

BUCKET = "calls"
TOKEN_PATH = "/token"  # noqa: S105 - a path
# It goes into a header as it is, whatever sent it.
_TOKEN = re.compile(r"[!-~]{1,8192}")
# What a token lives where the CRM does not say, and how long before its end it is renewed.
_LIFE = timedelta(hours=23)
_EARLY = timedelta(hours=1)


class Access(Protocol):
    """Authorizes the calls of one account."""

    async def token(self, spent: str = "") -> str | Fault:
        """Return what goes behind `Bearer`, or why there is nothing at the moment.

        spent: the one that the CRM has just refused; another is returned, if there can be.
        Raises CredentialsRefusedError.
        """


def access(account: Account, caller: Caller) -> Access:
    """Return how an account's calls are authorized; raises ValueError naming a wrong secret."""
    given = {name for name, value in account.secrets.items() if value.strip()}
    if "token" in given and given & {"username", "password"}:
        msg = (
            f"the {account.crm} connection takes either the secret 'token' or the secrets "
            "'username' and 'password', not both"
        )
        raise ValueError(msg)
    if "token" in given:
        return StaticKey(credential(account, "token"))
    for name in ("username", "password"):
        if name not in given:
            msg = (
                f"the secret {name!r} of the {account.crm} connection is missing; it takes "
                "'username' and 'password', or 'token' for a key that does not expire"
            )
            raise ValueError(msg)
    return Login(caller, account.secrets["username"], account.secrets["password"])


class StaticKey:
    """A key that the broker handed out, the same for every call."""

    def __init__(self, key: str) -> None:
        """Take the key."""
        self._key = key

    async def token(self, spent: str = "") -> str | Fault:
        """Return the key: there is no other one."""
        del spent
        return self._key


class _NotRenewedError(Exception):
    """No token could be had, for a reason that has nothing to do with the credentials."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Login:
    """A user name and a password, and the token that they give for a day."""

    def __init__(self, caller: Caller, username: str, password: str) -> None:
        """Take the credentials."""
        self._caller = caller
        self._username = username
        self._password = password

    async def token(self, spent: str = "") -> str | Fault:
        """Return the token, renewed an hour before it expires and when it was refused."""
        try:
            held = await self._caller.tools.tokens.current(self._renewed, refused=spent)
        except _NotRenewedError as not_renewed:
            return not_renewed.fault
        except CredentialsRefusedError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever kept it away, nothing was sent
            kind = type(fault).__name__
            return Retry("NO_TOKEN", f"no access token for the Trading CRM ({kind})")
        return held.value

    async def _renewed(self, refresh_token: str) -> Token:
        del refresh_token  # the password is what renews
        now = self._caller.tools.clock()
        told = await self._caller.call(
            "POST",
            TOKEN_PATH,
            buckets=(BUCKET,),
            json={"userName": self._username, "password": self._password},
        )
        if not isinstance(told, Reply):
            raise _NotRenewedError(_unsent(told))
        value = text(told.fields.get("Token") or told.fields.get("token"))
        if not told.status < HTTPStatus.MULTIPLE_CHOICES or not _TOKEN.fullmatch(value):
            raise self._failure(told)
        life = seconds(text(told.fields.get("ExpiresIn"))) or _LIFE
        # One of a short life is renewed when half of it is over.
        return Token(value, now + max(life - _EARLY, life / 2))

    def _failure(self, reply: Reply) -> Exception:
        if is_refusal(reply) or reply.status == HTTPStatus.BAD_REQUEST:
            return refused(reply)
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            # Its text may hold a token that only looks wrong.
            what = f"no access token in the Trading CRM's answer (HTTP {reply.status})"
            told = what if reply.fields else f"{what}: {words(reply)}"
            return _NotRenewedError(Retry("NO_TOKEN", told[:500]))
        found = trouble(reply, self._caller.tools.clock())
        if isinstance(found, Postponed | Retry):
            return _NotRenewedError(found)
        message = getattr(found, "message", words(reply))
        return _NotRenewedError(Retry("NO_TOKEN", f"no access token: {message}"[:500]))


def _unsent(why: Fault) -> Fault:
    """Return why nothing was sent: an unknown fate of the token is none of any lead."""
    if isinstance(why, Unknown):
        return Retry("NO_TOKEN", f"no access token from the Trading CRM: {why.message}"[:500])
    return why
