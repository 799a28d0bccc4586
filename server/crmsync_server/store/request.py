"""Requests that carry an id of their caller: each is done once and remembered for 24 hours."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as far as telling it from another one needs.

    method: the name of its rpc, `CreateContact`.
    fingerprint: a hash of its content.
    """

    request_id: UUID
    method: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered before, and the serialized answer."""

    request: Request
    response: bytes


async def begin(connection: AsyncConnection, org_id: str, request: Request) -> Answered | None:
    """Take the request's id; None when it is free, else what it was used for before.

    Waits for a transaction that holds the same id at the moment. Whoever gets None must answer in
    the same transaction.
    """
    row = (
        await connection.execute(
            statement("request/begin"),
            {
                "org_id": org_id,
                "request_id": request.request_id,
                "method": request.method,
                "fingerprint": request.fingerprint,
            },
        )
    ).one()
    if row.response is None:
        return None
    return Answered(Request(request.request_id, row.method, row.fingerprint), row.response)


async def find(connection: AsyncConnection, org_id: str, request_id: UUID) -> Answered | None:
    """Return what an id was used for before; None when it is free. Takes nothing."""
    parameters = {"org_id": org_id, "request_id": request_id}
    row = (await connection.execute(statement("request/find"), parameters)).one_or_none()
    if row is None:
        return None
    return Answered(Request(request_id, row.method, row.fingerprint), row.response)


async def answer(
    connection: AsyncConnection, org_id: str, request_id: UUID, response: bytes
) -> None:
    """Keep the serialized answer to a request that this transaction began."""
    parameters = {"org_id": org_id, "request_id": request_id, "response": response}
    await connection.execute(statement("request/answer"), parameters)


async def purge(connection: AsyncConnection) -> int:
    """Delete the requests and imports older than 24 hours, of any organization; return how many."""
    return int((await connection.execute(statement("request/purge"))).scalar_one())
