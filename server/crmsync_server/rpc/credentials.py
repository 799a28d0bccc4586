"""Testing credentials, given or stored: what a CRM says of them, in the contract's words."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from crmsync.v1 import connection_service_pb2 as pb
from crmsync_server.crm.adapter import Account, Adapter, CredentialsRefusedError, Standing
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.store.health import ConnectionHealth

_PATIENCE = 60.0  # seconds; a check makes a few calls, each with a time-out of its own
_LONGEST = 500  # characters of a message

REFUSED, UNREACHABLE, TIMEOUT = "CREDENTIALS_REFUSED", "UNREACHABLE", "TIMEOUT"

_STATUS: Mapping[ConnectionHealth, pb.CredentialsStatus.ValueType] = {
    ConnectionHealth.HEALTHY: pb.CREDENTIALS_STATUS_VALID,
    ConnectionHealth.UNHEALTHY: pb.CREDENTIALS_STATUS_INVALID,
    ConnectionHealth.UNREACHABLE: pb.CREDENTIALS_STATUS_UNREACHABLE,
}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stored:
    """The adapter of an organization's account.

    credentials_version: of its connection; None for an account of the server's settings.
    token_expiry: tells until when its access token holds; None where it has none.
    """

    adapter: Adapter
    credentials_version: int | None
    token_expiry: Callable[[], Awaitable[datetime | None]]


class Accounts(Protocol):
    """Where adapters come from; see crmsync_server.adapters."""

    async def stored(self, org_id: str, crm: str, *, fresh: bool = False) -> Stored | None:
        """Return the adapter of an organization's account; None without credentials.

        fresh: whether it must be that of the connection as it is at this very moment.
        """

    def build(self, account: Account) -> Adapter:
        """Return an adapter for credentials that are not stored; raises ValueError."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a test found.

    code: why, for programs; empty when the credentials are good.
    """

    health: ConnectionHealth
    message: str
    account_id: str = ""
    code: str = ""

    def response(self, crm: str) -> pb.TestCredentialsResponse:
        """Return the answer to TestCredentials."""
        good = self.health is ConnectionHealth.HEALTHY
        return pb.TestCredentialsResponse(
            crm=crm,
            status=_STATUS[self.health],
            message=self.message,
            account_id=self.account_id if good else "",
            error="" if good else self.message,
            error_code="" if good else self.code,
        )


async def ask(adapter: Adapter, patience: float = _PATIENCE) -> Verdict:
    """Ask the CRM whether the adapter's credentials are good; nothing is written there."""
    try:
        async with asyncio.timeout(patience):
            return _verdict(await adapter.check())
    except TimeoutError:
        late = f"the CRM did not answer within {patience:g} s"
        return Verdict(ConnectionHealth.UNREACHABLE, late, code=TIMEOUT)
    except AddressRefusedError as refused:
        return Verdict(ConnectionHealth.UNREACHABLE, _brief(str(refused)), code=UNREACHABLE)
    except CredentialsRefusedError as refused:
        return Verdict(ConnectionHealth.UNHEALTHY, _brief(str(refused)), code=REFUSED)
    except Exception:  # noqa: BLE001 - an adapter may be anybody's code
        _log.exception("credentials could not be tested")
        failed = "the test failed; the server's log says how"
        return Verdict(ConnectionHealth.UNREACHABLE, failed, code="INTERNAL")


def unfit(why: ValueError) -> Verdict:
    """Return what is found of an account that no adapter can be built for."""
    return Verdict(ConnectionHealth.UNHEALTHY, _brief(str(why)), code="MISCONFIGURED")


def _verdict(found: Standing) -> Verdict:
    message = _brief(found.message)
    if found.valid:
        return Verdict(ConnectionHealth.HEALTHY, message, found.account_id)
    if found.reachable:
        return Verdict(ConnectionHealth.UNHEALTHY, message, code=found.code or REFUSED)
    late = "timeout" in message.lower()  # the kind of a fault, such as ReadTimeout
    return Verdict(ConnectionHealth.UNREACHABLE, message, code=TIMEOUT if late else UNREACHABLE)


def _brief(message: str) -> str:
    return message[:_LONGEST]
