"""Webhooks: who sent one is verified, what it tells is kept, and only then is it acknowledged.

Nothing else is done before the answer: HubSpot waits five seconds for it, and Mautic's users wait
with it. Whatever does not prove where it comes from gets the same answer, and leaves no trace but
in the metrics.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response

from crmsync_server.crm.hiding import keepable
from crmsync_server.crm.webhook import (
    Inbound,
    Notice,
    NoticeKind,
    UnreadableError,
    Webhooks,
    webhooks_of,
)
from crmsync_server.store import connection as connections
from crmsync_server.store import notice
from crmsync_server.store.db import Database
from crmsync_server.store.notice import Told
from crmsync_server.web.body import IncompleteError, TooLargeError, read_body
from crmsync_server.web.metrics import Metrics

_log = structlog.get_logger()

_ANSWER_TIME = 4.0  # seconds once the body is there; HubSpot gives up after five
# So many look at the database at a time: a flood of webhooks must not take it from the engine.
_AT_ONCE = 4
# Of one record much is often told at once; it is read when that is over.
_REST = timedelta(seconds=1)
_LONGEST_KEY = 200
_LONGEST_NAME = 500
_UNKNOWN = "unknown"


class Result(Enum):
    """What becomes of a webhook: how it is counted, and the status that it is answered with."""

    ACCEPTED = ("accepted", 200)
    DUPLICATE = ("duplicate", 200)
    UNREADABLE = ("unreadable", 400)
    UNVERIFIED = ("unverified", 401)
    INCOMPLETE = ("incomplete", 408)
    TOO_LARGE = ("too_large", 413)
    FAILED = ("failed", 503)

    @property
    def label(self) -> str:
        """How it is counted."""
        return self.value[0]

    @property
    def status(self) -> int:
        """The status that says so."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is taken in.

    crms: the CRMs that there are adapters for.
    public_url: scheme, host and path prefix that CRMs call, without a slash at the end; empty for
        the scheme and host that a request names itself.
    max_bytes, patience: how long a body may be, and how long it may take to come.
    """

    crms: Collection[str]
    public_url: str
    max_bytes: int
    patience: timedelta


@dataclass(frozen=True, slots=True)
class Intake:
    """What webhooks are taken in with.

    adapter_of: the adapter of (org_id, crm), None without an account.
    on_notices: told of (org_id, crm) after something new was kept.
    """

    database: Database
    metrics: Metrics
    clock: Callable[[], datetime]
    adapter_of: Callable[[str, str], Awaitable[object]]
    on_notices: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class _Sender:
    org_id: str
    crm: str
    webhooks: Webhooks


class WebhookDoor:
    """Takes in the webhooks of all organizations."""

    def __init__(self, rules: Rules, intake: Intake) -> None:
        """Take the rules, and what to work with."""
        self._rules = rules
        self._intake = intake
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def receive(self, request: Request) -> Response:
        """Answer `POST /webhooks/{crm}/{connection_id}`, with an empty body."""
        result = await self._received(request)
        crm = request.path_params["crm"]
        known = crm if crm in self._rules.crms else _UNKNOWN
        self._intake.metrics.webhook(known, result.label)
        # The rest of a body that never comes is not waited for.
        headers = {"connection": "close"} if result is Result.INCOMPLETE else None
        return Response(status_code=result.status, headers=headers)

    async def _received(self, request: Request) -> Result:
        try:
            body = await read_body(
                request.scope, request.receive, self._rules.max_bytes, self._rules.patience
            )
        except TooLargeError:
            return Result.TOO_LARGE
        except IncompleteError:
            return Result.INCOMPLETE
        try:
            async with asyncio.timeout(_ANSWER_TIME), self._room:
                return await self._judged(request, body)
        except Exception:  # noqa: BLE001 - whatever it was, the CRM shall send it again
            # Told by the metrics alone: it may be anybody's.
            return Result.FAILED

    async def _judged(self, request: Request, body: bytes) -> Result:
        sender = await self._sender(request)
        if sender is None:
            return Result.UNVERIFIED
        inbound = Inbound(
            request.method,
            _url(request, self._rules.public_url),
            {name.lower(): value for name, value in request.headers.items()},
            body,
            self._intake.clock(),
        )
        if not (sender.webhooks.configured and sender.webhooks.genuine(inbound)):
            return Result.UNVERIFIED
        log = _log.bind(org_id=sender.org_id, crm=sender.crm, size=len(body))
        try:
            return await self._kept(sender, _sound(sender.webhooks.read(inbound)))
        except UnreadableError as why:
            log.warning("a genuine webhook cannot be read", why=str(why))
            return Result.UNREADABLE
        except Exception as error:  # noqa: BLE001 - whatever it was, the CRM shall send it again
            # Its text may quote what was sent.
            log.warning("a genuine webhook was not kept", kind=type(error).__name__)
            return Result.FAILED

    async def _sender(self, request: Request) -> _Sender | None:
        """Return who may send to this address; None for nobody."""
        crm, connection_id = request.path_params["crm"], _uuid(request.path_params["connection_id"])
        if connection_id is None or crm not in self._rules.crms:
            return None
        async with self._intake.database.everyone() as connection:
            row = await connections.owner(connection, connection_id)
        if row is None or row.crm != crm:
            return None
        webhooks = webhooks_of(await self._intake.adapter_of(row.org_id, row.crm))
        return None if webhooks is None else _Sender(row.org_id, row.crm, webhooks)

    async def _kept(self, sender: _Sender, told: Sequence[Told]) -> Result:
        if not told:
            return Result.ACCEPTED
        async with self._intake.database.org(sender.org_id) as connection:
            new = await notice.insert(connection, sender.org_id, sender.crm, told, _REST)
        if not new:
            return Result.DUPLICATE
        self._intake.on_notices(sender.org_id, sender.crm)
        return Result.ACCEPTED


def _url(request: Request, public_url: str) -> str:
    """Return where a request was sent to, spelt as it was."""
    scope = request.scope
    query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    base = public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
    return f"{base}{scope['raw_path'].decode('latin-1')}{query}"


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    # One spelling only: a signature is over the address as it is written.
    return found if str(found) == text else None


def _sound(notices: Sequence[Notice]) -> Sequence[Told]:
    """Return what can be kept of them; raises UnreadableError for what cannot be told apart."""
    told = [
        Told(
            keepable(one.key),
            NoticeKind(one.kind),
            keepable(one.crm_contact_id),
            keepable(one.email),
        )
        for one in notices
    ]
    for one in told:
        named = one.crm_contact_id or one.email
        if not (0 < len(one.key) <= _LONGEST_KEY and 0 < len(named) <= _LONGEST_NAME):
            msg = "it names a record, or itself, by nothing or by too much"
            raise UnreadableError(msg)
    return told
