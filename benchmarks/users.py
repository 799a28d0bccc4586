"""How long a reconcile of all users of a large organization takes, first and once again."""

import time
from collections.abc import Iterator

from benchmarks.figures import Bar, Figure, say
from benchmarks.service import Service, client
from crmsync.v1 import user_service_pb2 as pb
from crmsync.v1.user_pb2 import User
from crmsync_client import CrmsyncClient

_USERS = 100_000
_IN_MESSAGE = 1_000


async def measure(service: Service, scale: float) -> list[Figure]:
    """Reconcile so many users by stream: new ones, and the same again."""
    count = max(1_000, int(_USERS * scale))
    messages = list(_messages(count))
    async with client(service) as caller:
        new = await _seconds(caller, messages)
        again = await _seconds(caller, messages)
    say(f"  {count:,} users: new {new:.1f} s, again {again:.1f} s")
    bar = Bar(15.0 * max(scale, 0.2), most=True)
    return [
        Figure(f"reconcile of {count:,} new users by stream", new, "s", bar),
        Figure("the same again, nothing changed", again, "s", bar, f"{again / new:.2f} of new"),
    ]


def _messages(count: int) -> Iterator[pb.SyncUserStreamRequest]:
    mode = pb.USER_SYNC_MODE_FULL_RECONCILE
    yield pb.SyncUserStreamRequest(options=pb.UserSyncOptions(mode=mode))
    for start in range(0, count, _IN_MESSAGE):
        yield pb.SyncUserStreamRequest(
            users=[
                User(
                    external_id=f"user-{number}",
                    email=f"person.{number}@example.com",
                    first_name=f"First{number}",
                    last_name="Last",
                    role="agent",
                    is_active=True,
                )
                for number in range(start, min(start + _IN_MESSAGE, count))
            ]
        )


async def _seconds(caller: CrmsyncClient, messages: list[pb.SyncUserStreamRequest]) -> float:
    start = time.perf_counter()
    answer = await caller.users.SyncUserStream(iter(messages))
    if answer.summary.failed or answer.summary.deactivated:
        message = f"not all users were taken in: {answer.summary}"
        raise RuntimeError(message)
    return time.perf_counter() - start
