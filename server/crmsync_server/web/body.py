"""Reading the body of a request, never more of it than is allowed, and not for long."""

import asyncio
from datetime import timedelta

from starlette.requests import ClientDisconnect, Request


class TooLargeError(ValueError):
    """There is more of it than is allowed; nothing beyond was kept."""


class IncompleteError(ValueError):
    """It did not come in time, or its sender went away."""


async def read_body(request: Request, limit: int, patience: timedelta) -> bytes:
    """Return the body of a request.

    Raises:
        TooLargeError: it has more bytes than the limit, or says that it will.
        IncompleteError: it was not there after so long.
    """
    if _declared(request) > limit:
        raise TooLargeError
    body = bytearray()
    try:
        async with asyncio.timeout(patience.total_seconds()):
            async for part in request.stream():
                if len(body) + len(part) > limit:
                    raise TooLargeError
                body += part
    except (TimeoutError, ClientDisconnect) as error:
        raise IncompleteError from error
    return bytes(body)


def _declared(request: Request) -> int:
    """Return how long the body says it is; 0 where it does not."""
    told = request.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdecimal() else 0
