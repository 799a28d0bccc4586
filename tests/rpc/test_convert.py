"""What all servicers convert alike."""

from datetime import UTC, datetime, timedelta, timezone

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.rpc.convert import timestamp


def test_a_moment_is_converted_to_the_microsecond_from_any_time_zone() -> None:
    """Postgres counts microseconds, and answers in its session's zone."""
    moment = datetime(2026, 3, 1, 4, 30, 0, 123_456, timezone(timedelta(hours=5, minutes=30)))
    converted = timestamp(moment)
    assert converted is not None
    assert converted.ToDatetime(UTC) == moment


def test_no_moment_leaves_the_field_unset() -> None:
    """Unset, and not 1970."""
    assert not Contact(create_time=timestamp(None)).HasField("create_time")
