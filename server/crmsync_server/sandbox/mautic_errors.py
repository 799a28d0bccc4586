"""Mautic's error bodies: `{errors: [{code, message, details, type}]}`; those of OAuth2 differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from crmsync_server.sandbox.wire import JsonObject

_MAINTENANCE = "<!DOCTYPE html><html><body><h1>Back soon</h1><p>Maintenance</p></body></html>"


class MauticError(Exception):
    """A request, or one record of a batch, that Mautic refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        details: Mapping[str, list[str]] | None = None,
    ) -> None:
        """Refuse with this status; `details` are reasons by field alias, `kind` is the type."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.details = details or {}

    def as_json(self) -> JsonObject:
        """Return the error as it stands in `errors`."""
        return {
            "code": self.status,
            "message": self.message,
            "details": dict(self.details) or [],  # PHP prints an empty map as a list
            "type": self.kind,
        }

    def as_response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer that says so."""
        return JSONResponse({"errors": [self.as_json()]}, status_code=self.status, headers=headers)


def api_disabled() -> MauticError:
    """Return the error of an instance whose API is switched off, as it is by default."""
    message = "The API is disabled. Enable it in the configuration to use it."
    return MauticError(403, message, kind="api_disabled")


def basic_disabled() -> MauticError:
    """Return the error of an instance that takes no Basic credentials, as by default."""
    message = "Basic authentication is disabled for the API."
    return MauticError(403, message, kind="access_denied")


def unauthorized() -> MauticError:
    """Return the error for credentials that are wrong, missing or expired."""
    return MauticError(401, "The credentials are not valid.", kind="access_denied")


def forbidden() -> MauticError:
    """Return the error for what the user's role does not allow."""
    return MauticError(403, "You do not have access to the requested area/action.")


def rate_limited(headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to one call too many."""
    return MauticError(429, "You exceeded the rate limit of API calls.").as_response(headers)


def maintenance() -> Response:
    """Return what a proxy shows in Mautic's place: a page, with status 200."""
    return HTMLResponse(_MAINTENANCE)


def oauth_error(error: str, description: str) -> Response:
    """Return an error of the token endpoint."""
    return JSONResponse({"error": error, "error_description": description}, status_code=400)


async def read_json(request: Request) -> object:
    """Return the JSON in a request's body.

    Raises:
        MauticError: 400, it is none.
    """
    try:
        parsed: object = json.loads(await request.body())
    except ValueError as error:
        raise MauticError(400, f"Could not decode the JSON: {error}") from error
    return parsed


async def answer_error(_: Request, error: Exception) -> Response:
    """Turn what a handler raised into Mautic's answer."""
    if not isinstance(error, MauticError):
        raise error
    return error.as_response()


async def answer_routing_error(request: Request, error: Exception) -> Response:
    """Answer a path or method that Mautic does not have."""
    status = getattr(error, "status_code", 404)
    return MauticError(status, f"No route found for {request.method}").as_response()
