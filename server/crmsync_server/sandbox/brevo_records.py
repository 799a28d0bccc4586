"""A contact of a simulated Brevo account, and what a write says about one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from crmsync_server.sandbox.clock import isoformat
from crmsync_server.sandbox.wire import JsonObject

EMAIL = "email"
EXT_ID = "ext_id"
Identifier: TypeAlias = tuple[str, str]
"""A kind of identifier and its value."""


@dataclass(slots=True)
class AccountContact:
    """One contact; `times_*` count the writes applied to it."""

    id: int
    created_at: datetime
    modified_at: datetime
    identifiers: dict[str, str] = field(default_factory=dict)
    """By kind: email, ext_id, SMS, WHATSAPP, LANDLINE_NUMBER."""
    attributes: dict[str, Any] = field(default_factory=dict)
    list_ids: set[int] = field(default_factory=set)
    email_blacklisted: bool = False
    sms_blacklisted: bool = False
    times_created: int = 1
    times_updated: int = 0

    @property
    def shown_email(self) -> str:
        """Its email; one without has one made of its SMS."""
        return self.identifiers.get(EMAIL) or f"{self.identifiers.get('SMS', '')}@mailin-sms.com"

    def as_json(self) -> JsonObject:
        """Return the contact as Brevo prints it."""
        body: JsonObject = {
            "email": self.shown_email,
            "id": self.id,
            "emailBlacklisted": self.email_blacklisted,
            "smsBlacklisted": self.sms_blacklisted,
            "createdAt": isoformat(self.created_at),
            "modifiedAt": isoformat(self.modified_at),
            "listIds": sorted(self.list_ids),
            "attributes": self.attributes,
        }
        if EXT_ID in self.identifiers:
            body["ext_id"] = self.identifiers[EXT_ID]
        return body


@dataclass(frozen=True, slots=True)
class Change:
    """What a write says about a contact; None and absent mean that it says nothing."""

    sought: dict[str, str]
    """Identifiers that say which contact is meant, by kind."""
    identifiers: dict[str, str]
    """Identifiers that the contact is to have."""
    attributes: dict[str, Any]
    list_ids: frozenset[int] = frozenset()
    unlink_list_ids: frozenset[int] = frozenset()
    email_blacklisted: bool | None = None
    sms_blacklisted: bool | None = None
