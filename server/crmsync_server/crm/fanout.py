"""Makes one call per record, several at a time, until one of them says to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from crmsync_server.crm.guard import Faulted

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Ten calls a second are the CRM's least allowance; more at once would only wait for quota.
WORKERS = 8


async def fan_out(
    items: Sequence[Item],
    send: Callable[[Item], Awaitable[Answer | Faulted[Answer]]],
) -> list[Answer]:
    """Send every item; one answer each, in order: of a Faulted, its outcome.

    The send must not raise.
    """
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(items))

    async def work() -> None:
        for at, item in waiting:
            answer = await send(item)
            answers[at] = answer.outcome if isinstance(answer, Faulted) else answer

    async with asyncio.TaskGroup() as group:
        for _ in range(min(WORKERS, len(items))):
            group.create_task(work())
    return [answers[at] for at in range(len(items))]
