"""Brevo's imports: accepted, applied later, accounted for in report files."""

import asyncio
import csv
import io
import json
from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.faults import FaultSettings
from crmsync_server.sandbox.server import Sandbox

IMPORT = "/v3/contacts/import"


async def start_import(
    brevo: httpx.AsyncClient,
    *rows: dict[str, Any],
    **options: Any,  # noqa: ANN401 - any JSON
) -> int:
    """Start an import and return the id of its process."""
    body = {"listIds": [2], "jsonBody": list(rows), **options}
    answer = await brevo.post(IMPORT, json=body)
    assert answer.status_code == 202
    return int(answer.json()["processId"])


async def wait_for(brevo: httpx.AsyncClient, process: int) -> dict[str, Any]:
    """Ask for a process until it has ended."""
    async with asyncio.timeout(5):
        while True:
            answer: dict[str, Any] = (await brevo.get(f"/v3/processes/{process}")).json()
            if answer["status"] not in {"queued", "in_process"}:
                return answer


async def run_import(
    brevo: httpx.AsyncClient,
    *rows: dict[str, Any],
    **options: Any,  # noqa: ANN401 - any JSON
) -> dict[str, list[str]]:
    """Run an import to its end and return the emails in those reports that have any."""
    process = await start_import(brevo, *rows, **options)
    urls = (await wait_for(brevo, process))["info"]["import"]
    reports = {}
    for name, url in urls.items():
        text = (await brevo.get(url)).text
        reports[name] = [row["EMAIL"] for row in csv.DictReader(io.StringIO(text), delimiter=";")]
    return {name: emails for name, emails in reports.items() if emails}


