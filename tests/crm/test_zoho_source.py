"""Reading Zoho: pages, what changed, what was deleted, and bulk jobs."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Tools
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Cursor, Page, Record, Scope
from crmsync_server.crm.zoho_source import ZohoSource
from tests.crm.support import NOW, ScriptedCrm
from tests.crm.zoho_script import (
    CONTACTS,
    COQL,
    FIELDS,
    adapter,
    body,
    error,
    field,
    organization,
)

COUNT = f"{CONTACTS}/actions/count"
DELETED = f"{CONTACTS}/deleted"
BULK = "/crm/bulk/v8/read"
SINCE = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERYTHING = Scope(names=frozenset())


def shown(number: int, **more: object) -> dict[str, object]:
    """Return a contact as Zoho shows it."""
    return {
        "id": str(5_000_000_000_000_000_000 + number),
        "Email": f"person{number}@example.com",
        "First_Name": None,
        "Last_Name": f"Last{number}",
        "Phone": None,
        "Account_Name": {"name": "Acme", "id": "12"},
        "Tag": [{"name": "vip", "id": "3"}],
        "Modified_Time": "2026-11-21T13:00:00+01:00",
        **more,
    }


def listed(records: Iterable[Mapping[str, object]], **info: object) -> httpx.Response:
    """Answer a call that lists records."""
    return httpx.Response(200, json={"data": list(records), "info": info})


class Table:
    """Contacts that all have the same modified time, listed in pages of ten at most."""

    def __init__(self, count: int) -> None:
        """Make so many contacts."""
        self.contacts = [shown(number) for number in range(1, count + 1)]
        self.expired = False
        self.tokens_end = count
        self.deleted: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer what a source asks for."""
        params = request.url.params
        match request.url.path:
            case "/crm/v8/coql":
                select = str(body(request)["select_query"])
                return self._queried(select.split("id > '")[1].split("'", maxsplit=1)[0])
            case "/crm/v8/Contacts/deleted":
                gone = [{"id": one} for one in self.deleted]
                return listed(gone, more_records=False) if gone else httpx.Response(304)
            case "/crm/v8/Contacts" if "ids" in params:
                ids = params["ids"].split(",")
                return listed(one for one in self.contacts if one["id"] in ids)
            case "/crm/v8/Contacts":
                return self._listed(int(params.get("page_token", "0")))
        return error(404, "INVALID_URL_PATTERN")

    def _listed(self, start: int) -> httpx.Response:
        if start and (self.expired or start >= self.tokens_end):
            return error(400, "INVALID_DATA", "page_token expired")
        end = start + 10
        more = end < len(self.contacts)
        return listed(
            self.contacts[start:end], more_records=more, next_page_token=str(end) if more else None
        )

    def _queried(self, last: str) -> httpx.Response:
        after = [one for one in self.contacts if int(str(one["id"])) > int(last)]
        if not after:
            return httpx.Response(204)
        return listed(({"id": one["id"]} for one in after[:10]), more_records=len(after) > 10)


def source(crm: ScriptedCrm, tools: Tools | None = None, **options: str) -> ZohoSource:
    """Return the source of a scripted organization."""
    return adapter(tools or crm.tools(), **options).source


async def pages(read: ZohoSource, scope: Scope, cursor: Cursor | None = None) -> list[Page]:
    """Read to the end; cursors go through JSON, as through the database."""
    found: list[Page] = []
    at: Cursor | None = cursor or {}
    while at is not None:
        page = await read.page(scope, json.loads(json.dumps(at)))
        assert isinstance(page, Page)
        found.append(page)
        at = page.cursor
        assert len(found) < 100
    return found


def ids(found: Iterable[Page], *, deleted: bool = False) -> list[str]:
    """Return the ids of the records that pages brought."""
    return [one.crm_contact_id for page in found for one in page.records if one.deleted is deleted]


