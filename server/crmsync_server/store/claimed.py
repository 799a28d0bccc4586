"""What the queue hands out: typed tuples, since a record costs a microsecond of names otherwise."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID


class Expired(NamedTuple):
    """A delivery whose server was lost, in the order of the columns of lock_expired.sql."""

    contact_id: UUID
    attempt: int
    retry_count: int
    rescue_count: int
    removing: bool


class Claimed(NamedTuple):
    """A delivery that was claimed, in the order of the columns of claim.sql and held.sql.

    properties: the custom ones, a JSON object of texts; None when there are none. Not read here:
        by way of the driver that costs four times as much as where it is needed.
    unchanged: the CRM holds this very content, and nobody asked for it to be sent again.
    deleted: the contact is gone here.
    unsure: the attempt before may have been applied, nobody knows.
    urgent: queued with priority HIGH.
    removing: the record is to be removed, instead of the contact being delivered.
    """

    contact_id: UUID
    attempt: int
    crm_contact_id: str | None
    email: str | None
    first_name: str
    last_name: str
    phone: str
    company: str
    tags: Sequence[str]
    properties: str | None
    retry_count: int
    rescue_count: int
    unchanged: bool
    deleted: bool
    unsure: bool
    urgent: bool
    removing: bool


Attempt = Claimed | Expired
