"""Pages of a list: how long they are, and the opaque token that names the next one.

A token is a keyset cursor (the sort values of the last row sent) and a digest. The digest covers
organization, method and query as well, so that a token serves only the list that it came from. It
guards against mistakes, not against forgery: a forged cursor reads nothing that the caller could
not list anyway.
"""

import base64
from collections.abc import Iterable, Sequence
from copy import deepcopy
from hashlib import blake2b
from typing import TypeVar

from google.protobuf.message import Message

from crmsync.v1.admin_service_pb2 import ListSchedulesRequest
from crmsync.v1.analytics_service_pb2 import ListConflictsRequest
from crmsync.v1.connection_service_pb2 import ListConnectionsRequest
from crmsync.v1.contact_service_pb2 import ListContactsRequest
from crmsync.v1.conversation_service_pb2 import GetConversationRequest, ListConversationsRequest
from crmsync.v1.lead_service_pb2 import ListLeadHistoryRequest, ListLeadsRequest
from crmsync.v1.search_service_pb2 import SearchRecordsRequest
from crmsync.v1.session_service_pb2 import ListSessionItemsRequest, ListSessionsRequest
from crmsync.v1.sync_service_pb2 import ListAttemptsRequest, ListSyncFailuresRequest
from crmsync.v1.user_service_pb2 import ListUsersRequest
from crmsync_server.errors import InvalidPageTokenError
from crmsync_server.rpc.auth import current_caller

_DEFAULT_SIZE = 50
_MAX_SIZE = 1000
_BUDGET = 3_000_000  # bytes of a page; clients take 4 MiB by default
_MOST_FRAMING = 5  # bytes around a message of that length in a repeated field
_DIGEST_BYTES = 12
_SEPARATOR = "\0"  # no sort value holds one: Postgres keeps none in a text

PagedRequest = (
    GetConversationRequest
    | ListAttemptsRequest
    | ListConflictsRequest
    | ListConnectionsRequest
    | ListContactsRequest
    | ListConversationsRequest
    | ListLeadHistoryRequest
    | ListLeadsRequest
    | ListSchedulesRequest
    | ListSessionItemsRequest
    | ListSessionsRequest
    | ListSyncFailuresRequest
    | SearchRecordsRequest
    | ListUsersRequest
)
Row = TypeVar("Row", bound=Message)


def page_size(asked: int) -> int:
    """Return how many rows a page gets at most: 50 when 0 were asked for, and never over 1,000."""
    return min(asked or _DEFAULT_SIZE, _MAX_SIZE)


def fitting(rows: Iterable[Row]) -> list[Row]:
    """Return the first rows, as many as a response has room for: one at least."""
    page: list[Row] = []
    room = _BUDGET
    for row in rows:
        room -= row.ByteSize() + _MOST_FRAMING
        if page and room < 0:
            break
        page.append(row)
    return page


def page_token(request: PagedRequest, cursor: Sequence[str]) -> str:
    """Return the token of the page after the row with these sort values.

    Args:
        request: the request that this page answers.
        cursor: the sort values of the page's last row, at least one.
    """
    payload = _SEPARATOR.join(cursor).encode()
    digest = blake2b(payload, key=_scope(request), digest_size=_DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest + payload).decode()


def cursor_of(request: PagedRequest) -> Sequence[str] | None:
    """Return the sort values that the request's page comes after; None for the first page.

    Raises:
        InvalidPageTokenError: the token is damaged, or another list's.
    """
    if not (token := request.page_token):
        return None
    try:
        payload = base64.urlsafe_b64decode(token)[_DIGEST_BYTES:].decode()
    except ValueError as error:
        raise InvalidPageTokenError from error
    cursor = payload.split(_SEPARATOR)
    if page_token(request, cursor) != token:
        raise InvalidPageTokenError
    return cursor


def _scope(request: PagedRequest) -> bytes:
    """Return a hash of what a token is bound to: all that selects and orders the rows."""
    query = deepcopy(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    org_id, method = current_caller().org_id, request.DESCRIPTOR.full_name
    selection = query.SerializeToString(deterministic=True)
    return blake2b(b"\0".join((org_id.encode(), method.encode(), selection))).digest()
