"""The brake: a session that would delete suspiciously much stops before it deletes anything."""

from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store import sweep
from crmsync_server.sync.run import FailedError, Run

# However small a share is allowed: so few are let through.
_ALWAYS_DELETED = 10


async def brake(run: Run, connection: AsyncConnection, gone: int) -> None:
    """Raise FailedError where so many contacts are more than the session may delete or unlink."""
    if gone <= _ALWAYS_DELETED:
        return
    linked = await sweep.linked(connection, run.org_id, run.crm)
    most = float(run.task.get("max_share", run.desk.max_deletion_share))
    if gone > most * linked:
        told = (
            f"{gone} of {linked} linked records are gone at {run.crm}, more than the {most:.0%} "
            "that max_deletion_share allows; nothing was deleted"
        )
        raise FailedError(told, "TOO_MANY_DELETIONS")
