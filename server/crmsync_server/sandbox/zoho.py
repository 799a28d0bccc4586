"""A simulated Zoho CRM, version 8 of its API: one organization and its accounts host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.webhooks import Sender, WebhookSettings
from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_accounts import AccountPaths
from crmsync_server.sandbox.zoho_bulk import READ, BulkPaths
from crmsync_server.sandbox.zoho_channels import Channels
from crmsync_server.sandbox.zoho_errors import (
    ZohoError,
    answer_error,
    answer_routing_error,
    invalid_token,
    oauth_error,
    scope_mismatch,
    too_many_requests,
)
from crmsync_server.sandbox.zoho_limits import Credits, Meter, Metered
from crmsync_server.sandbox.zoho_meta import MetaPaths
from crmsync_server.sandbox.zoho_organization import Organization
from crmsync_server.sandbox.zoho_pages import Pager
from crmsync_server.sandbox.zoho_reads import COQL, ReadPaths
from crmsync_server.sandbox.zoho_scopes import ALL_SCOPES, covers
from crmsync_server.sandbox.zoho_token import TOKEN_PATH, Client, TokenEndpoint
from crmsync_server.sandbox.zoho_user import ZohoUser
from crmsync_server.sandbox.zoho_watch import WATCH, WatchPaths
from crmsync_server.sandbox.zoho_writer import Writer
from crmsync_server.sandbox.zoho_writes import WritePaths

_NO_WRITES = (TOKEN_PATH, COQL, READ, WATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZohoSettings:
    """An organization, a client of it and its limits, as of the Enterprise edition."""

    client_id: str = "1000.SANDBOX"
    client_secret: str = "sandbox-zoho-client-secret"  # noqa: S105 - opens nothing but the simulator
    refresh_token: str = "1000.sandbox-zoho-refresh-token"  # noqa: S105 - likewise
    scopes: tuple[str, ...] = ALL_SCOPES
    """What the user granted; `Zoho.scopes` changes it while the simulator runs."""
    token_seconds: float = 3600
    foreign_hosts: tuple[str, ...] = ()
    """Names of this host, such as `localhost`, under which it is the accounts host of another data
    centre, where the refresh token is not known."""
    org_id: str = "60001234567"
    time_zone: str = "Asia/Kolkata"
    """In which times are printed."""
    credits: int = 100_000
    """In any 24 hours."""
    concurrency: int = 20
    sub_concurrency: int = 10
    working_seconds: float = 0
    """How long a call runs, and counts as one that does; the dial's latency is the network's."""
    lag_seconds: float = 0
    """How far search and COQL lag behind."""
    unique_fields: tuple[str, ...] = ()
    """System fields that were set to take no value twice; in a new organization none is."""
    partial_status: int = 207
    """Of a write that failed in part; 202 has been seen as well."""
    failed_status: int = 207
    """Of a write of which no record was taken."""
    page_token_seconds: float = 86_400
    page_tokens_shift: bool = False
    """Whether a page token is a position in the list, from which contacts may move away."""
    since_inclusive: bool = False
    """Whether If-Modified-Since lists what changed at that very second."""
    channel_seconds: float = 86_400
    """The longest life of a notification channel."""
    bulk_seconds: float = 10
    """How long a bulk read takes on the clock."""
    bulk_page_size: int = 200_000
    webhooks: WebhookSettings = field(default_factory=lambda: WebhookSettings(attempts=1))
    """How notifications are sent; Zoho does not say that it repeats one that failed."""
    faults: FaultSettings = field(default_factory=FaultSettings)


class Zoho:
    """One Zoho organization, in memory; `user` is somebody who works in it."""

    name = "zoho"
    api_path = ""

    def __init__(self, settings: ZohoSettings, clock: Clock) -> None:
        """Open an empty organization."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self._clock = clock
        self.organization = organization = Organization(
            clock,
            time_zone=settings.time_zone,
            lag_seconds=settings.lag_seconds,
            unique_fields=settings.unique_fields,
        )
        self.webhooks = Sender(settings.webhooks)
        self.channels = Channels(organization, self.faults, self.webhooks)
        self.user = ZohoUser(organization, self.channels)
        self.tokens = TokenEndpoint(_client(settings), clock)
        self.scopes = settings.scopes
        self.meter = Meter(
            Credits(settings.credits, clock),
            concurrency=settings.concurrency,
            sub_concurrency=settings.sub_concurrency,
            working_seconds=settings.working_seconds,
        )
        self._bulk = BulkPaths(
            organization,
            clock,
            seconds=settings.bulk_seconds,
            page_size=settings.bulk_page_size,
        )

    def reset(self) -> None:
        """Forget contacts, fields added, tokens, credits used, channels and jobs."""
        self.organization.clear()
        self.channels.clear()
        self.webhooks.clear()
        self.tokens.clear()
        self._bulk.clear()
        self.scopes = self.settings.scopes
        self.meter.credits = Credits(self.settings.credits, self._clock)

    async def start(self) -> None:
        """Begin to post notifications."""
        await self.webhooks.start()

    async def stop(self) -> None:
        """Stop posting notifications."""
        await self.webhooks.stop()

    def contacts(self) -> Iterator[JsonObject]:
        """Yield `{id, email, fields, times_created, times_updated}` of each contact."""
        return self.organization.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes, behind Zoho's limits."""
        return Starlette(
            routes=list(routes),
            middleware=[Middleware(Metered, meter=self.meter)],
            exception_handlers={ZohoError: answer_error, HTTPException: answer_routing_error},
        )

    def routes(self) -> Sequence[Route]:
        """Return the paths of the accounts host and of the API."""
        settings, organization = self.settings, self.organization
        pager = Pager(
            organization,
            token_seconds=settings.page_token_seconds,
            tokens_shift=settings.page_tokens_shift,
            inclusive=settings.since_inclusive,
        )
        writes = WritePaths(
            organization,
            Writer(organization, self.channels, self.faults, self.calls),
            partial_status=settings.partial_status,
            failed_status=settings.failed_status,
        )
        meta = MetaPaths(organization, org_id=settings.org_id, time_zone=settings.time_zone)
        longest = settings.channel_seconds
        return [
            Route(TOKEN_PATH, self.tokens.grant, methods=["POST"]),
            *meta.routes(),
            *ReadPaths(organization, pager).routes(),
            *AccountPaths(organization, partial_status=settings.partial_status).routes(),
            *writes.routes(),
            *self._bulk.routes(),
            *WatchPaths(organization, self.channels, longest_seconds=longest).routes(),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or fields."""
        return method != "GET" and path not in _NO_WRITES

    def authenticate(self, request: Request) -> Response | None:
        """Refuse a token that does not hold, or whose scopes are too narrow, with 401."""
        expired = self.faults.settings.token_expired
        if request.url.path == TOKEN_PATH:
            return oauth_error("invalid_code") if expired else None
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if expired or kind != "Zoho-oauthtoken" or not self.tokens.is_good(token):
            return invalid_token().as_response()
        if not covers(self.scopes, request.method, request.url.path):
            return scope_mismatch().as_response()
        return None

    def admit(self, _: Request) -> Admission:
        """Let everything in: what a call costs is in its body, and is counted behind here."""
        return Admission()

    def failure(self, fault: Fault) -> Response:
        """Return Zoho's answer for a `status` fault; never with Retry-After."""
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
            return too_many_requests().as_response()
        return ZohoError(fault.status, "INTERNAL_ERROR", "it could not be served").as_response()


def _client(settings: ZohoSettings) -> Client:
    return Client(
        settings.client_id,
        settings.client_secret,
        settings.refresh_token,
        timedelta(seconds=settings.token_seconds),
        settings.foreign_hosts,
    )
