"""The fault dial over HTTP: what a client meets, and what the CRM did meanwhile."""

from typing import Any

import httpx
import pytest

from crmsync_server.sandbox.faults import FaultDial, FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox

ACCOUNT = "/account-info/v3/details"
CONTACTS = "/crm/v3/objects/contacts"
ADA = {"properties": {"email": "ada@example.com"}}


async def emails(client: httpx.AsyncClient) -> list[str]:
    """Return the addresses that the CRM holds."""
    return [contact["email"] for contact in (await client.get("/_sandbox/contacts")).json()]


async def script(client: httpx.AsyncClient, **fault: Any) -> None:  # noqa: ANN401 - any JSON
    """Script one fault over HTTP."""
    answer = await client.post("/_sandbox/script", json=fault)
    assert answer.status_code == 200


@pytest.mark.parametrize("applied", [False, True])
async def test_a_dropped_request_gets_no_answer_whether_or_not_it_was_applied(
    hubspot: httpx.AsyncClient, *, applied: bool
) -> None:
    """The client cannot tell the difference; the state can."""
    await script(hubspot, kind="drop", applied=applied)
    with pytest.raises(httpx.RemoteProtocolError):
        await hubspot.post(CONTACTS, json=ADA)
    assert await emails(hubspot) == (["ada@example.com"] if applied else [])


@pytest.mark.parametrize("applied", [False, True])
async def test_a_hanging_request_outlasts_the_clients_patience(
    hubspot: httpx.AsyncClient, *, applied: bool
) -> None:
    """It too may have been applied."""
    await script(hubspot, kind="hang", applied=applied)
    with pytest.raises(httpx.ReadTimeout):
        await hubspot.post(CONTACTS, json=ADA, timeout=0.2)
    assert await emails(hubspot) == (["ada@example.com"] if applied else [])


@pytest.mark.parametrize("status", [423, 477, 500, 502, 503, 504])
async def test_a_scripted_status_has_the_crms_body(hubspot: httpx.AsyncClient, status: int) -> None:
    """With Retry-After when asked for."""
    await script(hubspot, kind="status", status=status, retry_after_seconds=7)
    answer = await hubspot.post(CONTACTS, json=ADA)
    assert answer.status_code == status
    assert answer.headers["Retry-After"] == "7"
    assert answer.json().keys() >= {"status", "message", "correlationId", "category"}
    assert await emails(hubspot) == []


async def test_a_gateway_error_may_hide_a_write_that_was_applied(
    hubspot: httpx.AsyncClient,
) -> None:
    """A 504 says nothing about what happened."""
    await script(hubspot, kind="status", status=504, applied=True)
    assert (await hubspot.post(CONTACTS, json=ADA)).status_code == 504
    assert await emails(hubspot) == ["ada@example.com"]


async def test_a_scripted_429_names_its_policy(hubspot: httpx.AsyncClient) -> None:
    """DAILY and TEN_SECONDLY_ROLLING call for different waits."""
    await script(hubspot, kind="status", status=429, policy="DAILY")
    answer = await hubspot.get(ACCOUNT)
    assert answer.json()["policyName"] == "DAILY"
    assert answer.json()["errorType"] == "RATE_LIMIT"


async def test_a_brevo_429_tells_the_seconds_in_brevos_header(brevo: httpx.AsyncClient) -> None:
    """There is no Retry-After."""
    await script(brevo, kind="status", status=429, retry_after_seconds=7)
    answer = await brevo.get("/v3/contacts")
    assert answer.status_code == 429
    assert answer.headers["x-sib-ratelimit-reset"] == "7"
    assert "Retry-After" not in answer.headers


