"""What a contact says: the fields that callers write, and how two sayings of them are joined."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Self
from uuid import UUID

import sqlalchemy as sa

_HASH_BYTES = 16
_NAME_LENGTH = 200  # of characters, as the contract has it; first and last name have 100 each


class Content(NamedTuple):
    """The fields of a contact that callers write; empty means that there is none.

    email: None when there is none, so that the table's unique key leaves it out.
    """

    email: str | None = None
    name: str = ""
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    company: str = ""
    tags: Sequence[str] = ()
    notes: str = ""
    avatar: str = ""
    domain_id: UUID | None = None
    properties: Mapping[str, str] = {}

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        """Read the content of a row of contacts."""
        return cls(
            row.email,
            row.name,
            row.first_name,
            row.last_name,
            row.phone,
            row.company,
            tuple(row.tags),
            row.notes,
            row.avatar,
            row.domain_id,
            row.properties,
        )


def email_key(email: str | None) -> str | None:
    """Return what an email is compared by, as the generated column contacts.email_key has it."""
    return email.strip(" ").lower() if email else None


def content_hash(content: Content) -> bytes:
    """Return 16 bytes that change if and only if what CRMs are given changes.

    Notes, avatar, domain and the display name are never pushed.
    """
    # Joined by what no text in Postgres holds; the count tells tags and properties apart.
    said = [
        email_key(content.email) or "",
        content.first_name,
        content.last_name,
        content.phone,
        content.company,
        str(len(content.tags)),
        *sorted(content.tags),
    ]
    for pair in sorted(content.properties.items()):
        said += pair
    return blake2b("\0".join(said).encode(), digest_size=_HASH_BYTES).digest()


def named(content: Content, before: Content | None = None) -> Content:
    """Return the content with a display name: one that was derived follows what it came from."""
    derived = before is not None and content.name == before.name == _full_name(before)
    if content.name and not derived:
        return content
    name = _full_name(content)
    return content if content.name == name else content._replace(name=name)


def overlaid(below: Content, above: Content) -> Content:
    """Return the content below with every field that is not empty above."""
    return Content._make([new or old for old, new in zip(below, above, strict=True)])


def _full_name(content: Content) -> str:
    return f"{content.first_name} {content.last_name}".strip()[:_NAME_LENGTH]
