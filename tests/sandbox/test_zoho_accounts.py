"""Companies at the simulated Zoho: found by name or made, and named by contacts."""

import csv
import io
import zipfile

import httpx
import pytest

from crmsync_server.sandbox.zoho import ZohoSettings
from tests.sandbox.zoho_client import BULK, CONTACTS, person, upsert, zoho

ACCOUNTS = "/crm/v8/Accounts"
NAME = "Account_Name"


async def company(client: httpx.AsyncClient, *names: object) -> httpx.Response:
    """Upsert companies of these names."""
    data = [{NAME: name} for name in names]
    sent = {"data": data, "duplicate_check_fields": [NAME], "trigger": []}
    return await client.post(f"{ACCOUNTS}/upsert", json=sent)


async def test_a_company_is_made_once_whatever_its_capitals() -> None:
    """The second time it is found, by its name."""
    async with zoho(ZohoSettings()) as (sandbox, client):
        made, twin = (await company(client, "Acme", " ACME ")).json()["data"]
        assert (made["action"], made["duplicate_field"]) == ("insert", None)
        assert (twin["action"], twin["duplicate_field"]) == ("update", NAME)
        assert made["details"]["id"] == twin["details"]["id"]
        assert len(sandbox.zoho.organization.accounts) == 1
        (read,) = (await client.get(f"{ACCOUNTS}/{made['details']['id']}")).json()["data"]
        assert read[NAME] == "Acme"


@pytest.mark.parametrize(
    ("name", "code"), [("", "MANDATORY_NOT_FOUND"), ("x" * 201, "INVALID_DATA")]
)
async def test_a_name_that_is_none_fails_alone(name: str, code: str) -> None:
    """The others are made."""
    async with zoho(ZohoSettings()) as (_, client):
        reply = await company(client, "Acme", name)
        good, bad = reply.json()["data"]
        assert (reply.status_code, good["code"], bad["code"]) == (207, "SUCCESS", code)


async def test_a_contact_names_its_company_in_lists_and_in_bulk_results() -> None:
    """By name and id in the one, by name in the other where that is asked for."""
    async with zoho(ZohoSettings(bulk_seconds=0)) as (_, client):
        (made,) = (await company(client, "Acme")).json()["data"]
        reference = {"id": made["details"]["id"]}
        await upsert(client, person(1, **{NAME: reference}))
        (listed,) = (await client.get(f"{CONTACTS}?fields={NAME}")).json()["data"]
        assert listed[NAME] == {"name": "Acme", **reference}
        query = {"module": {"api_name": "Contacts"}, "fields": ["Email", f"{NAME}.{NAME}"]}
        begun = (await client.post(BULK, json={"query": query, "file_type": "csv"})).json()
        job = begun["data"][0]["details"]["id"]
        await client.get(f"{BULK}/{job}")
        zipped = (await client.get(f"{BULK}/{job}/result")).content
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            (row,) = csv.DictReader(io.StringIO(archive.read(f"{job}.csv").decode()))
        assert row[f"{NAME}.{NAME}"] == "Acme"


async def test_a_company_that_does_not_exist_is_refused() -> None:
    """The contact is not written."""
    async with zoho(ZohoSettings()) as (sandbox, client):
        (refused,) = (await upsert(client, person(1, **{NAME: {"id": "7"}}))).json()["data"]
        assert (refused["code"], refused["details"]["api_name"]) == ("INVALID_DATA", "id")
        assert not list(sandbox.zoho.contacts())


async def test_contacts_are_counted() -> None:
    """Those in the recycle bin are none; a company costs a credit, as ten do."""
    async with zoho(ZohoSettings()) as (sandbox, client):
        first, *_ = sandbox.zoho.user.seed(7)
        sandbox.zoho.user.remove(first)
        assert (await client.get(f"{CONTACTS}/actions/count")).json() == {"count": 6}
        before = sandbox.zoho.meter.credits.used
        await company(client, *(f"Company {number}" for number in range(11)))
        assert sandbox.zoho.meter.credits.used == before + 2


async def test_companies_have_a_scope_of_their_own() -> None:
    """That of contacts does not open them."""
    async with zoho(ZohoSettings(scopes=("ZohoCRM.modules.contacts.ALL",))) as (_, client):
        assert (await company(client, "Acme")).json()["code"] == "OAUTH_SCOPE_MISMATCH"
