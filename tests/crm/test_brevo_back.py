"""What Brevo is asked after an unknown outcome, and which of its answers count."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from crmsync_server.crm.outcomes import Synced
from tests.crm.brevo_script import Answer, adapter, brevo_crm
from tests.crm.support import Rations, deliveries, delivery

ATTRIBUTES = {
    "FIRSTNAME": "First1",
    "LASTNAME": "Last1",
    "COMPANY": "Company 1",
    "SMS": "33199990001",
}
HELD = {
    "id": 12,
    "email": "Person1@example.com",
    "ext_id": str(delivery(1).contact_id),
    "listIds": [3, 7],
    "attributes": ATTRIBUTES,
}


async def found(answer: Answer, **changes: Any) -> Synced | None:  # noqa: ANN401 - fields of the test's choice
    """Return what reading back the first delivery, with changes, finds."""
    one = replace(delivery(1), **changes)
    (synced,) = await adapter(brevo_crm({"GET": answer})).read_back([one])
    return synced


def showing(**changes: object) -> httpx.Response:
    """Answer with the contact, changed."""
    return httpx.Response(200, json={**HELD, **changes})


async def test_a_contact_that_holds_all_is_found_under_its_address() -> None:
    """The address is encoded, and the question costs a call of the contacts' allowance only."""
    quota = Rations()
    crm = brevo_crm({"GET": showing(email="a+1@example.com")})
    one = delivery(1, email="A+1@example.com")
    assert await adapter(crm, quota).read_back([one]) == [Synced("a+1@example.com")]
    assert crm.requests[-1].url.raw_path.startswith(b"/contacts/a%2B1%40example.com?")
    assert crm.requests[-1].url.params["identifierType"] == "email_id"
    assert set(quota.taken) == {"contacts_hourly", "contacts"}


@pytest.mark.parametrize(
    "answer",
    [
        showing(attributes={**ATTRIBUTES, "FIRSTNAME": "Ann"}),
        showing(attributes={name: v for name, v in ATTRIBUTES.items() if name != "SMS"}),
        showing(email="other@example.com"),
        showing(ext_id="somebody-elses"),
        showing(listIds=[3]),
        httpx.Response(200, json={}),
        httpx.Response(200, text="<html>"),
        httpx.Response(404, json={"code": "document_not_found"}),
        httpx.Response(400, json={"code": "invalid_parameter", "message": "no"}),
        httpx.Response(401, json={"message": "Key not found"}),
        httpx.Response(425),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(502),
    ],
)
async def test_a_contact_that_differs_or_cannot_be_read_is_not_found(
    answer: httpx.Response,
) -> None:
    """Nor does anything raise: the next push meets the fault, and judges it."""
    assert await found(answer) is None


@pytest.mark.parametrize("missing", ["ext_id", "listIds"])
async def test_what_brevo_does_not_show_is_not_held_against_it(missing: str) -> None:
    """The attributes and the address are what must be seen."""
    shown = {name: value for name, value in HELD.items() if name != missing}
    assert await found(httpx.Response(200, json=shown)) is not None


async def test_a_value_that_was_to_be_cleared_must_be_gone() -> None:
    """Brevo shows a cleared attribute as empty, or not at all."""
    blank = frozenset({"company"})
    assert await found(showing(), company="", blank=blank) is None
    for shown in ({**ATTRIBUTES, "COMPANY": ""}, {**ATTRIBUTES, "COMPANY": None}):
        assert await found(showing(attributes=shown), company="", blank=blank) is not None


@pytest.mark.parametrize(
    ("name", "sent", "shown", "same"),
    [
        ("score", "4", 4, True),
        ("score", "4.50", 4.5, True),
        ("score", "4", 5, False),
        ("vip", "yes", True, True),
        ("vip", "no", True, False),
        ("born", "1999-12-31T10:00:00Z", "1999-12-31", True),
        ("likes", "tea; jam", ["tea", "jam"], True),
        ("likes", "tea", ["tea", "jam"], False),
    ],
)
async def test_values_are_compared_as_their_attributes_type(
    name: str, sent: str, shown: object, *, same: bool
) -> None:
    """A number that Brevo writes differently is still the number."""
    answer = showing(attributes={**ATTRIBUTES, name.upper(): shown})
    assert (await found(answer, properties={name: sent}) is not None) is same


async def test_more_than_a_hundred_are_not_asked_for() -> None:
    """An import of them all costs one call."""
    crm = brevo_crm({"GET": showing()})
    assert await adapter(crm).read_back(deliveries(101)) == [None] * 101
    assert crm.requests == []


async def test_quota_that_runs_out_leaves_the_rest_unfound() -> None:
    """What was found before counts."""

    def respond(request: httpx.Request) -> httpx.Response:
        number = request.url.path.removeprefix("/contacts/person").partition("@")[0]
        attributes = {
            "FIRSTNAME": f"First{number}",
            "LASTNAME": f"Last{number}",
            "COMPANY": f"Company {number}",
            "SMS": f"3319999{int(number):04d}",
        }
        shown = {"email": f"person{number}@example.com", "attributes": attributes}
        return httpx.Response(200, json=shown)

    crm = brevo_crm({"GET": respond})
    back = await adapter(crm, Rations(calls=8)).read_back(deliveries(10))
    assert [synced is not None for synced in back] == [True] * 3 + [False] * 7