async def test_a_record_is_told_in_neutral_words() -> None:
    """Custom properties as text, under the names that were asked for."""
    told = shown(1, Score=5, Active=False, Topics=["a", "b"], Boss={"name": "Bo", "id": "1"})
    crm = organization(
        lambda _: listed([told]),
        field("Score", "integer"),
        field("Active", "boolean"),
        field("Topics", "multiselectpicklist"),
        field("Boss", "lookup"),
        field("Plan"),
    )
    scope = Scope(names=frozenset({"score", "Active", "Topics", "Boss", "Plan", "Nowhere"}))
    page = await source(crm).page(scope, {"at": "list"})
    assert isinstance(page, Page)
    assert list(page.records) == [
        Record(
            "5000000000000000001",
            email="person1@example.com",
            first_name="",
            last_name="Last1",
            phone="",
            company="Acme",
            tags=["vip"],
            properties={
                "score": "5",
                "Active": "false",
                "Topics": "a;b",
                "Boss": "Bo",
                "Plan": "",
            },
            modified_time=datetime(2026, 11, 21, 12, tzinfo=UTC),
        )
    ]


async def test_everything_is_read_and_then_what_was_deleted() -> None:
    """Each record once, though there are more than a page holds."""
    table = Table(35)
    table.deleted = ["77"]
    crm = organization(table)
    found = await pages(source(crm), EVERYTHING)
    assert ids(found) == [str(one["id"]) for one in table.contacts]
    assert ids(found, deleted=True) == ["77"]
    first = next(request for request in crm.requests if request.url.path == CONTACTS)
    assert dict(first.url.params) == {
        "fields": "Email,First_Name,Last_Name,Phone,Account_Name,Tag,Modified_Time",
        "sort_by": "id",
        "sort_order": "asc",
        "per_page": "200",
    }
    assert "if-modified-since" not in first.headers


@pytest.mark.parametrize("at_token", [True, False])
async def test_a_reading_goes_on_where_page_tokens_end(*, at_token: bool) -> None:
    """Whether one expired or the list ends: although all contacts share one modified time."""
    table = Table(45)
    table.expired, table.tokens_end = at_token, 20
    crm = organization(table)
    found = await pages(source(crm), replace(EVERYTHING, since=SINCE))
    assert sorted(set(ids(found))) == [str(one["id"]) for one in table.contacts]
    assert len(ids(found)) == 45
    queries = [body(r)["select_query"] for r in crm.requests if r.url.path == COQL]
    assert all("Modified_Time >= '2026-11-20T12:00:00+00:00'" in str(one) for one in queries)


@pytest.mark.parametrize("expired", [True, False])
async def test_a_contact_that_is_deleted_meanwhile_hides_no_other(*, expired: bool) -> None:
    """Although a page token may be a place in the list, and others have moved up in it."""
    table = Table(30)
    table.expired = expired
    read = source(organization(table))
    first = await read.page(EVERYTHING, {"at": "list"})
    assert isinstance(first, Page)
    there = [str(one["id"]) for one in table.contacts[5:]]
    table.deleted = [str(one["id"]) for one in table.contacts[:5]]
    del table.contacts[:5]
    found = await pages(read, EVERYTHING, first.cursor)
    assert set(there) <= {*ids([first]), *ids(found)}


async def test_a_page_can_be_read_again() -> None:
    """With the same cursor, by another server."""
    table = Table(25)
    one, other = (source(organization(table)) for _ in range(2))
    first = await one.page(EVERYTHING, {"at": "list"})
    assert isinstance(first, Page)
    assert first.cursor is not None
    assert await one.page(EVERYTHING, first.cursor) == await other.page(EVERYTHING, first.cursor)


async def test_what_changed_is_asked_for_by_the_header() -> None:
    """A second earlier: Zoho may mean what is later than that. 304 and 204 mean nothing."""

    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["if-modified-since"] == "2026-11-20T11:59:59+00:00"
        return httpx.Response(204 if request.url.path == DELETED else 304)

    crm = organization(respond)
    found = await pages(source(crm), replace(EVERYTHING, since=SINCE))
    assert [len(page.records) for page in found] == [0, 0]
    assert crm.paths[-2:] == [CONTACTS, DELETED]
    assert crm.requests[-1].url.params["type"] == "all"


