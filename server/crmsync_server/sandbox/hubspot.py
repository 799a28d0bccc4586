"""A simulated HubSpot: contacts, their batches and properties, with HubSpot's rate limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.hubspot_account import INTROSPECT_PATH, SCOPES, AccountPaths, Grant
from crmsync_server.sandbox.hubspot_contacts import ContactPaths, MergeRules
from crmsync_server.sandbox.hubspot_errors import (
    HubSpotError,
    answer_error,
    answer_routing_error,
    rate_limited,
)
from crmsync_server.sandbox.hubspot_index import SearchIndex
from crmsync_server.sandbox.hubspot_oauth import TOKEN_PATH, Application, Tokens
from crmsync_server.sandbox.hubspot_portal import Portal
from crmsync_server.sandbox.hubspot_property_paths import PropertyPaths
from crmsync_server.sandbox.hubspot_search import SEARCH_PATH, FilterLimits, Search
from crmsync_server.sandbox.hubspot_user import HubSpotUser
from crmsync_server.sandbox.hubspot_webhooks import Announcer, App
from crmsync_server.sandbox.hubspot_writes import Writer
from crmsync_server.sandbox.limits import DailyQuota, RollingWindow
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.webhooks import Sender, WebhookSettings
from crmsync_server.sandbox.wire import JsonObject

_READS = ("/batch/read", "/search", "/introspect", TOKEN_PATH)
_BURST = "TEN_SECONDLY_ROLLING"
_SEARCH_BURST = "SECONDLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotSettings:
    """A portal's account: limits as of the Professional edition."""

    token: str = "sandbox-hubspot-token"  # noqa: S105 - opens nothing but the simulator
    scopes: tuple[str, ...] = SCOPES
    """What the token may do."""
    portal_id: int = 4242
    app_id: int = 77
    client_id: str = "sandbox-hubspot-client-id"
    client_secret: str = "sandbox-hubspot-client-secret"  # noqa: S105 - likewise
    """What webhooks are signed with, and what the application shows to be granted tokens."""
    refresh_token: str = "sandbox-hubspot-refresh-token"  # noqa: S105 - likewise
    """For which the application is granted access tokens, besides `token`, which always holds."""
    token_seconds: float = 1800
    time_zone: str = "America/New_York"
    """The daily limit starts anew at midnight here."""
    burst_limit: int = 190
    burst_seconds: float = 10
    daily_limit: int = 625_000
    search_limit: int = 5
    """How many searches a second are let in; they are counted apart, and no header tells."""
    filters_each_group: int = 6
    filters_in_all: int = 18
    index_lag_seconds: float = 0
    """How long a change takes, by the clock, until search knows of it."""
    merge_makes_id: bool = True
    """Whether a merge retires both ids in favour of a new one, or the winner keeps its own."""
    merged_ids_lead_on: bool = True
    """Whether the id of a contact that was merged away leads to the one that is left."""
    webhook_url: str | None = None
    """Where events are sent; `subscribe` says so later."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    upsert_clears_omitted: bool = False
    """Whether an upsert erases what it does not mention; HubSpot does not say that it keeps it."""
    faults: FaultSettings = field(default_factory=FaultSettings)


class HubSpot:
    """One HubSpot portal, in memory."""

    name = "hubspot"
    api_path = ""

    def __init__(self, settings: HubSpotSettings, clock: Clock) -> None:
        """Open an empty portal."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.portal = Portal(clock)
        writer = Writer(
            self.portal,
            self.faults,
            self.calls,
            upsert_clears_omitted=settings.upsert_clears_omitted,
        )
        merging = MergeRules(settings.merge_makes_id, settings.merged_ids_lead_on)
        self._contact_paths = ContactPaths(self.portal, writer, merging, clock)
        self._property_paths = PropertyPaths(self.portal, clock)
        grant = _grant(settings)
        self.tokens = Tokens(_application(settings), settings.token, clock, grant.facts)
        self._account_paths = AccountPaths(grant, self.tokens, clock)
        self.index = SearchIndex(self.portal, clock, timedelta(seconds=settings.index_lag_seconds))
        limits = FilterLimits(settings.filters_each_group, settings.filters_in_all)
        self.search = Search(self.portal, self.index, limits)
        self.webhooks = Sender(settings.webhooks)
        app = App(settings.app_id, settings.client_secret, settings.portal_id)
        self._announcer = Announcer(self.portal, app, clock, self.webhooks)
        self.user = HubSpotUser(self.portal, merging, clock)
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all contacts, properties added, tokens, limits taken and events not yet sent."""
        self.portal.clear()
        self.tokens.clear()
        self.webhooks.clear()
        self.subscribe(self.settings.webhook_url)
        self._searches = RollingWindow(self.settings.search_limit, 1)
        self._burst = RollingWindow(self.settings.burst_limit, self.settings.burst_seconds)
        self._daily = DailyQuota(self.settings.daily_limit, ZoneInfo(self.settings.time_zone))

    async def start(self) -> None:
        """Begin to send webhooks."""
        await self.webhooks.start()

    async def stop(self) -> None:
        """Stop sending webhooks."""
        await self.webhooks.stop()

    def subscribe(self, url: str | None) -> None:
        """Send webhooks to this URL from now on, until a reset; None sends none."""
        self._announcer.subscribe(url)

    def contacts(self) -> Iterator[JsonObject]:
        """Yield `{id, email, properties, archived, times_created, times_updated}` of each."""
        return self.portal.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with HubSpot's error bodies."""
        handlers = {HubSpotError: answer_error, HTTPException: answer_routing_error}
        return Starlette(routes=list(routes), exception_handlers=handlers)

    def routes(self) -> Sequence[Route]:
        """Return HubSpot's paths, and the one that merges two contacts."""
        return [
            *self.tokens.routes(),
            *self._account_paths.routes(),
            *self._property_paths.routes(),
            *self.search.routes(),
            *self._contact_paths.routes(),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or properties."""
        return method != "GET" and not path.endswith(_READS)

    def authenticate(self, request: Request) -> Response | None:
        """Refuse a wrong or expired bearer token with 401, one that lacks a scope with 403.

        A token that is asked for or about is in the body, and needs no other.
        """
        path = request.url.path
        if path in {TOKEN_PATH, INTROSPECT_PATH}:
            return None
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        good = self.tokens.is_good(token)
        if self.faults.settings.token_expired or (self.tokens.is_known(token) and not good):
            message = "The OAuth token used to make this call expired 1 second(s) ago."
            return HubSpotError(401, message, category="EXPIRED_AUTHENTICATION").as_response()
        if good:
            return self._account_paths.lacks_scope(request.method, path)
        message = "Authentication credentials not found."
        return HubSpotError(401, message).as_response()

    def admit(self, request: Request) -> Admission:
        """Count a request against the ten-second limit, or that of searches, and the daily one.

        Tokens are asked for outside of all of them.
        """
        if request.url.path == TOKEN_PATH:
            return Admission()
        if request.url.path == SEARCH_PATH:
            return self._admit_search()
        now = self._clock()
        if not self._daily.has_room(now):
            return Admission(self._limit_headers(), rate_limited("DAILY"))
        if not self._burst.has_room(now):
            return Admission(self._limit_headers(), rate_limited(_BURST))
        self._daily.take(now)
        self._burst.take(now)
        return Admission(self._limit_headers())

    def _admit_search(self) -> Admission:
        now = self._clock()
        if not self._daily.has_room(now):
            return Admission(refusal=rate_limited("DAILY"))
        if not self._searches.has_room(now):
            return Admission(refusal=rate_limited(_SEARCH_BURST))
        self._daily.take(now)
        self._searches.take(now)
        return Admission()

    def failure(self, fault: Fault) -> Response:
        """Return HubSpot's answer for a `status` fault."""
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["Retry-After"] = str(fault.retry_after_seconds)
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
            return rate_limited(fault.policy or _BURST, headers)
        return HubSpotError(fault.status, "The request could not be served").as_response(headers)

    def _limit_headers(self) -> dict[str, str]:
        now = self._clock()
        return {
            "X-HubSpot-RateLimit-Max": str(self._burst.limit),
            "X-HubSpot-RateLimit-Remaining": str(self._burst.remaining(now)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(self._burst.seconds * 1000)),
            "X-HubSpot-RateLimit-Daily": str(self._daily.limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(self._daily.remaining(now)),
        }


def _application(settings: HubSpotSettings) -> Application:
    return Application(
        settings.client_id,
        settings.client_secret,
        settings.refresh_token,
        timedelta(seconds=settings.token_seconds),
    )


def _grant(settings: HubSpotSettings) -> Grant:
    return Grant(
        settings.portal_id,
        settings.app_id,
        settings.time_zone,
        settings.scopes,
    )
