"""The simulated Zoho's bulk read."""

import csv
import io
import zipfile
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from tests.sandbox.conftest import MovableClock
from tests.sandbox.zoho_client import BULK, asking, person, zoho


async def start(client: httpx.AsyncClient, **query: object) -> str:
    """Start a job, and return its id."""
    body = {"query": {"module": {"api_name": "Contacts"}, **query}, "file_type": "csv"}
    reply = await client.post(BULK, json=body)
    assert reply.status_code == 201, reply.text
    (job,) = reply.json()["data"]
    assert (job["code"], job["details"]["state"]) == ("ADDED_SUCCESSFULLY", "ADDED")
    return str(job["details"]["id"])


async def state(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """Return how far a job is."""
    (shown,) = (await client.get(f"{BULK}/{job}")).json()["data"]
    found: dict[str, Any] = shown
    return found


async def rows(client: httpx.AsyncClient, job: str) -> list[dict[str, str]]:
    """Return the rows of a job that is completed."""
    url = (await state(client, job))["result"]["download_url"]
    reply = await client.get(url)
    archive = zipfile.ZipFile(io.BytesIO(reply.content))
    assert archive.namelist() == [f"{job}.csv"]
    return list(csv.DictReader(io.StringIO(archive.read(f"{job}.csv").decode())))


async def test_a_job_takes_its_time_and_then_has_a_file(
    sandbox: Sandbox, clock: MovableClock
) -> None:
    """A zip with one CSV file, which is there for a day."""
    ids = [sandbox.zoho.user.add(person(1, Title='a "b", c')), sandbox.zoho.user.add(person(2))]
    async with asking(sandbox) as client:
        job = await start(client, fields=["Email", "Title", "Owner", "Modified_Time"])
        assert (await client.get(f"{BULK}/{job}/result")).status_code == 404
        clock.move(seconds=6)
        waiting = await state(client, job)
        assert (waiting["state"], "result" in waiting) == ("IN PROGRESS", False)
        clock.move(seconds=4)
        done = await state(client, job)
        assert (done["state"], done["result"]["count"]) == ("COMPLETED", 2)
        first, second = await rows(client, job)
    assert list(first) == ["Id", "Email", "Title", "Owner", "Modified_Time"]
    assert (first["Id"], first["Title"], second["Title"]) == (ids[0], 'a "b", c', "")
    assert first["Owner"] == "554023000000235012"
    clock.move(days=1)
    async with asking(sandbox) as client:
        gone = await client.get(f"{BULK}/{job}/result")
    assert (gone.status_code, gone.json()["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_a_large_organization_is_read_page_by_page(clock: MovableClock) -> None:
    """By number or by token, each page a job of its own."""
    async with zoho(ZohoSettings(bulk_page_size=2, bulk_seconds=0), clock) as (sandbox, client):
        ids = sandbox.zoho.user.load(person(number) for number in range(3))
        first = await start(client, fields=["Email"])
        result = (await state(client, first))["result"]
        assert (result["count"], result["more_records"]) == (2, True)
        second = await start(client, fields=["Email"], page_token=result["next_page_token"])
        assert [one["Id"] for one in await rows(client, second)] == ids[2:]
        assert (await state(client, second))["result"]["more_records"] is False


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"api_name": "Title", "comparator": "equal", "value": "a"}, [1]),
        ({"field": {"api_name": "Title"}, "comparator": "in", "value": ["a", "b"]}, [1, 2]),
        (
            {
                "api_name": "Modified_Time",
                "comparator": "between",
                "value": ["2026-03-02T12:00:01+00:00", "2026-03-02T12:00:09+00:00"],
            },
            [3],
        ),
        (
            {
                "group_operator": "or",
                "group": [
                    {"api_name": "Title", "comparator": "equal", "value": "b"},
                    {"api_name": "Last_Name", "comparator": "equal", "value": "P3"},
                ],
            },
            [2, 3],
        ),
    ],
)
async def test_criteria_choose_what_is_read(
    clock: MovableClock, criteria: dict[str, object], expected: list[int]
) -> None:
    """In groups, down to one comparison."""
    async with zoho(ZohoSettings(bulk_seconds=0), clock) as (sandbox, client):
        sandbox.zoho.user.load([person(1, Title="a"), person(2, Title="b")])
        clock.move(seconds=1)
        sandbox.zoho.user.load([person(3)])
        found = await rows(client, await start(client, criteria=criteria))
    assert [one["Last_Name"] for one in found] == [f"P{number}" for number in expected]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MANDATORY_NOT_FOUND"),
        ({"query": {"module": "Leads"}}, "MODULE_NOT_AVAILABLE"),
        ({"query": {"module": "Contacts", "fields": ["Nonsense"]}}, "INVALID_DATA"),
        ({"query": {"module": "Contacts", "page": 0.5}}, "INVALID_DATA"),
        ({"query": {"module": "Contacts", "criteria": 1}}, "INVALID_CRITERIA"),
        (
            {"query": {"module": "Contacts", "criteria": {"api_name": "Nonsense"}}},
            "FIELD_IN_CRITERIA_NOT_AVAILABLE",
        ),
        (
            {
                "query": {
                    "module": "Contacts",
                    "criteria": {"api_name": "id", "comparator": "equal", "value": "x"},
                }
            },
            "INVALID_CRITERIA",
        ),
        (
            {"query": {"module": "Contacts"}, "callback": {"url": "http://127.0.0.1/"}},
            "NOT_SUPPORTED_FEATURE",
        ),
    ],
)
async def test_a_job_that_will_not_do_is_refused(
    sandbox: Sandbox, body: dict[str, object], code: str
) -> None:
    """Before it takes any time."""
    async with asking(sandbox) as client:
        refused = await client.post(BULK, json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, code)
        assert (await client.get(f"{BULK}/1")).status_code == 404


async def test_ten_downloads_a_minute_are_enough(clock: MovableClock) -> None:
    """The eleventh is a 429."""
    async with zoho(ZohoSettings(bulk_seconds=0), clock) as (_, client):
        job = await start(client)
        found = [(await client.get(f"{BULK}/{job}/result")).status_code for _ in range(11)]
        clock.move(minutes=1)
        found.append((await client.get(f"{BULK}/{job}/result")).status_code)
    assert found == [200] * 10 + [429, 200]