async def test_deletions_come_with_their_time_and_page_by_page() -> None:
    """Nothing else is told of them."""

    def respond(request: httpx.Request) -> httpx.Response:
        page = request.url.params["page"]
        gone = {"id": page, "deleted_time": "2026-11-21T10:00:00+00:00", "type": "recycle"}
        return listed([gone], more_records=page == "1")

    found = await pages(source(organization(respond)), EVERYTHING, {"at": "deleted", "page": 1})
    when = datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert [one for page in found for one in page.records] == [
        Record("1", modified_time=when, deleted=True),
        Record("2", modified_time=when, deleted=True),
    ]


async def test_more_fields_than_fit_in_a_call_are_read_in_several() -> None:
    """Fifty at a time."""
    more = [field(f"F{number}", custom_field=True) for number in range(60)]

    def respond(request: httpx.Request) -> httpx.Response:
        asked = request.url.params["fields"].split(",")
        assert len(asked) <= 50
        return listed([{"id": "1", **{name: f"<{name}>" for name in asked if name[1:].isdigit()}}])

    crm = organization(respond, *more)
    page = await source(crm).page(Scope(), {"at": "list"})
    assert isinstance(page, Page)
    (record,) = page.records
    assert record.properties == {f"F{number}": f"<F{number}>" for number in range(60)}


async def test_contacts_are_fetched_by_id_and_found_by_address() -> None:
    """None for those that there are not."""
    table = Table(3)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == COQL:
            assert "in ('person2@example.com', 'no@example.com')" in str(
                body(request)["select_query"]
            )
            return listed([{"id": table.contacts[1]["id"], "Email": "Person2@example.com"}])
        return table(request)

    read = source(organization(respond))
    known = str(table.contacts[0]["id"])
    fetched = await read.fetch([known, "9", "no-id"], frozenset())
    assert isinstance(fetched, Mapping)
    assert {key: one and one.last_name for key, one in fetched.items()} == {
        known: "Last1",
        "9": None,
        "no-id": None,
    }
    found = await read.find(["person2@example.com", "no@example.com"], frozenset())
    assert isinstance(found, Mapping)
    assert {key: one and one.last_name for key, one in found.items()} == {
        "person2@example.com": "Last2",
        "no@example.com": None,
    }


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (error(429, "TOO_MANY_REQUESTS"), Postponed, "TOO_MANY_REQUESTS"),
        (error(500, "INTERNAL_ERROR"), Retry, "CRM_FAULT"),
        (httpx.Response(502), Retry, "UNREAD"),
        (httpx.Response(200, text="<html>"), Retry, "UNACCOUNTED"),
        (error(401, "OAUTH_SCOPE_MISMATCH"), Rejected, "OAUTH_SCOPE_MISMATCH"),
        (error(403, "NO_PERMISSION"), Rejected, "NO_PERMISSION"),
        (error(400, "INVALID_DATA"), Rejected, "INVALID_DATA"),
    ],
)
@pytest.mark.parametrize("at", ["list", "query", "deleted"])
async def test_a_fault_is_an_answer(
    reply: httpx.Response, kind: type[object], code: str, at: str
) -> None:
    """One that passes, one that stays, or a wish to wait."""
    found = await source(organization(lambda _: reply)).page(EVERYTHING, {"at": at})
    assert isinstance(found, kind)
    assert getattr(found, "code", "") == code


async def test_refused_credentials_raise() -> None:
    """Nothing else does."""
    crm = organization(lambda _: error(401, "INVALID_TOKEN"))
    with pytest.raises(CredentialsRefusedError):
        await source(crm).page(EVERYTHING, {"at": "list"})


