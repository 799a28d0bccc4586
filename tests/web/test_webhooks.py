"""Webhooks over real HTTP: what is taken in, what is refused, and that nothing else happens."""

import json
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from crmsync_server.sandbox.server import Sandbox
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.postgres import Postgres
from tests.service.accounts import good
from tests.sync.test_pulse import refuse
from tests.web import senders
from tests.web.conftest import Site, running
from tests.web.senders import BREVO_TOKEN

DEEP = b"[" * 10_000 + b"]" * 10_000
BREVO = {"Authorization": f"Bearer {BREVO_TOKEN}"}


@pytest.fixture
def secret(sandbox: Sandbox) -> str:
    """Return what the simulated HubSpot signs with."""
    return sandbox.hubspot.settings.client_secret


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that sees all notices."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET crmsync.org_id = '*'")
    yield connection
    await connection.close()


async def post(
    site: Site, url: str, body: bytes, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Send a webhook."""
    return await site.http.post(url, content=body, headers=headers)


async def count(rows: asyncpg.Connection) -> int:
    """Return how many notices are kept."""
    found: int = await rows.fetchval("SELECT count(*) FROM notices")
    return found


async def test_a_genuine_webhook_is_kept_and_acknowledged(
    site: Site, sandbox: Sandbox, secret: str, rows: asyncpg.Connection
) -> None:
    """One notice for each record and event; sent again, it is known already."""
    url = await site.connect(sandbox)
    told = senders.hubspot(url, secret=secret)
    for _ in range(3):
        reply = await post(site, url, *told)
        assert (reply.status_code, reply.content) == (200, b"")
    [row] = await rows.fetch("SELECT * FROM notices")
    assert (row["org_id"], row["crm"], row["crm_contact_id"]) == ("default", "hubspot", "501")
    assert await site.counted("hubspot", "accepted") == 1
    assert await site.counted("hubspot", "duplicate") == 2


async def test_a_webhook_about_something_else_is_acknowledged(
    site: Site, sandbox: Sandbox, secret: str, rows: asyncpg.Connection
) -> None:
    """Or the CRM would send it again and again."""
    url = await site.connect(sandbox)
    body = json.dumps([senders.EVENT | {"subscriptionType": "deal.creation"}]).encode()
    assert (await post(site, url, *senders.hubspot(url, body, secret=secret))).is_success
    assert await count(rows) == 0


async def test_what_does_not_prove_its_origin_is_refused_alike_and_leaves_no_trace(
    site: Site,
    sandbox: Sandbox,
    secret: str,
    rows: asyncpg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is wrong, the answer is the same, to the last byte."""
    url = await site.connect(sandbox)
    brevo = await site.connect(sandbox, "brevo")
    n8n = f"{site.url}/webhooks/n8n/{(await good(sandbox, 'n8n').connect(site.client)).id}"
    body, headers = senders.hubspot(url, secret=secret)
    odd = httpx.Headers(headers | {"X-HubSpot-Signature-v3": "é"}, encoding="latin-1")
    place = url.rpartition("/")[0]
    unknown = f"{place}/{uuid4()}"
    strange = f"{place}/not-an-id"
    loud = f"{place}/{url.rpartition('/')[2].upper()}"
    other = url.replace("/hubspot/", "/brevo/")
    nobody = url.replace("/hubspot/", "/nobody/")
    attempts = [
        (url, body, None),
        (url, body + b" ", headers),
        (url, body, odd),
        (url + "?a=1", body, headers),
        (url, *senders.hubspot(url, secret="another secret")),
        (url, *senders.hubspot(url, secret="")),
        (url, *senders.hubspot(url, secret=secret, age=6 * 60)),
        (url, *senders.hubspot(url, secret=secret, age=-6 * 60)),
        *((url, body, older) for older in senders.older_hubspot(url, body, secret=secret)),
        *((at, *senders.hubspot(at, secret=secret)) for at in (unknown, strange, loud, other)),
        (nobody, *senders.hubspot(nobody, secret=secret)),
        (n8n, b"{}", None),
        (brevo, b"{}", None),
        (brevo, b"{}", {"Authorization": "Bearer"}),
        (brevo, b"{}", {"Authorization": f"Basic {BREVO_TOKEN}"}),
    ]
    assert await site.counted("hubspot", "unverified") == 0
    capsys.readouterr()
    replies = [await post(site, *attempt) for attempt in attempts]
    out, err = capsys.readouterr()
    assert out + err == ""
    for reply in replies:
        shown = {name: told for name, told in reply.headers.items() if name != "date"}
        assert (reply.status_code, reply.content) == (401, b"")
        assert shown == {"content-length": "0"}
    assert await count(rows) == 0
    by_crm = {
        crm: await site.counted(crm, "unverified") for crm in ("hubspot", "brevo", "n8n", "unknown")
    }
    assert by_crm == {"hubspot": len(attempts) - 6, "brevo": 4, "n8n": 1, "unknown": 1}
    metrics = (await site.http.get("/metrics")).text
    assert "nobody" not in metrics


@pytest.mark.parametrize("crm", ["hubspot", "brevo", "mautic", "zoho"])
async def test_without_a_secret_nothing_is_genuine(site: Site, sandbox: Sandbox, crm: str) -> None:
    """Not even what is signed with none, or shows none."""
    connection = await good(sandbox, crm).connect(site.client)
    url = f"{site.url}/webhooks/{crm}/{connection.id}"
    empty = b'{"token": "", "module": "Contacts", "operation": "update", "ids": ["1"]}'
    body, headers = senders.hubspot(url, empty, secret="")
    more = senders.mautic(body, secret="") | {"Authorization": "Bearer"}
    assert (await post(site, url, body, headers | more)).status_code == 401


async def test_the_address_that_is_signed_is_the_public_one(
    settings: Settings, sandbox: Sandbox, secret: str
) -> None:
    """As CRMs call it, whatever the proxy makes of that; the query is a part of it."""
    public = "https://sync.example.com/crm"
    told = Settings.model_validate({**settings.model_dump(), "public_url": f"{public}/"})
    async with running(told) as site:
        url = await site.connect(sandbox) + "?from=hubspot%20eu"
        outside = url.replace(site.url, public)
        assert (await post(site, url, *senders.hubspot(outside, secret=secret))).is_success
        refused = await post(site, url, *senders.hubspot(url, secret=secret))
        assert refused.status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_webhook_is_a_post(site: Site, sandbox: Sandbox, method: str) -> None:
    """Whether there is such a connection or not."""
    url = await site.connect(sandbox)
    for place in (url, f"{site.url}/webhooks/hubspot/{uuid4()}"):
        reply = await site.http.request(method, place)
        assert reply.status_code == 405
        assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("body", [DEEP, b'[{"eventId": 1', b"", b"\xff\xfe", b'"text"'])
async def test_a_genuine_webhook_that_makes_no_sense_is_refused_and_logged(
    site: Site,
    sandbox: Sandbox,
    secret: str,
    capsys: pytest.CaptureFixture[str],
    body: bytes,
) -> None:
    """Nested beyond all bounds, cut off, or no JSON at all."""
    hubspot, brevo, mautic = [
        await site.connect(sandbox, crm) for crm in ("hubspot", "brevo", "mautic")
    ]
    capsys.readouterr()
    replies = [
        await post(site, hubspot, *senders.hubspot(hubspot, body, secret=secret)),
        await post(site, brevo, body, BREVO),
        await post(site, mautic, body, senders.mautic(body)),
    ]
    assert [reply.status_code for reply in replies] == [400, 400, 400]
    assert capsys.readouterr().out.count("a genuine webhook cannot be read") == 3
    for crm in ("hubspot", "brevo", "mautic"):
        assert await site.counted(crm, "unreadable") == 1


async def test_what_cannot_be_stored_is_not_acknowledged(
    site: Site, sandbox: Sandbox, secret: str, rows: asyncpg.Connection
) -> None:
    """The CRM is asked to send it again, and then it is stored."""
    url = await site.connect(sandbox)
    told = senders.hubspot(url, secret=secret)
    await rows.execute("ALTER TABLE notices RENAME TO elsewhere")
    reply = await post(site, url, *told)
    assert (reply.status_code, reply.content) == (503, b"")
    assert await site.counted("hubspot", "failed") == 1
    await rows.execute("ALTER TABLE elsewhere RENAME TO notices")
    assert (await post(site, url, *told)).is_success
    assert await count(rows) == 1


async def test_while_the_database_is_away_webhooks_are_to_be_sent_again(
    site: Site, sandbox: Sandbox, secret: str, postgres: Postgres, database_url: str
) -> None:
    """Within the time that CRMs wait for an answer; metrics are served as far as they go."""
    url = await site.connect(sandbox)
    await refuse(postgres, database_url, refused=True)
    try:
        reply = await post(site, url, *senders.hubspot(url, secret=secret))
        assert (reply.status_code, reply.content) == (503, b"")
        assert await site.counted("hubspot", "failed") == 1
    finally:
        await refuse(postgres, database_url, refused=False)

    async def taken() -> None:
        reply = await post(site, url, *senders.hubspot(url, secret=secret))
        assert reply.status_code == 200

    await eventually(taken, within=15)


async def test_no_secret_of_a_webhook_is_logged(
    site: Site, sandbox: Sandbox, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither what it is verified with, nor what it shows, whatever becomes of it."""
    url = await site.connect(sandbox)
    brevo = await site.connect(sandbox, "brevo")
    body, headers = senders.hubspot(url, DEEP, secret=secret)
    for given in (headers, headers | {"X-HubSpot-Signature-v3": "canary-5f0c"}):
        await post(site, url, body, given)
    for shown in (BREVO_TOKEN, "canary-5f0c"):
        for content in (b"{", b'{"token": "canary-5f0c"}', b"x" * 2_000_000):
            await post(site, brevo, content, {"Authorization": f"Bearer {shown}"})
    out, err = capsys.readouterr()
    assert "cannot be read" in out
    signature = headers["X-HubSpot-Signature-v3"]
    for hidden in (secret, signature, BREVO_TOKEN, "canary-5f0c"):
        assert hidden not in out + err
