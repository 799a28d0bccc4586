"""The rules of contacts that no proto can declare on a field."""

from collections.abc import Iterator
from uuid import UUID

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.errors import Violation
from crmsync_server.store.content import Content

_NUL = "\0"


def broken_rules(contact: Contact) -> list[Violation]:
    """Return the rules that a new contact breaks beside those of its proto."""
    broken = list(without_identity(contact))
    # An import asks this of every contact. An empty value of a map is a NUL on the wire as well.
    if b"\0" in contact.SerializeToString():
        broken += with_nul(contact)
    return broken


def without_identity(contact: Contact | Content) -> Iterator[Violation]:
    """Yield a violation when nothing tells who the contact is."""
    if not (
        contact.email or contact.phone or contact.name or contact.first_name or contact.last_name
    ):
        told = "needs at least one of email, phone, name, first_name and last_name"
        yield Violation("contact", "contact.identity", told)


def with_nul(contact: Contact) -> Iterator[Violation]:
    """Yield a violation for each text with a NUL, which Postgres cannot hold."""
    for field, value in contact.ListFields():
        if field.name == "properties":
            texts = [f"{key}{text}" for key, text in value.items()]
        elif field.name == "tags":
            texts = list(value)
        else:
            texts = [value] if isinstance(value, str) else []
        if any(_NUL in text for text in texts):
            yield nul(field.name)


def nul(field: str) -> Violation:
    """Return the violation of a text with a NUL."""
    return Violation(field, "string.no_nul", "must not contain a NUL character")


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
