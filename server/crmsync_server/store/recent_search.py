"""What callers searched for: the newest searches of each, for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement

MOST = 50
DAYS = 90
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as its caller asked for it; empty means that nothing was said."""

    text: str
    filter: str
    order_by: str

    @property
    def digest(self) -> bytes:
        """What it is told apart from others by."""
        said = f"{self.text}\0{self.filter}\0{self.order_by}"
        return blake2b(said.encode(), digest_size=_DIGEST_BYTES).digest()


async def keep(connection: AsyncConnection, org_id: str, caller: str, asked: Asked) -> None:
    """Note down a search; of the caller's others the newest 49 are kept."""
    parameters = {
        "org_id": org_id,
        "caller": caller,
        "digest": asked.digest,
        "text": asked.text,
        "filter": asked.filter,
        "order_by": asked.order_by,
        "others": MOST - 1,
    }
    # Nobody waits for the disk: what a crash forgets is a search of a moment ago.
    await connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
    await connection.execute(statement("recent_search/keep"), parameters)


async def list(  # noqa: A001 - named like its statement; nobody imports it bare
    connection: AsyncConnection, org_id: str, caller: str, *, size: int
) -> Sequence[sa.Row[Any]]:
    """Return a caller's searches of the last 90 days, the newest first."""
    parameters = {"org_id": org_id, "caller": caller, "size": size, "days": DAYS}
    return (await connection.execute(statement("recent_search/list"), parameters)).all()


async def purge(connection: AsyncConnection) -> int:
    """Forget searches older than 90 days, of everybody; return how many."""
    answer = await connection.execute(statement("recent_search/purge"), {"days": DAYS})
    return int(answer.rowcount)
