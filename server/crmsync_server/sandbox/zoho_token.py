"""The accounts host of a simulated Zoho: access tokens for a refresh token that stays."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.limits import RollingWindow
from crmsync_server.sandbox.zoho_errors import oauth_error

TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path
_MAX_ACTIVE = 15
_MAX_GRANTS = 10
_GRANT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client, and the refresh token that a user granted it."""

    client_id: str
    client_secret: str
    refresh_token: str
    token_life: timedelta
    foreign_hosts: tuple[str, ...]


class TokenEndpoint:
    """Hands out access tokens, and knows which of them hold."""

    def __init__(self, client: Client, clock: Clock) -> None:
        """Serve this client."""
        self._client = client
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget all access tokens, and how many were asked for; a revoked token holds again."""
        self._access: deque[tuple[str, datetime]] = deque()
        self._grants = RollingWindow(_MAX_GRANTS, _GRANT_SECONDS)
        self._issued = 0
        self._revoked = False

    @property
    def issued(self) -> int:
        """How many access tokens were handed out."""
        return self._issued

    def is_good(self, token: str) -> bool:
        """Say whether an access token was handed out here and still holds."""
        now = self._clock()
        return any(held == token and expires > now for held, expires in self._access)

    def expire(self) -> None:
        """Let every access token expire now; the refresh token keeps."""
        self._access.clear()

    def revoke(self) -> None:
        """Take the refresh token back, and every access token with it."""
        self._revoked = True
        self.expire()

    async def grant(self, request: Request) -> Response:
        """Answer POST /oauth/v2/token; whatever is wrong, with status 200."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        form = dict(request.query_params) | form
        known = self._client
        if request.url.hostname in known.foreign_hosts:
            return oauth_error("invalid_code")
        if form.get("grant_type") != "refresh_token":
            return oauth_error("unsupported_grant_type")
        if form.get("client_id") != known.client_id:
            return oauth_error("invalid_client")
        if form.get("client_secret") != known.client_secret:
            return oauth_error("invalid_client_secret")
        if self._revoked or form.get("refresh_token") != known.refresh_token:
            return oauth_error("invalid_code")
        return self._grant(str(request.base_url).rstrip("/"))

    def _grant(self, api_domain: str) -> Response:
        now = self._clock()
        if not self._grants.has_room(now):
            return oauth_error("Access Denied", "too many tokens were asked for; try again later")
        self._grants.take(now)
        self._issued += 1
        token, life = f"1000.{token_hex(32)}", self._client.token_life
        while self._access and self._access[0][1] <= now:
            self._access.popleft()
        if len(self._access) == _MAX_ACTIVE:
            self._access.popleft()
        self._access.append((token, now + life))
        return JSONResponse(
            {
                "access_token": token,
                "api_domain": api_domain,
                "token_type": "Bearer",
                "expires_in": int(life.total_seconds()),
            }
        )
