"""Replies whose shape cannot be trusted."""

from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.crm import replies
from crmsync_server.crm.replies import MESSAGE_LIMIT, brief, mapping, mappings, retry_after, texts
from tests.crm.support import NOW

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("0.5", timedelta(seconds=0.5)),
        ("-5", timedelta(0)),
        ("9999999999", timedelta(hours=24)),
        ("Sat, 21 Nov 2026 12:30:00 GMT", timedelta(minutes=30)),
        ("Sat, 21 Nov 2020 12:30:00 GMT", timedelta(0)),
        ("Sat, 21 Nov 2030 12:30:00 GMT", timedelta(hours=24)),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, wait: timedelta) -> None:
    """Never before now, never more than a day away."""
    found = retry_after(httpx.Headers({"retry-after": value}), NOW)
    assert found is not None
    assert found - NOW == wait


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Sat, 99 Nov 2026"])
def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    """The caller's own wait applies then."""
    assert retry_after(httpx.Headers({"retry-after": value}), NOW) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("190", 190),
        (" 0 ", 0),
        *((v, None) for v in ("", None, "-1", "1.5", "1e3", "²", "many", "9" * 5_000)),
    ],
)
def test_a_header_counts_or_says_nothing(value: str | None, number: int | None) -> None:
    """Only a whole number from 0 on is one."""
    assert replies.count(value) == number


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_no_retry_after_makes_a_reader_raise(value: str) -> None:
    """Whatever a proxy writes there."""
    found = retry_after(httpx.Headers({"retry-after": value}), NOW)
    assert found is None or NOW <= found <= NOW + timedelta(hours=24)


@given(st.text(max_size=5_000))
def test_a_vendors_words_are_short_and_on_one_line(words: str) -> None:
    """They are stored with the record and shown to people."""
    found = brief(words)
    assert len(found) <= MESSAGE_LIMIT
    assert len(found.splitlines()) <= 1


@given(json_values)
def test_no_shape_of_json_makes_a_reader_raise(value: object) -> None:
    """What is missing or of another type reads as empty."""
    assert isinstance(mapping(value), dict)
    assert all(isinstance(item, dict) for item in mappings(value))
    assert "" not in texts(value)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"{", b"[" * 100_000, b"\xff\xfe", b"NaN1"])
def test_a_body_that_is_no_json_reads_as_empty(raw: bytes) -> None:
    """Not even one that nests too deep to parse."""
    reply = replies.read(httpx.Response(200, content=raw), [])
    assert reply.body is None
    assert reply.fields == {}
