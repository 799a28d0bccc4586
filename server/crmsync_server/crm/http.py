"""How adapters call a CRM: quota first, then one request, then either a reply or a fault.

A fault is an outcome that holds for every record of the call. The line that matters runs
between what was surely not sent (nothing applied) and what may have arrived (unknown).
"""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import BinaryIO, Protocol

import aiohttp
import httpx

from crmsync_server.crm.adapter import Account, Allowance, QuotaExhaustedError, Standing, Tools
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.outcomes import Postponed, Retry, Unknown
from crmsync_server.crm.replies import Reply, count, read, retry_after

_READ_SECONDS = 30
# A call may hold the records of its batch, and a place in its lane, for as long.
_LONGEST_READ = 600
_LARGEST_NUMBER = 1_000_000_000
_REFUSED_WAIT = timedelta(seconds=10)
# Bytes, unpacked; a reply to a thousand records has a tenth of it. A tenant's host may send more.
_LONGEST_REPLY = 16 * 1024 * 1024
# A file may take so many times as long as another reply.
_FILE_TIMES = 10
_OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}

Fault = Postponed | Retry | Unknown

_BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_BEFORE_SENDING_AIOHTTP = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
# What the transport lets through unmapped, and the total time-out.
_UNMAPPED = (aiohttp.ClientError, TimeoutError)


