"""What every call passes: errors become statuses, the caller is known, the request is valid."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from typing_extensions import override

from crmsync_server.errors import DrainingError
from crmsync_server.rpc.auth import Authenticator, admit
from crmsync_server.rpc.context import Context
from crmsync_server.rpc.failures import answering
from crmsync_server.rpc.gate import Passage
from crmsync_server.rpc.validation import read

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior: TypeAlias = Callable[[Any, Context], Any]

# Asked before anybody has a token; the library's own servicers answer.
_OPEN = ("/grpc.health.", "/grpc.reflection.")


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps each handler, of all four kinds, and knows how many calls are under way."""

    def __init__(self, authenticator: Authenticator, gate: Passage | None = None) -> None:
        """Take who tells callers apart, and what they pass after that."""
        self._authenticator = authenticator
        self._gate = gate
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        # None when there is no such method, which the stubs do not tell of.
        handler: Handler | None = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return cast("Handler", handler)
        return _rebuilt(handler, self._wrapped(handler, method))

    def refuse(self) -> None:
        """From now on answer DRAINING to new calls, and to streams at their next message."""
        self._draining = True

    async def idle(self) -> None:
        """Return when no call is under way."""
        await self._idle.wait()

    def _wrapped(self, handler: Handler, method: str) -> Behavior:
        behavior = _behavior(handler)

        # gRPC tells by the kind of function what it returns.
        async def unary(raw: Any, context: Context) -> Any:  # noqa: ANN401 - any message
            async with self._call(method, context):
                return await behavior(self._requests(handler, raw), context)

        async def stream(raw: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
            async with (
                self._call(method, context),
                aclosing(behavior(self._requests(handler, raw), context)) as responses,
            ):
                async for response in responses:
                    yield response

        return stream if handler.response_streaming else unary

    @asynccontextmanager
    async def _call(self, method: str, context: Context) -> AsyncIterator[None]:
        self._calls += 1
        self._idle.clear()
        try:
            async with answering(method, context) as line:
                self._refuse_while_draining()
                caller = await admit(self._authenticator, method, context)
                line["org"] = caller.org_id
                if self._gate is not None:
                    await self._gate.enter(method, caller)
                yield
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._idle.set()

    def _requests(self, handler: Handler, raw: Any) -> Any:  # noqa: ANN401 - a message, or a stream
        if handler.request_streaming:
            return self._read_each(handler, raw)
        return read(raw, _parser(handler))

    async def _read_each(
        self, handler: Handler, stream: AsyncIterator[bytes]
    ) -> AsyncIterator[Message]:
        async for raw in stream:
            self._refuse_while_draining()
            yield read(raw, _parser(handler))

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise DrainingError


def _parser(handler: Handler) -> Callable[[bytes], Message]:
    return cast("Callable[[bytes], Message]", handler.request_deserializer)


def _behavior(handler: Handler) -> Behavior:
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    behavior: Behavior = getattr(handler, kind)
    return behavior


def _rebuilt(handler: Handler, behavior: Behavior) -> Handler:
    """Return a handler of the same kind that is handed its requests as bytes."""
    build: dict[tuple[bool, bool], Callable[..., Handler]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    kind = (handler.request_streaming, handler.response_streaming)
    return build[kind](behavior, response_serializer=handler.response_serializer)
