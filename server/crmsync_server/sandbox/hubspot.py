"""A simulated HubSpot: contacts, their batches and properties, with HubSpot's rate limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.hubspot_contacts import ContactPaths
from crmsync_server.sandbox.hubspot_errors import (
    HubSpotError,
    answer_error,
    answer_routing_error,
    rate_limited,
    read_body,
)
from crmsync_server.sandbox.hubspot_portal import Portal
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.hubspot_writes import Writer
from crmsync_server.sandbox.limits import DailyQuota, RollingWindow
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.wire import JsonObject

_PROPERTIES = "/crm/v3/properties/contacts"
_BURST = "TEN_SECONDLY_ROLLING"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotSettings:
    """A portal's account: limits as of the Professional edition."""

    token: str = "sandbox-hubspot-token"  # noqa: S105 - opens nothing but the simulator
    portal_id: int = 4242
    time_zone: str = "America/New_York"
    """The daily limit starts anew at midnight here."""
    burst_limit: int = 190
    burst_seconds: float = 10
    daily_limit: int = 625_000
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
        self._contact_paths = ContactPaths(self.portal, writer, clock)
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all contacts, properties added and limits taken."""
        self.portal.clear()
        self._burst = RollingWindow(self.settings.burst_limit, self.settings.burst_seconds)
        self._daily = DailyQuota(self.settings.daily_limit, ZoneInfo(self.settings.time_zone))

    async def start(self) -> None:
        """Do nothing: a portal has no background work."""

    async def stop(self) -> None:
        """Do nothing: a portal has no background work."""

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
            Route("/account-info/v3/details", self.read_account, methods=["GET"]),
            Route(_PROPERTIES, self.list_properties, methods=["GET"]),
            Route(_PROPERTIES, self.create_property, methods=["POST"]),
            *self._contact_paths.routes(),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or properties."""
        return method != "GET" and not path.endswith("/batch/read")

    def authenticate(self, request: Request) -> Response | None:
        """Refuse a wrong or expired bearer token with 401."""
        if self.faults.settings.token_expired:
            message = "The OAuth token used to make this call expired 1 second(s) ago."
            return HubSpotError(401, message, category="EXPIRED_AUTHENTICATION").as_response()
        if request.headers.get("authorization") == f"Bearer {self.settings.token}":
            return None
        message = "Authentication credentials not found."
        return HubSpotError(401, message).as_response()

    def admit(self, _: Request) -> Admission:
        """Count a request against the ten-second and the daily limit."""
        now = self._clock()
        if not self._daily.has_room(now):
            return Admission(self._limit_headers(), rate_limited("DAILY"))
        if not self._burst.has_room(now):
            return Admission(self._limit_headers(), rate_limited(_BURST))
        self._daily.take(now)
        self._burst.take(now)
        return Admission(self._limit_headers())

    def failure(self, fault: Fault) -> Response:
        """Return HubSpot's answer for a `status` fault."""
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["Retry-After"] = str(fault.retry_after_seconds)
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
            return rate_limited(fault.policy or _BURST, headers)
        return HubSpotError(fault.status, "The request could not be served").as_response(headers)

    async def read_account(self, _: Request) -> Response:
        """Return which portal the token belongs to."""
        offset = self._clock().astimezone(ZoneInfo(self.settings.time_zone)).strftime("%z")
        return JSONResponse(
            {
                "portalId": self.settings.portal_id,
                "accountType": "STANDARD",
                "timeZone": self.settings.time_zone,
                "utcOffset": f"{offset[:3]}:{offset[3:]}",
                "dataHostingLocation": "na1",
            }
        )

    async def list_properties(self, _: Request) -> Response:
        """Return every property's definition."""
        definitions = self.portal.definitions.values()
        return JSONResponse({"results": [definition.as_json() for definition in definitions]})

    async def create_property(self, request: Request) -> Response:
        """Add a property."""
        definition = PropertyDefinition.parse(await read_body(request))
        if definition.name in self.portal.definitions:
            raise HubSpotError(409, f"Property {definition.name} already exists")
        self.portal.definitions[definition.name] = definition
        return JSONResponse(definition.as_json(), status_code=201)

    def _limit_headers(self) -> dict[str, str]:
        now = self._clock()
        return {
            "X-HubSpot-RateLimit-Max": str(self._burst.limit),
            "X-HubSpot-RateLimit-Remaining": str(self._burst.remaining(now)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(self._burst.seconds * 1000)),
            "X-HubSpot-RateLimit-Daily": str(self._daily.limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(self._daily.remaining(now)),
        }