class Limits(Protocol):
    """How a CRM tells of its limits; a caller reads every reply with it, for the quota."""

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterable[Allowance]:
        """Return what the headers of a reply say of the buckets that its call was taken from."""

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Return which bucket a 429 means, and until when; buckets holds one at least."""


class PlainLimits:
    """A CRM whose headers tell nothing but Retry-After: its 429 is about the last bucket."""

    def told(self, reply: Reply, buckets: Sequence[str], now: datetime) -> Iterable[Allowance]:
        """Tell nothing."""
        del reply, buckets, now
        return ()

    async def refused(
        self, reply: Reply, buckets: Sequence[str], now: datetime
    ) -> tuple[str, datetime]:
        """Wait as Retry-After says, ten seconds without it."""
        return buckets[-1], retry_after(reply.headers, now) or now + _REFUSED_WAIT


@dataclass(frozen=True, slots=True)
class Caller:
    """One account's calls to its CRM.

    vendor: the CRM's name, for messages.
    headers: sent with every call; they hold the credentials.
    read_timeout: the longest silence of the CRM while it answers.
    limits: reads the CRM's limits from its replies; None leaves them unread.
    hidden: what no reply may repeat, besides the account's secrets: an access token.
    """

    vendor: str
    account: Account
    tools: Tools
    headers: Mapping[str, str] = field(repr=False)
    read_timeout: timedelta
    limits: Limits | None = field(repr=False, default_factory=PlainLimits)
    hidden: Sequence[str] = field(repr=False, default=())

    @property
    def total_timeout(self) -> timedelta:
        """The longest one call may take, even when its reply only trickles."""
        return self.read_timeout * 1.5

    async def call(
        self,
        method: str,
        path: str,
        *,
        buckets: Sequence[str],
        json: object = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply | Fault:
        """Take one call from each bucket, then make it; never raises for network or quota.

        Raises CredentialsRefusedError when the account's address may not be called.
        """
        if (exhausted := await self._take(buckets)) is not None:
            return exhausted
        request = self.tools.client.build_request(
            method,
            self.account.base_url + path,
            json=json,
            data=form,
            params=params,
            headers=dict(self.headers),
            timeout=timeouts(self.read_timeout),
        )
        return await self._learned(await self._send(request, self._whole), buckets)

    async def download(
        self, path: str, into: BinaryIO, *, buckets: Sequence[str], longest: int
    ) -> Reply | Fault:
        """Take one call from each bucket, then GET a file; it is written as it comes.

        into: holds the body of a reply with status 200, which the reply itself is without.
        longest: how many bytes a file has at most; a longer one is a fault.
        Raises CredentialsRefusedError as `call` does, and what writing raises.
        """
        if (exhausted := await self._take(buckets)) is not None:
            return exhausted
        request = self.tools.client.build_request(
            "GET",
            self.account.base_url + path,
            headers=dict(self.headers),
            timeout=timeouts(self.read_timeout),
        )

        async def received(request: httpx.Request) -> httpx.Response:
            return await self._written(request, into, longest)

        return await self._learned(await self._send(request, received, _FILE_TIMES), buckets)

    async def _take(self, buckets: Sequence[str]) -> Postponed | None:
        try:
            for bucket in buckets:
                await self.tools.quota.take(bucket)
        except QuotaExhaustedError as exhausted:
            return Postponed(exhausted.until, "QUOTA_EXHAUSTED", str(exhausted))
        return None

    async def _learned(self, reply: Reply | Fault, buckets: Sequence[str]) -> Reply | Fault:
        if isinstance(reply, Reply) and buckets and self.limits is not None:
            await self._learn(self.limits, reply, buckets)
        return reply

    async def _learn(self, limits: Limits, reply: Reply, buckets: Sequence[str]) -> None:
        quota, now = self.tools.quota, self.tools.clock()
        for told in limits.told(reply, buckets, now):
            quota.learn(told)
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            quota.refused(*await limits.refused(reply, buckets, now))

    async def _send(
        self,
        request: httpx.Request,
        receive: Callable[[httpx.Request], Awaitable[httpx.Response]],
        times: int = 1,
    ) -> Reply | Fault:
        try:
            async with asyncio.timeout(times * self.total_timeout.total_seconds()):
                response = await receive(request)
        except (httpx.RequestError, *_UNMAPPED) as fault:
            return self._fault(fault)
        secrets = (*self.account.secrets.values(), *self.hidden)
        return read(response, [secret for secret in secrets if secret])

    async def _whole(self, request: httpx.Request) -> httpx.Response:
        """Return the response with its body; raises httpx.DecodingError when that is too long."""
        async with self._answered(request) as response:
            body = io.BytesIO()
            await _copy(response, body, _LONGEST_REPLY)
            return _kept(response, body.getvalue())

    async def _written(
        self, request: httpx.Request, into: BinaryIO, longest: int
    ) -> httpx.Response:
        async with self._answered(request) as response:
            if response.status_code == HTTPStatus.OK:
                await _copy(response, into, longest)
                return _kept(response, b"")
            body = io.BytesIO()
            await _copy(response, body, _LONGEST_REPLY)
            return _kept(response, body.getvalue())

    @asynccontextmanager
    async def _answered(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        # A redirect is never followed: it could carry the credentials elsewhere.
        client = self.tools.client
        async with aclosing(
            await client.send(request, stream=True, follow_redirects=False)
        ) as response:
            yield response

    def _fault(self, fault: Exception) -> Fault:
        # Only the kind of the fault is told: its text may repeat a header or an address.
        kind = type(fault).__name__
        if was_not_sent(fault):
            return Retry("UNREACHABLE", f"{self.vendor} could not be reached ({kind})")
        return Unknown(f"{self.vendor} gave no answer after the request was sent ({kind})")


async def _copy(response: httpx.Response, into: BinaryIO, longest: int) -> None:
    """Write a body as it comes; raises httpx.DecodingError when it is too long."""
    length = 0
    async for part in response.aiter_bytes():
        length += len(part)
        if length > longest:
            message = f"more than {longest} bytes"
            raise httpx.DecodingError(message, request=response.request)
        into.write(part)


def _kept(response: httpx.Response, body: bytes) -> httpx.Response:
    headers = [pair for pair in response.headers.multi_items() if pair[0] not in _OF_THE_WIRE]
    return httpx.Response(response.status_code, headers=headers, content=body)


def timeouts(read: timedelta) -> httpx.Timeout:
    """Return time-outs for a call: fixed ones for connecting and writing, one for reading."""
    return httpx.Timeout(connect=5.0, read=read.total_seconds(), write=10.0, pool=5.0)


def caller(vendor: str, account: Account, tools: Tools, headers: Mapping[str, str]) -> Caller:
    """Return the caller of an account; its option `timeout_seconds` (default 30) bounds reads.

    Raises ValueError naming the option.
    """
    return Caller(vendor, account, tools, headers, patience(account))


def was_not_sent(fault: Exception) -> bool:
    """Tell whether a fault struck before the request could reach the CRM.

    The aiohttp transport reports every lost connection as a connect time-out, even one that
    was dropped after the request was written; only the cause tells them apart.
    """
    cause = fault.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(cause, _BEFORE_SENDING_AIOHTTP)
    return isinstance(fault, _BEFORE_SENDING)


async def checked(check: Awaitable[Standing]) -> Standing:
    """Return what a check found; an address that may not be called is one that gives no answer."""
    try:
        return await check
    except AddressRefusedError as refused:
        return Standing(valid=False, message=str(refused), reachable=False)


def gave_no_answer(found: Reply | Fault) -> bool:
    """Tell whether a call says nothing of the account: no reply, a 429 or a fault of the CRM."""
    if not isinstance(found, Reply):
        return True
    return found.status == HTTPStatus.TOO_MANY_REQUESTS or found.status >= HTTPStatus(500)


def credential(account: Account, name: str) -> str:
    """Return a secret fit for a header; raises ValueError naming it, never repeating it."""
    secret = account.secrets.get(name, "").strip()
    if not secret:
        msg = f"the secret {name!r} of the {account.crm} connection is missing"
        raise ValueError(msg)
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        msg = f"the secret {name!r} of the {account.crm} connection has illegal characters"
        raise ValueError(msg)
    return secret


def number(account: Account, name: str, default: int, most: int = _LARGEST_NUMBER) -> int:
    """Return a whole-number option from 1 to most; raises ValueError naming it."""
    value = account.options.get(name, "")
    if not value:
        return default
    found = count(value)
    if found is None or not 1 <= found <= most:
        msg = (
            f"the option {name!r} of the {account.crm} connection must be a whole number "
            f"above 0 and at most {most}"
        )
        raise ValueError(msg)
    return found


def patience(account: Account, default: int = _READ_SECONDS) -> timedelta:
    """Return the option `timeout_seconds`; raises ValueError naming it."""
    return timedelta(seconds=number(account, "timeout_seconds", default, _LONGEST_READ))
