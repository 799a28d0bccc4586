"""SearchService: find contacts, tell how they stand, and hand them out as files."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from crmsync.v1 import search_pb2, search_service_pb2_grpc
from crmsync.v1 import search_service_pb2 as pb
from crmsync_server.rpc import search_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.contact_fields import message_of
from crmsync_server.rpc.contact_list import cursor, position_of
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.export import Exports
from crmsync_server.rpc.paging import fitting, page_size, page_token
from crmsync_server.rpc.record_sync import RecordSync
from crmsync_server.rpc.search_filters import filter_fields
from crmsync_server.rpc.search_request import asked_of, query_of
from crmsync_server.rpc.suggestions import suggestions
from crmsync_server.store import contact, recent_search, search, search_facets, standing
from crmsync_server.store.db import Database
from crmsync_server.store.search import TOTAL_LIMIT, Found
from crmsync_server.store.search_query import Matching, Query

_SUGGESTIONS = 10
_MOST_SUGGESTIONS = 20
_SUGGESTED_FROM = 50  # contacts; several of them have the same company
_SEARCHES = 10


@dataclass(frozen=True, slots=True)
class SearchService(search_service_pb2_grpc.SearchServiceServicer):
    """Reads within one transaction; a search is noted down after it was answered."""

    database: Database
    crms: Crms
    syncs: RecordSync
    exports: Exports

    @override
    async def SearchRecords(
        self, request: pb.SearchRecordsRequest, context: Context
    ) -> pb.SearchRecordsResponse:
        """Find records, page by page; see the contract."""
        org_id, size = current_caller().org_id, page_size(request.page_size)
        query = query_of(request, org_id, self.crms.known)
        after = position_of(request, query.field)
        async with self.database.org(org_id) as connection:
            matching = await search.prepare(connection, query)
            found = await search.page(connection, matching, size=size + 1, after=after)
            total = await _total(connection, matching, found, request, size)
            ids = [row.id for row in found.rows[:size]]
            standings = await search.standings(connection, org_id, ids)
            sample, counted = await search_facets.facets(connection, matching, request.facets)
        records = fitting(messages.records(found.rows[:size], standings))
        more = len(found.rows) > len(records)
        await self._remember(request)
        return pb.SearchRecordsResponse(
            records=records,
            next_page_token=page_token(request, cursor(found.rows[len(records) - 1]))
            if more
            else "",
            total_size=min(total, TOTAL_LIMIT),
            total_size_exceeded=total > TOTAL_LIMIT,
            facets=messages.facets(request.facets, counted),
            facet_sample_size=sample,
            unindexed_count=matching.unknown,
        )

    @override
    async def SuggestRecords(
        self, request: pb.SuggestRecordsRequest, context: Context
    ) -> pb.SuggestRecordsResponse:
        """Complete what was begun; see the contract."""
        caller = current_caller()
        size = min(request.page_size or _SUGGESTIONS, _MOST_SUGGESTIONS)
        async with self.database.org(caller.org_id) as connection:
            searches = await recent_search.list(
                connection, caller.org_id, caller.subject, size=recent_search.MOST
            )
            matching = await search.prepare(connection, Query(caller.org_id, request.text.strip()))
            found = await search.page(connection, matching, size=_SUGGESTED_FROM)
        told = suggestions(request.text, searches, found.rows)
        return pb.SuggestRecordsResponse(suggestions=islice(told, size))

    @override
    async def ListFilters(
        self, request: pb.ListFiltersRequest, context: Context
    ) -> pb.ListFiltersResponse:
        """Tell which fields filters may name; see the contract."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            keys = await search.property_keys(connection, org_id)
        return pb.ListFiltersResponse(fields=filter_fields(self.crms.known, keys))

    @override
    async def ListRecentSearches(
        self, request: pb.ListRecentSearchesRequest, context: Context
    ) -> pb.ListRecentSearchesResponse:
        """List the caller's searches; see the contract."""
        caller = current_caller()
        size = min(request.page_size or _SEARCHES, recent_search.MOST)
        async with self.database.org(caller.org_id) as connection:
            rows = await recent_search.list(connection, caller.org_id, caller.subject, size=size)
        return pb.ListRecentSearchesResponse(searches=map(messages.recent, rows))

    @override
    async def GetRecord(
        self, request: pb.GetRecordRequest, context: Context
    ) -> pb.GetRecordResponse:
        """Return a record; see the contract."""
        org_id, contact_id = current_caller().org_id, UUID(request.contact_id)
        async with self.database.org(org_id) as connection:
            row = await contact.get(connection, org_id, contact_id)
            standings = await standing.list(connection, org_id, contact_id)
        syncs = messages.known_syncs(self.crms.known, contact_id, standings)
        record = search_pb2.Record(contact=message_of(row), contact_syncs=syncs)
        return pb.GetRecordResponse(record=record)

    @override
    async def SyncRecord(
        self, request: pb.SyncRecordRequest, context: Context
    ) -> pb.SyncRecordResponse:
        """Queue a record for delivery at once; see the contract."""
        return await self.syncs.sync(request)

    @override
    async def ExportRecords(
        self, request: pb.ExportRecordsRequest, context: Context
    ) -> AsyncIterator[pb.ExportRecordsResponse]:
        """Send what a search finds as a file; see the contract."""
        async with aclosing(self.exports.stream(request)) as sent:
            async for message in sent:
                yield message

    async def _remember(self, request: pb.SearchRecordsRequest) -> None:
        """Note down a search at its first page."""
        caller, asked = current_caller(), asked_of(request)
        if request.page_token or not (asked.text or asked.filter):
            return
        async with self.database.org(caller.org_id) as connection:
            await recent_search.keep(connection, caller.org_id, caller.subject, asked)


async def _total(
    connection: AsyncConnection,
    matching: Matching,
    found: Found,
    request: pb.SearchRecordsRequest,
    size: int,
) -> int:
    """Return how many match, or some number over the limit."""
    if not request.page_token and len(found.rows) <= size:
        return len(found.rows)
    if found.at_least > TOTAL_LIMIT or (found.exact and not request.page_token):
        return found.at_least
    return await search.total(connection, matching, dense=found.dense)
