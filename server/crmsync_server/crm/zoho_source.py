"""Reads the contacts of one Zoho, page by page, and then what was deleted.

Everything is read in the order of ids, which never change: a page goes on after the last id, so
that nothing is missed however many contacts change meanwhile or share one time. A list is gone on
with by its page token; when that has expired, or its 100,000 records are over, by COQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.replies import Reply, iso_time, text
from crmsync_server.crm.source import Cursor, Page, Record, Scope, SourceTraits
from crmsync_server.crm.zoho_bulk import Bulk
from crmsync_server.crm.zoho_calls import CONTACTS, Call
from crmsync_server.crm.zoho_errors import Trouble
from crmsync_server.crm.zoho_fields import FieldBook, Fields
from crmsync_server.crm.zoho_options import MAX_BATCH
from crmsync_server.crm.zoho_reads import MAX_FIELDS, QUERY_ROWS, Found, Reads, quoted
from crmsync_server.crm.zoho_records import Columns, columns

PAGE = 200
_COUNT = f"{CONTACTS}/actions/count"
_DELETED = f"{CONTACTS}/deleted"
_LIST, _QUERY, _DELETIONS, _JOB = "list", "query", "deleted", "bulk"
_OVERLAP = timedelta(minutes=5)
# How far Zoho's clock and ours may be apart.
_CLOCKS = timedelta(minutes=1)
_NO_ID = "0"
_ID_DIGITS = 30
_TOKEN_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class ZohoSource:
    """The contacts of one organization.

    threshold: from how many contacts on everything is read by a bulk job.
    """

    reads: Reads
    fields: FieldBook
    company_field: str
    threshold: int
    bulk: Bulk = field(repr=False)

    @property
    def traits(self) -> SourceTraits:
        """What Zoho tells: deletions and times; its search lags a little."""
        return SourceTraits(
            tells_deletions=True, tells_times=True, overlap=_OVERLAP, fetch_batch=MAX_BATCH
        )

    async def page(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        """Read the page at a cursor; raises CredentialsRefusedError."""
        read = await self._columns(scope.names)
        if not isinstance(read, Columns):
            return read
        match cursor.get("at"):
            case "deleted":
                return await self._deleted(scope, cursor)
            case "bulk":
                return await self._exported(scope, read, cursor)
            case "list" | "query":
                return await self._exported_or_read(scope, read, cursor)
        return await self._first(scope, read)

    async def fetch(
        self, ids: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read records by id; raises CredentialsRefusedError."""
        read = await self._columns(names)
        if not isinstance(read, Columns):
            return read
        known = [one for one in ids if one.isascii() and one.isdecimal()]
        found = await self.reads.by_ids(known, read.names)
        if not isinstance(found, dict):
            return found
        return {one: read.record(found[one]) if one in found else None for one in ids}

    async def find(
        self, emails: Sequence[str], names: frozenset[str] | None
    ) -> Mapping[str, Record | None] | Trouble:
        """Read records by address: COQL finds their ids; raises CredentialsRefusedError."""
        holders = await self.reads.holders([one for one in emails if one])
        if not isinstance(holders, dict):
            return holders
        found = await self.fetch(list(holders.values()), names)
        if not isinstance(found, Mapping):
            return found
        return {one: found.get(holders.get(one, "")) for one in emails}

    async def _columns(self, names: frozenset[str] | None) -> Columns | Trouble:
        fields = await self.fields.read()
        if not isinstance(fields, Fields):
            return fields
        return columns(fields, names, self.company_field)

    async def _first(self, scope: Scope, read: Columns) -> Page | Trouble:
        if scope.since is not None:
            return await self._listed(scope, read, {})
        total = await self._count()
        much = total is not None and total >= self.threshold
        found = await self._exported_or_read(scope, read, {"read": total} if much else {})
        if isinstance(found, Page) and found.total is None:
            return Page(found.records, found.cursor, total, found.ready_time)
        return found

    async def _exported_or_read(
        self, scope: Scope, read: Columns, cursor: Cursor
    ) -> Page | Trouble:
        """Go on with the list or the query, or begin a bulk job where so much is known to be there.

        What was brought by then comes twice.
        """
        known = cursor.get("read")
        much = isinstance(known, int) and known >= self.threshold
        if scope.since is None and much and cursor.get("jobs") is not False:
            begun = await self.bulk.begin(read.exported)
            if isinstance(begun, Trouble):
                return begun
            if begun is not None:
                return Page((), {"at": _JOB, **begun.cursor}, None, begun.ready)
            cursor = {**cursor, "jobs": False}
        read_on = self._queried if cursor.get("at") == _QUERY else self._listed
        return await read_on(scope, read, cursor)

    async def _count(self) -> int | None:
        reply = await self.reads.zoho.call(Call("GET", _COUNT))
        if not isinstance(reply, Reply) or reply.status != HTTPStatus.OK:
            return None
        told = reply.fields.get("count")
        return told if isinstance(told, int) and not isinstance(told, bool) else None

    async def _listed(self, scope: Scope, read: Columns, cursor: Cursor) -> Page | Trouble:
        token, last = text(cursor.get("token")), text(cursor.get("last")) or _NO_ID
        began = text(cursor.get("began")) or self.reads.zoho.now().isoformat()
        params = {
            "fields": ",".join(read.names[:MAX_FIELDS]),
            "sort_by": "id",
            "sort_order": "asc",
            "per_page": str(PAGE),
        }
        params |= {"page_token": token} if token else {}
        reply = await self.reads.zoho.call(
            Call("GET", CONTACTS, params=params, headers=_since(scope))
        )
        if token and isinstance(reply, Reply) and reply.status in _TOKEN_REFUSED:
            # It has expired, or may be turned no further.
            return await self._queried(scope, read, cursor)
        found = self.reads.judged(reply)
        if not isinstance(found, Found):
            return found
        moved = await self._moved(began) if token else False
        if isinstance(moved, Trouble):
            return moved
        if moved:
            return await self._queried(scope, read, cursor)
        return await self._page(read, found, {**cursor, "began": began, "last": last})

    async def _moved(self, began: str) -> bool | Trouble:
        """Tell whether contacts have moved up in a list, for others before them were deleted.

        A page token may be a place in the list: the page would then begin too late.
        """
        since = iso_time(began)
        if since is None:
            return True
        params = {"type": "all", "page": "1", "per_page": "1"}
        headers = {"if-modified-since": _moment(since - _CLOCKS)}
        found = await self.reads.found(Call("GET", _DELETED, params=params, headers=headers))
        return bool(found.records) if isinstance(found, Found) else found

    async def _queried(self, scope: Scope, read: Columns, cursor: Cursor) -> Page | Trouble:
        """Ask for the ids that follow, and read those contacts as a list would show them."""
        since, last = scope.since, _id(text(cursor.get("last")))
        newer = f" and Modified_Time >= {quoted(_moment(since))}" if since else ""
        # Two criteria: COQL wants more of them in brackets.
        select = (
            f"select id from Contacts where id > {quoted(last)}{newer} "  # noqa: S608 - quoted
            f"order by id asc limit 0, {QUERY_ROWS}"
        )
        found = await self.reads.query(select)
        if not isinstance(found, Found):
            return found
        ids = [text(one["id"]) for one in found.records if text(one.get("id"))]
        records = await self.reads.by_ids(ids, read.names)
        if not isinstance(records, dict):
            return records
        brought = [read.record(one) for one in records.values()]
        more = len(ids) >= QUERY_ROWS or found.info.get("more_records") is True
        if not ids or not more:
            return Page(brought, {"at": _DELETIONS, "page": 1})
        return Page(brought, _after(cursor, ids))

    async def _page(self, read: Columns, found: Found, place: Cursor) -> Page | Trouble:
        records = {text(one["id"]): dict(one) for one in found.records if text(one.get("id"))}
        for at in range(MAX_FIELDS, len(read.names), MAX_FIELDS):
            more = await self.reads.by_ids(records, read.names[at : at + MAX_FIELDS])
            if not isinstance(more, dict):
                return more
            for record_id, told in more.items():
                records.setdefault(record_id, {}).update(told)
        brought = [read.record(one) for one in records.values()]
        if found.info.get("more_records") is not True or not records:
            return Page(brought, {"at": _DELETIONS, "page": 1})
        token = text(found.info.get("next_page_token"))
        after = _after(place, list(records))
        return Page(brought, {**after, "at": _LIST, "token": token} if token else after)

    async def _deleted(self, scope: Scope, cursor: Cursor) -> Page | Trouble:
        page = cursor.get("page")
        number = page if isinstance(page, int) else 1
        params = {"type": "all", "page": str(number), "per_page": str(PAGE)}
        found = await self.reads.found(Call("GET", _DELETED, params=params, headers=_since(scope)))
        if not isinstance(found, Found):
            return found
        gone = [
            Record(text(one["id"]), modified_time=iso_time(one.get("deleted_time")), deleted=True)
            for one in found.records
            if text(one.get("id"))
        ]
        more = bool(gone) and found.info.get("more_records") is True
        return Page(gone, {"at": _DELETIONS, "page": number + 1} if more else None)

    async def _exported(self, scope: Scope, read: Columns, cursor: Cursor) -> Page | Trouble:
        """Go on with a bulk job; a job that came to nothing is replaced by the list."""
        found = await self.bulk.page(read.exported, cursor)
        if isinstance(found, Trouble):
            return found
        if found is None:
            return await self._listed(scope, read, {"jobs": False})
        records = [read.record(row, tags=False) for row in found.rows if row.get("id")]
        if found.cursor is None:
            return Page(records, {"at": _DELETIONS, "page": 1})
        return Page(records, {"at": _JOB, **found.cursor}, None, found.ready)


def _after(cursor: Cursor, ids: Sequence[str]) -> Cursor:
    """Return where a query goes on after a page, with what else is known of the reading."""
    known, last = cursor.get("read"), text(cursor.get("last"))
    return {
        "at": _QUERY,
        "last": _highest([*ids, last]),
        "began": cursor.get("began"),
        "read": (known if isinstance(known, int) else 0) + len(ids),
        "jobs": cursor.get("jobs"),
    }


def _since(scope: Scope) -> Mapping[str, str]:
    if scope.since is None:
        return {}
    # Zoho may take it for the last moment that is not asked for.
    return {"if-modified-since": _moment(scope.since - timedelta(seconds=1))}


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")


def _id(told: str) -> str:
    return told if told.isascii() and told.isdecimal() and len(told) <= _ID_DIGITS else _NO_ID


def _highest(ids: Sequence[str]) -> str:
    return max((_id(one) for one in ids), key=int)
