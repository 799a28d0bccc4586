"""Watching the outcomes of attempts through broken connections, restarts and silence."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import grpc

from crmsync.v1.sync_service_pb2 import WatchEventsRequest, WatchEventsResponse
from crmsync.v1.sync_service_pb2_grpc import SyncServiceStub
from crmsync_client.errors import is_passing
from crmsync_client.retry import Retries, RetryPolicy
from crmsync_client.watching import BrokenStreamError, heard


async def watch_events(
    stub: SyncServiceStub, request: WatchEventsRequest, policy: RetryPolicy, silence: timedelta
) -> AsyncGenerator[WatchEventsResponse, None]:
    """Yield each message with an event, for ever; see CrmsyncClient."""
    retries = Retries(policy)
    while True:
        broken: Exception = BrokenStreamError("the watch of events ended")
        try:
            async with aclosing(heard(stub.WatchEvents(request), retries, silence)) as messages:
                async for message in messages:
                    # Of heartbeats too: they move on over events of other CRMs, and the first one
                    # names the place where a watch began that has told of nothing yet.
                    request.resume_token = message.resume_token
                    if message.HasField("sync_event"):
                        yield message
        except TimeoutError:
            broken = BrokenStreamError("the watch of events fell silent")
        except grpc.aio.AioRpcError as error:
            if not is_passing(error):
                raise
            broken = error
        await retries.wait(broken)
