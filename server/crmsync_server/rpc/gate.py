"""What a known caller must still pass: a subscription where one is asked for, and a rate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from crmsync_server.errors import RateLimitedError, SubscriptionRequiredError
from crmsync_server.rpc.auth import Caller
from crmsync_server.settings import Settings
from crmsync_server.store import caller_limit
from crmsync_server.store.db import Database

_CONVERSATIONS = "/crmsync.v1.ConversationService/"
_CONTACTS = "/crmsync.v1.ContactService/"


class Passage(Protocol):
    """What calls pass once their caller is known and has the role."""

    async def enter(self, method: str, caller: Caller) -> None:
        """Let a call pass, or raise a CrmsyncError."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a caller may call methods of one kind in an hour; they share it."""

    kind: str
    calls: int


@dataclass(frozen=True, slots=True)
class Gate:
    """Asks for subscriptions, and counts calls in the database, so that replicas share a rate.

    rates: by method. subscribed: the services, such as `/crmsync.v1.ConversationService/`, that
    need a subscription.
    """

    database: Database
    rates: Mapping[str, Rate]
    subscribed: Collection[str] = ()

    async def enter(self, method: str, caller: Caller) -> None:
        """Let a call pass.

        Raises:
            SubscriptionRequiredError: the token shows no subscription.
            RateLimitedError: the caller has made as many calls as they may in this hour.
        """
        service = f"{method.rpartition('/')[0]}/"
        if service in self.subscribed and not caller.subscribed:
            raise SubscriptionRequiredError(method)
        rate = self.rates.get(method)
        if rate is None:
            return
        async with self.database.org(caller.org_id) as connection:
            wait = await caller_limit.take(
                connection, caller.org_id, caller.subject, rate.kind, rate.calls
            )
        if wait is not None:
            raise RateLimitedError(method, rate.calls, caller.subject, wait)


def rates(settings: Settings) -> Mapping[str, Rate]:
    """Return how often each method may be called; those without a limit are left out."""
    conversations = ("GetAccount", "ListConversations", "GetConversation", "WatchMessages")
    contacts = ("ListContacts", "GetContact", "CreateContact", "UpdateContact", "DeleteContact")
    groups = (
        ("dashboard", settings.dashboard_calls_per_hour, _CONVERSATIONS, ("GetDashboard",)),
        (
            "analytics",
            settings.analytics_calls_per_hour,
            _CONVERSATIONS,
            ("GetConversationAnalytics",),
        ),
        ("conversations", settings.conversation_calls_per_hour, _CONVERSATIONS, conversations),
        ("contacts", settings.contact_calls_per_hour, _CONTACTS, contacts),
    )
    return {
        f"{service}{name}": Rate(kind, calls)
        for kind, calls, service, names in groups
        if calls
        for name in names
    }


def gate(database: Database, settings: Settings) -> Gate:
    """Return the gate that the settings describe."""
    subscribed = (_CONVERSATIONS,) if settings.subscription_required else ()
    return Gate(database, rates(settings), subscribed)
