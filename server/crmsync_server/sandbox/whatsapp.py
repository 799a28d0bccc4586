"""A simulated Meta: the Graph API of one WhatsApp Business account, and the app's webhooks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox import whatsapp_errors as errors
from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.webhooks import Sender, WebhookSettings
from crmsync_server.sandbox.whatsapp_account import Account, Number, Outgoing
from crmsync_server.sandbox.whatsapp_errors import refusal
from crmsync_server.sandbox.whatsapp_hook import MetaHook
from crmsync_server.sandbox.whatsapp_user import WhatsAppUser
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

_LONGEST_TEXT = 4096
_LEAST_DIGITS, _MOST_DIGITS = 7, 15
_KINDS = ("text", "template", "image", "document", "audio", "video", "reaction", "interactive")


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatsAppSettings:
    """One business, its app and its account."""

    access_token: str = "sandbox-whatsapp-token"  # noqa: S105 - opens nothing but the simulator
    app_secret: str = "sandbox-whatsapp-app-secret"  # noqa: S105 - likewise
    version: str = "v23.0"
    waba_id: str = "1211735840550044"
    business_id: str = "123456789"
    name: str = "Enromatics"
    tells_business: bool = True
    """Whether the account tells who owns it."""
    numbers: Sequence[Number] = (
        Number(id="507100000000001", display="+91 80871 31777", name="Enromatics"),
    )
    templates: frozenset[str] = frozenset({"hello_world"})
    unreachable: frozenset[str] = frozenset()
    """Numbers that are not on WhatsApp."""
    messages_per_second: int = 80
    pair_messages: int = 45
    """How many messages one recipient gets from one number in `pair_seconds`."""
    pair_seconds: float = 270
    window_told_late: bool = True
    """Whether free text outside of the 24 hours is taken and then told as failed, or refused."""
    reports: Sequence[str] = ("sent", "delivered")
    """What is told at once of a message that was taken."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    changes_each: int = 1
    entries_each: int = 1
    faults: FaultSettings = field(default_factory=FaultSettings)


