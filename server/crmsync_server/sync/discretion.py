"""An adapter that tells no secret: what it raises or answers may hold anything, and is kept."""

import traceback
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from crmsync_server.crm.adapter import (
    Adapter,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    QuotaExhaustedError,
    Standing,
)
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.hiding import forms, keepable, without
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced, Unknown
from crmsync_server.sync.tokens import StaleCredentialsError

Answer = TypeVar("Answer")
Wordy = TypeVar("Wordy", bound=Rejected | Postponed | Retry | Unknown | Standing)

_WORDY = (Rejected, Postponed, Retry, Unknown)
_WORDS = ("message", "code", "request_id")


class AdapterFaultError(RuntimeError):
    """An adapter failed; the text says where, and nothing of what it was working on."""


class Discreet:
    """Passes everything on to an adapter, but for what its exceptions and its messages repeat."""

    def __init__(self, adapter: Adapter, secrets: Collection[str]) -> None:
        """Take the adapter, and the values that no text may repeat."""
        self._adapter = adapter
        self._told = forms(secrets)

    def __repr__(self) -> str:
        """Name the adapter's kind."""
        return f"Discreet({type(self._adapter).__name__})"

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter says."""
        return self._adapter.capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch; see crm.adapter."""
        return self._outcomes(await self._kept(self._adapter.push(batch)))

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Ask what became of deliveries; see crm.adapter."""
        return self._outcomes(await self._kept(self._adapter.settle(ticket, batch)))

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Ask what the CRM holds; see crm.adapter."""
        return await self._kept(self._adapter.read_back(batch))

    async def check(self) -> Standing:
        """Ask whether the credentials are good; see crm.adapter."""
        return self._cleaned(await self._kept(self._adapter.check()))

    def _outcomes(self, answer: Sequence[Outcome]) -> Sequence[Outcome]:
        if not _is_sequence(answer):
            return answer
        return [self._cleaned(one) if isinstance(one, _WORDY) else one for one in answer]

    def _cleaned(self, found: Wordy) -> Wordy:
        words = {name: getattr(found, name, "") for name in _WORDS}
        clean = {name: self._text(text) for name, text in words.items() if isinstance(text, str)}
        changed: Any = {name: text for name, text in clean.items() if text != words[name]}
        return replace(found, **changed) if changed else found

    def _text(self, text: str) -> str:
        return keepable(without(text, self._told))

    async def _kept(self, work: Awaitable[Answer]) -> Answer:
        fault: Exception
        try:
            return await work
        except (QuotaExhaustedError, StaleCredentialsError):
            raise
        except CredentialsRefusedError as refused:
            inside = isinstance(refused, AddressRefusedError)
            kind = AddressRefusedError if inside else CredentialsRefusedError
            fault = kind(self._text(str(refused)))
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = AdapterFaultError(where(error))
        # Not within the handler: the exception there would go along as this one's context.
        raise fault


def _is_sequence(answer: object) -> bool:
    # An adapter may be anybody's code: whoever called judges what is no outcome at all.
    return isinstance(answer, list | tuple)


def where(error: BaseException) -> str:
    """Return the kind of an exception and the lines that it went through, without its message."""
    lines = traceback.format_tb(error.__traceback__)
    cause = error.__cause__
    because = f"\nbecause of {where(cause)}" if cause is not None else ""
    return f"{type(error).__name__} at\n{''.join(lines).rstrip()}{because}"