async def held(brevo: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return what the account holds, by email."""
    contacts = (await brevo.get("/_sandbox/contacts")).json()
    return {contact["email"]: contact for contact in contacts}


async def test_an_import_creates_and_updates(brevo: httpx.AsyncClient) -> None:
    """A contact that exists keeps what the row does not mention."""
    await brevo.post("/v3/contacts", json={"email": "a@x.com", "attributes": {"CITY": "York"}})
    rows = [{"email": name, "attributes": {"FIRSTNAME": "É"}} for name in ("A@x.com", "b@x.com")]
    assert await run_import(brevo, *rows) == {}
    contacts = await held(brevo)
    assert contacts["a@x.com"]["attributes"] == {"CITY": "York", "FIRSTNAME": "É"}
    assert contacts["b@x.com"]["listIds"] == [2]
    assert [contacts["a@x.com"][key] for key in ("times_created", "times_updated")] == [1, 1]


async def test_accepted_does_not_mean_written(sandbox: Sandbox) -> None:
    """While an import waits, nothing of it is held and there are no reports."""
    settings = BrevoSettings(import_base_seconds=3600)
    async with (
        Sandbox(brevo=settings) as slow,
        httpx.AsyncClient(
            base_url=slow.urls["brevo"].removesuffix("/v3"),
            headers={"api-key": sandbox.brevo.settings.api_key},
        ) as brevo,
    ):
        process = await start_import(brevo, {"email": "a@x.com"})
        answer = (await brevo.get(f"/v3/processes/{process}")).json()
        assert answer["status"] in {"queued", "in_process"}
        assert "info" not in answer
        assert await held(brevo) == {}


async def test_rows_that_were_left_out_are_in_the_reports(brevo: httpx.AsyncClient) -> None:
    """A completed import accounts for every row that it did not apply."""
    await brevo.post(
        "/v3/contacts",
        json={"email": "a@x.com", "ext_id": "7", "attributes": {"SMS": "447700900001"}},
    )
    reports = await run_import(
        brevo,
        {"email": "good@x.com"},
        {"email": "GOOD@x.com"},
        {"email": "no-at-sign"},
        {"email": "ext@x.com", "ext_id": "7"},
        {"email": "phone@x.com", "attributes": {"SMS": "+447700900001"}},
        {"email": "badphone@x.com", "attributes": {"SMS": "12"}},
    )
    assert reports == {
        "invalid_emails": ["no-at-sign", "badphone@x.com"],
        "duplicate_email_id": ["GOOD@x.com"],
        "duplicate_ext_id": ["ext@x.com"],
        "duplicate_phone_id": ["phone@x.com"],
    }
    assert list(await held(brevo)) == ["a@x.com", "good@x.com"]


async def test_rejected_rows_are_reported_as_invalid(
    sandbox: Sandbox, brevo: httpx.AsyncClient
) -> None:
    """The dial's rejected share applies to imports too."""
    sandbox.brevo.faults.settings = FaultSettings(reject_share=0.3)
    rows = [{"email": f"p{number}@x.com"} for number in range(100)]
    rejected = (await run_import(brevo, *rows))["invalid_emails"]
    assert 10 < len(rejected) < 50
    assert (await held(brevo)).keys() == {row["email"] for row in rows} - set(rejected)


@pytest.mark.parametrize(("erase", "city"), [(False, "York"), (True, "")])
async def test_blanks_erase_only_when_asked_to(
    brevo: httpx.AsyncClient, *, erase: bool, city: str
) -> None:
    """EmptyContactsAttributes decides."""
    await brevo.post("/v3/contacts", json={"email": "a@x.com", "attributes": {"CITY": "York"}})
    row = {"email": "a@x.com", "attributes": {"CITY": ""}}
    await run_import(brevo, row, emptyContactsAttributes=erase)
    assert (await held(brevo))["a@x.com"]["attributes"]["CITY"] == city


async def test_an_import_never_clears_a_blacklisting(brevo: httpx.AsyncClient) -> None:
    """Even one that says emailBlacklist: false."""
    await brevo.post("/v3/contacts", json={"email": "a@x.com", "emailBlacklisted": True})
    await run_import(brevo, {"email": "a@x.com"}, emailBlacklist=False)
    assert (await held(brevo))["a@x.com"]["emailBlacklisted"] is True


async def test_unknown_attributes_are_dropped_without_a_word(brevo: httpx.AsyncClient) -> None:
    """No report mentions them."""
    row = {"email": "a@x.com", "attributes": {"SHOE_SIZE": 42, "CITY": "York"}}
    assert await run_import(brevo, row) == {}
    assert (await held(brevo))["a@x.com"]["attributes"] == {"CITY": "York"}


async def test_a_file_body_is_csv_separated_by_semicolons(brevo: httpx.AsyncClient) -> None:
    """Its columns are attributes."""
    text = "EMAIL;CITY\na@x.com;York\n"
    answer = await brevo.post(IMPORT, json={"listIds": [2], "fileBody": text})
    await wait_for(brevo, answer.json()["processId"])
    assert (await held(brevo))["a@x.com"]["attributes"] == {"CITY": "York"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"jsonBody": [{"email": "a@x.com"}]}, "missing_parameter"),
        ({"listIds": [2]}, "missing_parameter"),
        ({"listIds": [2], "jsonBody": ["a@x.com"]}, "invalid_parameter"),
        ({"listIds": "2", "jsonBody": []}, "invalid_parameter"),
        ({"listIds": [2], "jsonBody": [], "notifyUrl": 7}, "invalid_parameter"),
    ],
)
async def test_an_import_needs_a_list_and_rows(
    brevo: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    """It is refused at once, not in a report."""
    answer = await brevo.post(IMPORT, json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == code


async def test_an_import_over_ten_megabytes_is_refused(brevo: httpx.AsyncClient) -> None:
    """The limit is on the body."""
    answer = await brevo.post(IMPORT, content=b" " * (10 * 1024 * 1024 + 1))
    assert answer.status_code == 400
    assert answer.json()["code"] == "out_of_range"


class Callbacks:
    """Listens for notifications and keeps their bodies in order."""

    def __init__(self) -> None:
        """Start with none received."""
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one notification."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self.received.put(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_the_notify_url_is_called_when_the_import_has_ended(
    sandbox: Sandbox, brevo: httpx.AsyncClient
) -> None:
    """One POST, naming the process; it can be lost."""
    callbacks = Callbacks()
    async with await asyncio.start_server(callbacks.take, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/done"
        sandbox.brevo.faults.settings = FaultSettings(lost_notification_rate=1)
        await run_import(brevo, {"email": "a@x.com"}, notifyUrl=url)
        sandbox.brevo.faults.settings = FaultSettings()
        told = await start_import(brevo, {"email": "a@x.com"}, notifyUrl=url)
        call = json.loads(await asyncio.wait_for(callbacks.received.get(), 5))
    assert call["id"] == told
    assert call["status"] == "completed"


async def test_a_reset_forgets_the_imports_that_wait(brevo: httpx.AsyncClient) -> None:
    """Imports are applied in order, so the later one shows that the earlier was left out."""
    for _ in range(3):
        await start_import(brevo, *({"email": f"old{number}@x.com"} for number in range(2000)))
    await brevo.post("/_sandbox/reset")
    await run_import(brevo, {"email": "new@x.com"})
    assert list(await held(brevo)) == ["new@x.com"]


async def test_an_unreachable_notify_url_does_not_stop_later_imports(
    brevo: httpx.AsyncClient,
) -> None:
    """The import has completed all the same."""
    await start_import(brevo, {"email": "a@x.com"}, notifyUrl="http://127.0.0.1:1/")
    assert await run_import(brevo, {"email": "b@x.com"}) == {}
    assert (await held(brevo)).keys() == {"a@x.com", "b@x.com"}


async def test_an_import_may_fail_as_a_whole(sandbox: Sandbox, brevo: httpx.AsyncClient) -> None:
    """It has no reports, and nothing of it is held."""
    sandbox.brevo.faults.settings = FaultSettings(failed_import_rate=1)
    process = await start_import(brevo, {"email": "a@x.com"})
    assert (await wait_for(brevo, process)) == {
        "id": process,
        "status": "failed",
        "name": "import",
    }
    assert await held(brevo) == {}


async def test_an_import_cut_off_by_a_stop_is_finished_after_the_next_start() -> None:
    """What was accepted is not forgotten."""
    sandbox = Sandbox(brevo=BrevoSettings(import_base_seconds=0.2, others_per_hour=100_000))
    headers = {"api-key": sandbox.brevo.settings.api_key}
    async with sandbox:
        url = sandbox.urls["brevo"].removesuffix("/v3")
        async with httpx.AsyncClient(base_url=url, headers=headers) as brevo:
            process = await start_import(brevo, {"email": "a@x.com"})
    async with sandbox:
        url = sandbox.urls["brevo"].removesuffix("/v3")
        async with httpx.AsyncClient(base_url=url, headers=headers) as brevo:
            assert (await wait_for(brevo, process))["status"] == "completed"
            assert list(await held(brevo)) == ["a@x.com"]
