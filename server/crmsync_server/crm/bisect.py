"""Delivers a batch although one bad record makes the CRM refuse all of it.

A named culprit is taken out and the rest is sent again. When nobody is named the batch is
halved until the culprits stand alone: about 2·log2(n) calls for each.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from crmsync_server.crm.guard import Faulted

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Refused(Generic[Result]):
    """The call applied nothing because of some of its items.

    alone: what the item gets when it was the only one in the call.
    culprits: results by position in the call; empty when the CRM named nobody.
    """

    alone: Result
    culprits: Mapping[int, Result] = field(default_factory=dict)


Answer = Sequence[Result] | Refused[Result] | Faulted[Result]
Send = Callable[[Sequence[Item]], Awaitable[Answer[Result]]]


async def deliver(items: Sequence[Item], send: Send[Item, Result]) -> list[Result]:
    """Send the items in as few calls as find every culprit; one result per item, in order.

    send: makes one call; a plain answer holds one result per item, in order. The items of a
        Faulted call are not divided: their number is not what went wrong.
    """
    bisection = _Bisection(items, send)
    if items:
        await bisection.run(range(len(items)))
    return [bisection.results[position] for position in range(len(items))]


class _Bisection(Generic[Item, Result]):
    def __init__(self, items: Sequence[Item], send: Send[Item, Result]) -> None:
        self.items = items
        self.send = send
        self.results: dict[int, Result] = {}

    async def run(self, group: Sequence[int]) -> bool:
        """Settle a group; True when it held a culprit, or could not be tried."""
        blamed = False
        while group:
            match await self.send([self.items[position] for position in group]):
                case Refused(culprits=culprits) if culprits:
                    blamed = True
                    self.results.update({group[at]: found for at, found in culprits.items()})
                    group = [position for position in group if position not in self.results]
                case Refused(alone=alone) if len(group) == 1:
                    self._fill(group, alone)
                    return True
                case Refused():
                    await self._split(group)
                    return True
                case Faulted(outcome=outcome):
                    self._fill(group, outcome)
                    return True
                case results:
                    self.results.update(zip(group, results, strict=True))
                    return blamed
        return blamed

    async def _split(self, group: Sequence[int]) -> None:
        middle = len(group) // 2
        left, right = group[:middle], group[middle:]
        if await self.run(left) or len(right) == 1:
            await self.run(right)
        else:
            # The left half is clean, so the refusal came from the right: asking is a wasted call.
            await self._split(right)

    def _fill(self, group: Sequence[int], result: Result) -> None:
        self.results.update(dict.fromkeys(group, result))
