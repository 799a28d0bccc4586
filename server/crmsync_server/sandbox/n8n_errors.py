"""n8n's error bodies."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from crmsync_server.sandbox.faults import Fault

_ACTIVATE = (
    "The workflow must be active for a production URL to run successfully. You can activate the "
    "workflow using the toggle in the top-right of the editor."
)
_LISTEN = (
    "Click the 'Execute workflow' button on the canvas, then try again. (In test mode, the "
    "webhook only works for one call after you click this button)"
)


class N8nError(Exception):
    """A request that n8n itself refuses."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        """Refuse with this status."""
        super().__init__(message)
        self.status = status
        self.body = {"code": status, "message": message} | ({"hint": hint} if hint else {})


class WorkflowError(N8nError):
    """A workflow, or its Webhook node, that failed."""


def unregistered(path: str, method: str, methods: tuple[str, ...], *, test: bool) -> N8nError:
    """Return the error for a path that no workflow listens at, at least not for this method."""
    if not methods:
        message = f'The requested webhook "{method} {path}" is not registered.'
        return N8nError(HTTPStatus.NOT_FOUND, message, _LISTEN if test else _ACTIVATE)
    listed = " or ".join(filter(None, [", ".join(methods[:-1]), methods[-1]]))
    message = (
        f"This webhook is not registered for {method} requests. "
        f"Did you mean to make a {listed} request?"
    )
    return N8nError(HTTPStatus.NOT_FOUND, message)


def failure(fault: Fault) -> Response:
    """Return the answer for a `status` fault: a 500 is the workflow's, the rest a proxy's."""
    headers = {}
    if fault.retry_after_seconds is not None:
        headers["Retry-After"] = str(fault.retry_after_seconds)
    if fault.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return JSONResponse({"message": "Error in workflow"}, fault.status, headers)
    title = f"{fault.status} {HTTPStatus(fault.status).phrase}"
    page = f"<html><head><title>{title}</title></head><body>{title}</body></html>"
    return HTMLResponse(page, fault.status, headers)


async def answer_error(_: Request, error: Exception) -> Response:
    """Turn what a handler raised into n8n's answer."""
    if not isinstance(error, N8nError):
        raise error
    return JSONResponse(error.body, status_code=error.status)


async def answer_routing_error(request: Request, error: Exception) -> Response:
    """Answer a path that n8n does not have, as the framework under it does."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    page = f"<pre>Cannot {request.method} {request.url.path}</pre>"
    return HTMLResponse(page, status_code=status)
