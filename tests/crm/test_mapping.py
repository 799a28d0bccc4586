"""A field mapping tells a CRM what its rules say, and everything else as ever."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.mapping import STANDARD, FieldMapping
from crmsync_server.crm.mapping_rules import faults, mapping_of

CONTACT = UUID("0190a000-0000-7000-8000-000000000001")
ANNA = Delivery(
    contact_id=CONTACT,
    attempt=3,
    crm_contact_id="c1",
    email="Anna@Example.com",
    first_name="Anna",
    last_name="Papadopoulou",
    phone="210 123 4567",
    company="Acme",
    tags=("vip", "a;b"),
    properties={"plan": "gold", "born": "17/03/1990", "blank": ""},
)

LOWER = {"text": "TEXT_TRANSFORM_LOWER"}
UPPER = {"text": "TEXT_TRANSFORM_UPPER"}
TRIM = {"text": "TEXT_TRANSFORM_TRIM"}
DATE = {"date": {"input_format": "%d/%m/%Y", "output_format": "%Y-%m-%d"}}
GREEK = {"e164": {"region": "GR"}}

words = st.text(max_size=12)
names = st.text("abcdef_", min_size=1, max_size=6)
transforms = st.lists(st.sampled_from([LOWER, UPPER, TRIM, GREEK]), max_size=3)
sources = st.one_of(
    st.fixed_dictionaries({"field": st.sampled_from(["id", *STANDARD])}),
    st.fixed_dictionaries({"field": names.map("properties.".__add__)}),
    st.fixed_dictionaries({"constant": words}),
)
deliveries = st.builds(
    Delivery,
    contact_id=st.uuids(),
    attempt=st.integers(1, 9),
    crm_contact_id=st.none() | words,
    email=words,
    first_name=words,
    last_name=words,
    phone=words,
    company=words,
    tags=st.lists(words.filter(bool), max_size=3).map(tuple),
    properties=st.dictionaries(names, words, max_size=4),
)


@st.composite
def documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rules without faults: each target once, and none that gives contacts another email."""
    choices = names | st.sampled_from(sorted({*STANDARD} - {"email"}))
    rules = []
    for target in draw(st.lists(choices, unique=True, max_size=5)):
        rule: dict[str, Any] = {"target": target, **draw(sources)}
        rule["transforms"] = draw(transforms)
        rule["default_value"] = draw(words)
        rule["write_empty"] = draw(st.booleans())
        rules.append(rule)
    return rules


def mapped(*rules: Mapping[str, Any], of: Delivery = ANNA) -> Delivery:
    """Return what a CRM is told of a contact under these rules."""
    assert not list(faults(rules))
    return mapping_of(rules).apply(of)


def test_a_constant_is_told_of_every_contact() -> None:
    """Also under a name that only the CRM knows."""
    told = mapped({"target": "company", "constant": "Globex"}, {"target": "src", "constant": "app"})
    assert told.company == "Globex"
    assert told.properties["src"] == "app"


def test_a_field_is_told_under_another_name_and_stays_under_its_own() -> None:
    """To keep it from its own name, that name gets a rule with an empty constant."""
    copied = mapped({"target": "brand", "field": "company"})
    assert (copied.properties["brand"], copied.company) == ("Acme", "Acme")
    renamed = mapped(
        {"target": "brand", "field": "company"},
        {"target": "company", "constant": ""},
        {"target": "tier", "field": "properties.plan"},
        {"target": "plan", "constant": ""},
    )
    assert renamed.properties == {
        "brand": "Acme",
        "tier": "gold",
        "born": "17/03/1990",
        "blank": "",
    }
    assert renamed.company == ""
    assert renamed.blank == frozenset()


def test_rules_read_the_contact_and_not_each_other() -> None:
    """Two fields can change places."""
    told = mapped(
        {"target": "first_name", "field": "last_name"},
        {"target": "last_name", "field": "first_name"},
    )
    assert (told.first_name, told.last_name) == ("Papadopoulou", "Anna")


