"""What CRMs tell by webhooks arrives: from the simulated CRM to the contact, over real HTTP."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.webhooks import WebhookSettings
from crmsync_server.settings import Settings
from tests.eventually import eventually
from tests.service.calls import create, queue_all
from tests.web import senders
from tests.web.conftest import Site, running
from tests.web.senders import BREVO_TOKEN, MAUTIC_SECRET, ZOHO_TOKEN

WITHIN = 15.0


async def notices(url: str) -> Sequence[asyncpg.Record]:
    """Return all notices."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET crmsync.org_id = '*'")
    rows: Sequence[asyncpg.Record] = await connection.fetch("SELECT * FROM notices")
    await connection.close()
    return rows


async def outcomes(url: str) -> list[str | None]:
    """AssertionError until every notice is done; return what became of them."""
    rows = await notices(url)
    assert rows
    assert all(row["done_time"] for row in rows)
    return [row["outcome"] for row in rows]


async def linked(url: str) -> set[str]:
    """Return which records contacts are linked to."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET crmsync.org_id = '*'")
    rows = await connection.fetch("SELECT crm_contact_id FROM sync_bases")
    await connection.close()
    return {row["crm_contact_id"] for row in rows}


async def no_link(url: str, record_id: str) -> None:
    """AssertionError while a contact is linked to a record."""
    assert record_id not in await linked(url)


async def test_what_a_user_does_in_hubspot_arrives(
    site: Site, sandbox: Sandbox, database_url: str
) -> None:
    """A new contact, a change of it, a merge, and a deletion, which unlinks it here."""
    sandbox.hubspot.subscribe(await site.connect(sandbox))
    user = sandbox.hubspot.user
    ada = user.add({"email": "ada@example.com", "firstname": "Ada"})
    bob = user.add({"email": "bob@example.com", "firstname": "Bob"})
    await eventually(partial(site.person, "ada@example.com", first_name="Ada"), WITHIN)
    await eventually(partial(site.person, "bob@example.com", first_name="Bob"), WITHIN)
    user.edit(ada, {"company": "Analytical Engines"})
    await eventually(partial(site.person, "ada@example.com", company="Analytical Engines"), WITHIN)
    left = user.merge(bob, ada)
    await eventually(partial(no_link, database_url, bob), WITHIN)
    assert await linked(database_url) == {left}
    user.remove(left)
    await eventually(partial(no_link, database_url, left), WITHIN)
    assert set(await site.contacts()) == {"ada@example.com", "bob@example.com"}


@pytest.mark.parametrize("batched", [False, True])
async def test_what_a_user_does_in_brevo_arrives(
    site: Site, sandbox: Sandbox, database_url: str, *, batched: bool
) -> None:
    """Which names contacts by their email alone; with another it is another contact."""
    url = await site.connect(sandbox, "brevo")
    sandbox.brevo.subscribe(url, token=BREVO_TOKEN, batched=batched)
    user = sandbox.brevo.user
    ada = user.add({"email": "ada@example.com"})
    user.edit(ada, {"FIRSTNAME": "Ada"})
    await eventually(partial(site.person, "ada@example.com", first_name="Ada"), WITHIN)
    user.edit(ada, {"email": "countess@example.com"})
    await eventually(partial(site.person, "countess@example.com", first_name="Ada"), WITHIN)
    user.remove(ada)
    await eventually(partial(no_link, database_url, "countess@example.com"), WITHIN)


async def test_what_a_user_does_in_mautic_arrives(
    site: Site, sandbox: Sandbox, database_url: str
) -> None:
    """Whose events come in a heap, perhaps the newest first."""
    url = await site.connect(sandbox, "mautic")
    sandbox.mautic.subscribe(url, MAUTIC_SECRET, newest_first=True)
    user = sandbox.mautic.user
    ada = user.add({"email": "ada@example.com", "firstname": "Ada"})
    user.edit(ada, {"firstname": "Augusta"})
    bob = user.add({"email": "bob@example.com"})
    user.remove(bob)
    await eventually(partial(site.person, "ada@example.com", first_name="Augusta"), WITHIN)
    user.remove(ada)
    await eventually(partial(no_link, database_url, ada), WITHIN)
    assert set(await site.contacts()) == {"ada@example.com"}


async def test_what_a_user_does_in_zoho_arrives(
    site: Site, sandbox: Sandbox, database_url: str
) -> None:
    """Over a channel, which shows a token and signs nothing."""
    url = await site.connect(sandbox, "zoho")
    zoho = sandbox.zoho.settings
    token = await site.http.post(
        f"{sandbox.urls['zoho']}/oauth/v2/token",
        data={
            "grant_type": "refresh_token",
            "client_id": zoho.client_id,
            "client_secret": zoho.client_secret,
            "refresh_token": zoho.refresh_token,
        },
    )
    channel = {
        "channel_id": "1",
        "events": ["Contacts.all"],
        "notify_url": url,
        "token": ZOHO_TOKEN,
    }
    opened = await site.http.post(
        f"{sandbox.urls['zoho']}/crm/v8/actions/watch",
        json={"watch": [channel]},
        headers={"Authorization": f"Zoho-oauthtoken {token.json()['access_token']}"},
    )
    assert opened.status_code == 201, opened.text
    user = sandbox.zoho.user
    ada = user.add({"Email": "ada@example.com", "Last_Name": "Lovelace"})
    await eventually(partial(site.person, "ada@example.com", last_name="Lovelace"), WITHIN)
    user.edit(ada, {"Last_Name": "King"})
    await eventually(partial(site.person, "ada@example.com", last_name="King"), WITHIN)
    user.remove(ada)
    await eventually(partial(no_link, database_url, ada), WITHIN)


async def test_webhooks_that_come_twice_and_backwards_change_nothing(
    settings: Settings, database_url: str
) -> None:
    """What counts is what the record says when it is read."""
    webhooks = WebhookSettings(reversed=True, repeats=3)
    hubspot = HubSpotSettings(burst_limit=100_000, webhooks=webhooks)
    async with Sandbox(hubspot=hubspot) as sandbox, running(settings) as site:
        sandbox.hubspot.subscribe(await site.connect(sandbox))
        user = sandbox.hubspot.user
        ada = user.add({"email": "ada@example.com"})
        for number in range(20):
            user.edit(ada, {"company": f"Company {number}"})
        await sandbox.hubspot.webhooks.flushed()
        await eventually(partial(outcomes, database_url), WITHIN)
        assert (await site.person("ada@example.com")).company == "Company 19"
        assert await site.counted("hubspot", "accepted") == 1
        assert await site.counted("hubspot", "duplicate") == 2
        assert len(await notices(database_url)) == 22


async def test_what_was_acknowledged_outlives_the_server(
    settings: Settings, sandbox: Sandbox, database_url: str
) -> None:
    """It was stopped before it could read anything; its successor reads it."""
    sandbox.hubspot.faults.script(
        ScriptedFault(kind="status", status=503, path="/crm/*", times=1000)
    )
    async with running(settings) as site:
        sandbox.hubspot.subscribe(await site.connect(sandbox))
        sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
        await sandbox.hubspot.webhooks.flushed()
        assert [sent.status for sent in sandbox.hubspot.webhooks.sent] == [200]
        assert await site.contacts() == {}
    sandbox.hubspot.subscribe(None)
    sandbox.hubspot.faults.clear_script()
    async with running(settings) as site:
        await eventually(partial(site.person, "ada@example.com", first_name="Ada"), WITHIN)
    assert set(await outcomes(database_url)) == {"READ"}


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a server as a process of its own; yield it, and where its HTTP is."""
    database = settings.database_url
    assert database is not None
    told = {
        "CRMSYNC_DATA_DIR": str(settings.data_dir),
        "CRMSYNC_DATABASE_URL": database.get_secret_value(),
        "CRMSYNC_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CRMSYNC_")}
    serve = ("-m", "crmsync_server", "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    server = await asyncio.create_subprocess_exec(
        sys.executable, *serve, stdout=asyncio.subprocess.PIPE, env={**ours, **told}
    )
    assert server.stdout is not None
    try:
        await server.stdout.readline()
        line = (await server.stdout.readline()).decode()
        yield server, "http://" + line.removeprefix("and on ").partition(" ")[0]
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def test_what_was_acknowledged_outlives_kill_9(
    settings: Settings, sandbox: Sandbox, database_url: str
) -> None:
    """Killed the moment it has said that it has it."""
    async with running(settings) as site:
        url = await site.connect(sandbox)
    ada = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    body = json.dumps([senders.EVENT | {"objectId": int(ada)}]).encode()
    async with process(settings) as (server, place), httpx.AsyncClient() as http:
        there = url.replace(site.url, place)
        secret = sandbox.hubspot.settings.client_secret
        content, headers = senders.hubspot(there, body, secret=secret)
        reply = await http.post(there, content=content, headers=headers)
        server.kill()
        assert reply.status_code == 200
    [notice] = await notices(database_url)
    assert notice["done_time"] is None
    async with running(settings) as site:
        await eventually(partial(site.person, "ada@example.com", first_name="Ada"), WITHIN)
    assert await outcomes(database_url) == ["READ"]


