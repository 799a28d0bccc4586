"""What an account at a CRM is: its fields, permissions, organization and modules.

An adapter that can tell has an attribute `directory`. Every question is a few calls, writes nothing
(but for `create_fields`), and is answered or not: a fault is an answer as well, never an exception,
but for refused credentials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from crmsync_server.crm.outcomes import Postponed, Rejected, Retry

Trouble: TypeAlias = Postponed | Retry | Rejected
"""Why there is no answer: later, a fault that may pass, or one that stays (a missing scope)."""


class FieldType(StrEnum):
    """What a field holds, in words that all CRMs share."""

    TEXT = "TEXT"
    LONG_TEXT = "LONG_TEXT"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    DATE_TIME = "DATE_TIME"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    URL = "URL"
    PICKLIST = "PICKLIST"
    MULTI_PICKLIST = "MULTI_PICKLIST"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Choice:
    """One value that a picklist takes: what is written, and what people see."""

    value: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class CrmField:
    """One field of a CRM's contacts.

    name: the CRM's own name, as it is written; label: what people see.
    vendor_type: the CRM's own word for its type.
    max_length: of characters; None where the CRM does not tell.
    required: a contact cannot be created without it. unique: two contacts cannot share a value.
    custom: made by the organization.
    maps_to: the contact field that is pushed there (`first_name`), empty where none is.
    """

    name: str
    label: str
    type: FieldType
    vendor_type: str
    max_length: int | None = None
    required: bool = False
    read_only: bool = False
    unique: bool = False
    custom: bool = False
    choices: Sequence[Choice] = ()
    maps_to: str = ""


@dataclass(frozen=True, slots=True)
class NewField:
    """A field to be made.

    name: as the CRM is to call it; a CRM with rules of its own (capitals, a length) refuses what
        breaks them. max_length and choices: where the type has them.
    """

    name: str
    label: str
    type: FieldType
    max_length: int | None = None
    choices: Sequence[Choice] = ()
    unique: bool = False


class FieldStatus(StrEnum):
    """What became of one field."""

    CREATED = "CREATED"
    EXISTS = "EXISTS"  # with the same type: nothing was written
    MISMATCH = "MISMATCH"  # with another type: nothing was written
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class FieldResult:
    """What became of one field that was to be made.

    name: as the CRM calls it (Zoho makes an API name of the label). code and message: why, where it
    is MISMATCH or FAILED; the CRM's own.
    """

    name: str
    status: FieldStatus
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that the credentials must allow, such as `contacts.read`.

    granted: None where the CRM does not tell. detail: the CRM's scope or role that decides.
    needed: whether syncing needs it.
    """

    name: str
    granted: bool | None
    detail: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose account it is; empty where the CRM does not tell."""

    id: str
    name: str = ""
    edition: str = ""
    country: str = ""
    currency: str = ""
    time_zone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Module:
    """A kind of record that the CRM keeps, such as contacts or deals."""

    name: str
    label: str
    synced: bool = False
    creatable: bool = True
    custom: bool = False


class Directory(Protocol):
    """What one account tells of itself. Every method raises CredentialsRefusedError."""

    async def fields(self) -> Sequence[CrmField] | Trouble:
        """Return the fields of the CRM's contacts."""

    async def create_fields(self, fields: Sequence[NewField]) -> Sequence[FieldResult] | Trouble:
        """Make those that are not there; one result for each, in order. Doing it again is safe."""

    async def permissions(self) -> Sequence[Permission] | Trouble:
        """Return what the credentials allow, without writing."""

    async def organization(self) -> Organization | Trouble:
        """Return whose account it is."""

    async def modules(self) -> Sequence[Module] | Trouble:
        """Return the kinds of records that the CRM keeps."""

    async def refresh_token(self) -> datetime | Trouble | None:
        """Renew the access token now, and return until when it holds; None where there is none.

        Under the same lease as any renewal: one replica asks, however many want it.
        """


def directory_of(adapter: object) -> Directory | None:
    """Return the directory of an adapter, None where it has none."""
    found: Directory | None = getattr(adapter, "directory", None)
    return found
