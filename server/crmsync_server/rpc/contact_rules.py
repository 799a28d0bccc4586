"""The rules of contacts, and of requests about them, that no proto can declare on a field."""

from collections.abc import Iterator
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import (
    CreateContactRequest,
    ListContactsRequest,
    UpdateContactRequest,
)
from crmsync.v1.search_service_pb2 import (
    ExportRecordsRequest,
    SearchRecordsRequest,
    SuggestRecordsRequest,
)
from crmsync_server.errors import Violation
from crmsync_server.store.contact_search import SortField
from crmsync_server.store.content import Content

PROPERTY = "properties."
"""What a path in a field mask begins with when it names one property."""


def tidy(request: Message) -> None:
    """Drop from a request what nobody means: the space around an email."""
    if isinstance(request, CreateContactRequest | UpdateContactRequest):
        trim(request.contact)


def trim(contact: Contact) -> None:
    """Drop the space around a contact's email."""
    if (email := contact.email) != (trimmed := email.strip()):
        contact.email = trimmed


def request_violations(request: Message) -> Iterator[Violation]:
    """Yield what is wrong with a request beside the rules that its proto declares."""
    match request:
        case CreateContactRequest() if request.HasField("contact"):
            yield from without_identity(request.contact)
        case UpdateContactRequest():
            yield from _of_update(request)
        case ListContactsRequest():
            yield from _of_order(request.order_by)
        case SearchRecordsRequest() | ExportRecordsRequest():
            yield from _of_order(request.order_by)
            yield from _of_words(request.text)
        case SuggestRecordsRequest():
            yield from _of_words(request.text)


def without_identity(contact: Contact | Content) -> Iterator[Violation]:
    """Yield a violation when nothing tells who the contact is."""
    known_by = (
        contact.email,
        contact.phone,
        contact.name,
        contact.first_name,
        contact.last_name,
    )
    if not any(text and not text.isspace() for text in known_by):
        told = "needs at least one of email, phone, name, first_name and last_name"
        yield Violation("contact", "contact.identity", told)


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _of_update(request: UpdateContactRequest) -> Iterator[Violation]:
    if request.HasField("contact") and not is_uuid(request.contact.id):
        yield Violation("contact.id", "string.uuid", "must be a valid UUID")
    yield from _unknown(request.update_mask)


def _unknown(mask: FieldMask) -> Iterator[Violation]:
    """Yield a violation for each path that no caller can write."""
    told = f"must be one of {', '.join(Content._fields)} and {PROPERTY}key"
    for place, path in enumerate(mask.paths):
        if path in Content._fields or path.removeprefix(PROPERTY) not in {"", path}:
            continue
        yield Violation(f"update_mask.paths[{place}]", "field_mask.writable", told)


def _of_order(order_by: str) -> Iterator[Violation]:
    field, _, direction = order_by.partition(" ")
    if order_by and (field not in set(SortField) or direction not in {"", "asc", "desc"}):
        told = f"must be one of {', '.join(SortField)}, with an optional ' asc' or ' desc'"
        yield Violation("order_by", "order_by", told)


def _of_words(text: str) -> Iterator[Violation]:
    if text and not any(map(str.isalnum, text)):
        yield Violation("text", "text.words", "must hold a letter or a digit")
