"""Zoho's paths that write contacts: up to 100 in a call, each with a result of its own."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_errors import (
    ROOT,
    elements,
    invalid_data,
    limit_exceeded,
    missing_param,
    read_body,
)
from crmsync_server.sandbox.zoho_fields import EMAIL
from crmsync_server.sandbox.zoho_organization import Organization
from crmsync_server.sandbox.zoho_writer import Verb, Writer

CONTACTS = "/crm/v8/Contacts"
MAX_RECORDS = 100


class WritePaths:
    """The handlers that write."""

    def __init__(
        self,
        organization: Organization,
        writer: Writer,
        *,
        partial_status: int,
        failed_status: int,
    ) -> None:
        """Write by this writer; the statuses are those of calls that failed in part, or whole."""
        self._organization = organization
        self._writer = writer
        self._partial_status = partial_status
        self._failed_status = failed_status

    def routes(self) -> list[Route]:
        """Return the paths; the fixed one stands before `{id}`."""
        return [
            Route(f"{CONTACTS}/upsert", self.upsert, methods=["POST"]),
            Route(CONTACTS, self.insert, methods=["POST"]),
            Route(CONTACTS, self.update, methods=["PUT"]),
            Route(CONTACTS, self.delete, methods=["DELETE"]),
            Route(f"{CONTACTS}/{{id:int}}", self.update_one, methods=["PUT"]),
            Route(f"{CONTACTS}/{{id:int}}", self.delete_one, methods=["DELETE"]),
        ]

    async def upsert(self, request: Request) -> Response:
        """Add contacts, or change those that the check fields lead to."""
        body = await read_body(request)
        return self._written("upsert", body, self._check_fields(body))

    async def insert(self, request: Request) -> Response:
        """Add contacts."""
        return self._written("insert", await read_body(request))

    async def update(self, request: Request) -> Response:
        """Change contacts by id."""
        return self._written("update", await read_body(request))

    async def update_one(self, request: Request) -> Response:
        """Change one contact."""
        body = await read_body(request)
        (record, *_) = elements(body, "data", 1)
        named = {"id": str(request.path_params["id"])}
        if isinstance(record, dict):
            body = body | {"data": [record | named]}
        return self._written("update", body)

    async def delete(self, request: Request) -> Response:
        """Delete the contacts that `ids` names."""
        named = request.query_params.get("ids")
        if not named:
            raise missing_param(name="ids")
        ids = named.split(",")
        if len(ids) > MAX_RECORDS:
            raise limit_exceeded(MAX_RECORDS, "too many records in one call", param_name="ids")
        return self._answer(self._writer.delete(ids), HTTPStatus.OK)

    async def delete_one(self, request: Request) -> Response:
        """Delete one contact."""
        return self._answer(self._writer.delete([str(request.path_params["id"])]), HTTPStatus.OK)

    def _written(self, verb: Verb, body: JsonObject, check: Sequence[str] = ()) -> Response:
        records = elements(body, "data", MAX_RECORDS)
        results = self._writer.write(verb, records, check)
        trigger = body.get("trigger")
        if trigger is None or trigger:
            written = sum(one["status"] == "success" for one in results)
            self._organization.workflows_run += written
        whole = HTTPStatus.CREATED if verb == "insert" else HTTPStatus.OK
        return self._answer(results, whole)

    def _answer(self, results: list[JsonObject], whole: int) -> Response:
        failed = sum(one["status"] == "error" for one in results)
        status = whole
        if failed:
            status = self._failed_status if failed == len(results) else self._partial_status
        return JSONResponse({"data": results}, status_code=status)

    def _check_fields(self, body: JsonObject) -> list[str]:
        """Return by which fields to look: those named, or Email and then the unique ones.

        Raises:
            ZohoError: 400, a field named is neither.
        """
        unique = self._organization.unique_fields()
        allowed = list(dict.fromkeys([EMAIL, *unique]))
        named = body.get("duplicate_check_fields")
        if not named:
            return allowed
        if not isinstance(named, list) or not all(name in allowed for name in named):
            message = f"expected a list of {', '.join(allowed)}: only these identify contacts"
            raise invalid_data(ROOT, "duplicate_check_fields", message)
        return named
