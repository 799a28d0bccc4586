"""Brevo's single contacts, pages, batches and attributes."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock

CONTACTS = "/v3/contacts"


async def save(brevo: httpx.AsyncClient, **body: Any) -> httpx.Response:  # noqa: ANN401 - any JSON
    """Upsert one contact."""
    return await brevo.post(CONTACTS, json={"updateEnabled": True, **body})


async def held(brevo: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return what the account holds, by email."""
    contacts = (await brevo.get("/_sandbox/contacts")).json()
    return {contact["email"]: contact for contact in contacts}


async def test_a_wrong_key_is_told_so_in_brevos_words(brevo: httpx.AsyncClient) -> None:
    """The key goes into its own header, not into Authorization."""
    answer = await brevo.get("/v3/account", headers={"api-key": "wrong"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"


async def test_the_account_tells_whose_it_is(brevo: httpx.AsyncClient) -> None:
    """Credentials can be checked without a write."""
    account = (await brevo.get("/v3/account")).json()
    assert account.keys() >= {"email", "companyName", "plan"}


async def test_an_upsert_creates_with_an_id_and_updates_without_a_body(
    brevo: httpx.AsyncClient,
) -> None:
    """201 and 204, for one contact whatever the email's case."""
    created = await save(brevo, email="Ada@x.com", attributes={"FIRSTNAME": "Ada"})
    assert created.status_code == 201
    assert created.json() == {"id": 1}
    updated = await save(brevo, email="ada@X.com", attributes={"LASTNAME": "Lovelace"})
    assert updated.status_code == 204
    assert updated.content == b""
    contact = (await held(brevo))["ada@x.com"]
    assert contact["attributes"] == {"FIRSTNAME": "Ada", "LASTNAME": "Lovelace"}
    assert [contact["times_created"], contact["times_updated"]] == [1, 1]


async def test_a_creation_of_a_known_email_is_a_duplicate(brevo: httpx.AsyncClient) -> None:
    """Without updateEnabled the answer names the identifier."""
    await save(brevo, email="ada@x.com")
    answer = await brevo.post(CONTACTS, json={"email": "ada@x.com"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "duplicate_parameter"
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["email"]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [({"ext_id": "7"}, "ext_id"), ({"attributes": {"SMS": "+44 7700 900001"}}, "SMS")],
)
async def test_an_identifier_of_another_contact_is_a_duplicate(
    brevo: httpx.AsyncClient, body: dict[str, Any], kind: str
) -> None:
    """An upsert by email never takes an identifier away from its holder."""
    await save(brevo, email="ada@x.com", ext_id="7", attributes={"SMS": "00447700900001"})
    answer = await save(brevo, email="grace@x.com", **body)
    assert answer.json()["metadata"] == {"duplicate_identifiers": [kind]}
    assert list(await held(brevo)) == ["ada@x.com"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"email": "no-at-sign"}, "invalid_parameter"),
        ({"email": "a@x.com", "attributes": {"SMS": "0770"}}, "invalid_parameter"),
        ({"attributes": {"FIRSTNAME": "Nobody"}}, "missing_parameter"),
        ({"email": "a@x.com", "listIds": ["one"]}, "invalid_parameter"),
    ],
)
async def test_a_malformed_identifier_fails_the_record(
    brevo: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    """A bad telephone number fails as a bad email does."""
    answer = await save(brevo, **body)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert await held(brevo) == {}


async def test_attributes_that_are_unknown_or_of_the_wrong_type_vanish(
    brevo: httpx.AsyncClient,
) -> None:
    """Brevo answers success and drops them."""
    created = await brevo.post(f"{CONTACTS}/attributes/normal/AGE", json={"type": "float"})
    assert created.status_code == 201
    attributes = {"AGE": "thirty", "SHOE_SIZE": 42, "FIRSTNAME": "Ada"}
    assert (await save(brevo, email="a@x.com", attributes=attributes)).status_code == 201
    assert (await held(brevo))["a@x.com"]["attributes"] == {"FIRSTNAME": "Ada"}
    listed = (await brevo.get(f"{CONTACTS}/attributes")).json()["attributes"]
    assert {"name": "AGE", "category": "normal", "type": "float"} in listed


async def test_a_contact_is_found_by_each_kind_of_identifier(brevo: httpx.AsyncClient) -> None:
    """Only email, number and id are guessed; ext_id must be named."""
    await save(brevo, email="a+b@x.com", ext_id="7f", attributes={"SMS": "447700900001"})
    for identifier in ("a+b@x.com", "447700900001", "1"):
        answer = await brevo.get(f"{CONTACTS}/{quote(identifier, safe='')}")
        assert answer.json()["id"] == 1
    assert (await brevo.get(f"{CONTACTS}/7f")).status_code == 404
    named = await brevo.get(f"{CONTACTS}/7f", params={"identifierType": "ext_id"})
    assert named.json()["ext_id"] == "7f"


async def test_an_email_is_changed_by_its_attribute(brevo: httpx.AsyncClient) -> None:
    """The old address is free again, and a taken one is refused."""
    await save(brevo, email="old@x.com")
    await save(brevo, email="taken@x.com")
    changed = await brevo.put(f"{CONTACTS}/1", json={"attributes": {"EMAIL": "new@x.com"}})
    assert changed.status_code == 204
    refused = await brevo.put(f"{CONTACTS}/1", json={"attributes": {"EMAIL": "TAKEN@x.com"}})
    assert refused.json()["metadata"] == {"duplicate_identifiers": ["email"]}
    assert (await save(brevo, email="old@x.com")).status_code == 201


async def test_a_deleted_contact_is_gone(brevo: httpx.AsyncClient) -> None:
    """A second deletion finds nothing."""
    await save(brevo, email="a@x.com")
    assert (await brevo.delete(f"{CONTACTS}/a@x.com")).status_code == 204
    answer = await brevo.delete(f"{CONTACTS}/a@x.com")
    assert answer.status_code == 404
    assert answer.json()["code"] == "document_not_found"


async def test_a_blacklisted_contact_stays_so_unless_a_write_says_otherwise(
    brevo: httpx.AsyncClient,
) -> None:
    """An upsert that is silent about consent leaves it alone."""
    await save(brevo, email="a@x.com", emailBlacklisted=True)
    await save(brevo, email="a@x.com", attributes={"FIRSTNAME": "Ada"})
    assert (await held(brevo))["a@x.com"]["emailBlacklisted"] is True
    await save(brevo, email="a@x.com", emailBlacklisted=False)
    assert (await held(brevo))["a@x.com"]["emailBlacklisted"] is False


async def test_modified_contacts_come_in_the_order_of_their_creation(
    brevo: httpx.AsyncClient, clock: MovableClock
) -> None:
    """`count` is the total, and a plus sign must be encoded."""
    for name in "abc":
        await save(brevo, email=f"{name}@x.com")
    clock.move(hours=1)
    for name in "ca":
        await save(brevo, email=f"{name}@x.com", attributes={"CITY": "York"})
    params = {"modifiedSince": "2026-03-02T14:00:00.000+01:00", "sort": "asc", "limit": "1"}
    page = (await brevo.get(CONTACTS, params=params)).json()
    assert [contact["email"] for contact in page["contacts"]] == ["a@x.com"]
    assert page["count"] == 2
    unencoded = f"{CONTACTS}?modifiedSince=2026-03-02T14:00:00.000+01:00"
    assert (await brevo.get(unencoded)).json()["code"] == "invalid_parameter"


async def test_a_page_is_at_most_a_thousand(brevo: httpx.AsyncClient) -> None:
    """More is out of range."""
    answer = await brevo.get(CONTACTS, params={"limit": 1001})
    assert answer.json()["code"] == "out_of_range"


async def test_one_unknown_contact_in_a_batch_leaves_all_unchanged(
    brevo: httpx.AsyncClient,
) -> None:
    """The answer lists the indexes, counted from zero."""
    await save(brevo, email="a@x.com")
    change = {"attributes": {"CITY": "York"}}
    items = [{"email": name, **change} for name in ("a@x.com", "b@x.com", "c@x.com")]
    answer = await brevo.post(f"{CONTACTS}/batch", json={"contacts": items})
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "document_not_found",
        "message": "No contact found for indexes 1,2",
    }
    assert (await held(brevo))["a@x.com"]["attributes"] == {}


