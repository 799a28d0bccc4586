"""How Meta's Graph API says no: an object `error`, whose code alone decides what it means."""

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from crmsync_server.sandbox.wire import JsonObject

APP_LIMIT = 4
PARAMETER = 100
TOKEN = 190
ACCOUNT_LIMIT = 80007
THROUGHPUT = 130429
UNDELIVERABLE = 131026
RE_ENGAGEMENT = 131047
SPAM = 131048
PAIR_LIMIT = 131056
TEMPLATE_MISSING = 132001

_TITLES = {
    APP_LIMIT: "Application request limit reached",
    PARAMETER: "Invalid parameter",
    TOKEN: "Error validating access token: The session is invalid.",
    ACCOUNT_LIMIT: "Rate limit issues",
    THROUGHPUT: "Rate limit hit",
    UNDELIVERABLE: "Message undeliverable",
    RE_ENGAGEMENT: "Re-engagement message",
    SPAM: "Spam rate limit hit",
    PAIR_LIMIT: "(Business Account, Consumer Account) pair rate limit hit",
    TEMPLATE_MISSING: "Template name does not exist in the translation",
}
_STATUS = {TOKEN: HTTPStatus.UNAUTHORIZED}


def title(code: int) -> str:
    """Return what Meta calls an error."""
    return _TITLES.get(code, "Something went wrong")


def refusal(code: int, details: str = "", *, status: int | None = None) -> Response:
    """Return the Graph API's answer with an error.

    Args:
        code: Meta's number for it.
        details: more about it, for people.
        status: of HTTP; by default the one that Meta sends with this code.
    """
    error: JsonObject = {
        "message": f"(#{code}) {title(code)}",
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "AsandboxTrace0000000000",
    }
    if details:
        error["error_data"] = {"messaging_product": "whatsapp", "details": details}
    found = status or _STATUS.get(code, HTTPStatus.BAD_REQUEST)
    return JSONResponse({"error": error}, status_code=found)


def told(code: int, details: str = "") -> JsonObject:
    """Return an error as a status webhook tells it."""
    return {
        "code": code,
        "title": title(code),
        "message": title(code),
        "error_data": {"details": details or title(code)},
    }