def zipped(rows: Iterable[Mapping[str, object]], name: str = "1.csv") -> httpx.Response:
    """Answer with a zip file that holds a CSV file."""
    heads = ["Id", "Email", "First_Name", "Last_Name", "Phone", "Account_Name.Account_Name",
             "Modified_Time"]  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(heads)
    for row in rows:
        account = str(row.get("company", "Acme"))
        shown_row = {**row, "Id": row["id"], "Account_Name.Account_Name": account}
        writer.writerow([shown_row.get(head) or "" for head in heads])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text.getvalue())
    return httpx.Response(200, content=packed.getvalue())


class Jobs:
    """An organization with many contacts, and the bulk jobs that export them."""

    def __init__(self, *results: httpx.Response) -> None:
        """Take the files of the jobs, in order."""
        self.results = results
        self.states = ["ADDED", "IN PROGRESS", "COMPLETED"]
        self.asked: list[dict[str, object]] = []
        self.fetched = 0
        self.refusal: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer what a source asks for."""
        path = request.url.path
        if path == COUNT:
            return httpx.Response(200, json={"count": 30_000})
        if path == BULK:
            return self.refusal or self._begun(request)
        if path.endswith("/result"):
            self.fetched += 1
            return self.results[int(path.split("/")[-2]) - 1]
        if path.startswith(BULK):
            return self._state(int(path.split("/")[-1]))
        return listed([shown(1)]) if path == CONTACTS else httpx.Response(204)

    def _begun(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(body(request))
        details = {"id": str(len(self.asked)), "state": "ADDED"}
        entry = {"status": "success", "code": "ADDED_SUCCESSFULLY", "details": details}
        return httpx.Response(201, json={"data": [entry]})

    def _state(self, job: int) -> httpx.Response:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        result = {"page": job, "count": 1, "more_records": job < len(self.results)}
        return httpx.Response(200, json={"data": [{"id": job, "state": state, "result": result}]})


PEOPLE = [
    {**shown(number), "Last_Name": 'two\nlines, "quoted" Ünï' if number == 3 else f"L{number}"}
    for number in range(1, 2_502)
]


async def test_much_is_read_by_a_bulk_job_slice_by_slice() -> None:
    """While it is made, the next page has a time; the file is fetched once."""
    jobs = Jobs(zipped(PEOPLE))
    crm = organization(jobs)
    found = await pages(source(crm), EVERYTHING)
    assert found[0].total == 30_000
    assert [page.ready_time is not None for page in found[:4]] == [True, True, True, False]
    assert found[0].ready_time == NOW + timedelta(seconds=10)
    assert max(len(page.records) for page in found) == 1_000
    assert ids(found) == [str(one["id"]) for one in PEOPLE]
    assert jobs.fetched == 1
    records = [one for page in found for one in page.records]
    assert (records[2].last_name, records[2].company) == (PEOPLE[2]["Last_Name"], "Acme")
    assert records[2].modified_time == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert records[2].tags is None
    assert jobs.asked == [
        {
            "query": {
                "module": {"api_name": "Contacts"},
                "fields": [
                    "id",
                    "Email",
                    "First_Name",
                    "Last_Name",
                    "Phone",
                    "Account_Name.Account_Name",
                    "Modified_Time",
                ],
                "page": 1,
            },
            "file_type": "csv",
        }
    ]


async def test_another_server_goes_on_in_the_middle_of_a_file() -> None:
    """It fetches the file again, and reads on at the same row."""
    jobs = Jobs(zipped(PEOPLE))
    one, other = (source(organization(jobs)) for _ in range(2))
    await pages(one, EVERYTHING, {"at": "bulk", "job": "1", "offset": 0, "next": {}})
    half = await one.page(EVERYTHING, {"at": "bulk", "job": "1", "offset": 0, "next": {}})
    assert isinstance(half, Page)
    rest = await pages(other, EVERYTHING, half.cursor)
    assert [*ids([half]), *ids(rest)] == [str(record["id"]) for record in PEOPLE]


async def test_a_job_follows_a_job_until_all_is_read() -> None:
    """A result has 200,000 rows at most."""
    jobs = Jobs(zipped(PEOPLE[:2]), zipped(PEOPLE[2:5]))
    found = await pages(source(organization(jobs)), EVERYTHING)
    assert ids(found) == [str(one["id"]) for one in PEOPLE[:5]]
    assert [one["query"] for one in jobs.asked if isinstance(one["query"], dict)][1]["page"] == 2


@pytest.mark.parametrize(
    "refusal", [error(400, "INVALID_QUERY"), error(401, "OAUTH_SCOPE_MISMATCH")]
)
async def test_where_no_job_is_taken_in_the_list_is_read(refusal: httpx.Response) -> None:
    """It is slower, and brings the same."""
    jobs = Jobs()
    jobs.refusal = refusal
    found = await pages(source(organization(jobs)), EVERYTHING)
    assert ids(found) == [str(shown(1)["id"])]


@pytest.mark.parametrize("made", [NOW.isoformat(), (NOW - timedelta(hours=3)).isoformat(), ""])
async def test_a_job_that_comes_to_nothing_is_replaced_by_the_list(made: str) -> None:
    """It failed, or is never done."""
    jobs = Jobs()
    jobs.states = ["FAILURE" if made == NOW.isoformat() else "IN PROGRESS"]
    cursor = {"at": "bulk", "job": "1", "made": made}
    found = await pages(source(organization(jobs)), EVERYTHING, cursor)
    assert ids(found) == [str(shown(1)["id"])]


@pytest.mark.parametrize(
    "result",
    [
        httpx.Response(200, content=b"no zip"),
        httpx.Response(200, content=b""),
        zipped(PEOPLE[:1], "1.txt"),
        httpx.Response(200, content=zipped(PEOPLE).content[:-500]),
    ],
)
async def test_a_result_that_cannot_be_read_is_tried_again(result: httpx.Response) -> None:
    """Perhaps it was cut off on its way."""
    read = source(organization(Jobs(result)))
    found = await read.page(EVERYTHING, {"at": "bulk", "job": "1", "offset": 0, "next": {}})
    assert isinstance(found, Retry)
    assert found.code == "BAD_RESULT"


async def test_a_result_that_is_gone_is_replaced_by_the_list() -> None:
    """Zoho keeps it for a day."""
    read = source(organization(Jobs(error(404, "RESOURCE_NOT_FOUND"))))
    found = await pages(read, EVERYTHING, {"at": "bulk", "job": "1", "offset": 9, "next": {}})
    assert ids(found) == [str(shown(1)["id"])]


async def test_little_is_read_by_the_list() -> None:
    """A job costs fifty credits, a page of the list one."""
    jobs = Jobs()
    found = await pages(source(organization(jobs), bulk_read_threshold="30001"), EVERYTHING)
    assert (ids(found), jobs.asked) == ([str(shown(1)["id"])], [])
    assert found[0].total == 30_000


async def test_much_is_noticed_where_zoho_does_not_count() -> None:
    """Once a list has brought so much; and a job that comes to nothing is not begun again."""

    class Uncounted(Jobs):
        def __init__(self) -> None:
            super().__init__(zipped(PEOPLE))
            self.states = ["FAILURE"]
            self.table = Table(35)

        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == COUNT:
                return error(404, "INVALID_URL_PATTERN")
            found = super().__call__(request)
            return self.table(request) if request.url.path == CONTACTS else found

    jobs = Uncounted()
    found = await pages(source(organization(jobs), bulk_read_threshold="20"), EVERYTHING)
    assert len(jobs.asked) == 1
    there = [str(one["id"]) for one in jobs.table.contacts]
    assert ids(found) == [*there[:20], *there]


async def test_what_changed_is_never_read_by_a_job() -> None:
    """It is little, as a rule."""
    jobs = Jobs()
    crm = organization(jobs)
    await pages(source(crm), replace(EVERYTHING, since=SINCE))
    assert COUNT not in crm.paths
    assert FIELDS in crm.paths
    assert jobs.asked == []
