"""What a ListContacts asks for, and the cursor that its page tokens hold."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync.v1.contact_service_pb2 import ListContactsRequest
from crmsync_server.errors import InvalidPageTokenError
from crmsync_server.rpc.paging import PagedRequest, cursor_of
from crmsync_server.store.contact_search import Position, Search, SortField, SortValue

_TEXTS = frozenset({SortField.NAME, SortField.EMAIL})
_DEFAULT_ORDER = "last_message_time desc"
_PRESENT = "="


def search_of(request: ListContactsRequest) -> Search:
    """Read which contacts a valid request asks for, and in which order."""
    field, _, direction = (request.order_by or _DEFAULT_ORDER).partition(" ")
    return Search(request.search, tuple(request.tags), SortField(field), direction == "desc")


def position_of(request: PagedRequest, field: SortField) -> Position | None:
    """Read where the page of an order by this field begins; None for the first one.

    Raises:
        InvalidPageTokenError: the token is damaged, or another list's.
    """
    cursor = cursor_of(request)
    if cursor is None:
        return None
    parse: Callable[[str], SortValue] = str if field in _TEXTS else _moment
    try:
        value, contact_id = cursor
        sort_value = parse(value.removeprefix(_PRESENT)) if value else None
        return Position(sort_value, UUID(contact_id))
    except (ValueError, OverflowError) as error:
        raise InvalidPageTokenError from error


def cursor(row: sa.Row[Any]) -> Sequence[str]:
    """Return the place of a row in the order; a missing value is told apart from any text."""
    value = row.sort_value
    if isinstance(value, datetime):
        value = value.isoformat()
    return ["" if value is None else _PRESENT + value, str(row.id)]


def _moment(text: str) -> datetime:
    """Read a moment; OverflowError when it is none in UTC, which is what Postgres is given."""
    return datetime.fromisoformat(text).astimezone(UTC)
