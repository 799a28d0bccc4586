"""Sessions as messages, with what is expected of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import session_pb2, session_service_pb2
from crmsync_server.rpc import sync_messages as messages
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.session_pull import Besides


class Forecast(Protocol):
    """What is expected of a session; see sync.forecast."""

    @property
    def finishes(self) -> datetime | None:
        """When its last record is delivered."""

    @property
    def calls(self) -> int:
        """How many calls it takes."""

    @property
    def daily_share(self) -> float:
        """Its calls as a share of a day's."""

    @property
    def limiting_bucket(self) -> str:
        """Which allowance decides."""

    @property
    def daily_limit(self) -> int:
        """The calls of a day."""

    @property
    def daily_remaining(self) -> int:
        """What is left of today's."""

    @property
    def daily_reset(self) -> datetime | None:
        """When the day begins anew."""


Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
Foresee = Callable[
    [Sequence[sa.Row[Any]], Transaction], Awaitable[Mapping[tuple[str, UUID], Forecast]]
]
"""Makes the forecasts of sessions, by organization and id; see sync.forecaster."""

Render = Callable[[sa.Row[Any]], session_service_pb2.WatchSessionResponse]
Prepare = Callable[[Sequence[sa.Row[Any]]], Awaitable[Render]]


def session(
    row: sa.Row[Any], expected: Forecast | None = None, besides: Besides | None = None
) -> session_pb2.Session:
    """Turn a row of sessions into its message, with what is expected of it and what it read."""
    told = messages.session(row)
    if expected is not None:
        told.forecast.CopyFrom(_forecast(expected))
    return besides.show(row, told) if besides else told


def watched(
    row: sa.Row[Any], expected: Forecast | None = None, besides: Besides | None = None
) -> session_service_pb2.WatchSessionResponse:
    """Turn the same into a message of WatchSession."""
    return session_service_pb2.WatchSessionResponse(session=session(row, expected, besides))


def snapshots(foresee: Foresee, transaction: Transaction) -> Prepare:
    """Return how the watched sessions that have moved are shown, their forecasts made together."""

    async def prepare(rows: Sequence[sa.Row[Any]]) -> Render:
        expected = await foresee(rows, transaction)
        besides = await Besides.of(rows, transaction)
        return lambda row: watched(row, expected.get((row.org_id, row.id)), besides)

    return prepare


def _forecast(expected: Forecast) -> session_pb2.Forecast:
    return session_pb2.Forecast(
        completion_time=timestamp(expected.finishes),
        calls_needed=expected.calls,
        daily_share=expected.daily_share,
        limiting_bucket=expected.limiting_bucket,
        daily_limit=expected.daily_limit,
        daily_remaining=expected.daily_remaining,
        daily_reset_time=timestamp(expected.daily_reset),
    )
