"""Brevo's error bodies: `{code, message, metadata?}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from crmsync_server.sandbox.wire import MalformedBodyError, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from crmsync_server.sandbox.wire import JsonObject

INVALID = "invalid_parameter"
"""A value that Brevo does not take."""
MISSING = "missing_parameter"
"""A value that Brevo needs."""
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    402: "not_enough_credits",
    403: "permission_denied",
    404: "document_not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    422: "unprocessable_entity",
    425: "too_early",
    429: "too_many_requests",
}


class BrevoError(Exception):
    """A request that Brevo refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        duplicates: list[str] | None = None,
    ) -> None:
        """Refuse with this status; the code follows from it unless given.

        `duplicates` are the kinds of identifier that belong to another contact.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _CODES.get(status, "internal_error")
        self.duplicates = duplicates or []

    def as_response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer that says so."""
        body: JsonObject = {"code": self.code, "message": self.message}
        if self.duplicates:
            body["metadata"] = {"duplicate_identifiers": self.duplicates}
        return JSONResponse(body, status_code=self.status, headers=headers)


def duplicate_error(kinds: list[str]) -> BrevoError:
    """Return the error for identifiers of these kinds that belong to another contact."""
    message = f"{', '.join(kinds)} already associated with another Contact"
    return BrevoError(400, message, code="duplicate_parameter", duplicates=kinds)


async def read_body(request: Request) -> JsonObject:
    """Return the JSON object in a request's body.

    Raises:
        BrevoError: 400, it is not one.
    """
    try:
        return parse_object(await request.body())
    except MalformedBodyError as error:
        raise BrevoError(400, f"Input must be a valid JSON object: {error}") from error


async def answer_error(_: Request, error: Exception) -> Response:
    """Turn what a handler raised into Brevo's answer."""
    if not isinstance(error, BrevoError):
        raise error
    return error.as_response()


async def answer_routing_error(request: Request, error: Exception) -> Response:
    """Answer a path or method that Brevo does not have."""
    status = getattr(error, "status_code", 404)
    return BrevoError(status, f"{request.method} {request.url.path} is not served").as_response()
