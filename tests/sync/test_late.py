"""Records that are read late, and deliveries that come back as news."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.sync.canonical import KINDS, Kind, Value
from crmsync_server.sync.late import Seen, digest, without_late

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(1), NOW + timedelta(1)
SLOTS = ("email", "phone", "company", "tags", "properties.plan")

values = st.sampled_from(["", "a", "b", "c", "+302101234567"])
records = st.fixed_dictionaries(
    {slot: st.just(("x", "y")) | st.just(()) if slot == "tags" else values for slot in SLOTS}
)


def kind_at(slot: str) -> Kind:
    """Return the kind of a slot."""
    return KINDS.get(slot, Kind.TEXT)


def echo(slots: dict[str, Value]) -> bytes:
    """Return what a record is recognized by."""
    return digest(slots, kind_at, "")


def news(slots: dict[str, Value], seen: Seen, told: datetime | None) -> dict[str, Value] | None:
    """Return what of a record is news."""
    fresh = without_late(slots, seen, told, (kind_at, ""))
    return None if fresh is None else dict(fresh)


@given(st.lists(records, min_size=2, max_size=8), st.data())
def test_an_earlier_delivery_that_comes_back_brings_nothing(
    delivered: list[dict[str, Value]], data: st.DataObject
) -> None:
    """Where the CRM tells no times, and where it told none of our deliveries."""
    old = data.draw(st.sampled_from(delivered[:-1]))
    echoes = [echo(one) for one in delivered]
    assert news(old, Seen(None, NOW, echoes), None) is None
    fresh = news(old, Seen(None, NOW, echoes), EARLIER)
    assert fresh is None or all(value == delivered[-1][slot] for slot, value in fresh.items())


@given(records, records, st.sampled_from(SLOTS))
def test_a_reading_may_tell_less_or_more_than_a_delivery(
    old: dict[str, Value], new: dict[str, Value], untold: str
) -> None:
    """It is recognized by what both tell."""
    told: dict[str, Value] = {slot: value for slot, value in old.items() if slot != untold}
    told["properties.of_the_crm_s_own"] = "1"
    assert news(told, Seen(None, NOW, [echo(old), echo(new)]), None) is None


@given(records, st.lists(records, max_size=3))
def test_a_record_older_than_what_was_agreed_on_brings_nothing(
    told: dict[str, Value], delivered: list[dict[str, Value]]
) -> None:
    """Whatever it says; and a newer one everything, even if we have said so before."""
    seen = Seen(NOW, NOW, [echo(one) for one in [*delivered, told]])
    assert news(told, seen, EARLIER) is None
    assert news(told, seen, NOW) is None
    assert news(told, seen, LATER) == told


def test_a_change_of_another_field_is_news_in_a_late_reading() -> None:
    """Only what an earlier delivery brought is not."""
    old: dict[str, Value] = {"company": "a", "phone": "1"}
    new: dict[str, Value] = {"company": "b", "phone": "1"}
    seen = Seen(None, NOW, [echo(old), echo(new)])
    assert news({"company": "a", "phone": "2"}, seen, EARLIER) == {"phone": "2"}


def test_the_last_delivery_is_no_reason_to_look_away() -> None:
    """What it has brought is what the CRM has."""
    last: dict[str, Value] = {"company": "a"}
    assert news(last, Seen(None, NOW, [echo(last)]), None) == last


def test_a_record_of_which_nothing_was_delivered_is_all_news() -> None:
    """There is nothing that could come back."""
    told: dict[str, Value] = {"company": "a"}
    assert news(told, Seen(None, NOW, []), None) == told
    assert news(told, Seen(None, NOW, []), EARLIER) == told


def test_what_a_delivery_did_not_tell_is_news_although_the_rest_comes_back() -> None:
    """It was brought to a record that nobody here knew of, which has more to say."""
    delivered: dict[str, Value] = {"email": "a", "company": "b"}
    seen = Seen(NOW, NOW, [echo(delivered)])
    assert news({**delivered, "first_name": "c"}, seen, NOW) == {"first_name": "c"}


@given(records, records)
def test_what_an_earlier_second_brought_is_news_in_the_second_of_the_last_delivery(
    old: dict[str, Value], new: dict[str, Value]
) -> None:
    """Somebody put it back; as of its own second it would be older than what was agreed on."""
    parted = Seen(NOW, NOW, [echo(old), b"", echo(new)])
    assert news(old, parted, NOW) == (None if echo(old) == echo(new) else old)
    assert news(new, parted, NOW) is None
    together = Seen(NOW, NOW, [echo(old), echo(new)])
    assert news(old, together, NOW) is None


@given(records)
def test_nothing_comes_back_as_of_a_time_at_which_nothing_was_delivered(
    told: dict[str, Value],
) -> None:
    """The record has changed and was read since: what is there now was put back."""
    assert news(told, Seen(NOW, NOW, [echo(told), b""]), NOW) == told


@given(records, records)
def test_what_parts_deliveries_by_time_is_none_itself(
    old: dict[str, Value], new: dict[str, Value]
) -> None:
    """Where the CRM tells no times, and where it told none of our last delivery."""
    for told in (None, EARLIER):
        plain = Seen(None, NOW, [echo(old), echo(new)])
        parted = Seen(None, NOW, [echo(old), b"", echo(new)])
        assert news(old, parted, told) == news(old, plain, told)
