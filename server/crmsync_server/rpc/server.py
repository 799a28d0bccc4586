"""The gRPC server: services, health and reflection on one port."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # not in its stubs

from crmsync_server.rpc.auth import Authenticator
from crmsync_server.rpc.gate import Passage
from crmsync_server.rpc.interceptors import CallInterceptor
from crmsync_server.rpc.reflection import serve_reflection

# Adds one servicer, as the generated `add_…_to_server` does once it is given the servicer.
Registration = Callable[[grpc.aio.Server], None]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_OVERALL = ""
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class AddressError(RuntimeError):
    """An address cannot be listened on; the text names it."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens, and what it lets through.

    Attributes:
        address: `host:port`; port 0 takes a free one.
        max_message_bytes: the longest message taken or sent.
        reuse_port: whether other processes may listen on the same port and share its calls.
    """

    address: str
    max_message_bytes: int = 16 * 1024 * 1024
    reuse_port: bool = False


class Server:
    """One gRPC server; started once, drained once. See `build_server`."""

    def __init__(
        self,
        address: str,
        server: grpc.aio.Server,
        calls: CallInterceptor,
        health: health_aio.HealthServicer,
        services: Sequence[str],
    ) -> None:
        """Take a server that has everything but its port, and the names of its services."""
        self._address = address
        self._server = server
        self._calls = calls
        self._health = health
        self._services = services

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            AddressError: the address cannot be listened on.
        """
        await self._health.set(_OVERALL, _NOT_SERVING)
        try:
            port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:  # it says no more than that it failed
            message = (
                f"Cannot bind to {self._address}: another program listens there, "
                "or it is no address of this machine."
            )
            raise AddressError(message) from error
        await self._server.start()
        await self.serve(True)  # noqa: FBT003 - it is all that is said
        return port

    async def serve(self, there: bool) -> None:  # noqa: FBT001 - it is all that is said
        """Say SERVING, or NOT_SERVING while there is nothing to serve from; not after a drain."""
        for name in (*self._services, _OVERALL):
            await self._health.set(name, _SERVING if there else _NOT_SERVING)

    async def drain(self, grace: float) -> None:
        """Say NOT_SERVING, refuse new calls, and let those under way end by themselves.

        Args:
            grace: seconds until those that have not are cancelled.
        """
        await self._health.enter_graceful_shutdown()
        self._calls.refuse()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._calls.idle()
        # Once, and without a grace of its own: watchers of health would never end, and of two
        # stops at a time grpc may crash.
        await self._server.stop(None)


def build_server(
    *,
    door: Door,
    registrations: Mapping[str, Registration],
    authenticator: Authenticator,
    gate: Passage | None = None,
) -> Server:
    """Return a server that is not listening yet.

    Args:
        door: where it listens, and what it lets through.
        registrations: by a service's full name, such as `crmsync.v1.ContactService`, what adds
            its servicer.
        authenticator: tells callers apart.
        gate: what they pass after that; None for nothing.
    """
    calls = CallInterceptor(authenticator, gate)
    server = grpc.aio.server(interceptors=[calls], options=_options(door))
    for register in registrations.values():
        register(server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    serve_reflection(server, [*registrations, _HEALTH])
    return Server(door.address, server, calls, health, tuple(registrations))


def _options(door: Door) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", door.max_message_bytes),
        ("grpc.max_send_message_length", door.max_message_bytes),
        ("grpc.so_reuseport", int(door.reuse_port)),
        # Proxies forget a connection that is silent for a minute or more; clients may ask too,
        # as often as every ten seconds.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ]
