"""An adapter whose CRM is in memory and does what a test tells it to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from crmsync_server.crm.adapter import Capabilities, Delivery, Standing
from crmsync_server.crm.outcomes import Outcome, Synced

Answer = Callable[[Sequence[Delivery]], Awaitable[Sequence[Outcome]]]


def traits(  # noqa: PLR0913 - one for each of them, by name
    *,
    max_batch: int = 10,
    concurrency: int = 1,
    requires_email: bool = True,
    idempotent: bool = True,
    push_timeout: timedelta = timedelta(seconds=30),
    read_back: bool = False,
    delete: bool = False,
) -> Capabilities:
    """Return what the CRM can do."""
    return Capabilities(
        max_batch,
        concurrency,
        requires_email,
        idempotent,
        push_timeout,
        read_back=read_back,
        delete=delete,
    )


async def all_synced(batch: Sequence[Delivery]) -> Sequence[Outcome]:
    """Take everything."""
    return [Synced(f"crm-{delivery.contact_id}") for delivery in batch]


def answering(outcome: Callable[[Delivery], Outcome]) -> Answer:
    """Answer each delivery by itself."""

    async def answer(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        return [outcome(delivery) for delivery in batch]

    return answer


@dataclass
class Scripted:
    """Speaks the adapter's protocol, and remembers what it was asked.

    answers: what becomes of the pushes, one after the other; the last one goes on for ever.
    settlements, standings: likewise for settle and check.
    holds: what is read back, ids by contact.
    removals: what becomes of the deletes, likewise; removed: what they were asked for.
    """

    capabilities: Capabilities = field(default_factory=traits)
    answers: list[Answer] = field(default_factory=lambda: [all_synced])
    settlements: list[Answer] = field(default_factory=lambda: [all_synced])
    pushed: list[list[Delivery]] = field(default_factory=list)
    settled: list[tuple[str, list[Delivery]]] = field(default_factory=list)
    standings: list[Standing] = field(
        default_factory=lambda: [Standing(valid=True, message="scripted")]
    )
    checks: int = 0
    holds: dict[UUID, str] = field(default_factory=dict)
    removals: list[Answer] = field(default_factory=lambda: [all_synced])
    removed: list[list[Delivery]] = field(default_factory=list)

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer as scripted."""
        self.pushed.append(list(batch))
        return await _next(self.answers)(batch)

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer as scripted."""
        self.removed.append(list(batch))
        return await _next(self.removals)(batch)

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer as scripted."""
        self.settled.append((ticket, list(batch)))
        return await _next(self.settlements)(batch)

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Tell the ids of what it holds."""
        ids = [self.holds.get(one.contact_id) for one in batch]
        return [None if held is None else Synced(held) for held in ids]

    async def check(self) -> Standing:
        """Answer as scripted."""
        self.checks += 1
        return self.standings.pop(0) if len(self.standings) > 1 else self.standings[0]


class Gate:
    """An answer that waits until it is let through, as a CRM that hangs does."""

    def __init__(self, answer: Answer = all_synced) -> None:
        """Give this answer in the end."""
        self._answer = answer
        self._open = asyncio.Event()
        self.reached = asyncio.Event()

    def open(self) -> None:
        """Let everything through."""
        self._open.set()

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Wait, then answer."""
        self.reached.set()
        await self._open.wait()
        return await self._answer(batch)


def _next(answers: list[Answer]) -> Answer:
    return answers.pop(0) if len(answers) > 1 else answers[0]
