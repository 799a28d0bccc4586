"""From rows to messages: what all servicers convert alike."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment with a time zone as a Timestamp; None leaves the field unset."""
    if moment is None:
        return None
    told = Timestamp()
    told.FromDatetime(moment)
    return told
