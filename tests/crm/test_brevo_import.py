"""Brevo's imports: what is sent, and what is not."""

import json
from dataclasses import replace

import httpx

from crmsync_server.crm.brevo_import import portions
from crmsync_server.crm.brevo_rows import Row
from crmsync_server.crm.outcomes import (
    Accepted,
    Postponed,
    Rejected,
    Synced,
)
from tests.crm.brevo_script import adapter, body, brevo_crm
from tests.crm.support import deliveries, delivery

STARTED = httpx.Response(202, json={"processId": 78})


async def test_many_contacts_go_by_import_and_are_accepted() -> None:
    """Accepted, not synced: the 202 says that nothing is written yet."""
    crm = brevo_crm({"POST /contacts/import": STARTED})
    outcomes = await adapter(crm, notify_url="https://us.test/hook").push(deliveries(50))
    assert len(outcomes) == 50
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    sent = body(crm.requests[-1])
    rows = sent.pop("jsonBody")
    assert isinstance(rows, list)
    assert [row["ext_id"] for row in rows] == [str(one.contact_id) for one in deliveries(50)]
    assert sent == {
        "listIds": [7],
        "updateExistingContacts": True,
        "emptyContactsAttributes": False,
        "disableNotification": True,
        "notifyUrl": "https://us.test/hook",
    }


async def test_few_contacts_go_one_by_one() -> None:
    """They are delivered at once, and join the same list."""
    crm = brevo_crm({"POST /contacts": httpx.Response(204)})
    outcomes = await adapter(crm).push(deliveries(49))
    assert all(isinstance(outcome, Synced) for outcome in outcomes)
    assert body(crm.requests[-1])["listIds"] == [7]


async def test_changed_addresses_go_one_by_one_beside_the_import() -> None:
    """An import would take them for new contacts."""
    crm = brevo_crm({"POST /contacts/import": STARTED, "PUT": httpx.Response(204)})
    moved = delivery(51, crm_contact_id="former@example.com")
    outcomes = await adapter(crm).push([*deliveries(50), moved])
    assert outcomes[50] == Synced("person51@example.com")
    assert isinstance(outcomes[0], Accepted)


async def test_contacts_with_a_value_to_be_cleared_go_one_by_one_beside_the_import() -> None:
    """An import clears for all its rows or for none."""
    crm = brevo_crm({"POST /contacts/import": STARTED, "POST": httpx.Response(204)})
    cleared = replace(delivery(51), company="", blank=frozenset({"company"}))
    outcomes = await adapter(crm).push([*deliveries(50), cleared])
    assert outcomes[50] == Synced("person51@example.com")
    assert isinstance(outcomes[0], Accepted)
    (alone,) = [request for request in crm.requests if request.url.path == "/contacts"]
    attributes = body(alone)["attributes"]
    assert isinstance(attributes, dict)
    assert attributes["COMPANY"] == ""


async def test_an_empty_value_in_an_import_is_left_out() -> None:
    """It says nothing, whatever an import makes of blanks."""
    crm = brevo_crm({"POST /contacts/import": STARTED})
    await adapter(crm).push([*deliveries(50)[:49], replace(delivery(50), company="", phone="")])
    rows = body(crm.requests[-1])["jsonBody"]
    assert isinstance(rows, list)
    assert rows[-1]["attributes"].keys() == {"FIRSTNAME", "LASTNAME"}


async def test_a_repeated_address_waits_for_the_import() -> None:
    """Two rows for one contact could be applied in any order."""
    crm = brevo_crm({"POST /contacts/import": STARTED})
    outcomes = await adapter(crm).push([*deliveries(50), delivery(51, email="PERSON1@example.com")])
    assert isinstance(outcomes[0], Accepted)
    assert isinstance(outcomes[50], Postponed)
    assert not outcomes[50].lane


async def test_a_row_that_brevo_refuses_does_not_sink_its_import() -> None:
    """The import is halved until the culprit stands alone."""

    def respond(request: httpx.Request) -> httpx.Response:
        if b"person37@" in request.content:
            return httpx.Response(400, json={"code": "invalid_parameter", "message": "bad row"})
        return STARTED

    outcomes = await adapter(brevo_crm({"POST": respond})).push(deliveries(60))
    assert outcomes[36] == Rejected("INVALID_PARAMETER", "bad row")
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 59


def test_an_import_stays_below_its_size() -> None:
    """Sizes are counted in bytes, not in letters; no row is lost."""
    rows = [Row(n, f"p{n}@example.com", "x", {"FIRSTNAME": "é" * 40}) for n in range(100)]
    divided = list(portions(rows, max_bytes=1_000))
    assert [row for portion in divided for row in portion] == rows
    for portion in divided:
        entries = [
            {"email": row.email, "ext_id": row.ext_id, "attributes": row.attributes}
            for row in portion
        ]
        assert len(json.dumps(entries, ensure_ascii=False).encode()) <= 1_002
