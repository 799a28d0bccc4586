"""The merge of one contact with its record, promised for values of any kind."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmsync_server.store.merging import MergePolicy, Merging
from crmsync_server.sync.canonical import KINDS, Kind, Value, empty, same
from crmsync_server.sync.merge import Fields, Meeting, Merged, Side, Ways, merge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("email", "first_name", "phone", "company", "tags", "properties.plan")
EVEN_HANDED = (MergePolicy.NEVER_EMPTY, MergePolicy.MANUAL)

texts = st.sampled_from(
    ["", " ", "a", "A", " a ", "a  b", "a b", "+302101234567", "+30 2101234567"]
)
tags = st.lists(st.sampled_from(["", "x", "y", " x"]), max_size=3).map(tuple)
policies = st.sampled_from(MergePolicy)
times = st.none() | st.sampled_from([NOW - timedelta(1), NOW, NOW + timedelta(1)])


@st.composite
def fields(draw: st.DrawFn, *, whole: bool = False) -> dict[str, Value]:
    """Return values of some fields, or of all."""
    names = NAMES if whole else draw(st.lists(st.sampled_from(NAMES), unique=True))
    return {name: draw(tags if name == "tags" else texts) for name in names}


@st.composite
def mergings(draw: st.DrawFn) -> Merging:
    """Return settings with a policy for everything, and others for some fields."""
    single = draw(st.dictionaries(st.sampled_from(NAMES), policies, max_size=2))
    return Merging(draw(policies), single)


def kind_of(name: str) -> Kind:
    """Return the kind of a field."""
    return KINDS.get(name, Kind.TEXT)


def meet(
    ours: Fields, theirs: Fields, base: Fields, merging: Merging, told: datetime | None = None
) -> Merged:
    """Merge where nothing is mapped."""
    meeting = Meeting(Side(ours, ours), Side(theirs, theirs), Side(base, base), NOW, told)
    return merge(meeting, Ways(merging, kind_of))


def alike(name: str, one: Value, other: Value) -> bool:
    """Tell whether two values of a field say the same."""
    return same(one, other, kind_of(name))


def nothing(name: str) -> Value:
    """Return what a field holds that holds nothing."""
    return () if name == "tags" else ""


@given(fields(whole=True), fields(), mergings(), times)
def test_what_agrees_stays_as_it_is(
    both: Fields, base: Fields, merging: Merging, told: datetime | None
) -> None:
    """Whatever was agreed on before, and whatever the policy is."""
    merged = meet(both, both, base, merging, told)
    assert (merged.taken, merged.ahead, merged.conflicts) == ({}, set(), set())
    assert all(alike(name, merged.base[name], value) for name, value in both.items())


@given(fields(whole=True), fields(), fields(), mergings(), times)
@example({"email": ""}, {"email": "a"}, {"email": "b"}, Merging(MergePolicy.OURS_WINS), None)
def test_merging_again_brings_nothing_more(
    ours: dict[str, Value],
    theirs: Fields,
    base: Fields,
    merging: Merging,
    told: datetime | None,
) -> None:
    """What was taken is there, what is to be delivered still is, and conflicts stay."""
    first = meet(ours, theirs, base, merging, told)
    again = meet({**ours, **first.taken}, theirs, first.base, merging, told)
    assert again.taken == {}
    assert (again.ahead, again.conflicts) == (first.ahead, first.conflicts)
    assert again.base == first.base


@given(fields(whole=True), fields(), fields(), mergings(), times)
def test_once_delivered_both_agree(
    ours: dict[str, Value], theirs: Fields, base: Fields, merging: Merging, told: datetime | None
) -> None:
    """But for what is in conflict."""
    merged = meet(ours, theirs, base, merging, told)
    after = {**ours, **merged.taken}
    held = {name: theirs[name] if name in merged.conflicts else after[name] for name in NAMES}
    agreed = {**merged.base, **{name: held[name] for name in NAMES if name not in merged.conflicts}}
    again = meet(after, held, agreed, merging, told)
    assert (again.taken, again.ahead, again.conflicts) == ({}, set(), merged.conflicts)


@given(fields(whole=True), fields(), fields(), mergings(), times)
def test_no_value_is_invented(
    ours: Fields, theirs: Fields, base: Fields, merging: Merging, told: datetime | None
) -> None:
    """What is taken is the record's, what is agreed on is the record's or was agreed on before."""
    merged = meet(ours, theirs, base, merging, told)
    assert all(value == theirs[name] for name, value in merged.taken.items())
    assert all(value in (theirs.get(name), base.get(name)) for name, value in merged.base.items())
    assert merged.taken.keys().isdisjoint(merged.ahead | merged.conflicts)
    assert merged.conflicts.isdisjoint(merged.ahead)


@given(fields(whole=True), fields(whole=True), fields(), st.sampled_from(EVEN_HANDED))
def test_sides_are_treated_alike_where_the_policy_is_even_handed(
    ours: Fields, theirs: Fields, base: Fields, policy: MergePolicy
) -> None:
    """What is taken one way round is delivered the other way round."""
    one = meet(ours, theirs, base, Merging(policy))
    other = meet(theirs, ours, base, Merging(policy))
    # An email names the contact, and only the CRM's counts as not told when it is empty.
    assert one.conflicts - {"email"} == other.conflicts - {"email"}
    assert one.taken.keys() - {"email"} == other.ahead - {"email"}
    assert one.ahead - {"email"} == other.taken.keys() - {"email"}


@given(fields(whole=True), fields(), fields(), times)
def test_never_empty_erases_nothing(
    ours: Fields, theirs: Fields, base: Fields, told: datetime | None
) -> None:
    """On neither side."""
    merged = meet(ours, theirs, base, Merging(MergePolicy.NEVER_EMPTY), told)
    for name, value in merged.taken.items():
        assert empty(ours[name]) or not empty(value)
    for name in merged.ahead & theirs.keys():
        assert empty(theirs[name]) or not empty(ours[name])


@given(fields(whole=True), fields(), mergings(), times)
def test_what_only_one_side_changed_asks_no_policy(
    base: dict[str, Value], changed: Fields, merging: Merging, told: datetime | None
) -> None:
    """The changed side has it, unless it was emptied where that is not to be."""
    changes = {
        name: value
        for name, value in changed.items()
        if not alike(name, value, base[name]) and not (empty(value) or empty(base[name]))
    }
    theirs = {**base, **changes}
    assert meet(base, theirs, base, merging, told).taken == changes
    ours = meet(theirs, base, base, merging, told)
    assert (ours.taken, ours.ahead, ours.conflicts) == ({}, set(changes), set())


@given(fields(whole=True), fields(whole=True), fields(), mergings(), times)
def test_an_email_is_taken_away_by_nobody(
    ours: Fields, theirs: dict[str, Value], base: Fields, merging: Merging, told: datetime | None
) -> None:
    """It names the contact; what is new of it here goes to the CRM that has none."""
    theirs["email"] = ""
    merged = meet(ours, theirs, base, merging, told)
    assert "email" not in merged.taken.keys() | merged.conflicts
    changed = "email" not in base or not alike("email", ours["email"], base["email"])
    assert ("email" in merged.ahead) == (changed and not empty(ours["email"]))


@given(fields(whole=True), fields(), fields(), mergings(), times)
def test_the_lack_of_an_email_is_never_to_be_delivered(
    ours: dict[str, Value], theirs: Fields, base: Fields, merging: Merging, told: datetime | None
) -> None:
    """No delivery can take it away from a CRM."""
    ours["email"] = ""
    assert "email" not in meet(ours, theirs, base, merging, told).ahead


@given(fields(whole=True), fields(), mergings())
def test_what_is_not_told_is_not_changed(ours: Fields, base: Fields, merging: Merging) -> None:
    """What the CRM lacks of it is to be delivered, but for an email's absence."""
    merged = meet(ours, {}, base, merging)
    assert (merged.taken, merged.conflicts, merged.base) == ({}, set(), base)
    assert merged.ahead == {
        name
        for name, value in ours.items()
        if not alike(name, value, base.get(name, nothing(name)))
        and (name != "email" or not empty(value))
    }