@pytest.mark.parametrize("own", ["", "  \t"])
def test_a_default_stands_in_for_an_empty_value(own: str) -> None:
    """White space alone is no value."""
    rule = {"target": "company", "field": "company", "default_value": "Unknown"}
    assert mapped(rule, of=replace(ANNA, company=own)).company == "Unknown"
    assert mapped(rule).company == "Acme"


@pytest.mark.parametrize(
    ("value", "steps", "told"),
    [
        ("  Ab ", [TRIM, LOWER], "ab"),
        ("ab", [UPPER], "AB"),
        ("210 123 4567", [GREEK], "+302101234567"),
        ("+44 20 7946 0958", [{"e164": {}}], "+442079460958"),
        ("210 123 4567", [{"e164": {}}], "210 123 4567"),
        ("call me", [GREEK], "call me"),
        ("12", [GREEK], "12"),
        (" 17/03/1990", [DATE], "1990-03-17"),
        (
            "2024-05-06T07:08:09+02:00",
            [{"date": {"output_format": "%d.%m.%Y %H:%M"}}],
            "06.05.2024 07:08",
        ),
    ],
)
def test_transforms_change_what_they_can_read_and_nothing_else(
    value: str, steps: list[dict[str, Any]], told: str
) -> None:
    """One after the other."""
    rule = {"target": "x", "field": "phone", "transforms": steps}
    assert mapped(rule, of=replace(ANNA, phone=value)).properties["x"] == told


@pytest.mark.parametrize("value", ["1990-03-17", "31/02/1990", "yesterday"])
def test_a_date_in_another_format_is_an_error_of_its_contact(value: str) -> None:
    """Which says what could not be read, and for which target."""
    rule = {"target": "born", "field": "properties.born", "transforms": [DATE]}
    told = rf"^born cannot be mapped: '{value}' is no date in the format %d/%m/%Y$"
    with pytest.raises(ValueError, match=told):
        mapped(rule, of=replace(ANNA, properties={"born": value}))


def test_an_empty_value_erases_only_where_its_rule_says_so() -> None:
    """Otherwise it is not told at all."""
    keeping = mapped({"target": "x", "field": "properties.none"})
    assert "x" not in keeping.properties
    assert keeping.blank == frozenset()
    erasing = mapped(
        {"target": "x", "field": "properties.none", "write_empty": True},
        {"target": "company", "constant": "", "write_empty": True},
    )
    assert erasing.properties["x"] == ""
    assert erasing.company == ""
    assert erasing.blank == {"x", "company"}


def test_the_email_of_a_contact_is_never_lost() -> None:
    """Where a rule has none, the contact's own stays."""
    rule = {"target": "email", "field": "properties.work_email", "transforms": [LOWER]}
    assert mapped(rule).email == "Anna@Example.com"
    other = replace(ANNA, properties={"work_email": "Anna@Acme.com"})
    assert mapped(rule, of=other).email == "anna@acme.com"


def test_tags_are_joined_into_a_text_and_parted_from_one() -> None:
    """By semicolons; tags that stay tags are told one by one, whatever they hold."""
    assert mapped({"target": "labels", "field": "tags"}).properties["labels"] == "vip;a;b"
    assert mapped({"target": "tags", "constant": "x; y;;x"}).tags == ("x", "y")
    upper = mapped({"target": "tags", "field": "tags", "transforms": [UPPER]})
    assert upper.tags == ("VIP", "A;B")


