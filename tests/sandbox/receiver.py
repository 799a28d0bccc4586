"""Somebody who subscribed to a CRM's webhooks: takes them in, or refuses them as told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Post:
    """One request, its headers in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The body."""
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """What was received; `refusals` are statuses that the next requests are answered with."""

    url: str
    posts: list[Post] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of every post that is an array, in the order they came in."""
        return [event for post in self.posts for event in post.json]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) is not None:
                self.posts.append(await _read(head.decode(), reader))
                status = self.refusals.pop(0) if self.refusals else 200
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port of the loopback interface."""
    receiver = Receiver("")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks?of=crm%3A1"
        yield receiver


async def _read(head: str, reader: asyncio.StreamReader) -> Post:
    first, *lines = head.strip().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return Post(first.split(" ")[1], headers, body)
