"""Zoho's error bodies: `{code, details, message, status: "error"}`; those of OAuth differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

ROOT = "$"
"""The JSON path of a whole body."""
_NOT_FOUND = 404
_NOT_ALLOWED = 405


class ZohoError(Exception):
    """A request, or one element of it, that Zoho refuses."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Refuse with this status, if it is the whole request, and this code in any case."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})

    def as_json(self) -> JsonObject:
        """Return the error as Zoho prints it, alone or as one element's result."""
        return {
            "code": self.code,
            "details": self.details,
            "message": self.message,
            "status": "error",
        }

    def as_response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer that refuses the whole request."""
        return JSONResponse(self.as_json(), status_code=self.status, headers=headers)


def invalid_token() -> ZohoError:
    """Return the error for an access token that is missing, wrong or expired."""
    return ZohoError(401, "INVALID_TOKEN", "invalid oauth token")


def scope_mismatch() -> ZohoError:
    """Return the error for a good token whose scopes do not cover the path."""
    return ZohoError(401, "OAUTH_SCOPE_MISMATCH", "the token's scopes do not cover this path")


def too_many_requests() -> ZohoError:
    """Return the error for too few credits or too many calls at once; it does not say which."""
    return ZohoError(429, "TOO_MANY_REQUESTS", "too many requests were made; try again later")


def missing_param(*, name: str) -> ZohoError:
    """Return the error for a query parameter that is needed."""
    return ZohoError(
        400, "REQUIRED_PARAM_MISSING", "a required parameter is missing", {"param_name": name}
    )


def invalid_param(*, name: str, message: str) -> ZohoError:
    """Return the error for a query parameter whose value will not do."""
    return ZohoError(400, "INVALID_DATA", message, {"param_name": name})


def invalid_module(name: str) -> ZohoError:
    """Return the error for a module that the organization does not have."""
    return ZohoError(400, "INVALID_MODULE", "the module name is invalid", {"api_name": name})


def invalid_data(path: str, name: str, message: str, **more: object) -> ZohoError:
    """Return the error for a value in the body; `path` is that of the object it is in."""
    return ZohoError(400, "INVALID_DATA", message, place(path, name) | more)


def not_an_object(path: str, key: str) -> ZohoError:
    """Return the error for an element at this path, of the list `key`, that is no object."""
    details = {"api_name": key, "json_path": path, "expected_data_type": "jsonobject"}
    return ZohoError(400, "INVALID_DATA", "expected an object", details)


def mandatory(path: str, name: str) -> ZohoError:
    """Return the error for a value in the body that is needed and missing."""
    message = "a required field was not found"
    return ZohoError(400, "MANDATORY_NOT_FOUND", message, place(path, name))


def limit_exceeded(limit: int, message: str, **more: object) -> ZohoError:
    """Return the error for more of something than one call takes."""
    return ZohoError(400, "LIMIT_EXCEEDED", message, {"limit": limit} | more)


def place(path: str, name: str) -> dict[str, object]:
    """Return the details that say where in the body an error is: under a name of an object."""
    return {"api_name": name, "json_path": f"{path}.{name}"}


def oauth_error(error: str, description: str | None = None) -> Response:
    """Return an error of the accounts host: always with status 200."""
    body = {"error": error}
    if description is not None:
        body |= {"error_description": description, "status": "failure"}
    return JSONResponse(body)


async def read_body(request: Request) -> JsonObject:
    """Return the JSON object in a request's body.

    Raises:
        ZohoError: 400, it is none.
    """
    try:
        return parse_object(await request.body())
    except MalformedBodyError as error:
        message = f"the request body could not be read: {error}"
        raise ZohoError(400, "INVALID_REQUEST", message) from error


def elements(body: JsonObject, key: str, limit: int) -> list[object]:
    """Return the list under a key of the body.

    Raises:
        ZohoError: 400, there is none, it is empty, or longer than `limit`.
    """
    found = body.get(key)
    if found is None or found == []:
        raise mandatory(ROOT, key)
    if not isinstance(found, list):
        raise invalid_data(ROOT, key, "expected a list", expected_data_type="jsonarray")
    if len(found) > limit:
        message = f"at most {limit} can be given in one call"
        raise limit_exceeded(limit, message, **place(ROOT, key))
    return found


async def answer_error(_: Request, error: Exception) -> Response:
    """Turn what a handler raised into Zoho's answer."""
    if not isinstance(error, ZohoError):
        raise error
    return error.as_response()


async def answer_routing_error(request: Request, error: Exception) -> Response:
    """Answer a path, module or method that Zoho does not have."""
    status = getattr(error, "status_code", _NOT_FOUND)
    if status == _NOT_ALLOWED:
        message = f"{request.method} is not supported here"
        return ZohoError(status, "INVALID_REQUEST_METHOD", message).as_response()
    message = "check whether the URL is right"
    return ZohoError(status, "INVALID_URL_PATTERN", message).as_response()
