"""What every call passes, of all four kinds, through a real channel."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it ships no types
from structlog.testing import capture_logs

from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.heartbeat_pb2 import Heartbeat
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_server.errors import DrainingError, SessionNotFoundError
from crmsync_server.rpc.auth import Caller, Role, current_caller
from crmsync_server.rpc.context import Context
from crmsync_server.store.db import Database, Pool
from tests.eventually import eventually
from tests.rpc.serving import (
    GET,
    SESSION_ID,
    WATCH,
    Failure,
    Raising,
    Script,
    all_of,
    failure_of,
    serving,
)

BEAT = pb.WatchSessionResponse(heartbeat=Heartbeat())
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


async def _answer_once(_requests: object, _context: Context) -> bytes:
    raise SessionNotFoundError(SESSION_ID)


async def _answer_often(_requests: object, _context: Context) -> AsyncIterator[bytes]:
    yield b""
    raise SessionNotFoundError(SESSION_ID)


def _register(kind: str, server: grpc.aio.Server) -> None:
    answer = _answer_often if kind.endswith("stream") else _answer_once
    build: Callable[..., Any] = getattr(grpc, f"{kind}_rpc_method_handler")
    handler = build(answer, request_deserializer=pb.GetSessionRequest.FromString)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("crmsync.v1.Test", {"GetAny": handler})]
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_is_mapped_in_every_kind_of_call(kind: str) -> None:
    """Also after messages were sent, and whether requests stream or not."""
    async with serving(register=partial(_register, kind)) as running:
        call: Any = getattr(running.channel, kind)("/crmsync.v1.Test/GetAny")
        request = GET.SerializeToString()
        made = call(iter([request]) if kind.startswith("stream") else request)
        failure = await failure_of(all_of(made) if kind.endswith("stream") else made)
    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.info.reason == "SESSION_NOT_FOUND"


async def test_an_error_in_the_middle_of_a_stream_arrives_after_its_messages() -> None:
    """A drained watch has its resume token in the trailers as well."""

    async def stream() -> AsyncIterator[pb.WatchSessionResponse]:
        yield BEAT
        raise DrainingError(resume_token="t-1")

    received = []
    async with serving(Script(stream=stream)) as running:
        watch = SessionServiceStub(running.channel).WatchSession(WATCH)

        async def read() -> None:
            async for message in watch:
                received.append(message)  # noqa: PERF401 - kept when the stream fails

        failure = await failure_of(read())
    assert received == [BEAT]
    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert failure.info.metadata == {"resume_token": "t-1"}
    assert failure.trailers["crmsync-resume-token"] == "t-1"


async def test_an_unknown_error_is_neutral_and_its_id_is_in_the_log() -> None:
    """The log has the traceback, the caller only the id."""
    with capture_logs() as logged:
        failure = await _failing(ValueError("password=hunter2"))
    assert failure.code is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(failure.status)
    [entry] = [entry for entry in logged if entry["log_level"] == "error"]
    assert failure.info.metadata == {"error_id": entry["error_id"]}
    assert repr(entry["exc_info"]) == "ValueError('password=hunter2')"
    assert entry["exc_info"].__traceback__ is not None


async def test_the_only_error_of_a_task_group_counts_as_that_error() -> None:
    """A handler may run its parts side by side."""
    failure = await _failing(ExceptionGroup("tasks", [SessionNotFoundError(SESSION_ID)]))
    assert failure.code is grpc.StatusCode.NOT_FOUND


async def test_every_call_leaves_one_line_in_the_log() -> None:
    """It tells the method, the organization, the code and the duration."""

    def written() -> None:
        assert len(logged) == 1

    with capture_logs() as logged:
        await _failing(SessionNotFoundError(SESSION_ID))
        await eventually(written)  # after the answer, which the caller may have first
    [line] = logged
    duration = line.pop("duration")
    assert 0 < duration < 10
    assert line == {
        "event": "call",
        "log_level": "debug",
        "method": "/crmsync.v1.SessionService/GetSession",
        "org": "default",
        "code": "NOT_FOUND",
    }


async def test_a_cancelled_client_cancels_the_handler() -> None:
    """The cancellation is seen, and passed on."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def stream() -> AsyncIterator[pb.WatchSessionResponse]:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise
        yield BEAT

    async with serving(Script(stream=stream)) as running:
        watch = SessionServiceStub(running.channel).WatchSession(WATCH)
        await started.wait()
        watch.cancel()
        async with asyncio.timeout(5):
            await ended.wait()
    assert watch.cancelled()


async def test_handlers_of_both_kinds_see_who_calls() -> None:
    """Also after a message of a stream was sent."""
    seen: list[Caller] = []

    async def unary() -> None:
        seen.append(current_caller())

    async def stream() -> AsyncIterator[pb.WatchSessionResponse]:
        seen.append(current_caller())
        yield BEAT
        seen.append(current_caller())

    async with serving(Script(unary, stream)) as running:
        stub = SessionServiceStub(running.channel)
        await stub.GetSession(GET)
        await all_of(stub.WatchSession(WATCH))
    assert seen == [Caller("default", "anonymous", frozenset(Role))] * 3


def test_outside_of_a_call_there_is_no_caller() -> None:
    """A query without an organization cannot come about."""
    with pytest.raises(LookupError):
        current_caller()


async def test_a_database_that_refuses_connections_is_unavailable() -> None:
    """The caller may try again."""
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    _assert_unavailable(await _querying(nowhere, "SELECT 1"))
    await nowhere.close()


async def test_a_connection_lost_in_a_statement_is_an_unavailable_database(
    database: Database,
) -> None:
    """As when Postgres restarts."""
    failure = await _querying(database, "SELECT pg_terminate_backend(pg_backend_pid())")
    _assert_unavailable(failure)


async def test_a_pool_without_a_free_connection_is_an_unavailable_database(
    database_url: str,
) -> None:
    """Too much at once passes by."""
    narrow = Database(database_url, Pool(size=1, overflow=0, timeout=0.05))
    async with narrow.org("default"):
        failure = await _querying(narrow, "SELECT 1")
    await narrow.close()
    _assert_unavailable(failure)


async def test_a_faulty_statement_is_internal_and_tells_nothing_of_it(database: Database) -> None:
    """Neither SQL nor SQLSTATE gets out."""
    failure = await _querying(database, "SELECT nothing FROM nowhere")
    assert failure.code is grpc.StatusCode.INTERNAL
    assert "nowhere" not in str(failure.status)


async def _querying(database: Database, statement: str) -> Failure:
    async def query() -> None:
        async with database.org("default") as connection:
            await connection.execute(sa.text(statement))

    async with serving(Script(query)) as running:
        return await failure_of(SessionServiceStub(running.channel).GetSession(GET))


def _assert_unavailable(failure: Failure) -> None:
    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert failure.info.reason == "DATABASE_UNAVAILABLE"
    assert failure.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 2


async def _failing(error: Exception) -> Failure:
    async with serving(Script(Raising(error))) as running:
        return await failure_of(SessionServiceStub(running.channel).GetSession(GET))