@pytest.mark.parametrize(
    ("policy", "told", "taken", "ahead"),
    [
        (MergePolicy.CRM_WINS, None, True, False),
        (MergePolicy.OURS_WINS, None, False, True),
        (MergePolicy.NEWEST_WINS, NOW + timedelta(1), True, False),
        (MergePolicy.NEWEST_WINS, NOW - timedelta(1), False, True),
        (MergePolicy.NEWEST_WINS, None, False, False),
        (MergePolicy.NEVER_EMPTY, None, False, False),
        (MergePolicy.MANUAL, NOW + timedelta(1), False, False),
    ],
)
@pytest.mark.parametrize("base", [{}, {"company": "a"}])
def test_what_both_changed_is_settled_by_the_policy(
    policy: MergePolicy, told: datetime | None, base: Fields, *, taken: bool, ahead: bool
) -> None:
    """Also where it is not known what both last agreed on; where neither wins it is a conflict."""
    merged = meet({"company": "ours"}, {"company": "theirs"}, base, Merging(policy), told)
    assert ("company" in merged.taken, "company" in merged.ahead) == (taken, ahead)
    assert ("company" in merged.conflicts) == (not taken and not ahead)
    [difference] = merged.differences
    result = "theirs" if taken else "ours" if ahead else None
    assert (difference.base, difference.result) == (base.get("company"), result)


def test_a_field_s_own_policy_goes_before_the_general_one() -> None:
    """The others follow that."""
    merging = Merging(MergePolicy.CRM_WINS, {"phone": MergePolicy.OURS_WINS})
    ours, theirs = {"phone": "1", "company": "1"}, {"phone": "2", "company": "2"}
    merged = meet(ours, theirs, {}, merging)
    assert (merged.taken, merged.ahead) == ({"company": "2"}, {"phone"})


@pytest.mark.parametrize(
    ("name", "one", "other", "region"),
    [
        ("email", "Ada@Example.com", " ada@example.com", ""),
        ("phone", "+30 210 123-4567", "+302101234567", ""),
        ("phone", "210 1234567", "+302101234567", "GR"),
        ("phone", "302101234567", "+302101234567", ""),
        ("phone", "00302101234567", "+302101234567", ""),
        ("tags", ("b", "a", "a"), ("a", "b"), ""),
        ("company", "Analytical  Engines ", "Analytical Engines", ""),
    ],
)
def test_another_spelling_is_no_other_value(
    name: str, one: Value, other: Value, region: str
) -> None:
    """As it is compared; what is kept stays as it was written."""
    assert same(one, other, kind_of(name), region)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("phone", "210 1234567", "+302101234567"),
        ("phone", "n/a", ""),
        ("company", "engines", "Engines"),
        ("tags", ("a",), ("A",)),
    ],
)
def test_another_value_is_no_other_spelling(name: str, one: Value, other: Value) -> None:
    """What cannot be made out is not guessed."""
    assert not same(one, other, kind_of(name))
