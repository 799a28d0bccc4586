"""How adapters call a CRM: quota first, then one request, then either a reply or a fault.

A fault is an outcome that holds for every record of the call. The line that matters runs
between what was surely not sent (nothing applied) and what may have arrived (unknown).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import httpx

from crmsync_server.crm.adapter import Account, QuotaExhaustedError, Tools
from crmsync_server.crm.outcomes import Postponed, Retry, Unknown
from crmsync_server.crm.replies import Reply, read

_READ_SECONDS = 30

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


@dataclass(frozen=True, slots=True)
class Caller:
    """One account's calls to its CRM.

    vendor: the CRM's name, for messages.
    headers: sent with every call; they hold the credentials.
    read_timeout: the longest silence of the CRM while it answers.
    """

    vendor: str
    account: Account
    tools: Tools
    headers: Mapping[str, str] = field(repr=False)
    read_timeout: timedelta

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
        params: Mapping[str, str] | None = None,
    ) -> Reply | Fault:
        """Take one call from each bucket, then make it; never raises for network or quota."""
        try:
            for bucket in buckets:
                await self.tools.quota.take(bucket)
        except QuotaExhaustedError as exhausted:
            return Postponed(exhausted.until, "QUOTA_EXHAUSTED", str(exhausted))
        request = self.tools.client.build_request(
            method,
            self.account.base_url + path,
            json=json,
            params=params,
            headers=dict(self.headers),
            timeout=timeouts(self.read_timeout),
        )
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> Reply | Fault:
        try:
            async with asyncio.timeout(self.total_timeout.total_seconds()):
                # A redirect is never followed: it could carry the credentials elsewhere.
                response = await self.tools.client.send(request, follow_redirects=False)
        except (httpx.RequestError, *_UNMAPPED) as fault:
            return self._fault(fault)
        return read(response, [secret for secret in self.account.secrets.values() if secret])

    def _fault(self, fault: Exception) -> Fault:
        # Only the kind of the fault is told: its text may repeat a header or an address.
        kind = type(fault).__name__
        if was_not_sent(fault):
            return Retry("UNREACHABLE", f"{self.vendor} could not be reached ({kind})")
        return Unknown(f"{self.vendor} gave no answer after the request was sent ({kind})")


def timeouts(read: timedelta) -> httpx.Timeout:
    """Return time-outs for a call: fixed ones for connecting and writing, one for reading."""
    return httpx.Timeout(connect=5.0, read=read.total_seconds(), write=10.0, pool=5.0)


def caller(vendor: str, account: Account, tools: Tools, headers: Mapping[str, str]) -> Caller:
    """Return the caller of an account; its option `timeout_seconds` (default 30) bounds reads.

    Raises ValueError naming the option.
    """
    read = timedelta(seconds=number(account, "timeout_seconds", _READ_SECONDS))
    return Caller(vendor, account, tools, headers, read)


def was_not_sent(fault: Exception) -> bool:
    """Tell whether a fault struck before the request could reach the CRM.

    The aiohttp transport reports every lost connection as a connect time-out, even one that
    was dropped after the request was written; only the cause tells them apart.
    """
    cause = fault.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(cause, _BEFORE_SENDING_AIOHTTP)
    return isinstance(fault, _BEFORE_SENDING)


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


def number(account: Account, name: str, default: int) -> int:
    """Return a positive whole-number option; raises ValueError naming it."""
    value = account.options.get(name, "")
    if not value:
        return default
    if not value.isdecimal() or int(value) < 1:
        msg = f"the option {name!r} of the {account.crm} connection must be a whole number above 0"
        raise ValueError(msg)
    return int(value)
