"""How a connection does, as its row keeps it."""

from enum import StrEnum


class ConnectionHealth(StrEnum):
    """What the last check or delivery found out about a connection's credentials."""

    UNCHECKED = "UNCHECKED"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    UNREACHABLE = "UNREACHABLE"
