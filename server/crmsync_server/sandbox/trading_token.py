"""The token endpoint of a simulated broker: a user name and a password for a token of a day."""

from datetime import datetime, timedelta
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

TOKEN_PATH = "/token"  # noqa: S105 - a path


class TokenDesk:
    """Hands out tokens, and knows which of them hold."""

    def __init__(
        self, user: tuple[str, str], life: timedelta, clock: Clock, *, tells: bool
    ) -> None:
        """Serve this user name and password; tells: whether it says how long a token lives."""
        self._user = user
        self._life = life
        self._clock = clock
        self._tells = tells
        self.issued = 0
        self._held: dict[str, datetime] = {}

    def clear(self) -> None:
        """Forget all tokens, and how many there were."""
        self._held.clear()
        self.issued = 0

    def expire(self) -> None:
        """Let every token expire now."""
        self._held.clear()

    def is_good(self, token: str) -> bool:
        """Say whether a token was handed out here and has not expired."""
        now = self._clock()
        return self._held.get(token, now) > now

    async def grant(self, request: Request) -> Response:
        """Answer POST /token."""
        try:
            body = parse_object(await request.body())
        except MalformedBodyError as error:
            return PlainTextResponse(str(error), status_code=HTTPStatus.BAD_REQUEST)
        if (body.get("userName"), body.get("password")) != self._user:
            return PlainTextResponse("Invalid credentials", status_code=HTTPStatus.UNAUTHORIZED)
        self.issued += 1
        token = f"sandbox-trading-token-{self.issued}"
        self._held[token] = self._clock() + self._life
        told: JsonObject = {"Token": token}
        if self._tells:
            told["ExpiresIn"] = int(self._life.total_seconds())
        return JSONResponse(told)
