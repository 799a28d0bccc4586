"""Whatever a CRM answers, every delivery gets one outcome, and nothing is raised but a refusal."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from datetime import timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmsync_server.crm import brevo, hubspot, mautic, n8n
from crmsync_server.crm.adapter import Account, Adapter, CredentialsRefusedError, Tools
from crmsync_server.crm.brevo_import import Ticket
from crmsync_server.crm.outcomes import Outcome
from tests.crm.mautic_script import APPLICATION, BASIC
from tests.crm.support import NOW, SECRET, ScriptedCrm, delivery

NAMES = [
    "contacts",
    "contact",
    "statusCodes",
    "errors",
    "error",
    "results",
    "result",
    "id",
    "email",
    "properties",
    "status",
    "message",
    "code",
    "context",
    "objectWriteTraceId",
    "category",
    "details",
    "type",
    "fields",
    "all",
    "value",
    "tags",
    "access_token",
    "expires_in",
    "refresh_token",
    "attributes",
    "name",
    "info",
    "import",
    "processId",
    "delivery_id",
    "metadata",
    "duplicate_identifiers",
    "policyName",
    "portalId",
    "timeZone",
    "modifiedAt",
    "listIds",
    "0",
    "1",
    "2",
]
HEADERS = [
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-sib-ratelimit-limit",
    "x-sib-ratelimit-remaining",
    "x-sib-ratelimit-reset",
    "x-hubspot-ratelimit-remaining",
    "x-hubspot-ratelimit-interval-milliseconds",
    "x-hubspot-ratelimit-daily-remaining",
    "date",
    "location",
    "content-type",
    "access-control-allow-methods",
]
DATES = ("Sat, 21 Nov 0001 12:00:00 -2359", "Sat, 21 Nov 9999 12:00:00 GMT", "2026-13-01")
NUMBERS = ("", "0", "-1", "nan", "1e400", "9" * 15, "9" * 5_000, "²")
TEXTS = ("\0", "\ud800", "Existing ID: 5", "synced", "completed", "https://[", "Nowhere/Zone")
KNOWN = ("person1@example.com", f"{delivery(1).contact_id}:1", "200", "400", "DAILY")

scalars = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 10**30, *DATES, *NUMBERS, *TEXTS, *KNOWN],
)
bodies = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=20,
).map(lambda body: json.dumps(body).encode())
pages = st.sampled_from([b"", b"<html>", b"\xff\0", b"n8n is starting up", b"[[[", b'{"id": NaN}'])
replies = st.builds(
    httpx.Response,
    st.sampled_from([200, 201, 202, 204, 207, 302, 400, 404, 409, 413, 425, 429, 477, 500, 502]),
    headers=st.dictionaries(
        st.sampled_from(HEADERS),
        st.sampled_from(
            [one for one in (*DATES, *NUMBERS, "text/html; charset=hex") if one != "²"]
        ),
        max_size=3,
    ),
    content=bodies | pages,
)

Build = Callable[[Account, Tools], Adapter]
USER = APPLICATION | {"refresh_token": "r-0"}
LIST = {"list_id": "7", "import_threshold": "1"}
RESULTS = {"batch_size": "2", "response": "results"}
BATCH = [
    replace(delivery(1), properties={"plan": "x"}),
    delivery(2, crm_contact_id="2"),
    delivery(3, crm_contact_id="old@example.com", email="PERSON1@example.com"),
]


async def outcomes_of(adapter: Adapter, *, settles: bool) -> list[Outcome]:
    """Ask an adapter for everything that it does; return what became of a push."""
    await adapter.check()
    assert len(await adapter.read_back(BATCH)) == len(BATCH)
    if settles:
        ticket = Ticket("78", NOW - timedelta(seconds=10), timedelta(seconds=3)).encode()
        assert len(await adapter.settle(ticket, BATCH)) == len(BATCH)
    return list(await adapter.push(BATCH))


@pytest.mark.parametrize(
    ("build", "crm", "secrets", "options"),
    [
        (hubspot.build, "hubspot", {"token": SECRET}, {}),
        (brevo.build, "brevo", {"api_key": SECRET}, {}),
        (brevo.build, "brevo", {"api_key": SECRET}, LIST),
        (mautic.build, "mautic", BASIC, {}),
        (mautic.build, "mautic", USER, {}),
        (n8n.build, "n8n", {}, {"batch_size": "2"}),
        (n8n.build, "n8n", {}, RESULTS),
    ],
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(told=st.lists(replies, min_size=1, max_size=6))
def test_no_reply_makes_an_adapter_raise(
    build: Build,
    crm: str,
    secrets: Mapping[str, str],
    options: Mapping[str, str],
    told: list[httpx.Response],
) -> None:
    """And what it says of each delivery can be stored and sent on."""
    waiting = list(told)

    def respond(_: httpx.Request) -> httpx.Response:
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    account = Account("org-1", crm, "https://crm.test/webhook/x", secrets, options)
    adapter = build(account, ScriptedCrm(respond).tools())
    try:
        outcomes = asyncio.run(outcomes_of(adapter, settles=crm == "brevo"))
    except CredentialsRefusedError:
        return
    assert len(outcomes) == len(BATCH)
    for text in (part for outcome in outcomes for part in astuple(outcome)):
        if isinstance(text, str):
            assert "\0" not in text
            text.encode()
