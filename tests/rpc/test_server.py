"""The server around the services: health, reflection, limits, and how it stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.heartbeat_pb2 import Heartbeat
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.reflection import V1, V1ALPHA
from crmsync_server.rpc.server import Door
from crmsync_server.rpc.tokens import Claims, TokenAuthenticator
from tests.eventually import eventually
from tests.rpc.serving import GET, SERVICE, WATCH, Script, all_of, failure_of, serving

HEALTH = "grpc.health.v1.Health"
LOCKED = TokenAuthenticator([], Claims())
BEAT = pb.WatchSessionResponse(heartbeat=Heartbeat())

Status = health_pb2.HealthCheckResponse


async def _reflected(
    channel: grpc.aio.Channel, version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    call: Any = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    [response] = await all_of(call(iter([request])))
    assert isinstance(response, reflection_pb2.ServerReflectionResponse)
    return response


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_both_versions_of_reflection_list_all_services_without_a_token(version: str) -> None:
    """Newer tools ask for v1, older ones for v1alpha."""
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    async with serving(authenticator=LOCKED) as running:
        response = await _reflected(running.channel, version, request)
    names = {service.name for service in response.list_services_response.service}
    assert names == {SERVICE, HEALTH, V1, V1ALPHA}


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("symbol", [SERVICE, HEALTH, V1, V1ALPHA])
async def test_every_listed_service_is_described(version: str, symbol: str) -> None:
    """By the file that defines it, and the files that one needs."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    async with serving() as running:
        response = await _reflected(running.channel, version, request)
    files = [
        FileDescriptorProto.FromString(file)
        for file in response.file_descriptor_response.file_descriptor_proto
    ]
    package, _, name = symbol.rpartition(".")
    assert (files[0].package, files[0].service[0].name) == (package, name)
    assert {needed for file in files for needed in file.dependency} <= {file.name for file in files}


@pytest.mark.parametrize("detail", ["ErrorInfo", "BadRequest", "ResourceInfo", "RetryInfo"])
async def test_the_details_of_errors_are_described(detail: str) -> None:
    """No method names them; without, tools show the reason of an error as raw bytes."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"google.rpc.{detail}")
    async with serving() as running:
        response = await _reflected(running.channel, V1, request)
    described = FileDescriptorProto.FromString(
        response.file_descriptor_response.file_descriptor_proto[0]
    )
    assert detail in {message.name for message in described.message_type}


async def test_health_is_told_for_the_server_and_for_each_service_without_a_token() -> None:
    """An unknown service is NOT_FOUND, as the protocol asks."""
    async with serving(authenticator=LOCKED) as running:
        stub = health_pb2_grpc.HealthStub(running.channel)
        for service in ("", SERVICE):
            check = health_pb2.HealthCheckRequest(service=service)
            response = await stub.Check(check)
            assert response.status == Status.SERVING
        failure = await failure_of(stub.Check(health_pb2.HealthCheckRequest(service="other")))
    assert failure.code is grpc.StatusCode.NOT_FOUND


async def test_a_message_over_the_limit_is_refused_with_the_limit() -> None:
    """Before any of it is parsed."""
    async with serving(door=Door("127.0.0.1:0", max_message_bytes=100_000)) as running:
        request = pb.ListSessionsRequest(page_token="t" * 100_001)
        failure = await failure_of(SessionServiceStub(running.channel).ListSessions(request))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "100000" in failure.message


async def test_a_method_that_does_not_exist_is_unimplemented() -> None:
    """Of a service that does."""
    async with serving() as running:
        call = running.channel.unary_unary(f"/{SERVICE}/ForgetSession", None, None)
        failure = await failure_of(call(b""))
    assert failure.code is grpc.StatusCode.UNIMPLEMENTED


async def test_two_servers_do_not_share_a_port_unasked() -> None:
    """The second would steal calls from the first."""
    async with serving() as running:
        with pytest.raises(RuntimeError, match="bind"):
            async with serving(door=Door(f"127.0.0.1:{running.port}")):
                pytest.fail("both listen")


async def test_two_servers_share_a_port_when_asked() -> None:
    """As the processes of one machine do."""
    async with serving(door=Door("127.0.0.1:0", reuse_port=True)) as running:
        door = Door(f"127.0.0.1:{running.port}", reuse_port=True)
        async with serving(door=door) as other:
            assert other.port == running.port


async def test_a_drain_lets_a_call_end_and_watchers_of_health_know() -> None:
    """The watcher, whose stream never ends, does not make the drain wait for its grace."""
    started, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        await may_end.wait()

    async with serving(Script(work)) as running:
        seen: list[int] = []
        watching = asyncio.create_task(_watch_health(running.channel, seen))
        call = SessionServiceStub(running.channel).GetSession(GET)
        await started.wait()
        await eventually(lambda: _assert_equal(seen, [Status.SERVING]))
        draining = asyncio.create_task(running.server.drain(60))
        await eventually(lambda: _assert_equal(seen, [Status.SERVING, Status.NOT_SERVING]))
        assert not draining.done()
        may_end.set()
        assert await call == pb.GetSessionResponse()
        async with asyncio.timeout(10):
            await draining
            await watching


async def test_a_drain_cancels_what_outlives_its_grace() -> None:
    """The handler is told, and still knows whom it worked for."""
    started = asyncio.Event()
    ended_for: list[str] = []

    async def stream() -> AsyncIterator[pb.WatchSessionResponse]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended_for.append(current_caller().org_id)
        yield BEAT

    async with serving(Script(stream=stream)) as running:
        watch = SessionServiceStub(running.channel).WatchSession(WATCH)
        await started.wait()
        await running.server.drain(0.05)
        await failure_of(all_of(watch))
    assert ended_for == ["default"]


async def _watch_health(channel: grpc.aio.Channel, seen: list[int]) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    with suppress(grpc.aio.AioRpcError):  # how a stopped server ends the stream
        async for response in watch:
            seen.append(response.status)  # noqa: PERF401 - read while it grows


def _assert_equal(got: list[int], expected: list[Any]) -> None:
    assert got == expected
