"""A simulated Mautic: one self-hosted instance, its contacts, its switches and its tokens."""

import base64
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.limits import FixedWindow
from crmsync_server.sandbox.mautic_contacts import ContactPaths
from crmsync_server.sandbox.mautic_errors import (
    MauticError,
    answer_error,
    answer_routing_error,
    api_disabled,
    basic_disabled,
    forbidden,
    maintenance,
    oauth_error,
    rate_limited,
    unauthorized,
)
from crmsync_server.sandbox.mautic_hook_paths import HookPaths
from crmsync_server.sandbox.mautic_instance import Instance
from crmsync_server.sandbox.mautic_oauth import TOKEN_PATH, Application, TokenEndpoint
from crmsync_server.sandbox.mautic_user import MauticUser
from crmsync_server.sandbox.mautic_webhooks import TRIGGERS, Announcer, HookRules
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.webhooks import Sender, WebhookSettings
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

_HOUR_SECONDS = 3600


class MauticSwitches(BaseModel):
    """What an administrator of the instance turns on and off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_enabled: bool = True
    """Off in a new Mautic: then every call is answered with 403 api_disabled."""
    basic_enabled: bool = True
    """Off in a new Mautic: then Basic credentials are answered with 403 access_denied."""
    contacts_allowed: bool = True
    """Whether the user's role has the permissions for contacts."""
    others_visible: bool = True
    """Whether the role lets the user see contacts that others created; else they are not there."""
    maintenance: bool = False
    """Whether a proxy shows a page, with status 200, instead of every answer."""
    hourly_limit: Annotated[int, Field(ge=1)] | None = None
    """How many calls an hour are let in; changing it begins a new hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MauticSettings:
    """An instance, its user and its OAuth2 application."""

    username: str = "sandbox"
    password: str = "sandbox-mautic-password"  # noqa: S105 - opens nothing but the simulator
    client_id: str = "1_sandbox"
    client_secret: str = "sandbox-mautic-client-secret"  # noqa: S105 - likewise
    refresh_token: str = "sandbox-mautic-refresh-token"  # noqa: S105 - likewise
    token_seconds: float = 3600
    batch_limit: int = 200
    page_limit: int = 30
    version: str = "5.1.1"
    switches: MauticSwitches = field(default_factory=MauticSwitches)
    webhook_batch: int = 10
    """How many events go into one webhook post: 1 is what Mautic calls immediate."""
    webhook_failures: int = 100
    """How many posts in a row fail before a webhook is unpublished."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    faults: FaultSettings = field(default_factory=FaultSettings)


