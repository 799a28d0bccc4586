"""What WatchMessages reads in a request, and says in its messages."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Protocol
from uuid import UUID

from crmsync.v1 import conversation_pb2, heartbeat_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store import message_log
from crmsync_server.store.place import Start, named

_HEARTBEAT = 10.0  # seconds; the longest silence of a stream


class Watch(Protocol):
    """Where changes of messages come from; see sync.events."""

    def __call__(
        self, org_id: str, start: Start, crm: str | None, patience: float
    ) -> AsyncGenerator[tuple[conversation_pb2.Message | None, str]]:
        """Yield messages, and None as a sign of life; each with the token of its place.

        crm: the conversation that is told of; None means all.
        """


async def stream(
    watch: Watch, request: pb.WatchMessagesRequest, now: Callable[[], datetime]
) -> AsyncGenerator[pb.WatchMessagesResponse]:
    """Yield what a call of WatchMessages answers; raises InvalidRequestError."""
    org_id = current_caller().org_id
    # As the log spells it.
    conversation = str(UUID(request.conversation_id)) if request.conversation_id else None
    start = _start(org_id, request.resume_token)
    async with aclosing(watch(org_id, start, conversation, _HEARTBEAT)) as told:
        async for view, resume_token in told:
            moment = timestamp(now())
            if view is None:
                heartbeat = heartbeat_pb2.Heartbeat(send_time=moment)
                yield pb.WatchMessagesResponse(
                    heartbeat=heartbeat, resume_token=resume_token, send_time=moment
                )
            else:
                # A copy is made of the view, which others who watch are sent as well.
                response = pb.WatchMessagesResponse(
                    message=view, resume_token=resume_token, send_time=moment
                )
                response.message.resume_token = resume_token
                yield response


def _start(org_id: str, resume_token: str) -> Start:
    if not resume_token:
        return Start()
    told = named(message_log.scope(org_id), resume_token)
    if told is None:
        description = "must be one that a message of this organization carried, or unset"
        raise InvalidRequestError([Violation("resume_token", "resume_token", description)])
    return Start(told)
