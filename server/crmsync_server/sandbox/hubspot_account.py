"""Whose token it is and what it may do: HubSpot's account details, scopes and introspection."""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_oauth import TOKEN_PATH, Tokens
from crmsync_server.sandbox.wire import JsonObject

INTROSPECT_PATH = f"{TOKEN_PATH}/introspect"
_READ, _WRITE = "crm.objects.contacts.read", "crm.objects.contacts.write"
_READ_SCHEMAS, _WRITE_SCHEMAS = "crm.schemas.contacts.read", "crm.schemas.contacts.write"
SCOPES = ("oauth", _READ, _WRITE, _READ_SCHEMAS, _WRITE_SCHEMAS)
"""All that the simulated paths ask for."""
_READING_POSTS = ("/search", "/batch/read")


@dataclass(frozen=True, slots=True)
class Grant:
    """A portal, and what its tokens may do there."""

    portal_id: int
    app_id: int
    time_zone: str
    scopes: Collection[str]

    def facts(self) -> JsonObject:
        """Return what is told of every token."""
        return {"hub_id": self.portal_id, "user_id": 1, "scopes": list(self.scopes)}


class AccountPaths:
    """The handlers of the account and of its token."""

    def __init__(self, grant: Grant, tokens: Tokens, clock: Clock) -> None:
        """Serve the holders of these tokens."""
        self._grant = grant
        self._tokens = tokens
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route("/account-info/v3/details", self.read_account, methods=["GET"]),
            Route(INTROSPECT_PATH, self.introspect, methods=["POST"]),
        ]

    def lacks_scope(self, method: str, path: str) -> Response | None:
        """Return the refusal of a request that needs a scope the token does not have."""
        needed = _needed_scope(method, path)
        if needed is None or needed in self._grant.scopes:
            return None
        message = "This app hasn't been granted all required scopes to make this call."
        missing = {"message": message, "context": {"requiredGranularScopes": [needed]}}
        return HubSpotError(403, message, errors=[missing]).as_response()

    async def read_account(self, _: Request) -> Response:
        """Return which portal the token belongs to."""
        offset = self._clock().astimezone(ZoneInfo(self._grant.time_zone)).strftime("%z")
        return JSONResponse(
            {
                "portalId": self._grant.portal_id,
                "accountType": "STANDARD",
                "timeZone": self._grant.time_zone,
                "utcOffset": f"{offset[:3]}:{offset[3:]}",
                "dataHostingLocation": "na1",
            }
        )

    async def introspect(self, request: Request) -> Response:
        """Say what the token in the form may do; one that is not known is not active."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        if "token" not in form:
            raise HubSpotError(400, "Some required fields were not set: [token]")
        renews = self._tokens.is_refresh_token(form["token"])
        if not (renews or self._tokens.is_good(form["token"])):
            return JSONResponse({"active": False})
        use = "refresh_token" if renews else "access_token"
        kind = {"token_use": use, "token_type": use.removesuffix("_token")}
        return JSONResponse(
            {"active": True, "app_id": self._grant.app_id, **kind, **self._grant.facts()}
        )


def _needed_scope(method: str, path: str) -> str | None:
    reads = method == "GET" or path.endswith(_READING_POSTS)
    if path.startswith("/crm/v3/objects/contacts"):
        return _READ if reads else _WRITE
    if path.startswith("/crm/v3/properties/contacts"):
        return _READ_SCHEMAS if reads else _WRITE_SCHEMAS
    return None
