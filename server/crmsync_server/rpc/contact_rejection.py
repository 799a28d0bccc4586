"""What an import tells of a contact that it left out, cut to what its answer has room for."""

from collections.abc import Iterable, Iterator, Sequence

from crmsync.v1.contact_pb2 import Contact
from crmsync.v1.contact_service_pb2 import FieldViolation
from crmsync_server.errors import Violation
from crmsync_server.store.imports import Rejection

# A thousand rejections fit into the 4 MiB that clients take by default, even when each is as long
# as these allow and all its text is of four bytes a character.
_LONGEST_TEXT = 254  # characters, as many as an email has
_VIOLATIONS_BUDGET = 2_400  # bytes


def rejection(index: int, contact: Contact, broken: Sequence[Violation]) -> Rejection:
    """Return what RejectedContact says, as JSON that Postgres keeps.

    Args:
        index: the contact's place in the import.
        contact: may hold anything, of any length.
        broken: the rules it broke, at least one; the first travel, as many as there is room for.
    """
    return {
        "index": index,
        # Postgres keeps no NUL in JSON.
        "email": clipped(contact.email.replace("\0", "\N{REPLACEMENT CHARACTER}")),
        "violations": list(fitting(broken)),
    }


def fitting(broken: Iterable[Violation]) -> Iterator[dict[str, str]]:
    """Yield the first of the rules that were broken, as many as an answer has room for."""
    room = _VIOLATIONS_BUDGET
    for one in broken:
        told = {"field": clipped(one.field), "rule": one.rule, "description": one.description}
        room -= FieldViolation(**told).ByteSize()
        if room < 0:
            return
        yield told


def clipped(text: str) -> str:
    """Return a text, or as much of its beginning as an answer has room for."""
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
