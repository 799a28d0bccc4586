"""What organizations have configured, as every delivery needs it: kept, and read again in time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from crmsync_server.crm.mapping_rules import mapping_of
from crmsync_server.store import config
from crmsync_server.store.db import Database
from crmsync_server.store.merging import Merging
from crmsync_server.sync.lane_config import LaneConfig

_MAX_AGE = 5.0


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    config: LaneConfig
    read_at: float


class Configs:
    """The configurations that this process works with.

    A hint of a change makes the next look a fresh one; a lost hint costs max_age at most.
    """

    def __init__(
        self,
        database: Database,
        max_age: float = _MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from this database, each configuration again after max_age seconds."""
        self._database = database
        self._max_age = max_age
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._stale: set[tuple[str, str]] = set()
        self._changes = 0

    async def of(self, org_id: str, crm: str) -> LaneConfig:
        """Return how an organization delivers to a CRM."""
        key = (org_id, crm)
        kept = self._kept.get(key)
        if kept is not None and key not in self._stale and self._is_fresh(kept):
            return kept.config
        changes, read_at = self._changes, self._clock()
        read = await self._read(org_id, crm, kept)
        self._kept[key] = _Kept(*read, read_at)
        if changes == self._changes:
            self._stale.discard(key)
        else:
            # Something changed while it was read: this may be the old state of it.
            self._stale.add(key)
        return read[1]

    def on_config(self, hint: str | None) -> None:
        """Look again at what a hint names, `organization/crm`; None means at everything."""
        self._changes += 1
        if hint is None:
            self._stale.update(self._kept)
            return
        org_id, _, crm = hint.rpartition("/")
        if (org_id, crm) in self._kept:
            self._stale.add((org_id, crm))

    def _is_fresh(self, kept: _Kept) -> bool:
        return self._clock() - kept.read_at < self._max_age

    async def _read(self, org_id: str, crm: str, kept: _Kept | None) -> tuple[int, LaneConfig]:
        async with self._database.org(org_id) as connection:
            [row] = await config.list(connection, org_id, [crm])
        # That a CRM is read from now on is no change that a caller made.
        if kept is not None and (kept.version, kept.config.two_way) == (row.version, row.two_way):
            return kept.version, kept.config
        return row.version, _lane_config(config.Config.of(row), two_way=row.two_way)


def _lane_config(configured: config.Config, *, two_way: bool) -> LaneConfig:
    mapping = mapping_of(configured.mapping, configured.custom_properties)
    return LaneConfig(
        enabled=configured.enabled,
        batch_size=configured.batch_size,
        concurrency=configured.concurrency,
        max_retries=configured.max_retries,
        mapping=mapping if mapping.salt else None,
        merging=Merging.of(configured.merging),
        two_way=two_way,
    )
