"""The token endpoint of a simulated Mautic: tokens that expire, refresh tokens that rotate."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.mautic_errors import oauth_error

TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path
_REFRESH_LIFE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Application:
    """An application registered for OAuth2, and a first refresh token that a user granted it."""

    client_id: str
    client_secret: str
    refresh_token: str
    token_life: timedelta


class TokenEndpoint:
    """Hands out tokens, and knows which of them hold."""

    def __init__(self, application: Application, clock: Clock) -> None:
        """Serve this application."""
        self._application = application
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget all tokens but the first refresh token, which holds again."""
        self._access: dict[str, datetime] = {}
        self._refresh = {self._application.refresh_token: self._clock() + _REFRESH_LIFE}
        self._issued = 0

    def is_good(self, token: str) -> bool:
        """Say whether an access token was handed out here and has not expired."""
        return self._access.get(token, self._clock()) > self._clock()

    def expire(self) -> None:
        """Let every access token expire now; refresh tokens keep."""
        self._access.clear()

    async def grant(self, request: Request) -> Response:
        """Answer POST /oauth/v2/token."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        known = self._application
        if (form.get("client_id"), form.get("client_secret")) != (
            known.client_id,
            known.client_secret,
        ):
            return oauth_error("invalid_client", "The client credentials are invalid")
        match form.get("grant_type"):
            case "client_credentials":
                return self._answer({})
            case "refresh_token":
                return self._exchange(form.get("refresh_token", ""))
            case _:
                return oauth_error("unsupported_grant_type", "The grant type is not supported")

    def _exchange(self, refresh_token: str) -> Response:
        if self._refresh.pop(refresh_token, self._clock()) <= self._clock():
            return oauth_error("invalid_grant", "Invalid refresh token")
        rotated = f"refresh-{self._issued + 1}"
        self._refresh[rotated] = self._clock() + _REFRESH_LIFE
        return self._answer({"refresh_token": rotated})

    def _answer(self, extra: Mapping[str, str]) -> Response:
        self._issued += 1
        token, life = f"access-{self._issued}", self._application.token_life
        self._access[token] = self._clock() + life
        body = {
            "access_token": token,
            "expires_in": int(life.total_seconds()),
            "token_type": "bearer",
            "scope": None,
        }
        return JSONResponse({**body, **extra})
