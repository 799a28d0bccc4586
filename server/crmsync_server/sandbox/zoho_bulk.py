"""Zoho's bulk read: a job that takes its time, and then a zip with one CSV file in it."""

import asyncio
import csv
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.limits import RollingWindow
from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_bulk_criteria import Holds, read_criteria
from crmsync_server.sandbox.zoho_channels import MODULE_ID
from crmsync_server.sandbox.zoho_columns import printed
from crmsync_server.sandbox.zoho_errors import (
    ROOT,
    ZohoError,
    invalid_data,
    mandatory,
    read_body,
    too_many_requests,
)
from crmsync_server.sandbox.zoho_fields import COMPANY
from crmsync_server.sandbox.zoho_organization import INTEGRATION, Organization
from crmsync_server.sandbox.zoho_table import Contact

READ = "/crm/bulk/v8/read"
_RESULT_LIFE = timedelta(days=1)
_QUERY = f"{ROOT}.query"
_DOWNLOADS = 10
# A field of the record that a lookup names, by the names of both.
_COMPANY_NAME = f"{COMPANY}.{COMPANY}"
_DOWNLOAD_SECONDS = 60


@dataclass(slots=True)
class _Job:
    """A bulk read; `found` is set once it is completed."""

    id: str
    page: int
    fields: list[str]
    holds: Holds
    asked: JsonObject
    created: datetime
    found: list[Contact] | None = None
    more: bool = False


class BulkPaths:
    """The handlers of bulk read."""

    def __init__(
        self, organization: Organization, clock: Clock, *, seconds: float, page_size: int
    ) -> None:
        """Read this organization; a job takes so many seconds, and a page holds so many rows."""
        self._organization = organization
        self._clock = clock
        self._takes = timedelta(seconds=seconds)
        self._page_size = page_size
        self.clear()

    def clear(self) -> None:
        """Forget all jobs."""
        self._jobs: dict[str, _Job] = {}
        self._downloads = RollingWindow(_DOWNLOADS, _DOWNLOAD_SECONDS)

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(READ, self.create, methods=["POST"]),
            Route(READ + "/{id}", self.read, methods=["GET"]),
            Route(READ + "/{id}/result", self.download, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """Accept a job."""
        body = await read_body(request)
        if body.get("callback") is not None:
            message = "this simulator calls nobody back: ask for the job"
            raise ZohoError(400, "NOT_SUPPORTED_FEATURE", message)
        job = self._parse(body)
        self._jobs[job.id] = job
        details = {**self._head(job), "state": "ADDED"}
        result = {
            "status": "success",
            "code": "ADDED_SUCCESSFULLY",
            "message": "Added successfully.",
            "details": details,
        }
        return JSONResponse({"data": [result], "info": {}}, status_code=HTTPStatus.CREATED)

    async def read(self, request: Request) -> Response:
        """Return how far a job is, and where its result is once it is completed."""
        job = self._find(request)
        shown = {
            **self._head(job),
            "state": self._state(job),
            "query": job.asked,
            "file_type": "csv",
        }
        if job.found is not None:
            shown["result"] = {
                "page": job.page,
                "count": len(job.found),
                "download_url": f"{READ}/{job.id}/result",
                "per_page": self._page_size,
                "more_records": job.more,
                "next_page_token": str(job.page + 1) if job.more else None,
            }
        return JSONResponse({"data": [shown]})

    async def download(self, request: Request) -> Response:
        """Return the zip, up to ten times a minute and for a day."""
        job = self._find(request)
        now = self._clock()
        if not self._downloads.has_room(now):
            raise too_many_requests()
        self._downloads.take(now)
        self._state(job)
        if job.found is None or now >= job.created + self._takes + _RESULT_LIFE:
            raise _not_found(job.id)
        zipped = await asyncio.to_thread(self._zipped, job.id, job.fields, job.found)
        headers = {"Content-Disposition": f'attachment; filename="{job.id}.zip"'}
        return Response(zipped, media_type="application/zip", headers=headers)

    def _parse(self, body: JsonObject) -> _Job:
        query = body.get("query")
        if not isinstance(query, dict):
            raise mandatory(ROOT, "query")
        module = query.get("module")
        name = module.get("api_name") if isinstance(module, dict) else module
        if name != "Contacts":
            message = "the module is not known"
            raise ZohoError(400, "MODULE_NOT_AVAILABLE", message, {"module": str(name)})
        known = self._organization.fields
        fields = query.get("fields") or list(known)
        there = {*known, _COMPANY_NAME}
        if not isinstance(fields, list) or not all(one in there for one in fields):
            raise invalid_data(_QUERY, "fields", "a field is not known")
        page = query.get("page_token") or query.get("page") or 1
        if not str(page).isdecimal() or not int(page):
            raise invalid_data(_QUERY, "page", "expected a number from 1 on")
        asked = query | {"module": {"id": MODULE_ID, "api_name": "Contacts"}, "page": int(page)}
        holds = read_criteria(query.get("criteria"), known)
        now = self._organization.now()
        return _Job(str(self._organization.issue_id()), int(page), fields, holds, asked, now)

    def _find(self, request: Request) -> _Job:
        job = self._jobs.get(request.path_params["id"])
        if job is None:
            raise _not_found(request.path_params["id"])
        return job

    def _state(self, job: _Job) -> str:
        """Return a job's state; the first to ask after its time lets it read what is held."""
        passed = self._clock() - job.created
        if passed < self._takes:
            return "ADDED" if passed < self._takes / 2 else "IN PROGRESS"
        if job.found is None:
            contacts = self._organization.live.contacts
            keys = self._organization.live.order("id")
            found = [one for key in keys if job.holds(one := contacts[key[-1]])]  # type: ignore[index]
            begin = (job.page - 1) * self._page_size
            job.found = found[begin : begin + self._page_size]
            job.more = len(found) > begin + self._page_size
        return "COMPLETED"

    def _head(self, job: _Job) -> JsonObject:
        return {
            "id": job.id,
            "operation": "read",
            "created_by": {"id": INTEGRATION.id, "name": INTEGRATION.name},
            "created_time": self._organization.stamp(job.created),
        }

    def _zipped(self, job_id: str, fields: list[str], contacts: Iterable[Contact]) -> bytes:
        columns = ["id", *(name for name in fields if name != "id")]
        shown = [name.partition(".")[0] for name in columns]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["Id", *columns[1:]])
        for contact in contacts:
            row = printed(self._organization, contact, shown)
            writer.writerow([_field(row, name) for name in columns])
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(f"{job_id}.csv", text.getvalue())
        return packed.getvalue()


def _field(row: JsonObject, name: str) -> str:
    value = row[name.partition(".")[0]]
    if name == _COMPANY_NAME:
        return _cell(value.get("name") if isinstance(value, dict) else None)
    return _cell(value)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case dict():
            return str(value.get("id", ""))
        case list():
            return ";".join(map(str, value))
        case _:
            return str(value)


def _not_found(job_id: str) -> ZohoError:
    message = "there is no such resource"
    return ZohoError(404, "RESOURCE_NOT_FOUND", message, {"resource": job_id})
