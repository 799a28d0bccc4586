"""HubSpot's single records, properties, pages and credentials."""

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox

CONTACTS = "/crm/v3/objects/contacts"
PROPERTIES = "/crm/v3/properties/contacts"


async def create(hubspot: httpx.AsyncClient, email: str, **properties: str) -> str:
    """Create a contact and return its id."""
    answer = await hubspot.post(CONTACTS, json={"properties": {"email": email, **properties}})
    assert answer.status_code == 201
    return str(answer.json()["id"])


async def test_a_wrong_token_is_told_so_in_hubspots_words(hubspot: httpx.AsyncClient) -> None:
    """A 401 carries HubSpot's body and counts against no limit."""
    answer = await hubspot.get(CONTACTS, headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"
    assert "X-HubSpot-RateLimit-Remaining" not in answer.headers


async def test_an_expired_token_is_refused_until_the_dial_is_turned_back(
    sandbox: Sandbox, hubspot: httpx.AsyncClient
) -> None:
    """Token expiry is a fault like any other."""
    sandbox.hubspot.faults.settings = FaultSettings(token_expired=True)
    assert (await hubspot.get(CONTACTS)).json()["category"] == "EXPIRED_AUTHENTICATION"
    sandbox.hubspot.faults.settings = FaultSettings()
    assert (await hubspot.get(CONTACTS)).status_code == 200


async def test_the_account_tells_its_portal_and_time_zone(hubspot: httpx.AsyncClient) -> None:
    """Credentials can be checked without a write."""
    account = (await hubspot.get("/account-info/v3/details")).json()
    assert account["portalId"] == 4242
    assert account["timeZone"] == "America/New_York"
    assert account["utcOffset"] == "-05:00"


async def test_a_second_contact_with_one_email_is_a_conflict_naming_the_first(
    hubspot: httpx.AsyncClient,
) -> None:
    """An email is unique whatever its case."""
    first = await create(hubspot, "ada@example.com")
    answer = await hubspot.post(CONTACTS, json={"properties": {"email": "ADA@example.com"}})
    assert answer.status_code == 409
    assert answer.json()["category"] == "CONFLICT"
    assert answer.json()["message"] == f"Contact already exists. Existing ID: {first}"


async def test_an_additional_email_is_as_unique_as_the_first(hubspot: httpx.AsyncClient) -> None:
    """A secondary address conflicts, and finds its contact."""
    first = await create(hubspot, "ada@example.com", hs_additional_emails="a@x.com;b@x.com")
    answer = await hubspot.post(CONTACTS, json={"properties": {"email": "B@x.com"}})
    assert answer.json()["message"].endswith(f"Existing ID: {first}")
    found = await hubspot.get(f"{CONTACTS}/a@x.com", params={"idProperty": "email"})
    assert found.json()["id"] == first


async def test_a_changed_email_frees_the_old_one(hubspot: httpx.AsyncClient) -> None:
    """A contact moves to its new address by PATCH."""
    moved = await create(hubspot, "old@example.com")
    await hubspot.patch(f"{CONTACTS}/{moved}", json={"properties": {"email": "new@example.com"}})
    assert await create(hubspot, "old@example.com") != moved


async def test_an_empty_value_clears_a_property(hubspot: httpx.AsyncClient) -> None:
    """Clearing leaves the other properties alone."""
    contact = await create(hubspot, "ada@example.com", firstname="Ada", city="London")
    await hubspot.patch(f"{CONTACTS}/{contact}", json={"properties": {"city": ""}})
    answer = await hubspot.get(f"{CONTACTS}/{contact}", params={"properties": "firstname,city"})
    assert answer.json()["properties"]["firstname"] == "Ada"
    assert "city" not in answer.json()["properties"]


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"email": "no-at-sign"}, "INVALID_EMAIL"),
        ({"favourite_colour": "green"}, "PROPERTY_DOESNT_EXIST"),
        ({"lifecyclestage": "Marketing Qualified Lead"}, "INVALID_OPTION"),
        ({"hs_object_id": "7"}, "READ_ONLY_VALUE"),
    ],
)
async def test_an_invalid_value_is_a_validation_error(
    hubspot: httpx.AsyncClient, properties: dict[str, str], code: str
) -> None:
    """The error names the property, and nothing is held afterwards."""
    answer = await hubspot.post(CONTACTS, json={"properties": properties})
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert answer.json()["errors"][0]["code"] == code
    assert (await hubspot.get("/_sandbox/contacts")).json() == []


