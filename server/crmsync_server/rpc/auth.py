"""Who calls, and what they may do."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from crmsync_server.errors import RoleRequiredError, UnauthenticatedError
from crmsync_server.rpc.context import Context

_SERVICES = "/crmsync.v1."
_READING = ("Get", "List", "Watch", "Search", "Suggest", "Export")
_LOOKING = "Validate"
_ADMINISTERED = tuple(
    f"/crmsync.v1.{name}/" for name in ("AdminService", "ConnectionService", "UserService")
)
_CONNECTING = "/crmsync.v1.ConversationService/ConnectAccount"


class Role(IntEnum):
    """What a caller may do; each may do what those before it may."""

    READER = 1
    WRITER = 2
    ADMIN = 3

    def __str__(self) -> str:
        """Return its name as tokens spell it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        org_id: the organization whose rows the call may see.
        subject: the token's `sub`, for the log; empty when it has none.
        roles: those that the token lists.
        subscribed: whether the token shows a subscription.
    """

    org_id: str
    subject: str
    roles: frozenset[Role]
    subscribed: bool = False

    def may(self, role: Role) -> bool:
        """Tell whether the caller has a role, or one that implies it."""
        return any(mine >= role for mine in self.roles)


class Authenticator(Protocol):
    """Tells who shows a token."""

    async def authenticate(self, token: str | None) -> Caller:
        """Return who shows this bearer token; None when there is none.

        Raises:
            UnauthenticatedError: the token does not hold, or is needed and missing.
        """


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Return who makes the call that is being served.

    Raises:
        LookupError: no call is being served.
    """
    return _caller.get()


def required_role(method: str) -> Role:
    """Return the role that a method, such as `/crmsync.v1.SyncService/QueueContact`, needs.

    Its name decides: what gets, lists, watches, searches, suggests, exports or validates is
    reading, everything else is writing, or for admins where connections and configurations are
    concerned; there validating, which calls the CRM, is theirs too, and so is connecting a WhatsApp
    account. Services of others are for admins.
    """
    if not method.startswith(_SERVICES):
        return Role.ADMIN
    name = method.rpartition("/")[2]
    if name.startswith(_READING):
        return Role.READER
    if method.startswith(_ADMINISTERED) or method == _CONNECTING:
        return Role.ADMIN
    return Role.READER if name.startswith(_LOOKING) else Role.WRITER


async def admit(authenticator: Authenticator, method: str, context: Context) -> Caller:
    """Make the caller known to the rest of this call, or refuse it.

    Raises:
        UnauthenticatedError: the caller's token does not hold, or is missing.
        RoleRequiredError: the method needs a role that the caller does not have.
    """
    caller = await authenticator.authenticate(_bearer_token(context))
    if not caller.may(role := required_role(method)):
        raise RoleRequiredError(method, str(role))
    _caller.set(caller)  # never reset: every call is served in a task, and so a context, of its own
    return caller


def _bearer_token(context: Context) -> str | None:
    metadata = context.invocation_metadata() or ()
    told = [value for key, value in metadata if key == "authorization"]
    if not told:
        return None
    scheme, _, token = str(told[0]).partition(" ")
    if len(told) > 1 or scheme.lower() != "bearer":
        message = "The metadata key `authorization` must be given once, as `Bearer TOKEN`."
        raise UnauthenticatedError(message)
    return token.strip()