def test_only_the_chosen_custom_properties_are_told() -> None:
    """What a rule has as its target is told besides, and a rule reads any."""
    rules = [{"target": "tier", "field": "properties.plan"}]
    told = mapping_of(rules, ["born", "missing"]).apply(ANNA)
    assert told.properties == {"born": "17/03/1990", "tier": "gold"}
    assert told.company == "Acme"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"target": "x", "field": "nickname"}], "rules[0].field"),
        ([{"target": "x", "field": "properties."}], "rules[0].field"),
        (
            [{"target": "x", "constant": "1"}, {"target": "x", "constant": "2"}],
            "rules[1].target",
        ),
        (
            [{"target": "x", "field": "phone", "transforms": [LOWER, {"e164": {"region": "ZZ"}}]}],
            "rules[0].transforms[1].e164.region",
        ),
        (
            [{"target": "x", "field": "id", "transforms": [{"date": {"output_format": "%Q"}}]}],
            "rules[0].transforms[0].date.output_format",
        ),
        ([{"target": "email", "constant": "a@b.c"}], "rules[0].constant"),
        (
            [{"target": "email", "field": "email", "default_value": "a@b.c"}],
            "rules[0].default_value",
        ),
        ([{"target": "email", "field": "email", "write_empty": True}], "rules[0].write_empty"),
    ],
)
def test_a_bad_rule_is_named_by_its_place(rules: list[dict[str, Any]], expected: str) -> None:
    """With the field of it that is wrong."""
    assert [fault.field for fault in faults(rules)] == [expected]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("%d/%m", "must hold the year"),
        ("%Y-%Y", "must hold %Y once"),
        ("%Y-%Q", "must not hold %Q"),
        ("%Y %", "must not hold %:"),
        ("%d/%m/%Y %H:%M %%", ""),
        ("", ""),
    ],
)
def test_a_bad_date_format_is_told_what_is_wrong(text: str, told: str) -> None:
    """Before any contact is delivered with it."""
    date = {"input_format": text, "output_format": "%Y"}
    rule = {"target": "x", "field": "id", "transforms": [{"date": date}]}
    assert [fault.description.startswith(told) for fault in faults([rule])] == [True] * bool(told)


@given(documents(), deliveries)
def test_a_rule_changes_its_target_alone(rules: list[dict[str, Any]], contact: Delivery) -> None:
    """Whatever it reads, and whoever else reads it."""
    told = mapped(*rules, of=contact)
    targets = {rule["target"] for rule in rules}
    for name in {*STANDARD, "contact_id", "attempt", "crm_contact_id"} - targets:
        assert getattr(told, name) == getattr(contact, name)
    kept = {name: value for name, value in contact.properties.items() if name not in targets}
    assert kept.items() <= told.properties.items()
    assert told.blank == {rule["target"] for rule in rules if rule["write_empty"]}


@given(documents(), deliveries, st.randoms())
def test_the_order_of_rules_does_not_matter(
    rules: list[dict[str, Any]], contact: Delivery, random: Random
) -> None:
    """Neither to what is told nor to the salt."""
    shuffled = random.sample(rules, len(rules))
    one, other = mapping_of(rules), mapping_of(shuffled)
    assert one.apply(contact) == other.apply(contact)
    assert one.salt == other.salt


@given(documents(), documents())
def test_the_salt_tells_mappings_apart(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    """Unless they say the same; an empty one has none, so that contacts stay as delivered."""
    same = set(mapping_of(one).rules) == set(mapping_of(other).rules)
    assert (mapping_of(one).salt == mapping_of(other).salt) is same
    assert bool(mapping_of(one).salt) is bool(one)


def test_the_salt_is_the_same_in_every_process() -> None:
    """It is kept with what was delivered."""
    rules = [{"target": "x", "field": "phone", "transforms": [GREEK, DATE]}]
    assert mapping_of(rules, ["b", "a"]).salt.hex() == "f2188fa8efe674827ea7517e8d29b135"
    assert mapping_of(rules, ["a", "b"]).salt == mapping_of(rules, ["b", "a"]).salt
    assert mapping_of(rules, ["a"]).salt != mapping_of(rules).salt


def test_an_empty_mapping_tells_everything_as_it_is() -> None:
    """At no cost."""
    assert FieldMapping().apply(ANNA) is ANNA
    assert FieldMapping().salt == b""
