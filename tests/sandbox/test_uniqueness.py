"""Whatever is written, no two contacts ever share what only one of them may have."""

from collections import Counter
from contextlib import suppress
from typing import Any, Literal

from hypothesis import example, given
from hypothesis import strategies as st

from crmsync_server.sandbox.brevo_account import Account
from crmsync_server.sandbox.brevo_errors import BrevoError
from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import utc_now
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_portal import Portal
from crmsync_server.sandbox.hubspot_writes import Input, Writer

EMAILS = st.sampled_from(["a@x.com", "A@x.com", "b@x.com", "c@x.com", "bad"])
NUMBERS = st.sampled_from(["447700900001", "+447700900001", "447700900002", "", "12"])


@st.composite
def hubspot_inputs(draw: st.DrawFn) -> Input:
    """Draw an upsert that may rename a contact or give it further addresses."""
    properties = draw(
        st.fixed_dictionaries(
            {}, optional={"email": EMAILS, "hs_additional_emails": EMAILS, "city": st.just("York")}
        )
    )
    return Input(properties, draw(EMAILS), "email", draw(st.uuids().map(str)))


@st.composite
def brevo_bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an upsert by any identifier that may change any other."""
    attributes = draw(
        st.fixed_dictionaries({}, optional={"EMAIL": EMAILS, "SMS": NUMBERS, "WHATSAPP": NUMBERS})
    )
    body = draw(
        st.fixed_dictionaries({}, optional={"email": EMAILS, "ext_id": st.sampled_from("78")})
    )
    return {**body, "attributes": attributes}


@given(
    batches=st.lists(
        st.tuples(
            st.sampled_from(["create", "upsert"]),
            st.lists(hubspot_inputs(), min_size=1, max_size=5),
        ),
        max_size=8,
    ),
    merged=st.booleans(),
)
@example(
    batches=[
        ("create", [Input({"hs_additional_emails": "a@x.com"}, "a@x.com", "email", "1")]),
        ("upsert", [Input({"email": "a@x.com"}, "a@x.com", "email", "2")]),
    ],
    merged=False,
)
def test_hubspot_never_holds_one_email_twice(
    batches: list[tuple[Literal["create", "upsert"], list[Input]]], *, merged: bool
) -> None:
    """Across batches, renamings, additional addresses and merges."""
    portal = Portal(utc_now)
    writer = Writer(portal, FaultDial(), CallLog(), upsert_clears_omitted=False)
    for verb, inputs in batches:
        with suppress(HubSpotError):
            writer.write_batch(verb, inputs)
        live = [contact for contact in portal.contacts.values() if not contact.archived]
        if merged and len(live) > 1:
            portal.merge(live[0], live[1])
    values = Counter(
        (value, contact.id)
        for contact in portal.contacts.values()
        if not contact.archived
        for value in set(portal.unique_values(contact.properties))
    )
    assert len({value for value, _ in values}) == len(values)
    for (name, key), holder in values:
        found = portal.find(key, name)
        assert found is not None
        assert found.id == holder


def save(account: Account, body: dict[str, Any]) -> None:
    """Upsert one contact."""
    change = account.parse(body)
    contact = account.match(change)
    account.check_free(contact, change)
    if contact is None:
        account.create(change)
    else:
        account.update(contact, change)


@given(st.lists(brevo_bodies(), max_size=12))
def test_brevo_never_holds_one_identifier_twice(bodies: list[dict[str, Any]]) -> None:
    """Across upserts that change emails and telephone numbers."""
    account = Account(utc_now)
    for body in bodies:
        with suppress(BrevoError):
            save(account, body)
    identifiers = [
        (identifier, contact.id)
        for contact in account.contacts.values()
        for identifier in contact.identifiers.items()
    ]
    assert len({identifier for identifier, _ in identifiers}) == len(identifiers)
    for (kind, value), holder in identifiers:
        found = account.find(kind, value)
        assert found is not None
        assert found.id == holder
