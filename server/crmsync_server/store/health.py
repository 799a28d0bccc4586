"""How a connection does, as its row keeps it."""

from enum import StrEnum


class ConnectionHealth(StrEnum):
    """What the last check or delivery found out about a connection's credentials."""

    UNCHECKED = "UNCHECKED"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNREACHABLE = "UNREACHABLE"


def health_of(*, valid: bool, reachable: bool) -> ConnectionHealth:
    """Return the health that a check found."""
    if valid:
        return ConnectionHealth.HEALTHY
    return ConnectionHealth.UNHEALTHY if reachable else ConnectionHealth.UNREACHABLE
