"""The rules of contacts that no proto can declare on a field."""

from collections.abc import Iterator
from uuid import UUID

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.errors import Violation
from crmsync_server.store.content import Content


def without_identity(contact: Contact | Content) -> Iterator[Violation]:
    """Yield a violation when nothing tells who the contact is."""
    if not (
        contact.email or contact.phone or contact.name or contact.first_name or contact.last_name
    ):
        told = "needs at least one of email, phone, name, first_name and last_name"
        yield Violation("contact", "contact.identity", told)


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
