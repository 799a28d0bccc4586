"""From rows to messages: what all servicers convert alike."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from crmsync_server.errors import InvalidRequestError, Violation


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment with a time zone as a Timestamp; None leaves the field unset."""
    if moment is None:
        return None
    told = Timestamp()
    told.FromDatetime(moment)
    return told


def moment_of(field: str, told: Timestamp) -> datetime:
    """Return a request's Timestamp as a moment; raises InvalidRequestError where it is none."""
    try:
        return told.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        description = "must be of the years 1 to 9999, with 0 to 999,999,999 nanos"
        raise InvalidRequestError([Violation(field, "timestamp.valid", description)]) from error
