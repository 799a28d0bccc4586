"""A lane's workers: whatever happens between two steps of theirs, what is due is looked at."""

import asyncio
from collections.abc import Callable

from crmsync_server.sync.crew import Crew
from crmsync_server.sync.lane import Lane
from crmsync_server.sync.push import Batch, Deliverer
from tests.eventually import eventually
from tests.store.people import CRM, ORG
from tests.sync.adapters import Gate, Scripted, all_synced, traits
from tests.sync.bench import Shop


class Watched(Lane):
    """A lane that tells when a claim has ended, before whoever claimed is told."""

    claims = 0
    after_claim: Callable[[Batch | None], None] = staticmethod(lambda _: None)

    async def claim(self, *, urgent_only: bool = False) -> Batch | None:
        """Claim and tell."""
        batch = await super().claim(urgent_only=urgent_only)
        self.claims += 1
        self.after_claim(batch)
        return batch


def watched(shop: Shop, adapter: Scripted) -> tuple[Watched, Crew]:
    """Return a lane and its crew; nobody wakes it by itself."""
    lane = Watched(ORG, CRM, Deliverer(adapter), shop.bench)
    return lane, Crew(lane, asyncio.Semaphore(8), lambda: None)


async def test_a_crew_that_is_roused_while_its_last_worker_goes_looks_again(shop: Shop) -> None:
    """The worker has found nothing, and is not gone yet."""
    lane, crew = watched(shop, Scripted())

    def rouse_soon(_batch: Batch | None) -> None:
        if lane.claims == 1:
            asyncio.get_running_loop().call_soon(crew.rouse)

    lane.after_claim = rouse_soon
    crew.rouse()

    def looked_twice() -> None:
        assert lane.claims == 2

    await eventually(looked_twice)
    await crew.stop(1)


async def test_what_is_urgent_while_the_express_worker_goes_is_looked_for_again(
    shop: Shop,
) -> None:
    """It found nothing urgent a moment ago, and everybody else waits for the CRM."""
    await shop.stock(40)
    hanging = Gate()
    adapter = Scripted(
        traits(concurrency=4, max_batch=5), [*[all_synced] * 3, *[hanging] * 3, all_synced]
    )
    lane, crew = watched(shop, adapter)
    crew.rouse()

    def all_hang() -> None:
        assert lane.calls_under_way == 3

    await eventually(all_hang)

    def rouse_once(batch: Batch | None) -> None:
        lane.after_claim = lambda _: None
        assert batch is None
        crew.rouse(urgent=True)

    before = lane.claims
    lane.after_claim = rouse_once
    crew.rouse(urgent=True)

    def looked_twice() -> None:
        assert lane.claims >= before + 2

    try:
        await eventually(looked_twice)
    finally:
        hanging.open()
        await crew.stop(5)
