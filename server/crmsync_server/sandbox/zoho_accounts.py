"""Zoho's Accounts: companies, each a record of its own that contacts name, told by its name."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_errors import (
    ROOT,
    ZohoError,
    elements,
    invalid_data,
    mandatory,
    not_an_object,
    read_body,
)
from crmsync_server.sandbox.zoho_organization import INTEGRATION, Organization

ACCOUNTS = "/crm/v8/Accounts"
NAME = "Account_Name"
_MAX_RECORDS = 100
_MAX_NAME = 200


class AccountPaths:
    """The handlers of accounts: upserted by name, and read one by one."""

    def __init__(self, organization: Organization, *, partial_status: int) -> None:
        """Serve this organization; partial_status: of a write that failed in part."""
        self._organization = organization
        self._partial_status = partial_status

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(f"{ACCOUNTS}/upsert", self.upsert, methods=["POST"]),
            Route(f"{ACCOUNTS}/{{id:int}}", self.read, methods=["GET"]),
        ]

    async def upsert(self, request: Request) -> Response:
        """Add accounts, or find those that have the name already; a result for each."""
        body = await read_body(request)
        check = body.get("duplicate_check_fields") or [NAME]
        if check != [NAME]:
            message = f"expected a list of {NAME}: only this identifies accounts"
            raise invalid_data(ROOT, "duplicate_check_fields", message)
        results = self._written(elements(body, "data", _MAX_RECORDS))
        failed = any(one["status"] == "error" for one in results)
        status = self._partial_status if failed else HTTPStatus.OK
        return JSONResponse({"data": results}, status_code=status)

    async def read(self, request: Request) -> Response:
        """Return one account; 204 if there is none."""
        found = self._organization.accounts.get(request.path_params["id"])
        if found is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return JSONResponse({"data": [{"id": str(found.id), NAME: found.name}]})

    def _written(self, records: Sequence[object]) -> list[JsonObject]:
        results = []
        for number, record in enumerate(records):
            try:
                results.append(self._upserted(record, f"$.data[{number}]"))
            except ZohoError as error:
                results.append(error.as_json())
        return results

    def _upserted(self, record: object, path: str) -> JsonObject:
        if not isinstance(record, dict):
            raise not_an_object(path, "data")
        name = record.get(NAME)
        if not name:
            raise mandatory(path, NAME)
        if not isinstance(name, str) or len(name) > _MAX_NAME:
            raise invalid_data(path, NAME, "not a name", maximum_length=_MAX_NAME)
        held, now = self._organization.accounts, self._organization.now()
        known = held.find(name)
        if known is None:
            account = held.add(self._organization.issue_id(), name, now)
        else:
            account = held.touch(known, now)
        stamp, by = self._organization.stamp, {"name": INTEGRATION.name, "id": INTEGRATION.id}
        return {
            "code": "SUCCESS",
            "duplicate_field": None if known is None else NAME,
            "action": "insert" if known is None else "update",
            "details": {
                "Modified_Time": stamp(account.modified),
                "Modified_By": by,
                "Created_Time": stamp(account.created),
                "id": str(account.id),
                "Created_By": by,
            },
            "message": "record added" if known is None else "record updated",
            "status": "success",
        }
