"""Reading the body of a request, never more of it than is allowed, and not for long."""

import asyncio
from datetime import timedelta

from starlette.types import Receive, Scope


class TooLargeError(ValueError):
    """There is more of it than is allowed; nothing beyond was kept."""


class IncompleteError(ValueError):
    """It did not come in time, or its sender went away."""


async def read_body(scope: Scope, receive: Receive, limit: int, patience: timedelta) -> bytes:
    """Return the body of a request.

    Raises:
        TooLargeError: it has more bytes than the limit, or says that it will.
        IncompleteError: it was not there after so long.
    """
    if _declared(scope) > limit:
        raise TooLargeError
    body = bytearray()
    try:
        async with asyncio.timeout(patience.total_seconds()):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise IncompleteError
                part = message.get("body", b"")
                if len(body) + len(part) > limit:
                    raise TooLargeError
                body += part
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise IncompleteError from error


def _declared(scope: Scope) -> int:
    """Return how long the body says it is; 0 where it does not."""
    told = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(told) if told.isdigit() else 0
