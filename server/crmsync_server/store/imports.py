"""Imports that carry an id of their caller: how far each came, so that it can be resumed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement

Rejection = dict[str, Any]

_REJECTIONS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of the records so far: received = created + updated + unchanged + rejected.

    rejections: the first 1,000, each as JSON.
    """

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejections: Sequence[Rejection] = ()

    def plus(self, more: Self) -> Self:
        """Return both together."""
        room = _REJECTIONS_KEPT - len(self.rejections)
        return replace(
            self,
            received=self.received + more.received,
            created=self.created + more.created,
            updated=self.updated + more.updated,
            unchanged=self.unchanged + more.unchanged,
            rejected=self.rejected + more.rejected,
            rejections=[*self.rejections, *more.rejections[:room]],
        )


async def begin(
    connection: AsyncConnection, org_id: str, request_id: UUID
) -> tuple[Progress, bool]:
    """Begin an import, or return how far it came and whether it has ended."""
    parameters = {"org_id": org_id, "request_id": request_id}
    row = (await connection.execute(statement("imports/begin"), parameters)).one()
    progress = Progress(
        row.received,
        row.created,
        row.updated,
        row.unchanged,
        row.rejected,
        row.rejections,
    )
    return progress, row.end_time is not None


async def advance(
    connection: AsyncConnection,
    org_id: str,
    request_id: UUID,
    *,
    before: Progress,
    more: Progress,
) -> bool:
    """Note what a message brought; False when another stream of this import went on meanwhile."""
    room = _REJECTIONS_KEPT - len(before.rejections)
    parameters = {
        "org_id": org_id,
        "request_id": request_id,
        "acknowledged": before.received,
        "received": more.received,
        "created": more.created,
        "updated": more.updated,
        "unchanged": more.unchanged,
        "rejected": more.rejected,
        "rejections": json.dumps(more.rejections[:room]),
    }
    return (await connection.execute(statement("imports/advance"), parameters)).rowcount == 1


async def finish(
    connection: AsyncConnection, org_id: str, request_id: UUID, progress: Progress
) -> bool:
    """End an import; False when another stream of it went on meanwhile."""
    parameters = {
        "org_id": org_id,
        "request_id": request_id,
        "acknowledged": progress.received,
    }
    return (await connection.execute(statement("imports/finish"), parameters)).rowcount == 1
