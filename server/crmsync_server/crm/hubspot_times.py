"""Moments as HubSpot writes them."""

from datetime import UTC, datetime, timedelta

from crmsync_server.crm.replies import count, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def instant(value: object) -> datetime | None:
    """Read ISO 8601, or milliseconds since 1970, as text or number; None for anything else."""
    words = text(value).strip()
    milliseconds = count(words)
    try:
        if milliseconds is not None:
            return _EPOCH + milliseconds * _MILLISECOND
        found = datetime.fromisoformat(words)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def milliseconds(moment: datetime) -> str:
    """Return a moment as HubSpot's filters take it, rounded down."""
    return str((moment - _EPOCH) // _MILLISECOND)
