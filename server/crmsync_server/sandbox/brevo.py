"""A simulated Brevo: contacts, their attributes and imports, with Brevo's rate limits."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.brevo_account import Account
from crmsync_server.sandbox.brevo_contacts import ContactPaths
from crmsync_server.sandbox.brevo_errors import (
    BrevoError,
    answer_error,
    answer_routing_error,
)
from crmsync_server.sandbox.brevo_imports import Imports
from crmsync_server.sandbox.brevo_limits import LimitClass
from crmsync_server.sandbox.brevo_processes import REPORTS_PREFIX, ProcessPaths
from crmsync_server.sandbox.brevo_user import BrevoUser
from crmsync_server.sandbox.brevo_webhook_paths import WebhookPaths
from crmsync_server.sandbox.brevo_webhooks import CONTACT_EVENTS, Announcer
from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.limits import FixedWindow
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.webhooks import Sender, WebhookSettings
from crmsync_server.sandbox.wire import JsonObject

_HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class BrevoSettings:
    """An account: limits as of the General plan."""

    api_key: str = "xkeysib-sandbox"
    contacts_per_second: int = 10
    contacts_per_hour: int = 36_000
    others_per_hour: int = 100
    import_base_seconds: float = 0.2
    """What every import takes, however small."""
    import_seconds_per_row: float = 0.0002
    batch_index_base: int = 0
    """What the first contact of a batch is called in "No contact found for indexes"."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    faults: FaultSettings = field(default_factory=FaultSettings)


class Brevo:
    """One Brevo account, in memory."""

    name = "brevo"
    api_path = "/v3"

    def __init__(self, settings: BrevoSettings, clock: Clock) -> None:
        """Open an empty account."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.account = Account(clock)
        self.imports = Imports(
            self.faults,
            self.calls,
            base_seconds=settings.import_base_seconds,
            seconds_per_row=settings.import_seconds_per_row,
        )
        self._contact_paths = ContactPaths(
            self.account, self.faults, self.calls, batch_index_base=settings.batch_index_base
        )
        self._process_paths = ProcessPaths(self.account, self.imports)
        self.webhooks = Sender(settings.webhooks)
        self._announcer = Announcer(self.account, clock, self.webhooks)
        self._webhook_paths = WebhookPaths(self._announcer)
        self.user = BrevoUser(self.account, clock)
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all contacts, attributes added, imports, webhooks and limits taken."""
        settings = self.settings
        self.account.clear()
        self.webhooks.clear()
        self._announcer.clear()
        self.imports.clear()
        self._contacts_limits = LimitClass(
            [
                FixedWindow(settings.contacts_per_second, 1),
                FixedWindow(settings.contacts_per_hour, _HOUR_SECONDS),
            ]
        )
        self._other_limits = LimitClass([FixedWindow(settings.others_per_hour, _HOUR_SECONDS)])

    async def start(self) -> None:
        """Begin to apply imports and to send webhooks."""
        await self.imports.start()
        await self.webhooks.start()

    async def stop(self) -> None:
        """Stop applying imports and sending webhooks."""
        await self.imports.stop()
        await self.webhooks.stop()

    def subscribe(
        self,
        url: str,
        *,
        events: Collection[str] = tuple(CONTACT_EVENTS),
        token: str | None = None,
        batched: bool = False,
    ) -> int:
        """Add a webhook, kept until a reset, as POST /v3/webhooks does; return its id.

        Args:
            url: where events are posted, one at a time.
            events: what to tell of: contactUpdated, contactDeleted, listAddition.
            token: sent as a bearer token with each post.
            batched: whether events are posted in arrays.
        """
        return self._announcer.subscribe(url, events, token=token, batched=batched).id

    def contacts(self) -> Iterator[JsonObject]:
        """Yield each contact as Brevo prints it, with `times_created` and `times_updated`."""
        return self.account.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with Brevo's error bodies."""
        handlers = {BrevoError: answer_error, HTTPException: answer_routing_error}
        return Starlette(routes=list(routes), exception_handlers=handlers)

    def routes(self) -> Sequence[Route]:
        """Return Brevo's paths, and the one its report files are under."""
        return [
            Route("/v3/account", self.read_account, methods=["GET"]),
            *self._process_paths.routes(),
            *self._webhook_paths.routes(),
            *self._contact_paths.routes(),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request changes contacts or attributes."""
        del path
        return method != "GET"

    def authenticate(self, request: Request) -> Response | None:
        """Refuse a wrong or revoked key with 401; report files need none."""
        if request.url.path.startswith(REPORTS_PREFIX):
            return None
        expired = self.faults.settings.token_expired
        if not expired and request.headers.get("api-key") == self.settings.api_key:
            return None
        return BrevoError(401, "Key not found").as_response()

    def admit(self, request: Request) -> Admission:
        """Count a request against the limits of its class; report files have none."""
        path = request.url.path
        if path.startswith(REPORTS_PREFIX):
            return Admission()
        contacts = path == "/v3/contacts" or path.startswith("/v3/contacts/")
        limits = self._contacts_limits if contacts else self._other_limits
        return limits.admit(self._clock())

    def failure(self, fault: Fault) -> Response:
        """Return Brevo's answer for a `status` fault."""
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["x-sib-ratelimit-reset"] = str(fault.retry_after_seconds)
        return BrevoError(fault.status, "The request could not be served").as_response(headers)

    async def read_account(self, _: Request) -> Response:
        """Return whose account the key belongs to."""
        plan = {"type": "free", "credits": 300, "creditsType": "sendLimit"}
        body = {"email": "owner@sandbox.example", "companyName": "Sandbox", "plan": [plan]}
        return JSONResponse(body)
