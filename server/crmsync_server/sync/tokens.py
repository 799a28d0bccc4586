"""An account's access token, renewed by one caller at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from crmsync_server.crm.adapter import Token

_LEAST_LIFE = timedelta(minutes=1)


class AccountTokens:
    """The token of one organization at one CRM, in this process."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        """Begin without a token."""
        self._clock = clock
        self._token: Token | None = None
        self._renewing = asyncio.Lock()

    async def current(
        self, renew: Callable[[str], Awaitable[Token]], *, refused: str = ""
    ) -> Token:
        """Return a token that holds for a minute at least; see crm.adapter.Tokens."""
        async with self._renewing:
            held = self._token
            if held is None or self._is_spent(held) or held.value == refused:
                self._token = held = await renew(held.refresh_token if held else "")
            return held

    def _is_spent(self, held: Token) -> bool:
        return held.expire_time < self._clock() + _LEAST_LIFE
