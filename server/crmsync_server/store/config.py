"""Configurations: how an organization delivers to each CRM, and who paused it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.errors import VersionMismatchError
from crmsync_server.store.statements import statement

PAUSED = "PAUSED"
"""The code of a pause by hand."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is configured for one CRM; None means the adapter's own, or the server's.

    custom_properties: those that are delivered under their own names; empty means all.
    mapping: the rules of the field mapping, in the contract's JSON.
    merging: how the CRM's changes are brought together with one's own, likewise (store.merging).
    """

    enabled: bool = True
    batch_size: int | None = None
    concurrency: int | None = None
    max_retries: int | None = None
    custom_properties: Sequence[str] = ()
    mapping: Sequence[Mapping[str, Any]] = ()
    merging: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        """Return what a row of list or lock holds."""
        return cls(
            enabled=row.enabled,
            batch_size=row.batch_size,
            concurrency=row.concurrency,
            max_retries=row.max_retries,
            custom_properties=tuple(row.custom_properties),
            mapping=tuple(row.mapping),
            merging=row.merging,
        )


async def list(  # noqa: A001 - named like its statement; nobody imports it bare
    connection: AsyncConnection, org_id: str, crms: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """Return what is configured for each of these CRMs, and how its lane is paused."""
    parameters = {"org_id": org_id, "crms": [*crms]}
    return (await connection.execute(statement("config/list"), parameters)).all()


async def limits(
    connection: AsyncConnection, org_id: str, crms: Sequence[str]
) -> Mapping[tuple[str, str], sa.Row[Any]]:
    """Return the limits that are kept to, by CRM and bucket; none before the first call to it."""
    parameters = {"org_id": org_id, "crms": [*crms]}
    rows = await connection.execute(statement("config/limits"), parameters)
    return {(row.crm, row.bucket): row for row in rows}


async def update(
    connection: AsyncConnection,
    org_id: str,
    crm: str,
    change: Callable[[Config], Config],
    version: int = 0,
) -> bool:
    """Change what is configured for a CRM; its version rises if anything changed.

    Args:
        connection: a transaction.
        org_id: the organization.
        crm: the CRM's id.
        change: makes the new configuration of the present one.
        version: which version the change is meant for; 0 means any.

    Returns:
        whether anything changed.

    Raises:
        VersionMismatchError: the configuration is at another version.
    """
    row = await lock(connection, org_id, crm)
    if version not in {0, row.version}:
        raise VersionMismatchError(row.version)
    before = Config.of(row)
    if (after := change(before)) == before:
        return False
    await write(connection, org_id, crm, after)
    return True


async def lock(connection: AsyncConnection, org_id: str, crm: str) -> sa.Row[Any]:
    """Return what is configured for a CRM, locked for this transaction."""
    place = {"org_id": org_id, "crm": crm}
    return (await connection.execute(statement("config/lock"), place)).one()


async def write(connection: AsyncConnection, org_id: str, crm: str, configured: Config) -> None:
    """Write down what is configured for a locked CRM, as a new version."""
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "enabled": configured.enabled,
        "batch_size": configured.batch_size,
        "concurrency": configured.concurrency,
        "max_retries": configured.max_retries,
        "custom_properties": json.dumps(configured.custom_properties),
        "mapping": json.dumps(configured.mapping),
        "merging": json.dumps(configured.merging),
    }
    await connection.execute(statement("config/write"), parameters)


async def pause(
    connection: AsyncConnection, org_id: str, crm: str, *, pauser: str, reason: str
) -> None:
    """Stop a lane until somebody resumes it (store.lane.resume); what is queued waits.

    A lane that was stopped so before keeps that pause.
    """
    parameters = {
        "org_id": org_id,
        "crm": crm,
        "code": PAUSED,
        "reason": reason,
        "pauser": pauser,
    }
    await connection.execute(statement("config/pause"), parameters)


async def go_two_ways(connection: AsyncConnection, org_id: str, crm: str) -> bool:
    """Note that a CRM is read from now on; True when servers may not know of it yet."""
    parameters = {"org_id": org_id, "crm": crm}
    return bool(await connection.scalar(statement("config/go_two_ways"), parameters))


async def links(connection: AsyncConnection, org_id: str, crm: str) -> None:
    """Link what was delivered before the CRM was read with its records there."""
    parameters = {"org_id": org_id, "crm": crm}
    await connection.execute(statement("config/links"), parameters)
