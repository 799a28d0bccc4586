"""HubSpot's tokens: the one of a private app, and those that an application is granted by OAuth."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from secrets import token_hex
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.wire import JsonObject

TOKEN_PATH = "/oauth/v3/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class Application:
    """A registered application, and the refresh token that a portal granted it."""

    client_id: str
    client_secret: str
    refresh_token: str
    token_life: timedelta


class Tokens:
    """Hands out access tokens for the refresh token, and knows which of them hold."""

    def __init__(
        self,
        application: Application,
        lasting: str,
        clock: Clock,
        facts: Callable[[], JsonObject],
    ) -> None:
        """Serve this application.

        Args:
            application: who is granted tokens.
            lasting: the token of the private app, which never expires.
            clock: when tokens expire.
            facts: what is told with a token besides: the portal, and the scopes.
        """
        self._application = application
        self._lasting = lasting
        self._clock = clock
        self._facts = facts
        self.clear()

    def clear(self) -> None:
        """Forget all access tokens; a refresh token that was revoked holds again."""
        self._expiry: dict[str, datetime] = {}
        self._revoked = False

    @property
    def issued(self) -> int:
        """How many access tokens were handed out."""
        return len(self._expiry)

    def routes(self) -> list[Route]:
        """Return the path."""
        return [Route(TOKEN_PATH, self.grant, methods=["POST"])]

    def is_known(self, token: str) -> bool:
        """Say whether this is a token, be it expired."""
        return token == self._lasting or token in self._expiry

    def is_good(self, token: str) -> bool:
        """Say whether a token still holds."""
        expiry = self._expiry.get(token)
        return token == self._lasting or (expiry is not None and expiry > self._clock())

    def is_refresh_token(self, token: str) -> bool:
        """Say whether access tokens are granted for this one."""
        return token == self._application.refresh_token and not self._revoked

    def expire(self) -> None:
        """Let every access token expire now; the refresh token keeps."""
        self._expiry = dict.fromkeys(self._expiry, self._clock())

    def revoke(self) -> None:
        """Take the refresh token back, and every access token with it, as uninstalling does."""
        self._revoked = True
        self._expiry.clear()

    async def grant(self, request: Request) -> Response:
        """Answer a refresh token with an access token; everything is in the form."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        known = self._application
        if form.get("grant_type") != "refresh_token":
            return _refusal("BAD_GRANT_TYPE", "missing or unknown grant type")
        if form.get("client_id") != known.client_id:
            return _refusal("BAD_CLIENT_ID", "missing or unknown client id")
        if form.get("client_secret") != known.client_secret:
            return _refusal("BAD_CLIENT_SECRET", "missing or invalid client secret")
        if not self.is_refresh_token(form.get("refresh_token", "")):
            return _refusal("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
        token = f"sandbox-hubspot-{token_hex(32)}"
        self._expiry[token] = self._clock() + known.token_life
        told = {
            "access_token": token,
            "refresh_token": known.refresh_token,
            "expires_in": int(known.token_life.total_seconds()),
            "token_type": "bearer",
            "token_use": "access_token",
        }
        return JSONResponse(told | self._facts())


def _refusal(code: str, message: str) -> Response:
    body = {"status": code, "message": message, "correlationId": str(uuid4())}
    return JSONResponse(body, status_code=HTTPStatus.BAD_REQUEST)
