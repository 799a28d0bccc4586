"""Doing a request once: a repeat of its request_id gets the first answer."""

from collections.abc import Awaitable, Callable
from copy import deepcopy
from hashlib import blake2b
from typing import Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import RequestIdReusedError
from crmsync_server.rpc.auth import current_caller
from crmsync_server.store import request as requests
from crmsync_server.store.db import Database

Response = TypeVar("Response", bound=Message)

_FINGERPRINT_BYTES = 16


class NamedRequest(Protocol):
    """A request that its caller may name by a UUID."""

    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - protobuf's
        """Return the message on the wire."""


async def once(
    connection: AsyncConnection,
    request: NamedRequest,
    kind: type[Response],
    work: Callable[[AsyncConnection], Awaitable[Response]],
) -> Response:
    """Do the work of a request and return its response, or the one given before.

    Both are in the connection's transaction: an answer is remembered if and only if the work was
    done. Of two at once the second waits for the first. Without a request_id nothing is remembered.

    Raises:
        RequestIdReusedError: the id came with another request before, within 24 hours.
    """
    if not request.request_id:
        return await work(connection)
    org_id, named = current_caller().org_id, _named(request, kind)
    before = await requests.begin(connection, org_id, named)
    if before is not None:
        return _answered(request, kind, before)
    response = await work(connection)
    answer = response.SerializeToString()
    await requests.answer(connection, org_id, named.request_id, answer)
    return response


async def once_elsewhere(
    database: Database,
    request: NamedRequest,
    kind: type[Response],
    work: Callable[[], Awaitable[Response]],
) -> Response:
    """Do, as `once` does, work that is done elsewhere: no transaction is held meanwhile.

    It must be safe to do twice: two at once both do it, and both return what ended first. What was
    done and could not be remembered is done again by a repeat.

    Raises:
        RequestIdReusedError: the id came with another request before, within 24 hours.
    """
    if not request.request_id:
        return await work()
    org_id = current_caller().org_id
    async with database.org(org_id) as connection:
        before = await requests.find(connection, org_id, UUID(request.request_id))
    if before is not None:
        return _answered(request, kind, before)
    response = await work()

    async def done(_: AsyncConnection) -> Response:
        return response

    async with database.org(org_id) as connection:
        return await once(connection, request, kind, done)


def _answered(request: NamedRequest, kind: type[Response], before: requests.Answered) -> Response:
    if before.request != _named(request, kind):
        raise RequestIdReusedError(request.request_id, before.request.method)
    return kind.FromString(before.response)


def _named(request: NamedRequest, kind: type[Message]) -> requests.Request:
    unnamed = deepcopy(request)
    unnamed.request_id = ""  # a UUID is the same in either case
    content = unnamed.SerializeToString(deterministic=True)
    return requests.Request(
        request_id=UUID(request.request_id),
        # Every rpc has a response of its own: its name is the method's.
        method=kind.DESCRIPTOR.name.removesuffix("Response"),
        fingerprint=blake2b(content, digest_size=_FINGERPRINT_BYTES).digest(),
    )
