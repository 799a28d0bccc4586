"""The daily partitions of sync_attempts: made ahead, and dropped when their time is over.

Dropping a day costs nothing, deleting its rows would cost as much as writing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.store.statements import statement

_LOCK = 0x63726D73796E6302  # "crmsync" and a number, as the migrations' lock
_AHEAD = timedelta(days=2)
_DAY = timedelta(days=1)
# As on every other table: a partition may be read by its own name too.
_POLICY = (
    "org_id = (SELECT current_setting('crmsync.org_id', true))"
    " OR (SELECT current_setting('crmsync.org_id', true)) = '*'"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What `keep` did: the days, in UTC, whose partitions it made and dropped."""

    made: Sequence[date] = ()
    dropped: Sequence[date] = ()


async def keep(connection: AsyncConnection, today: date, retention: timedelta) -> Kept:
    """Have a partition for today and the two days after, and none older than the retention.

    Does nothing while another server does the same. Rows that the default partition caught go
    where they belong.

    Args:
        connection: over all organizations.
        today: in UTC.
        retention: whole days that the history is kept.
    """
    # Whoever holds a lock on the table for long must not make every delivery wait behind us.
    await connection.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
    lock = sa.text("SELECT pg_try_advisory_xact_lock(:lock)")
    if not await connection.scalar(lock, {"lock": _LOCK}):
        return Kept()
    there = await days(connection)
    wanted = [today + _DAY * ahead for ahead in range(_AHEAD.days + 1)]
    made = [day for day in wanted if day not in there]
    dropped = [day for day in there if day < today - retention]
    for day in made:
        await _make(connection, day)
    for day in dropped:
        await connection.exec_driver_sql(f"DROP TABLE {_name(day)}")
    await drop_strays(connection, _midnight(today - retention))
    return Kept(made, dropped)


async def days(connection: AsyncConnection) -> Sequence[date]:
    """List the days that have a partition, in order."""
    found = await connection.scalars(statement("partitions/days"))
    return list(found)


async def drop_strays(connection: AsyncConnection, before: datetime) -> None:
    """Delete what the default partition caught and has kept long enough."""
    await connection.execute(statement("partitions/drop_strays"), {"before": before})


async def _make(connection: AsyncConnection, day: date) -> None:
    name, start, end = _name(day), _midnight(day), _midnight(day + _DAY)
    of_the_day = f"end_time >= '{start}' AND end_time < '{end}'"
    moved = f"DELETE FROM sync_attempts_default WHERE {of_the_day} RETURNING *"  # noqa: S608 - a date
    bounds = f"FROM ('{start}') TO ('{end}')"
    for ddl in (
        # Nobody may add a row of this day to the default partition behind our back.
        "LOCK TABLE sync_attempts_default IN ACCESS EXCLUSIVE MODE",
        f"CREATE TABLE {name} (LIKE sync_attempts INCLUDING ALL)",
        f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved",  # noqa: S608 - a date
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY organization ON {name} USING ({_POLICY})",
        f"ALTER TABLE sync_attempts ATTACH PARTITION {name} FOR VALUES {bounds}",
    ):
        await connection.exec_driver_sql(ddl)


def _name(day: date) -> str:
    return day.strftime("sync_attempts_%Y%m%d")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
