"""What the simulated Zoho takes, record by record, and what it says of each."""

from typing import Any

import pytest

from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.zoho_client import CONTACTS, FIELDS, UPSERT, asking, person, upsert, zoho


def held(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return what is held."""
    return list(sandbox.zoho.contacts())


async def test_an_upsert_answers_each_record_in_its_place(sandbox: Sandbox) -> None:
    """Inserted or updated, by the field that it was found by; the email is not repeated."""
    async with asking(sandbox) as client:
        first = await upsert(client, person(1), person(2))
        assert first.status_code == 200
        again = (await upsert(client, person(3), person(1, Phone="1"))).json()["data"]
    assert [one["action"] for one in again] == ["insert", "update"]
    assert [one["duplicate_field"] for one in again] == [None, "Email"]
    assert again[1]["details"]["id"] == first.json()["data"][0]["details"]["id"]
    assert int(again[0]["details"]["id"]) > 2**53
    assert again[0]["details"]["Modified_Time"] == "2026-03-02T17:30:00+05:30"
    assert [(one["email"], one["times_updated"]) for one in held(sandbox)] == [
        ("p1@example.com", 1),
        ("p2@example.com", 0),
        ("p3@example.com", 0),
    ]


async def test_an_email_is_found_in_any_case_and_twice_in_one_call(sandbox: Sandbox) -> None:
    """Records are taken one after the other."""
    async with asking(sandbox) as client:
        reply = await upsert(client, person(1), person(1, Email="P1@Example.com"))
    assert [one["action"] for one in reply.json()["data"]] == ["insert", "update"]
    assert len(held(sandbox)) == 1


async def test_a_record_without_a_check_field_is_always_new(sandbox: Sandbox) -> None:
    """There is nothing to find it by."""
    async with asking(sandbox) as client:
        for _ in range(2):
            await upsert(client, {"Last_Name": "Nobody"})
    assert len(held(sandbox)) == 2


async def test_one_bad_record_leaves_the_others_be(sandbox: Sandbox) -> None:
    """207, and an error in its place."""
    async with asking(sandbox) as client:
        reply = await upsert(client, person(1), {"Email": "p2@example.com"}, person(3))
    assert reply.status_code == 207
    good, bad, other = reply.json()["data"]
    assert (good["status"], other["status"]) == ("success", "success")
    assert (bad["status"], bad["code"]) == ("error", "MANDATORY_NOT_FOUND")
    assert bad["details"] == {"api_name": "Last_Name", "json_path": "$.data[1].Last_Name"}
    assert len(held(sandbox)) == 2


@pytest.mark.parametrize("status", [202, 207])
async def test_the_status_of_a_partial_failure_is_a_setting(status: int) -> None:
    """The elements are what counts."""
    async with zoho(ZohoSettings(partial_status=status)) as (_, client):
        assert (await upsert(client, person(1), {})).status_code == status


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ({"Email": "no address"}, {"expected_data_type": "email"}),
        ({"Email": 7}, {"expected_data_type": "email"}),
        ({"First_Name": "x" * 41}, {"maximum_length": 40}),
        ({"Email_Opt_Out": "yes"}, {"expected_data_type": "boolean"}),
        ({"Date_of_Birth": "1.2.1990"}, {"expected_data_type": "date"}),
        ({"Salutation": "Sir"}, {"expected_data_type": "picklist"}),
        ({"Owner": "Patricia"}, {"expected_data_type": "ownerlookup"}),
    ],
)
async def test_a_value_that_does_not_fit_is_invalid_data(
    sandbox: Sandbox, value: dict[str, object], detail: dict[str, object]
) -> None:
    """By type, by length, or not among a picklist's options."""
    async with asking(sandbox) as client:
        (result,) = (await upsert(client, person(1) | value)).json()["data"]
    assert result["code"] == "INVALID_DATA"
    assert result["details"]["api_name"] == next(iter(value))
    assert detail.items() <= result["details"].items()
    assert not held(sandbox)


async def test_an_open_picklist_takes_any_value(sandbox: Sandbox) -> None:
    """Whether one does depends on the field; what is no field is ignored."""
    async with asking(sandbox) as client:
        reply = await upsert(client, person(1, Lead_Source="Fair", Nonsense=1))
    assert reply.status_code == 200
    assert held(sandbox)[0]["fields"] == person(1, Lead_Source="Fair")


async def test_null_clears_a_value_but_not_a_mandatory_one(sandbox: Sandbox) -> None:
    """What is not mentioned stays."""
    contact = sandbox.zoho.user.add(person(1, Phone="1", Title="Dr"))
    async with asking(sandbox) as client:
        cleared = {"data": [{"Phone": None}]}
        assert (await client.put(f"{CONTACTS}/{contact}", json=cleared)).status_code == 200
        assert held(sandbox)[0]["fields"] == person(1, Title="Dr")
        body = {"data": [{"id": contact, "Last_Name": None}]}
        (result,) = (await client.put(CONTACTS, json=body)).json()["data"]
    assert result["code"] == "MANDATORY_NOT_FOUND"


async def test_a_unique_field_refuses_what_another_contact_has(clock: MovableClock) -> None:
    """Found by one field and in the way of another: DUPLICATE_DATA."""
    async with zoho(ZohoSettings(unique_fields=("Phone",)), clock) as (sandbox, client):
        first = sandbox.zoho.user.add(person(1, Phone="1"))
        sandbox.zoho.user.add(person(2, Phone="2"))
        (result,) = (await upsert(client, person(2, Phone="1"))).json()["data"]
        assert result["code"] == "DUPLICATE_DATA"
        assert result["details"]["api_name"] == "Phone"
        assert result["details"]["id"] == first
        check = {"duplicate_check_fields": ["Phone", "Email"]}
        (result,) = (await upsert(client, person(3, Phone="1"), **check)).json()["data"]
        assert (result["details"]["id"], result["duplicate_field"]) == (first, "Phone")


async def test_an_email_may_be_there_twice(sandbox: Sandbox) -> None:
    """Nothing but an upsert looks for it, unless the field is set to be unique."""
    async with asking(sandbox) as client:
        reply = await client.post(CONTACTS, json={"data": [person(1), person(1)]})
    assert reply.status_code == 201
    assert len(held(sandbox)) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"data": [person(one) for one in range(101)]}, "LIMIT_EXCEEDED"),
        ({"data": []}, "MANDATORY_NOT_FOUND"),
        ({"data": {"Last_Name": "A"}}, "INVALID_DATA"),
        ({"data": [person(1)], "duplicate_check_fields": ["Title"]}, "INVALID_DATA"),
    ],
)
async def test_a_call_may_be_refused_as_a_whole(
    sandbox: Sandbox, body: dict[str, object], code: str
) -> None:
    """400, one error at the top, and nothing is written."""
    async with asking(sandbox) as client:
        refused = await client.post(UPSERT, json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert not held(sandbox)


async def test_a_locked_contact_is_an_outcome_of_its_own(sandbox: Sandbox) -> None:
    """By hand or by the dial; it passes."""
    contact = sandbox.zoho.user.add(person(1))
    sandbox.zoho.user.lock(contact)
    async with asking(sandbox) as client:
        (result,) = (await upsert(client, person(1))).json()["data"]
        assert (result["code"], result["details"]) == ("RECORD_LOCKED", {"id": contact})
        sandbox.zoho.user.unlock(contact)
        assert (await upsert(client, person(1))).status_code == 200
        sandbox.zoho.faults.settings = FaultSettings(locked_share=1)
        both = (await upsert(client, person(1), person(2))).json()["data"]
    assert [one["code"] for one in both] == ["RECORD_LOCKED", "SUCCESS"]


async def test_the_dial_rejects_some_addresses_always(sandbox: Sandbox) -> None:
    """The same ones, whatever the batch."""
    sandbox.zoho.faults.settings = FaultSettings(reject_share=0.5)
    async with asking(sandbox) as client:
        records = [person(number) for number in range(20)]
        first = (await upsert(client, *records)).json()["data"]
        second = (await upsert(client, *records)).json()["data"]
    codes = [one["code"] for one in first]
    assert codes == [one["code"] for one in second]
    assert set(codes) == {"SUCCESS", "INVALID_DATA"}


async def test_deletes_are_answered_each(sandbox: Sandbox) -> None:
    """By id, one or many."""
    ids = [sandbox.zoho.user.add(person(number)) for number in range(3)]
    async with asking(sandbox) as client:
        assert (await client.delete(f"{CONTACTS}/{ids[0]}")).status_code == 200
        mixed = await client.delete(CONTACTS, params={"ids": f"{ids[1]},1"})
    assert mixed.status_code == 207
    assert [one["status"] for one in mixed.json()["data"]] == ["success", "error"]
    assert [one["id"] for one in held(sandbox)] == ids[2:]


async def test_workflows_run_unless_the_trigger_is_empty(sandbox: Sandbox) -> None:
    """`trigger: []` stops them."""
    async with asking(sandbox) as client:
        await upsert(client, person(1))
        assert sandbox.zoho.organization.workflows_run == 0
        await client.post(UPSERT, json={"data": [person(2)]})
    assert sandbox.zoho.organization.workflows_run == 1


async def test_a_call_that_fails_may_have_been_applied(sandbox: Sandbox) -> None:
    """The shared faults hold here too; a 429 does not say when to come back."""
    async with asking(sandbox) as client:
        sandbox.zoho.faults.script(
            ScriptedFault(kind="status", status=429), ScriptedFault(kind="status", applied=True)
        )
        refused = await upsert(client, person(1))
        assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert "retry-after" not in refused.headers
        assert not held(sandbox)
        failed = await upsert(client, person(1))
        assert (failed.status_code, failed.json()["code"]) == (503, "INTERNAL_ERROR")
    assert len(held(sandbox)) == 1


async def test_fields_are_described_and_added(sandbox: Sandbox) -> None:
    """By label; the API's name is made of it. A label twice is DUPLICATE_DATA."""
    new = [
        {"field_label": "Loyalty Tier", "data_type": "picklist", "pick_list_values": []},
        {
            "field_label": "Loyalty Tier",
            "data_type": "picklist",
            "pick_list_values": [{"display_value": "Gold", "actual_value": "Gold"}],
        },
        {"field_label": "Email", "data_type": "text"},
        {"field_label": "Outer id", "data_type": "text", "length": 64},
    ]
    async with asking(sandbox) as client:
        reply = await client.post(FIELDS, params={"module": "Contacts"}, json={"fields": new})
        listed = (await client.get(FIELDS, params={"module": "Contacts"})).json()["fields"]
        refused = await client.get(FIELDS, params={"module": "Leads"})
        (result,) = (await upsert(client, person(1, Loyalty_Tier="Tin"))).json()["data"]
    codes = [one["code"] for one in reply.json()["fields"]]
    assert reply.status_code == 207
    assert codes == ["MANDATORY_NOT_FOUND", "SUCCESS", "DUPLICATE_DATA", "SUCCESS"]
    fields = {one["api_name"]: one for one in listed}
    assert fields["Loyalty_Tier"]["pick_list_values"][0]["actual_value"] == "Gold"
    assert (fields["Outer_id"]["length"], fields["Outer_id"]["custom_field"]) == (64, True)
    assert (fields["Last_Name"]["system_mandatory"], fields["id"]["read_only"]) == (True, True)
    assert refused.json()["code"] == "INVALID_MODULE"
    assert result["details"]["api_name"] == "Loyalty_Tier"


async def test_a_new_unique_field_identifies_contacts(sandbox: Sandbox) -> None:
    """From then on."""
    field = {"field_label": "Outer id", "data_type": "text", "unique": {"casesensitive": "false"}}
    async with asking(sandbox) as client:
        await client.post(FIELDS, params={"module": "Contacts"}, json={"fields": [field]})
        await upsert(client, person(1, Outer_id="x"))
        check = {"duplicate_check_fields": ["Outer_id"]}
        await upsert(client, person(2, Outer_id="X"), **check)
    assert [one["email"] for one in held(sandbox)] == ["p2@example.com"]