async def test_a_webhook_at_one_server_is_read_by_any(
    settings: Settings, sandbox: Sandbox, database_url: str
) -> None:
    """Two of them share a database, and a load balancer may ask either."""
    async with running(settings) as first, running(settings) as second:
        url = await first.connect(sandbox)
        secret = sandbox.hubspot.settings.client_secret
        ada = sandbox.hubspot.user.add({"email": "ada@example.com"})
        event = senders.EVENT | {"objectId": int(ada)}
        for number, site in enumerate((first, second, first)):  # the same, and then another
            there = url.replace(first.url, site.url)
            body = json.dumps([event | {"eventId": number // 2}]).encode()
            content, headers = senders.hubspot(there, body, secret=secret)
            reply = await site.http.post(there, content=content, headers=headers)
            assert reply.is_success
        await eventually(partial(outcomes, database_url), WITHIN)
        assert await first.counted("hubspot", "accepted") == 2
        assert await second.counted("hubspot", "duplicate") == 1
        assert "ada@example.com" in await second.contacts()


async def test_our_own_deliveries_come_back_and_start_nothing(
    site: Site, sandbox: Sandbox, database_url: str
) -> None:
    """A webhook of what we wrote is read, found to be the same, and that is the end of it."""
    sandbox.hubspot.subscribe(await site.connect(sandbox))
    await create(site.client, first_name="Ada")
    session = await queue_all(site.client)
    states = [state async for state in site.client.watch_session(session.id)]
    assert states[-1].progress.synced == 1
    await sandbox.hubspot.webhooks.flushed()
    assert set(await eventually(partial(outcomes, database_url), WITHIN)) == {"READ"}
    assert (await site.person("ada@example.com", first_name="Ada")).company == ""
    assert sandbox.hubspot.calls.as_json()["writes"] == 1
