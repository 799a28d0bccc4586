"""Watching what happens through broken connections, restarts and silence."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from crmsync.v1.analytics_service_pb2 import WatchConflictsRequest, WatchConflictsResponse
from crmsync.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from crmsync.v1.sync_service_pb2 import WatchEventsRequest, WatchEventsResponse
from crmsync.v1.sync_service_pb2_grpc import SyncServiceStub
from crmsync_client.errors import is_passing
from crmsync_client.retry import Retries, RetryPolicy
from crmsync_client.watching import BrokenStreamError, heard

Request = TypeVar("Request", WatchEventsRequest, WatchConflictsRequest)
Response = TypeVar("Response", WatchEventsResponse, WatchConflictsResponse)


def watch_events(
    stub: SyncServiceStub, request: WatchEventsRequest, policy: RetryPolicy, silence: timedelta
) -> AsyncGenerator[WatchEventsResponse, None]:
    """Yield each message with an event, for ever; see CrmsyncClient."""
    return _follow(stub.WatchEvents, request, policy, silence)


def watch_conflicts(
    stub: AnalyticsServiceStub,
    request: WatchConflictsRequest,
    policy: RetryPolicy,
    silence: timedelta,
) -> AsyncGenerator[WatchConflictsResponse, None]:
    """Yield each message with a conflict, for ever; see CrmsyncClient."""
    return _follow(stub.WatchConflicts, request, policy, silence)


async def _follow(
    method: "Callable[[Request], grpc.aio.UnaryStreamCall[Any, Response]]",
    request: Request,
    policy: RetryPolicy,
    silence: timedelta,
) -> AsyncGenerator[Response, None]:
    retries = Retries(policy)
    while True:
        broken: Exception = BrokenStreamError("the watch ended")
        try:
            async with aclosing(heard(method(request), retries, silence)) as messages:
                async for message in messages:
                    # Of heartbeats too: they move on over what is of other CRMs, and the first one
                    # names the place where a watch began that has told of nothing yet.
                    request.resume_token = message.resume_token
                    if not message.HasField("heartbeat"):
                        yield message
        except TimeoutError:
            broken = BrokenStreamError("the watch fell silent")
        except grpc.aio.AioRpcError as error:
            if not is_passing(error):
                raise
            broken = error
        await retries.wait(broken)
