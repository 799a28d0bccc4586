"""Running the sandbox: ports, stopping, inspection and reset."""

import asyncio
import signal
import time
from contextlib import suppress

import httpx
import pytest

from crmsync_server.sandbox.brevo import BrevoSettings
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox

BATCH = "/crm/v3/objects/contacts/batch/upsert"
ACCOUNT = "/account-info/v3/details"


async def test_each_crm_listens_on_loopback_under_its_own_port(sandbox: Sandbox) -> None:
    """`urls` says where each API begins."""
    hubspot, brevo = (httpx.URL(sandbox.urls[name]) for name in ("hubspot", "brevo"))
    assert (hubspot.host, brevo.host) == ("127.0.0.1", "127.0.0.1")
    assert hubspot.port != brevo.port
    assert brevo.path == "/v3"


async def test_a_taken_port_is_an_error_and_leaves_nothing_listening() -> None:
    """The process goes on."""
    async with Sandbox() as first:
        taken = httpx.URL(first.urls["brevo"]).port
        assert taken is not None
        second = Sandbox(ports={"brevo": taken})
        with pytest.raises(OSError, match="in use"):
            await second.start()
        assert second.urls == {}


async def test_signal_handlers_stay_with_their_owner(sandbox: Sandbox) -> None:
    """Whoever runs the sandbox decides what SIGTERM does."""
    assert sandbox.urls
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("turns", range(5))
async def test_nobody_who_comes_while_it_stops_is_left_waiting(turns: int) -> None:
    """However far the stop has come: a connection is refused or closed, and not answered."""
    sandbox = Sandbox()
    await sandbox.start()
    port = httpx.URL(sandbox.urls["hubspot"]).port
    coming = [asyncio.create_task(asyncio.open_connection("127.0.0.1", port)) for _ in range(20)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await sandbox.stop()
    for one in await asyncio.gather(*coming, return_exceptions=True):
        if isinstance(one, BaseException):
            assert isinstance(one, OSError)
            continue
        reader, writer = one
        with suppress(OSError):
            writer.write(b"GET /_sandbox/script HTTP/1.1\r\nhost: x\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize("kind", ["hang", "delay"])
async def test_a_stop_does_not_wait_for_a_request_that_hangs(kind: str) -> None:
    """It is cut off, or answered early."""
    sandbox = Sandbox()
    await sandbox.start()
    fault = {"kind": kind, "applied": True, "delay_seconds": 3600 if kind == "delay" else 0}
    sandbox.hubspot.faults.script(ScriptedFault.model_validate(fault))
    headers = {"Authorization": f"Bearer {sandbox.hubspot.settings.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        asking = asyncio.create_task(client.get(sandbox.urls["hubspot"] + ACCOUNT))
        async with asyncio.timeout(5):
            while (await client.get(sandbox.urls["hubspot"] + "/_sandbox/script")).json():
                continue
        started = time.monotonic()
        await sandbox.stop()
        assert time.monotonic() - started < 3
        (answer,) = await asyncio.gather(asking, return_exceptions=True)
    if kind == "hang":
        assert isinstance(answer, httpx.RemoteProtocolError)
    else:
        assert isinstance(answer, httpx.Response)


async def test_what_is_held_outlives_a_stop() -> None:
    """A CRM that was away comes back with its contacts."""
    sandbox = Sandbox()
    body = {"properties": {"email": "ada@example.com"}}
    headers = {"Authorization": f"Bearer {sandbox.hubspot.settings.token}"}
    async with sandbox, httpx.AsyncClient(headers=headers) as client:
        await client.post(sandbox.urls["hubspot"] + "/crm/v3/objects/contacts", json=body)
    async with sandbox, httpx.AsyncClient(headers=headers) as client:
        answer = await client.get(sandbox.urls["hubspot"] + "/_sandbox/contacts")
    assert [contact["email"] for contact in answer.json()] == ["ada@example.com"]


async def test_calls_are_counted_by_path_template_status_and_kind(
    hubspot: httpx.AsyncClient,
) -> None:
    """Requests that got no answer are counted as what became of them."""
    inputs = [
        {"id": f"p{number}@x.com", "idProperty": "email", "properties": {}} for number in (1, 2)
    ]
    for _ in range(2):
        await hubspot.post(BATCH, json={"inputs": inputs})
    await hubspot.get("/crm/v3/objects/contacts/999")
    await hubspot.post("/_sandbox/script", json={"kind": "drop", "applied": True})
    with pytest.raises(httpx.RemoteProtocolError):
        await hubspot.post(BATCH, json={"inputs": inputs[:1]})
    calls = (await hubspot.get("/_sandbox/calls")).json()
    assert [(call["path"], call["status"], call["count"]) for call in calls["calls"]] == [
        ("/crm/v3/objects/contacts/{id}", "404", 1),
        (BATCH, "200", 2),
        (BATCH, "drop_after_applying", 1),
    ]
    assert (calls["reads"], calls["writes"]) == (1, 3)
    assert (calls["records_created"], calls["records_updated"]) == (2, 3)


async def test_every_write_to_a_contact_is_counted(hubspot: httpx.AsyncClient) -> None:
    """A delivery made twice shows."""
    item = {"id": "a@x.com", "idProperty": "email", "properties": {"city": "York"}}
    for _ in range(3):
        await hubspot.post(BATCH, json={"inputs": [item]})
    (contact,) = (await hubspot.get("/_sandbox/contacts")).json()
    assert (contact["times_created"], contact["times_updated"]) == (1, 2)


async def test_a_reset_empties_a_crm(hubspot: httpx.AsyncClient) -> None:
    """Contacts, counts and scripted faults go; the dial stays."""
    item = {"id": "a@x.com", "idProperty": "email", "properties": {}}
    await hubspot.put("/_sandbox/faults", json={"reject_share": 0.5, "seed": 2})
    await hubspot.post(BATCH, json={"inputs": [item]})
    await hubspot.post("/_sandbox/script", json={"kind": "hang"})
    assert (await hubspot.post("/_sandbox/reset")).status_code == 204
    assert (await hubspot.get("/_sandbox/contacts")).json() == []
    assert (await hubspot.get("/_sandbox/calls")).json()["total"] == 0
    assert (await hubspot.get("/_sandbox/script")).json() == []
    assert (await hubspot.get("/_sandbox/faults")).json()["reject_share"] == 0.5


async def test_ten_thousand_contacts_are_listed_whole() -> None:
    """And the load costs the simulators little: under five seconds of processor time for both."""
    settings = BrevoSettings(import_base_seconds=0, import_seconds_per_row=0)
    started = time.process_time()
    async with (
        Sandbox(hubspot=HubSpotSettings(), brevo=settings) as sandbox,
        httpx.AsyncClient(timeout=30) as client,
    ):
        token = sandbox.hubspot.settings.token
        for start in range(0, 10_000, 100):
            inputs = [
                {"id": f"p{number}@x.com", "idProperty": "email", "properties": {"city": "York"}}
                for number in range(start, start + 100)
            ]
            await client.post(
                sandbox.urls["hubspot"] + BATCH,
                json={"inputs": inputs},
                headers={"Authorization": f"Bearer {token}"},
            )
        rows = [{"email": f"p{number}@x.com"} for number in range(10_000)]
        await client.post(
            sandbox.urls["brevo"] + "/contacts/import",
            json={"listIds": [1], "jsonBody": rows},
            headers={"api-key": settings.api_key},
        )
        async with asyncio.timeout(10):
            calls = sandbox.urls["brevo"].removesuffix("/v3") + "/_sandbox/calls"
            while (await client.get(calls)).json()["records_created"] < 10_000:
                continue
        for name in ("hubspot", "brevo"):
            url = sandbox.urls[name].removesuffix("/v3")
            listed = await client.get(url + "/_sandbox/contacts")
            assert len({contact["email"] for contact in listed.json()}) == 10_000
    assert time.process_time() - started < 5
