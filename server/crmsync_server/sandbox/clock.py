"""Where the simulators read the time, so that a test can move it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Answers the present instant, always with a time zone."""


def utc_now() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def isoformat(instant: datetime) -> str:
    """Return an instant as both CRMs print it: UTC, milliseconds, `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