async def test_a_scripted_fault_waits_for_its_request_and_lasts_its_times(
    hubspot: httpx.AsyncClient,
) -> None:
    """Other requests pass it by."""
    await script(hubspot, kind="status", status=503, method="POST", path="*/batch/*", times=2)
    assert (await hubspot.get(ACCOUNT)).status_code == 200
    batch = f"{CONTACTS}/batch/create"
    answers = [await hubspot.post(batch, json={"inputs": [ADA]}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 201]
    assert (await hubspot.get("/_sandbox/script")).json() == []


async def test_a_script_can_be_cleared(hubspot: httpx.AsyncClient) -> None:
    """Nothing of it is left."""
    await script(hubspot, faults=[{"kind": "drop"}, {"kind": "hang"}])
    assert len((await hubspot.get("/_sandbox/script")).json()) == 2
    await hubspot.delete("/_sandbox/script")
    assert (await hubspot.get(ACCOUNT)).status_code == 200


async def test_the_dial_is_set_whole_by_put_and_in_part_by_patch(
    hubspot: httpx.AsyncClient,
) -> None:
    """What PUT does not name goes back to its default."""
    await hubspot.put("/_sandbox/faults", json={"throttle_rate": 1})
    assert (await hubspot.get(ACCOUNT)).status_code == 429
    await hubspot.patch("/_sandbox/faults", json={"latency_seconds": 0.01})
    dial = (await hubspot.get("/_sandbox/faults")).json()
    assert [dial["throttle_rate"], dial["latency_seconds"]] == [1, 0.01]
    await hubspot.put("/_sandbox/faults", json={})
    assert (await hubspot.get(ACCOUNT)).status_code == 200


@pytest.mark.parametrize(
    "dial",
    [{"throttle_rate": 2}, {"hang_rate": 0.6, "drop_rate": 0.6}, {"warp": 1}, ["throttle_rate"]],
)
async def test_an_impossible_dial_is_refused_and_the_old_one_kept(
    hubspot: httpx.AsyncClient, dial: object
) -> None:
    """The message says which field."""
    await hubspot.put("/_sandbox/faults", json={"throttle_rate": 1})
    assert (await hubspot.put("/_sandbox/faults", json=dial)).status_code == 400
    assert (await hubspot.get("/_sandbox/faults")).json()["throttle_rate"] == 1


async def test_latency_delays_the_answer(sandbox: Sandbox, hubspot: httpx.AsyncClient) -> None:
    """By about as much as was set."""
    sandbox.hubspot.faults.settings = FaultSettings(latency_seconds=0.1)
    answer = await hubspot.get(ACCOUNT)
    assert answer.elapsed.total_seconds() >= 0.1


async def test_a_scripted_delay_is_followed_by_the_right_answer(
    hubspot: httpx.AsyncClient,
) -> None:
    """Late is not wrong."""
    await script(hubspot, kind="delay", delay_seconds=0.1)
    answer = await hubspot.get(ACCOUNT)
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.1


def test_one_seed_gives_one_sequence_of_faults() -> None:
    """A run that failed can be repeated."""
    settings = FaultSettings(throttle_rate=0.2, server_error_rate=0.3, drop_rate=0.1, seed=5)
    first, second = FaultDial(settings), FaultDial(settings)
    drawn = [first.draw("GET", "/") for _ in range(500)]
    assert drawn == [second.draw("GET", "/") for _ in range(500)]
    statuses = [fault.status for fault in drawn if fault and fault.kind == "status"]
    assert 60 < statuses.count(429) < 140
    assert {502, 503, 504} <= set(statuses)
    assert any(fault is None for fault in drawn)


def test_a_script_takes_precedence_over_chance() -> None:
    """A test meets the fault it asked for, even with the dial turned up."""
    dial = FaultDial(FaultSettings(throttle_rate=1))
    dial.script(ScriptedFault(kind="hang", path="/a"))
    kinds = [fault.kind for path in ("/b", "/a", "/a") if (fault := dial.draw("GET", path))]
    assert kinds == ["status", "hang", "status"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_the_rejected_share_is_about_what_was_set(share: float) -> None:
    """And it does not depend on the address's case."""
    dial = FaultDial(FaultSettings(reject_share=share, seed=3))
    rejected = [dial.rejects(f"p{number}@x.com") for number in range(5000)]
    assert rejected == [dial.rejects(f" P{number}@X.com") for number in range(5000)]
    assert sum(rejected) / 5000 == pytest.approx(share, abs=0.03)
