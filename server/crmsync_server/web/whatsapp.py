"""Webhooks of WhatsApp: one address for all organizations, told apart by their phone numbers.

What a body tells is not believed before a signature has proved it; until then it is only searched
for ids. The same secret of an app may serve several organizations.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from crmsync_server.crm.messaging import Change, Messaging, messaging_of
from crmsync_server.crm.messaging_changes import key_of, written
from crmsync_server.crm.webhook import Inbound, UnreadableError
from crmsync_server.store import whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.whatsapp import Told
from crmsync_server.web.body import IncompleteError, TooLargeError, read_body
from crmsync_server.web.inbox import InboxWriter
from crmsync_server.web.metrics import Metrics
from crmsync_server.web.webhooks import Result

CRM = "whatsapp"

# In a text of JSON its quotes are escaped: nobody can write such a thing into a message.
_NUMBER = re.compile(rb'"phone_number_id"\s*:\s*"([0-9]{1,64})"')
_ACCOUNT = re.compile(rb'"id"\s*:\s*"([0-9]{1,64})"')
_MOST_IDS = 100  # of one body
_MAX_AGE = 5.0  # seconds for which it is remembered who has a number
_MOST_REMEMBERED = 10_000
_ANSWER_TIME = 4.0
# So many look at the database at a time: a flood of strangers must not take it from the engine.
_AT_ONCE = 4

_log = structlog.get_logger()

Ids = tuple[bytes, ...]
Owners = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Post:
    """What webhooks are taken in with.

    adapter_of: the adapter of (org_id, crm), None without an account.
    on_told: told of an organization after something new was kept.
    max_bytes, patience: how long a body may be, and how long it may take to come.
    """

    database: Database
    metrics: Metrics
    clock: Callable[[], datetime]
    adapter_of: Callable[[str, str], Awaitable[object]]
    on_told: Callable[[str], None]
    max_bytes: int
    patience: timedelta


class WhatsAppDoor:
    """Takes in the webhooks of WhatsApp."""

    def __init__(self, post: Post) -> None:
        """Take what to work with."""
        self._post = post
        self._writer = InboxWriter(post.database)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._hands = asyncio.Semaphore(1)
        self._owners: dict[tuple[Ids, Ids], tuple[float, Mapping[str, Owners]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `GET` and `POST /webhooks/whatsapp`.

        Spoken to by ASGI itself: of so many requests even what a framework makes of one counts.
        """
        if scope["method"] == "POST":
            await self._take(scope, receive, send)
        else:
            answer = await self._shake(dict(Request(scope).query_params))
            await answer(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a webhook in, and answer with an empty body."""
        result = await self._received(scope, receive)
        self._post.metrics.webhook(CRM, result.label)
        headers = [(b"content-length", b"0")]
        if result is Result.INCOMPLETE:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": result.status, "headers": headers})
        await send({"type": "http.response.body"})

    async def _shake(self, params: Mapping[str, str]) -> Response:
        """Return the challenge of whoever knows a verify token."""
        try:
            async with asyncio.timeout(_ANSWER_TIME), self._hands:
                told = await self._challenge(params)
        except Exception:  # noqa: BLE001 - told by the metrics alone: it may be anybody's
            self._post.metrics.webhook(CRM, Result.FAILED.label)
            return Response(status_code=Result.FAILED.status)
        result = Result.UNVERIFIED if told is None else Result.ACCEPTED
        self._post.metrics.webhook(CRM, result.label)
        return Response(status_code=403) if told is None else PlainTextResponse(told)

    async def _challenge(self, params: Mapping[str, str]) -> str | None:
        if params.get("hub.mode") != "subscribe" or not params.get("hub.verify_token"):
            return None
        async with self._post.database.everyone() as connection:
            org_ids = await whatsapp.organizations(connection)
        for org_id in org_ids:
            messaging = await self._messaging(org_id)
            if messaging and (told := messaging.challenge(params)) is not None:
                return told
        return None

    async def _received(self, scope: Scope, receive: Receive) -> Result:
        try:
            body = await read_body(scope, receive, self._post.max_bytes, self._post.patience)
        except TooLargeError:
            return Result.TOO_LARGE
        except IncompleteError:
            return Result.INCOMPLETE
        try:
            async with asyncio.timeout(_ANSWER_TIME):
                return await self._judged(scope, body)
        except Exception:  # noqa: BLE001 - whatever it was, Meta shall send it again
            # Told by the metrics alone: it may be anybody's.
            return Result.FAILED

    async def _judged(self, scope: Scope, body: bytes) -> Result:
        inbound = Inbound(
            scope["method"],
            "",  # no part of what is signed
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body,
            self._post.clock(),
        )
        owners = await self._candidates(body)
        proved, reader = await self._proved(inbound, owners)
        if reader is None:
            return Result.UNVERIFIED
        about = {"crm": CRM, "org_ids": sorted(proved), "size": len(body)}
        try:
            changes = reader.read(body)
            told = [*_told(changes, proved)]
            if strange := _strange(changes, owners):
                told += await self._of_accounts(strange, inbound)
            return await self._kept(told)
        except UnreadableError as why:
            _log.warning("a genuine webhook cannot be read", why=str(why), **about)
            return Result.UNREADABLE
        except Exception as error:  # noqa: BLE001 - whatever it was, Meta shall send it again
            # Its text may quote what was sent.
            _log.warning("a genuine webhook was not kept", kind=type(error).__name__, **about)
            return Result.FAILED

    async def _proved(
        self, inbound: Inbound, owners: Mapping[str, Owners]
    ) -> tuple[Mapping[str, Owners], Messaging | None]:
        """Return those of the owners whose secret signed it, and what reads it."""
        proved: dict[str, Owners] = {}
        reader: Messaging | None = None
        for org_id, owned in owners.items():
            messaging = await self._messaging(org_id)
            if messaging is not None and messaging.genuine(inbound):
                proved[org_id] = owned
                reader = messaging
        return proved, reader

    async def _of_accounts(self, changes: Sequence[Change], inbound: Inbound) -> Sequence[Told]:
        """Return what is kept of changes whose number nobody has: by the account that they name.

        An account gets a new number before anybody reads the account again.
        """
        accounts = sorted({one.waba_id.encode() for one in changes if one.waba_id})[:_MOST_IDS]
        proved, _ = await self._proved(inbound, await self._owners_of((), tuple(accounts)))
        told: list[Told] = []
        nobodys = 0
        for one in changes:
            org_ids = [org_id for org_id, owned in proved.items() if one.waba_id in owned[1]]
            text = written(one)
            told += [Told(org_id, key_of(text), text) for org_id in org_ids]
            nobodys += not org_ids
        if nobodys:
            _log.warning("changes about numbers and accounts of nobody", crm=CRM, count=nobodys)
            self._post.metrics.left_out(CRM, nobodys)
        return told

    async def _kept(self, told: Sequence[Told]) -> Result:
        if not told:
            return Result.ACCEPTED
        if not await self._writer.keep(told):
            return Result.DUPLICATE
        for org_id in {one.org_id for one in told}:
            self._post.on_told(org_id)
        return Result.ACCEPTED

    async def _messaging(self, org_id: str) -> Messaging | None:
        try:
            return messaging_of(await self._post.adapter_of(org_id, CRM))
        except ValueError:  # what is wrong is said where the account is looked at
            return None

    async def _candidates(self, body: bytes) -> Mapping[str, Owners]:
        """Return who may have been sent this: by organization, the numbers and accounts it has."""
        numbers = tuple(sorted(set(_NUMBER.findall(body))))[:_MOST_IDS]
        # Few kinds of changes name no number of ours; they name the account.
        accounts = () if numbers else tuple(sorted(set(_ACCOUNT.findall(body))))[:_MOST_IDS]
        return await self._owners_of(numbers, accounts) if numbers or accounts else {}

    async def _owners_of(self, numbers: Ids, accounts: Ids) -> Mapping[str, Owners]:
        key = (numbers, accounts)
        known = self._owners.get(key)
        if known is not None and time.monotonic() - known[0] < _MAX_AGE:
            return known[1]
        async with self._room, self._post.database.everyone() as connection:
            rows = await whatsapp.owners(
                connection, [*map(bytes.decode, numbers)], [*map(bytes.decode, accounts)]
            )
        found: dict[str, Owners] = {}
        for row in rows:
            had = found.get(row.org_id, (frozenset(), frozenset()))
            found[row.org_id] = (had[0] | {row.phone_number_id}, had[1] | {row.waba_id})
        if found:
            if len(self._owners) >= _MOST_REMEMBERED:
                self._owners.clear()
            self._owners[key] = (time.monotonic(), found)
        return found


def _strange(changes: Sequence[Change], owners: Mapping[str, Owners]) -> Sequence[Change]:
    """Return the changes about numbers that no organization has."""
    numbers = frozenset[str]().union(*(owned[0] for owned in owners.values()))
    return [one for one in changes if one.phone_number_id and one.phone_number_id not in numbers]


def _told(changes: Sequence[Change], proved: Mapping[str, Owners]) -> Sequence[Told]:
    """Return what is kept, for each organization what is about its own."""
    told = []
    for change in changes:
        text = ""
        for org_id, (numbers, accounts) in proved.items():
            by_number = change.phone_number_id in numbers if change.phone_number_id else False
            if by_number or (not change.phone_number_id and change.waba_id in accounts):
                text = text or written(change)
                told.append(Told(org_id, key_of(text), text))
    return told