async def test_a_batch_updates_contacts_by_any_identifier(brevo: httpx.AsyncClient) -> None:
    """Each item names its contact in one way."""
    await save(brevo, email="a@x.com")
    await save(brevo, email="b@x.com", attributes={"SMS": "447700900001"})
    items = [{"id": 1, "listIds": [3]}, {"sms": "+447700900001", "listIds": [3]}]
    assert (await brevo.post(f"{CONTACTS}/batch", json={"contacts": items})).status_code == 204
    assert [contact["listIds"] for contact in (await held(brevo)).values()] == [[3], [3]]
    ambiguous = [{"id": 1, "email": "a@x.com"}]
    answer = await brevo.post(f"{CONTACTS}/batch", json={"contacts": ambiguous})
    assert answer.json()["code"] == "invalid_parameter"


async def test_a_batch_cannot_give_one_identifier_to_two_contacts(
    brevo: httpx.AsyncClient,
) -> None:
    """Nothing is applied."""
    await save(brevo, email="a@x.com")
    await save(brevo, email="b@x.com")
    items = [{"email": "a@x.com", "ext_id": "7"}, {"email": "b@x.com", "ext_id": "7"}]
    answer = await brevo.post(f"{CONTACTS}/batch", json={"contacts": items})
    assert answer.json()["metadata"] == {"duplicate_identifiers": ["ext_id"]}
    assert all("ext_id" not in contact for contact in (await held(brevo)).values())


async def test_a_contact_without_email_is_shown_with_one_made_of_its_number(
    brevo: httpx.AsyncClient,
) -> None:
    """Such addresses are Brevo's own and belong to nobody."""
    assert (await save(brevo, attributes={"SMS": "+447700900001"})).status_code == 201
    contact = (await brevo.get(f"{CONTACTS}/1")).json()
    assert contact["email"] == "447700900001@mailin-sms.com"


async def test_a_rejected_record_is_an_invalid_parameter(
    sandbox: Sandbox, brevo: httpx.AsyncClient
) -> None:
    """Rejection looks as Brevo's own validation does."""
    sandbox.brevo.faults.settings = FaultSettings(reject_share=1)
    answer = await save(brevo, email="a@x.com")
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_parameter"
    assert await held(brevo) == {}