class Mautic:
    """One Mautic instance, in memory."""

    name = "mautic"
    api_path = ""

    def __init__(self, settings: MauticSettings, clock: Clock) -> None:
        """Set up an empty instance."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.instance = Instance(clock)
        application = Application(
            settings.client_id,
            settings.client_secret,
            settings.refresh_token,
            timedelta(seconds=settings.token_seconds),
        )
        self.tokens = TokenEndpoint(application, clock)
        self._contact_paths = ContactPaths(
            self.instance,
            self.faults,
            self.calls,
            batch_limit=settings.batch_limit,
            page=settings.page_limit,
        )
        self.webhooks = Sender(settings.webhooks)
        rules = HookRules(settings.webhook_batch, settings.webhook_failures)
        self._announcer = Announcer(self.instance, rules, clock, self.webhooks)
        self._hook_paths = HookPaths(self._announcer)
        self.user = MauticUser(self.instance, clock)
        self._clock = clock
        self.switches = settings.switches

    @property
    def switches(self) -> MauticSwitches:
        """How the switches stand; setting them begins a new hour of the limit."""
        return self._switches

    @switches.setter
    def switches(self, switches: MauticSwitches) -> None:
        self._switches = switches
        limit = switches.hourly_limit
        self._hour = FixedWindow(limit, _HOUR_SECONDS) if limit else None
        self._contact_paths.sees_others = switches.others_visible

    def reset(self) -> None:
        """Forget contacts, fields added, webhooks, tokens and limits taken; the switches stay."""
        self.instance.clear()
        self.webhooks.clear()
        self._announcer.clear()
        self.tokens.clear()
        self.switches = self.switches  # begins a new hour

    async def start(self) -> None:
        """Begin to send webhooks."""
        await self.webhooks.start()

    async def stop(self) -> None:
        """Stop sending webhooks."""
        await self.webhooks.stop()

    def subscribe(
        self,
        url: str,
        secret: str,
        *,
        triggers: Collection[str] = tuple(TRIGGERS),
        newest_first: bool = False,
    ) -> int:
        """Add a webhook, kept until a reset, as POST /api/hooks/new does; return its id.

        Args:
            url: where events are posted.
            secret: what they are signed with.
            triggers: which events; all of contacts by default.
            newest_first: whether a post has them in reverse.
        """
        return self._announcer.subscribe(url, secret, triggers, newest_first=newest_first).id

    def contacts(self) -> Iterator[JsonObject]:
        """Yield `{id, email, fields, tags, times_created, times_updated}` of each contact."""
        return self.instance.inspected()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with Mautic's error bodies."""
        handlers = {MauticError: answer_error, HTTPException: answer_routing_error}
        return Starlette(routes=list(routes), exception_handlers=handlers)

    def routes(self) -> Sequence[Route]:
        """Return Mautic's paths, and the one that shows and turns its switches."""
        return [
            Route(TOKEN_PATH, self.tokens.grant, methods=["POST"]),
            Route("/api/users/self", self.read_user, methods=["GET"]),
            Route("/api/roles", self.list_roles, methods=["GET"]),
            *self._hook_paths.routes(),
            *self._contact_paths.routes(),
            Route("/_sandbox/switches", self.read_switches, methods=["GET"]),
            Route("/_sandbox/switches", self.turn_switches, methods=["PATCH"]),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or fields; asking for a token does not."""
        return method != "GET" and path != TOKEN_PATH

    def authenticate(self, request: Request) -> Response | None:
        """Refuse what the switches do not let in with 403, and wrong credentials with 401."""
        refusal = self._turned_away(request)
        if refusal is not None:
            return refusal
        expired = self.faults.settings.token_expired
        if request.url.path == TOKEN_PATH:
            return oauth_error("invalid_client", "The client is gone") if expired else None
        if expired or not self._knows(*_authorization(request)):
            return unauthorized().as_response()
        if not self.switches.contacts_allowed and request.url.path != "/api/users/self":
            return forbidden().as_response()
        return None

    def admit(self, request: Request) -> Admission:
        """Count a request against the hourly limit, where there is one."""
        if self._hour is None or request.url.path == TOKEN_PATH:
            return Admission(self._version())
        now = self._clock()
        room = self._hour.has_room(now)
        if room:
            self._hour.take(now)
        reset = int(now.timestamp()) + self._hour.reset_after(now)
        headers = {
            **self._version(),
            "X-RateLimit-Limit": str(self._hour.limit),
            "X-RateLimit-Remaining": str(self._hour.remaining(now)),
            "X-RateLimit-Reset": str(reset),  # an instant, in seconds since 1970
        }
        return Admission(headers, None if room else rate_limited())

    def failure(self, fault: Fault) -> Response:
        """Return Mautic's answer for a `status` fault."""
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["Retry-After"] = str(fault.retry_after_seconds)
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
            return rate_limited(headers)
        return MauticError(fault.status, "The request could not be served").as_response(headers)

    async def read_user(self, _: Request) -> Response:
        """Return whose credentials they are."""
        name = self.settings.username
        body = {"id": 1, "username": name, "email": "owner@sandbox.example", "isPublished": True}
        return JSONResponse({**body, "role": self._role()})

    async def list_roles(self, _: Request) -> Response:
        """Return the one role there is."""
        return JSONResponse({"total": 1, "roles": [self._role()]})

    async def read_switches(self, _: Request) -> Response:
        """Return how the switches stand."""
        return JSONResponse(self.switches.model_dump(mode="json"))

    async def turn_switches(self, request: Request) -> Response:
        """Turn the switches that the body names."""
        try:
            turned = self.switches.model_dump() | parse_object(await request.body())
            self.switches = MauticSwitches.model_validate(turned)
        except (MalformedBodyError, ValidationError) as error:
            return JSONResponse({"message": str(error)}, status_code=HTTPStatus.BAD_REQUEST)
        return await self.read_switches(request)

    def _role(self) -> JsonObject:
        may = ["viewown", "editown", "deleteown", "create"]
        if self.switches.others_visible:
            may += ["viewother", "editother", "deleteother"]
        contacts = {"lead:leads": may} if self.switches.contacts_allowed else {}
        return {
            "id": 2,
            "name": "Integration",
            "isAdmin": False,
            "isPublished": True,
            "rawPermissions": {**contacts, "lead:fields": ["full"], "webhook:webhooks": ["full"]},
        }

    def _turned_away(self, request: Request) -> Response | None:
        if self.switches.maintenance:
            return maintenance()
        if not self.switches.api_enabled:
            return api_disabled().as_response()
        kind, _ = _authorization(request)
        if kind == "Basic" and not self.switches.basic_enabled:
            return basic_disabled().as_response()
        return None

    def _knows(self, kind: str, credentials: str) -> bool:
        if kind == "Basic":
            pair = f"{self.settings.username}:{self.settings.password}".encode()
            return credentials == base64.b64encode(pair).decode()
        return kind == "Bearer" and self.tokens.is_good(credentials)

    def _version(self) -> dict[str, str]:
        return {"Mautic-Version": self.settings.version}


def _authorization(request: Request) -> tuple[str, str]:
    """Return the kind of credentials that a request shows, and the credentials."""
    kind, _, credentials = request.headers.get("authorization", "").partition(" ")
    return kind, credentials
