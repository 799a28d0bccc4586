"""An adapter whose faults tell no secret: what it raises may hold anything, and ends up in logs."""

import traceback
from collections.abc import Awaitable, Collection, Sequence
from typing import TypeVar

from crmsync_server.crm.adapter import (
    Adapter,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    QuotaExhaustedError,
    Standing,
)
from crmsync_server.crm.hiding import hidden
from crmsync_server.crm.outcomes import Outcome, Synced
from crmsync_server.sync.tokens import StaleCredentialsError

Answer = TypeVar("Answer")


class AdapterFaultError(RuntimeError):
    """An adapter failed; the text says where, and nothing of what it was working on."""


class Discreet:
    """Passes everything on to an adapter, but for what its exceptions say."""

    def __init__(self, adapter: Adapter, secrets: Collection[str]) -> None:
        """Take the adapter, and the values that a refusal must not repeat."""
        self._adapter = adapter
        self._secrets = secrets

    def __repr__(self) -> str:
        """Name the adapter's kind."""
        return f"Discreet({type(self._adapter).__name__})"

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter says."""
        return self._adapter.capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch; see crm.adapter."""
        return await self._kept(self._adapter.push(batch))

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Ask what became of deliveries; see crm.adapter."""
        return await self._kept(self._adapter.settle(ticket, batch))

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Ask what the CRM holds; see crm.adapter."""
        return await self._kept(self._adapter.read_back(batch))

    async def check(self) -> Standing:
        """Ask whether the credentials are good; see crm.adapter."""
        return await self._kept(self._adapter.check())

    async def _kept(self, work: Awaitable[Answer]) -> Answer:
        fault: Exception
        try:
            return await work
        except (QuotaExhaustedError, StaleCredentialsError):
            raise
        except CredentialsRefusedError as refused:
            fault = type(refused)(hidden(str(refused), self._secrets))
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = AdapterFaultError(where(error))
        # Not within the handler: the exception there would go along as this one's context.
        raise fault


def where(error: BaseException) -> str:
    """Return the kind of an exception and the lines that it went through, without its message."""
    lines = traceback.format_tb(error.__traceback__)
    cause = error.__cause__
    because = f"\nbecause of {where(cause)}" if cause is not None else ""
    return f"{type(error).__name__} at\n{''.join(lines).rstrip()}{because}"