class WhatsApp:
    """Meta, as one app sees it."""

    name = "whatsapp"

    def __init__(self, settings: WhatsAppSettings, clock: Clock) -> None:
        """Set up the account; nobody has written yet."""
        self.settings = settings
        self.api_path = f"/{settings.version}"
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.webhooks = Sender(settings.webhooks)
        self.account = Account(clock, {one.id: one for one in settings.numbers})
        self.user = WhatsAppUser(self.account, self._tell)
        self.hook: MetaHook | None = None
        self.refusing: int | None = None
        """The code that every message is refused with, while it is set."""

    def subscribe(self, url: str | None) -> None:
        """Send changes to this address; None sends them nowhere."""
        settings = self.settings
        each = (settings.changes_each, settings.entries_each)
        self.hook = (
            None if url is None else MetaHook(url, settings.app_secret, settings.waba_id, *each)
        )

    async def try_webhook(self, url: str, verify_token: str, challenge: str = "1158201444") -> bool:
        """Do the handshake that Meta does before it subscribes; return whether it was answered."""
        params = {
            "hub.mode": "subscribe",
            "hub.verify_token": verify_token,
            "hub.challenge": challenge,
        }
        async with httpx.AsyncClient() as client:
            reply = await client.get(url, params=params)
        return reply.status_code == HTTPStatus.OK and reply.text == challenge

    def reset(self) -> None:
        """Forget messages, limits taken and what waits to be told."""
        self.account.clear()
        self.webhooks.clear()
        self.refusing = None

    async def start(self) -> None:
        """Begin to send webhooks."""
        await self.webhooks.start()

    async def stop(self) -> None:
        """Stop sending webhooks."""
        await self.webhooks.stop()

    def contacts(self) -> Iterator[JsonObject]:
        """Yield every message that was taken, oldest first: Meta holds no contacts."""
        for one in self.account.sent:
            yield {"id": one.wamid, "from": one.number_id, "to": one.to, **one.body}

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes."""
        unknown = {404: lambda _request, _error: refusal(errors.PARAMETER, status=404)}
        return Starlette(routes=list(routes), exception_handlers=unknown)

    def routes(self) -> Sequence[Route]:
        """Return the paths of the Graph API that a messaging app needs."""
        base = self.api_path
        return [
            Route(f"{base}/{{object_id}}/messages", self.send, methods=["POST"]),
            Route(f"{base}/{{object_id}}/phone_numbers", self.list_numbers, methods=["GET"]),
            Route(f"{base}/{{object_id}}", self.show, methods=["GET"]),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request sends something."""
        return method == "POST" and path.endswith("/messages")

    def authenticate(self, request: Request) -> Response | None:
        """Refuse another token: 190, which waits for a new one."""
        expected = f"Bearer {self.settings.access_token}"
        shown = request.headers.get("authorization", "")
        if shown != expected or self.faults.settings.token_expired:
            return refusal(errors.TOKEN)
        return None

    def admit(self, request: Request) -> Admission:
        """Let everything in, and say how much of the allowance is used."""
        del request
        usage = '{"call_count":1,"total_cputime":1,"total_time":1}'
        return Admission(headers={"X-App-Usage": usage})

    def failure(self, fault: Fault) -> Response:
        """Return the answer for a `status` fault."""
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
            return refusal(errors.THROUGHPUT, status=fault.status)
        error = {"message": "An unknown error occurred", "type": "OAuthException", "code": 1}
        return JSONResponse({"error": error}, status_code=fault.status)

    async def show(self, request: Request) -> Response:
        """Answer GET of a number or of the account, with the fields that were asked for."""
        object_id = request.path_params["object_id"]
        if (number := self.account.numbers.get(object_id)) is not None:
            return JSONResponse(_chosen(number.as_json(), request))
        if object_id == self.settings.waba_id:
            return JSONResponse(_chosen(self._waba(), request))
        details = f"Object with ID '{object_id}' does not exist"
        return refusal(errors.PARAMETER, details)

    async def list_numbers(self, request: Request) -> Response:
        """Answer GET of the account's numbers."""
        if request.path_params["object_id"] != self.settings.waba_id:
            return refusal(errors.PARAMETER, "no such account")
        numbers = [_chosen(one.as_json(), request) for one in self.account.numbers.values()]
        return JSONResponse({"data": numbers, "paging": {"cursors": {}}})

    async def send(self, request: Request) -> Response:
        """Answer POST of a message: taken, which is not delivered."""
        number_id = request.path_params["object_id"]
        try:
            body = parse_object(await request.body())
        except MalformedBodyError as error:
            return refusal(errors.PARAMETER, str(error))
        if number_id not in self.account.numbers:
            return refusal(errors.PARAMETER, "no such phone number")
        if (refused := self._refused(number_id, body)) is not None:
            return refused
        sent = self._take(number_id, body)
        return JSONResponse(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": str(body["to"]), "wa_id": sent.to}],
                "messages": [{"id": sent.wamid, "message_status": "accepted"}],
            }
        )

    def _refused(self, number_id: str, body: JsonObject) -> Response | None:
        if self.refusing is not None:
            return refusal(self.refusing)
        if (wrong := _wrong(body)) is not None:
            return refusal(errors.PARAMETER, wrong)
        settings, to = self.settings, _digits(body["to"])
        template = body.get("template")
        if body["type"] == "template" and isinstance(template, dict):
            if template.get("name") not in settings.templates:
                return refusal(errors.TEMPLATE_MISSING)
        elif not settings.window_told_late and not self.account.may_write(number_id, to):
            return refusal(errors.RE_ENGAGEMENT)
        return self._out_of_pace(number_id, to)

    def _out_of_pace(self, number_id: str, to: str) -> Response | None:
        settings, keeps_pace = self.settings, self.account.keeps_pace
        pair = timedelta(seconds=settings.pair_seconds)
        if not keeps_pace(f"{number_id}/{to}", settings.pair_messages, pair):
            return refusal(errors.PAIR_LIMIT)
        if not keeps_pace(number_id, settings.messages_per_second, timedelta(seconds=1)):
            return refusal(errors.THROUGHPUT, status=HTTPStatus.TOO_MANY_REQUESTS)
        return None

    def _take(self, number_id: str, body: JsonObject) -> Outgoing:
        wamid, to = self.account.new_wamid(), _digits(body["to"])
        sent = Outgoing(wamid, number_id, to, body, self.account.clock())
        self.account.sent.append(sent)
        if to in self.settings.unreachable:
            self.user.report(sent, "failed", code=errors.UNDELIVERABLE)
        elif body["type"] != "template" and not self.account.may_write(number_id, to):
            self.user.report(sent, "failed", code=errors.RE_ENGAGEMENT)
        else:
            for status in self.settings.reports:
                self.user.report(sent, status)
        return sent

    def _waba(self) -> JsonObject:
        settings = self.settings
        told: JsonObject = {"id": settings.waba_id, "name": settings.name, "timezone_id": "1"}
        if settings.tells_business:
            owner = {"id": settings.business_id, "name": settings.name}
            told["owner_business_info"] = owner
        return told

    def _tell(self, value: JsonObject) -> None:
        if self.hook is not None:
            self.webhooks.send(self.hook, [value])


def _chosen(found: Mapping[str, object], request: Request) -> JsonObject:
    """Return the fields that were asked for, and always the id."""
    wanted = request.query_params.get("fields", "")
    names = {name.partition("{")[0] for name in wanted.split(",") if name}
    return {name: one for name, one in found.items() if not names or name in {*names, "id"}}


def _wrong(body: JsonObject) -> str | None:
    if body.get("messaging_product") != "whatsapp":
        return "messaging_product is required"
    to = body.get("to")
    if not isinstance(to, str) or not _LEAST_DIGITS <= len(_digits(to)) <= _MOST_DIGITS:
        return "to must be a phone number"
    kind = body.setdefault("type", "text")
    if kind not in _KINDS or not isinstance(body.get(kind), dict):
        return f"the parameter {kind} is required"
    if kind == "text" and not 0 < len(str(body["text"].get("body", ""))) <= _LONGEST_TEXT:
        return "text.body must be 1 to 4096 characters"
    return None


def _digits(number: object) -> str:
    return "".join(one for one in str(number) if one.isdecimal())
