"""Brevo's paths for imports: to start one, to see how far it is, and to read its reports."""

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.brevo_account import Account
from crmsync_server.sandbox.brevo_errors import BrevoError, read_body
from crmsync_server.sandbox.brevo_imports import REPORT_NAMES, ImportProcess, Imports

REPORTS_PREFIX = "/reports/"
_MAX_IMPORT_BYTES = 10 * 1024 * 1024


class ProcessPaths:
    """The handlers of imports, processes and report files."""

    def __init__(self, account: Account, imports: Imports) -> None:
        """Import into this account."""
        self._account = account
        self._imports = imports

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route("/v3/contacts/import", self.import_contacts, methods=["POST"]),
            Route("/v3/processes/{id:int}", self.read_process, methods=["GET"]),
            Route(REPORTS_PREFIX + "{id:int}/{name}.csv", self.read_report, methods=["GET"]),
        ]

    async def import_contacts(self, request: Request) -> Response:
        """Accept rows to be applied later."""
        if len(await request.body()) > _MAX_IMPORT_BYTES:
            raise BrevoError(400, "The import is larger than 10 MB", code="out_of_range")
        process = self._imports.submit(self._account, await read_body(request))
        return JSONResponse({"processId": process.id}, status_code=202)

    async def read_process(self, request: Request) -> Response:
        """Return how far an import is, and where its reports are once it is completed."""
        process = self._imports.find(request.path_params["id"])
        body = {"id": process.id, "status": process.status, "name": "import"}
        if process.status != "completed":
            return JSONResponse(body)
        return JSONResponse(body | {"info": {"import": _report_urls(request, process)}})

    async def read_report(self, request: Request) -> Response:
        """Return one report of a completed import."""
        process = self._imports.find(request.path_params["id"])
        name = request.path_params["name"]
        if process.status != "completed" or name not in process.reports:
            raise BrevoError(404, "There is no such report")
        return PlainTextResponse(process.report(name), media_type="text/csv")


def _report_urls(request: Request, process: ImportProcess) -> dict[str, str]:
    base = f"{request.base_url}{REPORTS_PREFIX.lstrip('/')}{process.id}"
    return {name: f"{base}/{name}.csv" for name in REPORT_NAMES}
