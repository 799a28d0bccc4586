"""Whether a contact may say what a record says: quickly for most, and always by the contract."""

import protovalidate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.store.content import Content
from crmsync_server.sync.acceptable import PLAIN_ADDRESS, fault_of

_LETTERS = st.sampled_from("aZ0.+-_@ é\0")
_LENGTHS = st.sampled_from([0, 1, 39, 40, 41, 99, 100, 101, 199, 200, 201])
_TEXTS = st.text(_LETTERS, max_size=12) | _LENGTHS.map(lambda length: "x" * length)
_ADDRESSES = (
    st.from_regex(PLAIN_ADDRESS, fullmatch=True)
    | st.builds("{}@{}".format, st.text(_LETTERS, max_size=40), st.text(_LETTERS, max_size=40))
    | st.emails()
)


def _breaks_a_rule(content: Content) -> bool:
    contact = Contact(
        email=content.email or "",
        first_name=content.first_name,
        last_name=content.last_name,
        phone=content.phone,
        company=content.company,
    )
    return bool(protovalidate.collect_violations(contact, fail_fast=True))


@given(
    st.builds(
        Content,
        email=st.none() | _TEXTS | _ADDRESSES,
        first_name=_TEXTS,
        last_name=_TEXTS,
        phone=_TEXTS,
        company=_TEXTS,
        tags=st.just(()),
        properties=st.just({}),
    )
)
def test_what_is_taken_for_acceptable_breaks_no_rule_of_the_contract(content: Content) -> None:
    """Also where it was not looked at closely; what no database can keep is refused besides."""
    texts = [content.email or "", *content[2:6]]
    unwritable = any("\0" in text for text in texts)
    assert (fault_of(content) is None) == (not unwritable and not _breaks_a_rule(content))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (Content("no address"), "email"),
        (Content("a@" + "b" * 250 + ".com"), "email"),
        (Content(first_name="x" * 101), "first_name"),
        (Content(last_name="x" * 101), "last_name"),
        (Content(phone="1" * 41), "phone"),
        (Content(company="x" * 201), "company"),
        (Content(company="A\0B"), "company"),
        (Content(tags=("x" * 65,)), "tags[0]"),
    ],
)
def test_the_field_that_breaks_a_rule_is_named(content: Content, field: str) -> None:
    """With what the rule is."""
    fault = fault_of(content)
    assert fault is not None
    assert fault.startswith(f"{field}: ")
