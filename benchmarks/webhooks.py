"""How many signed webhooks of WhatsApp are accepted and stored in a second, and how soon.

A day of messages comes to one organization in order, and to another muddled and with repetitions;
both must end with the same conversations.
"""

import asyncio
import hashlib
import hmac
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from benchmarks.figures import Bar, Figure, say
from benchmarks.postgres import Postgres
from benchmarks.service import Service, serving_on
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import mint
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.whatsapp import WhatsAppSettings
from crmsync_server.sandbox.whatsapp_account import Number

_SECRET = "a secret for benchmarks, long enough for HS256"  # noqa: S105 - of nobody
_MESSAGES = 20_000
_SENDERS = 500
_CONNECTIONS = 16
_DAY = 24 * 3600
_REPEATED = 0.25
_PERCENT = 100
_ACCEPTED = b"HTTP/1.1 200"
_PATIENCE = 300.0
_BETWEEN_LOOKS = 0.2

_STATE = """
    SELECT c.phone, v.status, v.message_count, v.unread_count, v.first_message_time,
      v.last_message_time, v.last_message, v.close_time
    FROM conversations AS v
    JOIN contacts AS c ON c.org_id = v.org_id AND c.id = v.contact_id
    WHERE v.org_id = $1
    ORDER BY c.phone, v.first_message_time
"""


class _App(NamedTuple):
    """One organization's app: what it signs with, and its number."""

    org_id: str
    secret: str
    number_id: str
    waba_id: str


class _Run(NamedTuple):
    rate: float
    p50: float
    p99: float


async def measure(server: Postgres, scale: float) -> list[Figure]:
    """Send both days to a server process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        http_port = int(probe.getsockname()[1])
    settings = {"CRMSYNC_JWT_SECRET": _SECRET, "CRMSYNC_HTTP_ADDRESS": f"127.0.0.1:{http_port}"}
    async with server.database() as place, serving_on(server, place, settings) as service:
        return await _measure(service, http_port, scale)


async def _measure(service: Service, http_port: int, scale: float) -> list[Figure]:
    count = max(1_000, int(_MESSAGES * scale))
    apps = [
        _App(org_id, f"secret of {org_id}", f"50710000000000{place}", f"121173584055000{place}")
        for place, org_id in enumerate(("acme", "globex"))
    ]
    for app in apps:
        await _connect(service, app)
    chosen = random.Random(7)  # noqa: S311 - repeatable, not secret
    bodies = list(_day(count))
    clean = await _posted(http_port, apps[0], bodies)
    muddled = bodies + chosen.sample(bodies, int(count * _REPEATED))
    chosen.shuffle(muddled)
    again = await _posted(http_port, apps[1], muddled)
    worked_off = await _worked_off(service)
    await _compare(service, [app.org_id for app in apps])
    say(f"  in order {clean}, muddled {again}, worked off {worked_off:.1f} s later")
    rate = Bar(2_000.0)
    late = Bar(20.0, most=True)
    return [
        Figure(f"webhooks of {count:,} messages, accepted and stored", clean.rate, "/s", rate),
        Figure("their acknowledgement, p50", clean.p50, "ms", None),
        Figure("their acknowledgement, p99", clean.p99, "ms", late),
        Figure(
            f"the same day muddled, {_REPEATED:.0%} of it twice",
            again.rate,
            "/s",
            rate,
            "ends with the same conversations",
        ),
        Figure("its acknowledgement, p99", again.p99, "ms", late),
    ]


@asynccontextmanager
async def _meta(app: _App) -> AsyncIterator[str]:
    settings = WhatsAppSettings(
        app_secret=app.secret,
        waba_id=app.waba_id,
        numbers=(Number(id=app.number_id, display="+1 555 0100", name=app.org_id),),
    )
    async with Sandbox(whatsapp=settings) as sandbox:
        yield sandbox.urls["whatsapp"]


async def _connect(service: Service, app: _App) -> None:
    caller = Caller(app.org_id, "benchmark", frozenset({Role.ADMIN}))
    token = mint(_SECRET, caller, timedelta(hours=1))
    async with _meta(app) as url, CrmsyncClient(service.address, token=token) as client:
        request = pb.ConnectAccountRequest(
            access_token=WhatsAppSettings().access_token,
            app_secret=app.secret,
            verify_token=app.secret,
            waba_id=app.waba_id,
            base_url=url,
        )
        account = (await client.conversations.ConnectAccount(request)).account
    if account.missing:
        message = f"the account was not read: {account}"
        raise RuntimeError(message)


def _day(count: int) -> list[dict[str, object]]:
    """Return the messages of a day, in order."""
    chosen = random.Random(3)  # noqa: S311 - repeatable, not secret
    # So long ago that no conversation goes on while the two days are compared.
    start = int(time.time()) - 3 * _DAY
    told: list[dict[str, object]] = []
    for place in range(count):
        sender = f"49151{chosen.randrange(_SENDERS):07}"
        told.append(
            {
                "from": sender,
                "id": f"wamid.{place:010}",
                "timestamp": str(start + place * _DAY // count),
                "type": "text",
                "text": {"body": f"message {place}"},
            }
        )
    return told


def _body(app: _App, message: dict[str, object]) -> bytes:
    """Return what Meta posts of a message."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100", "phone_number_id": app.number_id},
        "contacts": [{"wa_id": message["from"], "profile": {"name": f"P {message['from']}"}}],
        "messages": [message],
    }
    entry = {"id": app.waba_id, "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def _request(app: _App, message: dict[str, object]) -> bytes:
    body = _body(app, message)
    signed = hmac.new(app.secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/whatsapp HTTP/1.1\r\nhost: benchmark\r\ncontent-type: application/json\r\n"
        f"x-hub-signature-256: sha256={signed}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _posted(port: int, app: _App, messages: Sequence[dict[str, object]]) -> _Run:
    """Post messages, one to a webhook, over some connections at a time."""
    waiting = [_request(app, one) for one in reversed(messages)]
    times: list[float] = []

    async def post() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            request = waiting.pop()
            start = time.perf_counter()
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            times.append(time.perf_counter() - start)
            if not answer.startswith(_ACCEPTED):
                message = f"a webhook was not accepted: {answer!r}"
                raise RuntimeError(message)
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(post() for _ in range(_CONNECTIONS)))
    seconds = time.perf_counter() - start
    times.sort()
    return _Run(
        len(times) / seconds,
        1000 * times[len(times) // 2],
        1000 * times[len(times) * 99 // _PERCENT],
    )


async def _worked_off(service: Service) -> float:
    start = time.perf_counter()
    connection = await asyncpg.connect(service.database.url)
    try:
        await connection.execute("SET crmsync.org_id = '*'")
        question = "SELECT count(*) FROM whatsapp_inbox WHERE done_time IS NULL"
        async with asyncio.timeout(_PATIENCE):
            while await connection.fetchval(question):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(_BETWEEN_LOOKS)
    finally:
        await connection.close()
    return time.perf_counter() - start


async def _compare(service: Service, org_ids: Sequence[str]) -> None:
    connection = await asyncpg.connect(service.database.url)
    try:
        await connection.execute("SET crmsync.org_id = '*'")
        ends = [[tuple(row) for row in await connection.fetch(_STATE, one)] for one in org_ids]
    finally:
        await connection.close()
    if not ends[0] or ends[0] != ends[1]:
        message = "the muddled day has not ended with the same conversations"
        raise RuntimeError(message)
