"""HubSpot's error bodies: `{status, message, correlationId, category, context?, errors?}`."""

from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

_CATEGORIES = {
    400: "VALIDATION_ERROR",
    401: "INVALID_AUTHENTICATION",
    403: "MISSING_SCOPES",
    404: "OBJECT_NOT_FOUND",
    409: "CONFLICT",
    415: "VALIDATION_ERROR",
    423: "LOCKED",
    429: "RATE_LIMITS",
    477: "MIGRATION_IN_PROGRESS",
}


class HubSpotError(Exception):
    """A request, or one input of a batch, that HubSpot refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        category: str | None = None,
        context: Mapping[str, list[str]] | None = None,
        errors: list[JsonObject] | None = None,
    ) -> None:
        """Refuse with this status; the category follows from it unless given."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category or _CATEGORIES.get(status, "INTERNAL_ERROR")
        self.context = dict(context or {})
        self.errors = errors or []

    def as_body(self) -> JsonObject:
        """Return the body of an answer that is nothing but this error."""
        body: JsonObject = {
            "status": "error",
            "message": self.message,
            "correlationId": str(uuid4()),
            "category": self.category,
        }
        if self.context:
            body["context"] = self.context
        if self.errors:
            body["errors"] = self.errors
        return body

    def as_entry(self, trace_id: str) -> JsonObject:
        """Return this error as one of the `errors` of a 207, naming its input by trace id."""
        entry: JsonObject = {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": self.context | {"objectWriteTraceId": [trace_id]},
        }
        if self.errors:
            entry["errors"] = self.errors
        return entry

    def as_response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return an answer that is nothing but this error."""
        return JSONResponse(self.as_body(), status_code=self.status, headers=headers)


def invalid_value(message: str, code: str, name: str) -> HubSpotError:
    """Return the error for a property value that HubSpot does not take."""
    detail: JsonObject = {"message": message, "code": code, "context": {"propertyName": [name]}}
    return HubSpotError(400, f"Property values were not valid: {message}", errors=[detail])


def rate_limited(policy: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the 429 of a limit; `policy` is `TEN_SECONDLY_ROLLING` or `DAILY`."""
    body = {
        "status": "error",
        "message": f"You have reached your {policy.lower()} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid4()),
        "policyName": policy,
    }
    return JSONResponse(body, status_code=HTTPStatus.TOO_MANY_REQUESTS, headers=headers)


async def read_body(request: Request) -> JsonObject:
    """Return the JSON object in a request's body.

    Raises:
        HubSpotError: 400, it is not one; 415, it is not said to be JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HubSpotError(415, "Unsupported media type; expected application/json")
    try:
        return parse_object(await request.body())
    except MalformedBodyError as error:
        raise HubSpotError(400, f"Invalid input JSON: {error}") from error


async def answer_error(_: Request, error: Exception) -> Response:
    """Turn what a handler raised into HubSpot's answer."""
    if not isinstance(error, HubSpotError):
        raise error
    return error.as_response()


async def answer_routing_error(request: Request, error: Exception) -> Response:
    """Answer a path or method that HubSpot does not have."""
    status = getattr(error, "status_code", 404)
    allowed = status != HTTPStatus.METHOD_NOT_ALLOWED
    message = "resource not found" if allowed else f"{request.method} is not allowed here"
    return HubSpotError(status, message).as_response()