@pytest.mark.parametrize("value", [7, True, None, ["a"]])
async def test_a_property_value_must_be_a_string(hubspot: httpx.AsyncClient, value: object) -> None:
    """A number is not quietly turned into text."""
    answer = await hubspot.post(CONTACTS, json={"properties": {"firstname": value}})
    assert answer.status_code == 400


async def test_a_body_that_is_not_said_to_be_json_is_refused(hubspot: httpx.AsyncClient) -> None:
    """HubSpot answers 415, a permanent error."""
    answer = await hubspot.post(CONTACTS, content=b'{"properties": {}}')
    assert answer.status_code == 415


async def test_a_deleted_contact_is_found_among_the_archived_alone(
    hubspot: httpx.AsyncClient,
) -> None:
    """Its id is retired, and its email is free for another contact."""
    gone = await create(hubspot, "ada@example.com")
    assert (await hubspot.delete(f"{CONTACTS}/{gone}")).status_code == 204
    assert (await hubspot.get(f"{CONTACTS}/{gone}")).status_code == 404
    assert (await hubspot.get(CONTACTS)).json()["results"] == []
    archived = (await hubspot.get(CONTACTS, params={"archived": "true"})).json()["results"]
    assert [contact["id"] for contact in archived] == [gone]
    assert await create(hubspot, "ada@example.com") != gone


async def test_pages_lead_through_every_contact_once(hubspot: httpx.AsyncClient) -> None:
    """The last page has no cursor."""
    created = [await create(hubspot, f"p{number}@example.com") for number in range(5)]
    seen: list[str] = []
    after: str | None = "0"
    while after is not None:
        page = (await hubspot.get(CONTACTS, params={"limit": 2, "after": after})).json()
        seen += [contact["id"] for contact in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    assert seen == created


async def test_a_page_is_at_most_a_hundred(hubspot: httpx.AsyncClient) -> None:
    """More is an error, not a shorter page."""
    assert (await hubspot.get(CONTACTS, params={"limit": 101})).status_code == 400


async def test_a_new_property_can_be_written_and_can_identify(hubspot: httpx.AsyncClient) -> None:
    """A property with unique values finds its contact, and refuses a second holder."""
    definition = {
        "name": "external_id",
        "label": "External id",
        "type": "string",
        "fieldType": "text",
        "groupName": "contactinformation",
        "hasUniqueValue": True,
    }
    assert (await hubspot.post(PROPERTIES, json=definition)).status_code == 201
    assert (await hubspot.post(PROPERTIES, json=definition)).status_code == 409
    contact = await create(hubspot, "ada@example.com", external_id="42")
    found = await hubspot.get(f"{CONTACTS}/42", params={"idProperty": "external_id"})
    assert found.json()["id"] == contact
    second = {"properties": {"email": "b@example.com", "external_id": "42"}}
    assert (await hubspot.post(CONTACTS, json=second)).status_code == 409


async def test_a_merge_retires_both_ids_and_keeps_both_emails(hubspot: httpx.AsyncClient) -> None:
    """Whoever stored the old ids must resolve them again, by either address."""
    first = await create(hubspot, "first@example.com", firstname="Ada")
    second = await create(hubspot, "second@example.com", firstname="Grace", city="York")
    body = {"primary": first, "secondary": second}
    merged = (await hubspot.post("/_sandbox/merge", json=body)).json()
    assert merged["properties"]["firstname"] == "Ada"
    assert merged["properties"]["city"] == "York"
    for retired in (first, second):
        assert (await hubspot.get(f"{CONTACTS}/{retired}")).status_code == 404
    for email in ("first@example.com", "second@example.com"):
        found = await hubspot.get(f"{CONTACTS}/{email}", params={"idProperty": "email"})
        assert found.json()["id"] == merged["id"]


async def test_an_unknown_path_has_hubspots_error_body(hubspot: httpx.AsyncClient) -> None:
    """Clients that read `category` find it everywhere."""
    answer = await hubspot.get("/crm/v9/nothing")
    assert answer.status_code == 404
    assert answer.json()["status"] == "error"
