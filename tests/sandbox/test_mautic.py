"""The simulated Mautic: batches, single contacts, pages and fields."""

from collections.abc import AsyncIterator

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.mautic import MauticSettings
from crmsync_server.sandbox.server import Sandbox
from tests.sandbox.conftest import MovableClock
from tests.sandbox.mautic_client import BATCH, asking, where, write

ANA = {"email": "ana@example.com", "firstname": "Ana", "company": "Acme"}
BEN = {"email": "ben@example.com", "firstname": "Ben"}
BAD = {"email": "not an address"}


@pytest.fixture
async def mautic(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of Mautic with good credentials."""
    async with asking(sandbox) as client:
        yield client


async def test_a_batch_creates_once_and_changes_by_email_after_that(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """The status of each record tells one from the other; the answer is 201 both times."""
    first = await write(mautic, ANA)
    again = await write(mautic, {**ANA, "email": "ANA@example.com", "firstname": "Anna"}, BEN)
    assert first["statusCodes"] == {"0": 201}
    assert again["statusCodes"] == {"0": 200, "1": 201}
    assert [one["fields"]["firstname"] for one in sandbox.mautic.contacts()] == ["Anna", "Ben"]
    counts = sandbox.mautic.calls.as_json()
    assert (counts["records_created"], counts["records_updated"]) == (2, 1)


async def test_201_is_the_answer_although_every_record_failed(mautic: httpx.AsyncClient) -> None:
    """What went wrong is told by the record's index."""
    body = await write(mautic, BAD, "no object")
    assert body["contacts"] == []
    assert body["statusCodes"] == {"0": 400, "1": 400}
    assert body["errors"]["0"]["details"]["email"]
    assert body["errors"]["1"]["code"] == 400


async def test_contacts_are_a_list_until_an_entry_fails(mautic: httpx.AsyncClient) -> None:
    """As PHP prints an array: a gap in its keys makes it an object."""
    assert isinstance((await write(mautic, ANA, BEN))["contacts"], list)
    held = (await write(mautic, ANA, BAD, BEN))["contacts"]
    assert held.keys() == {"0", "2"}
    assert held["2"]["fields"]["all"]["email"] == "ben@example.com"


async def test_one_record_too_many_is_a_500_and_nothing_is_applied(clock: MovableClock) -> None:
    """The status says nothing of a fault that may pass."""
    async with (
        Sandbox(mautic=MauticSettings(batch_limit=2), clock=clock) as sandbox,
        asking(sandbox) as client,
    ):
        reply = await client.post(BATCH, json=[ANA, BEN, BAD])
        assert reply.status_code == 500
        assert reply.json()["errors"][0]["message"].startswith("A max of 2 entities")
        assert not list(sandbox.mautic.contacts())


async def test_empty_values_are_skipped_unless_told_otherwise(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """And so are zeros; what is not named stays."""
    await write(mautic, ANA)
    await write(mautic, {"email": "ana@example.com", "company": "", "firstname": "0"})
    (held,) = sandbox.mautic.contacts()
    assert held["fields"] == ANA
    await write(mautic, {"email": "ana@example.com", "company": "", "overwriteWithBlank": True})
    (held,) = sandbox.mautic.contacts()
    assert held["fields"] == {"email": "ana@example.com", "firstname": "Ana"}


async def test_an_alias_without_a_field_is_dropped_without_a_word(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Once there is such a field, it is kept."""
    await write(mautic, {**ANA, "shoe_size": "44"})
    (held,) = sandbox.mautic.contacts()
    assert "shoe_size" not in held["fields"]
    field = {"label": "Shoe size", "alias": "shoe_size", "type": "number"}
    assert (await mautic.post("/api/fields/contact/new", json=field)).status_code == 201
    assert (await mautic.post("/api/fields/contact/new", json=field)).status_code == 400
    await write(mautic, {**ANA, "shoe_size": "44"})
    (held,) = sandbox.mautic.contacts()
    assert held["fields"]["shoe_size"] == "44"


async def test_tags_are_added_and_those_with_a_dash_removed(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """Other tags stay."""
    await write(mautic, {**ANA, "tags": ["vip", "lead"]})
    await write(mautic, {**ANA, "tags": ["-vip", "won"]})
    (held,) = sandbox.mautic.contacts()
    assert held["tags"] == ["lead", "won"]


async def test_a_page_is_an_object_by_id_and_an_empty_one_a_list(
    mautic: httpx.AsyncClient,
) -> None:
    """The total is text."""
    assert (await mautic.get("/api/contacts")).json() == {"total": "0", "contacts": []}
    await write(mautic, ANA, BEN)
    page = (await mautic.get("/api/contacts", params={"limit": "1", "start": "1"})).json()
    assert page["total"] == "2"
    assert page["contacts"].keys() == {"2"}


async def test_contacts_are_found_by_conditions_and_by_search(
    mautic: httpx.AsyncClient, clock: MovableClock
) -> None:
    """A contact that was never changed has no date of modification."""
    await write(mautic, ANA, BEN)
    clock.move(hours=1)
    await write(mautic, {**BEN, "firstname": "Benjamin"})
    for query, found in (
        (where("email", "in", 'BEN@example.com,"x,y@example.com"'), ["2"]),
        (where("id", "gt", "1"), ["2"]),
        (where("dateModified", "gt", "2026-03-02 12:00:00"), ["2"]),
        (where("dateModified", "isNull", ""), ["1"]),
        ({"search": "email:ana@example.com"}, ["1"]),
        ({"orderBy": "id", "orderByDir": "desc"}, ["2", "1"]),
    ):
        page = (await mautic.get("/api/contacts", params=query)).json()
        assert list(page["contacts"]) == found
    assert (await mautic.get("/api/contacts", params=where("id", "near", "1"))).status_code == 500


async def test_patch_changes_what_it_names_and_put_blanks_the_rest(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """An id that is gone is a 404."""
    await write(mautic, ANA)
    edit = "/api/contacts/1/edit"
    assert (await mautic.patch(edit, json={"email": "ann@example.com"})).status_code == 200
    (held,) = sandbox.mautic.contacts()
    assert held["fields"] == {**ANA, "email": "ann@example.com"}
    await mautic.put(edit, json=BEN)
    (held,) = sandbox.mautic.contacts()
    assert held["fields"] == BEN
    assert (await mautic.delete("/api/contacts/1/delete")).status_code == 200
    assert (await mautic.patch(edit, json=BEN)).status_code == 404
    assert (await mautic.get("/api/contacts/1")).status_code == 404


async def test_an_edit_to_an_address_that_is_taken_merges(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """The one that is edited stays, with what only the other had."""
    await write(mautic, ANA, BEN)
    await mautic.patch("/api/contacts/2/edit", json={"email": "ana@example.com"})
    (held,) = sandbox.mautic.contacts()
    assert held["id"] == 2
    assert held["fields"] == {**ANA, "firstname": "Ben"}


async def test_rejected_records_are_named_by_index_or_sink_the_batch(
    mautic: httpx.AsyncClient, sandbox: Sandbox
) -> None:
    """A plugin that refuses the whole batch names nobody, and then nothing is applied."""
    sandbox.mautic.faults.settings = FaultSettings(reject_share=1)
    assert (await write(mautic, ANA))["errors"]["0"]["code"] == 400
    sandbox.mautic.faults.settings = FaultSettings(reject_share=1, unnamed_culprits=True)
    assert (await mautic.post(BATCH, json=[ANA])).status_code == 400
    assert not list(sandbox.mautic.contacts())


@pytest.mark.parametrize("body", ["no json", "{}"])
async def test_a_batch_that_is_no_array_is_refused(mautic: httpx.AsyncClient, body: str) -> None:
    """With 400 and Mautic's error body."""
    reply = await mautic.post(BATCH, content=body)
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["code"] == 400
