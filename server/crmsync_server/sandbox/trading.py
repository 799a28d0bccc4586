"""A simulated broker's Trading CRM: leads that live on its clock, its tokens and its faults."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.limits import RollingWindow
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.trading_accounts import TradingAccounts
from crmsync_server.sandbox.trading_lives import Lives
from crmsync_server.sandbox.trading_query import Query, QueryError
from crmsync_server.sandbox.trading_token import TOKEN_PATH, TokenDesk
from crmsync_server.sandbox.trading_user import TradingUser
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, is_email, parse_object

_ACCOUNTS = "/accounts"
_REGISTRATION = "/accounts/registrationwithsso"
_PATCH = "application/json-patch+json"
_LONGEST_ADDRESS = 8 * 1024
_REQUIRED = ("firstName", "lastName", "email")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSettings:
    """A broker's CRM, and the affiliate that uses it."""

    username: str = "sandbox"
    password: str = "sandbox-trading-password"  # noqa: S105 - opens nothing but the simulator
    static_key: str = "sandbox-trading-key"
    token_seconds: float = 23 * 3600
    tells_expiry: bool = True
    """Whether the answer with a token says how long it lives."""
    calls_per_second: int | None = None
    """How many calls a second are let in; None lets all in."""
    skip_base: int = 0
    """Whether LIMIT[Skip] counts from 0 or from 1, of which nobody is sure."""
    pace: float = 1.0
    """How many times faster than life leads move; 0 lets only people move them."""
    seed: int = 0
    """Decides which life each lead has."""
    faults: FaultSettings = field(default_factory=FaultSettings)


class Trading:
    """One affiliate's leads at one broker, in memory."""

    name = "trading"
    api_path = ""

    def __init__(self, settings: TradingSettings, clock: Clock) -> None:
        """Set up a broker without leads."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.accounts = TradingAccounts(clock)
        life = timedelta(seconds=settings.token_seconds)
        user = (settings.username, settings.password)
        self.tokens = TokenDesk(user, life, clock, tells=settings.tells_expiry)
        self.user = TradingUser(self.accounts, clock)
        self._lives = Lives(settings.seed, settings.pace)
        self._clock = clock
        self._window = self._open_window()

    def reset(self) -> None:
        """Forget leads, tokens and limits taken."""
        self.accounts.clear()
        self.tokens.clear()
        self._window = self._open_window()

    async def start(self) -> None:
        """Do nothing: leads live when they are looked at."""

    async def stop(self) -> None:
        """Do nothing."""

    def contacts(self) -> Iterator[JsonObject]:
        """Yield every lead as the API shows it, oldest first."""
        for account in self.accounts:
            self._lives.live(account, self._clock())
            yield account.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes; what it does not know is plain text."""
        return Starlette(routes=list(routes))

    def routes(self) -> Sequence[Route]:
        """Return the broker's paths."""
        return [
            Route(TOKEN_PATH, self.tokens.grant, methods=["POST"]),
            Route(_ACCOUNTS, self.list_accounts, methods=["GET"]),
            Route(_REGISTRATION, self.register, methods=["POST"]),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request makes a lead."""
        return method == "POST" and path == _REGISTRATION

    def authenticate(self, request: Request) -> Response | None:
        """Refuse what shows neither the key nor a token that holds, in plain text."""
        expired = self.faults.settings.token_expired
        if request.url.path == TOKEN_PATH and not expired:
            return None
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        known = token == self.settings.static_key or self.tokens.is_good(token)
        if expired or kind != "Bearer" or not known:
            return PlainTextResponse("Unauthorized", status_code=HTTPStatus.UNAUTHORIZED)
        return None

    def admit(self, request: Request) -> Admission:
        """Count a request against the limit, where there is one."""
        del request
        if self._window is None:
            return Admission()
        now = self._clock()
        if not self._window.has_room(now):
            return Admission(refusal=_too_many(1))
        self._window.take(now)
        return Admission()

    def failure(self, fault: Fault) -> Response:
        """Return the answer for a `status` fault: no JSON."""
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
            return _too_many(fault.retry_after_seconds)
        headers = {}
        if fault.retry_after_seconds is not None:
            headers["Retry-After"] = str(fault.retry_after_seconds)
        page = f"<html><body><h1>{fault.status}</h1></body></html>"
        return PlainTextResponse(page, status_code=fault.status, headers=headers)

    async def list_accounts(self, request: Request) -> Response:
        """Answer GET /accounts with a bare array."""
        if len(str(request.url)) > _LONGEST_ADDRESS:
            return PlainTextResponse("URI Too Long", status_code=HTTPStatus.REQUEST_URI_TOO_LONG)
        try:
            query = Query.of(request.query_params.multi_items())
        except QueryError as error:
            return PlainTextResponse(str(error), status_code=HTTPStatus.BAD_REQUEST)
        page = query.page(self.accounts, self.settings.skip_base)
        now = self._clock()
        for account in page:
            self._lives.live(account, now)
        return JSONResponse([account.as_json() for account in page])

    async def register(self, request: Request) -> Response:
        """Answer POST /accounts/registrationwithsso; the same lead twice makes two."""
        if request.headers.get("content-type", "").partition(";")[0] != _PATCH:
            status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            return PlainTextResponse("Unsupported Media Type", status_code=status)
        try:
            body = parse_object(await request.body())
        except MalformedBodyError as error:
            return PlainTextResponse(str(error), status_code=HTTPStatus.BAD_REQUEST)
        if refusal := self._refusal(body):
            return PlainTextResponse(refusal, status_code=HTTPStatus.BAD_REQUEST)
        account = self.accounts.add(body, str(body.get("affiliateTransactionId") or ""))
        self.calls.records_created += 1
        url = f"https://trade.sandbox.example/sso?account={account.id}"
        return JSONResponse({"accountId": account.id, "url": url})

    def _refusal(self, body: JsonObject) -> str:
        for name in _REQUIRED:
            if not body.get(name):
                return f"The {name} field is required."
        email = str(body["email"])
        if not is_email(email) or self.faults.rejects(email):
            return f"The lead {email} is not acceptable."
        return ""

    def _open_window(self) -> RollingWindow | None:
        calls = self.settings.calls_per_second
        return RollingWindow(calls, 1) if calls else None


def _too_many(seconds: int | None) -> Response:
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    status = HTTPStatus.TOO_MANY_REQUESTS
    return PlainTextResponse("Too Many Requests", status_code=status, headers=headers)
