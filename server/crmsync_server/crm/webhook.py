"""Webhooks that a CRM sends: whether one is genuine, and which records it is about.

An adapter whose CRM sends webhooks has an attribute `webhooks`. What a webhook says of a contact is
not believed: the record is read again, so that the order of webhooks does not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Inbound:
    """One HTTP request as it came.

    url: the public address it was sent to, scheme and query included.
    headers: by lower-case name. body: the raw bytes, which is what signatures are over.
    receive_time: by our clock.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    receive_time: datetime


class NoticeKind(StrEnum):
    """What happened to a record."""

    CHANGED = "CHANGED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Notice:
    """That something happened to one record.

    key: the same for the same notice sent again, at most 200 characters.
    crm_contact_id or email: which record; one of them is set. A merge is a change of both records.
    """

    key: str
    kind: NoticeKind
    crm_contact_id: str = ""
    email: str = ""


class UnreadableError(ValueError):
    """A genuine webhook that makes no sense; the text says why, without quoting it."""


class Webhooks(Protocol):
    """Reads what one CRM account sends."""

    @property
    def configured(self) -> bool:
        """Whether there is a secret to verify with; without one nothing is genuine."""

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether the CRM sent this, and recently where it says when; in constant time.

        Never by an older scheme than the best that the CRM has. Never raises.
        """

    def read(self, inbound: Inbound) -> Sequence[Notice]:
        """Return what a genuine webhook tells; what is not about contacts is left out.

        Raises UnreadableError.
        """


def webhooks_of(adapter: object) -> Webhooks | None:
    """Return how an adapter's CRM sends webhooks, None where it sends none."""
    found: Webhooks | None = getattr(adapter, "webhooks", None)
    return found
