"""What a search asks for, as the store has it."""

from collections.abc import Sequence

from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.store.contact_search import SortField
from crmsync_server.store.recent_search import Asked
from crmsync_server.store.search_query import Query

_DEFAULT_ORDER = "create_time desc"

SearchRequest = pb.SearchRecordsRequest | pb.ExportRecordsRequest


def query_of(request: SearchRequest, org_id: str, crms: Sequence[str]) -> Query:
    """Read which contacts a valid request asks for, and in which order."""
    field, _, direction = (request.order_by or _DEFAULT_ORDER).partition(" ")
    return Query(
        org_id,
        request.text.strip(),
        request.filter,
        tuple(crms),
        SortField(field),
        descending=direction == "desc",
    )


def asked_of(request: SearchRequest) -> Asked:
    """Read what is told again in a list of recent searches."""
    return Asked(request.text.strip(), request.filter.strip(), request.order_by)
