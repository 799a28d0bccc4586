"""Keeping secrets out of what an adapter says: its messages, and what it raises."""

import traceback
from collections.abc import Awaitable, Collection
from dataclasses import replace
from typing import Any, TypeVar

from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError, Standing
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.directory import FieldResult
from crmsync_server.crm.hiding import forms, keepable, without
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.webhook import UnreadableError
from crmsync_server.sync.tokens import StaleCredentialsError

Answer = TypeVar("Answer")

_WORDY = (Rejected, Postponed, Retry, Unknown, Standing, FieldResult)
_WORDS = ("message", "code", "request_id")


class AdapterFaultError(RuntimeError):
    """An adapter failed; the text says where, and nothing of what it was working on."""


class Redaction:
    """Takes the secrets of one account out of what is said."""

    def __init__(self, secrets: Collection[str]) -> None:
        """Take the values that no text may repeat."""
        self._told = forms(secrets)

    def text(self, text: str) -> str:
        """Return a text without secrets, and without what cannot be kept."""
        return keepable(without(text, self._told))

    def cleaned(self, found: Answer) -> Answer:
        """Return an answer whose words are without secrets; one that has no words as it is."""
        if not isinstance(found, _WORDY):
            return found
        words = {name: getattr(found, name, "") for name in _WORDS}
        clean = {name: self.text(text) for name, text in words.items() if isinstance(text, str)}
        changed: Any = {name: text for name, text in clean.items() if text != words[name]}
        return replace(found, **changed) if changed else found

    async def kept(self, work: Awaitable[Answer]) -> Answer:
        """Return what work returns; what it raises repeats nothing of what it was working on."""
        fault: Exception
        try:
            return await work
        except (QuotaExhaustedError, StaleCredentialsError):
            raise
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = self.fault(error)
        # Not within the handler: the exception there would go along as this one's context.
        raise fault

    def fault(self, error: Exception) -> Exception:
        """Return what is raised instead of what an adapter raised."""
        if isinstance(error, AddressRefusedError):
            return AddressRefusedError(self.text(str(error)))
        if isinstance(error, CredentialsRefusedError):
            return CredentialsRefusedError(self.text(str(error)))
        if isinstance(error, UnreadableError):
            return UnreadableError(self.text(str(error)))
        return AdapterFaultError(where(error))


def where(error: BaseException) -> str:
    """Return the kind of an exception and the lines that it went through, without its message."""
    lines = traceback.format_tb(error.__traceback__)
    cause = error.__cause__
    because = f"\nbecause of {where(cause)}" if cause is not None else ""
    return f"{type(error).__name__} at\n{''.join(lines).rstrip()}{because}"
