"""crmsync behind a PgBouncer in transaction mode, which hands out connections by transaction."""

import asyncio
import os
import pwd
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
import sqlalchemy as sa

from crmsync_server.store.db import Database, Pool
from crmsync_server.store.listen import Listener
from crmsync_server.store.migrations import head, migrate
from crmsync_server.store.notify import WORK, Notifier
from tests.eventually import eventually
from tests.postgres import named

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer") is None and os.environ.get("CI") != "true",
    reason="pgbouncer is not installed: apt-get install pgbouncer",
)

# One connection to the server for all clients: whatever one leaves on it, the next one finds.
CONFIGURATION = """
[databases]
{database} = dbname={database} host={host} port={port} user={user} {password} pool_size=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listens_at}
unix_socket_dir =
auth_type = any
pool_mode = transaction
logfile = {folder}/pgbouncer.log
"""


@pytest.fixture
async def pooled_url(
    tmp_path_factory: pytest.TempPathFactory, database_url: str
) -> AsyncIterator[str]:
    """Run a PgBouncer before the test's database."""
    folder = tmp_path_factory.mktemp("pgbouncer")
    port = free_port()
    url = urlsplit(database_url)
    host = url.hostname or parse_qs(url.query)["host"][0]
    settings = CONFIGURATION.format(
        database=named(database_url),
        host=host,
        port=url.port or 5432,
        user=url.username,
        password=f"password='{url.password}'" if url.password else "",
        listens_at=port,
        folder=folder,
    )
    (folder / "pgbouncer.ini").write_text(settings)
    process = await asyncio.create_subprocess_exec(*command(host, folder))
    try:
        await eventually(lambda: assert_listens(port))
        yield f"postgresql://{url.username}@127.0.0.1:{port}/{named(database_url)}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def pooled(pooled_url: str) -> AsyncIterator[Database]:
    """Open the database through the PgBouncer."""
    database = Database(pooled_url, Pool(size=5, prepared_statements=False))
    yield database
    await database.close()


async def test_organizations_stay_apart_on_a_shared_connection(pooled: Database) -> None:
    """Many transactions at once, one server connection: each sees its own organization."""

    async def write_and_read(org_id: str) -> None:
        async with pooled.org(org_id) as connection:
            insert = sa.text("INSERT INTO lanes (org_id, crm) VALUES (:org_id, :crm)")
            await connection.execute(insert, {"org_id": org_id, "crm": "hubspot"})
            await connection.execute(insert, {"org_id": org_id, "crm": "brevo"})
        async with pooled.org(org_id) as connection:
            seen = await connection.execute(sa.text("SELECT org_id, crm FROM lanes ORDER BY crm"))
            assert [tuple(row) for row in seen] == [(org_id, "brevo"), (org_id, "hubspot")]

    await asyncio.gather(*(write_and_read(f"org-{number}") for number in range(20)))
    async with pooled.everyone() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM lanes")) == 40


async def test_a_transaction_leaves_nothing_on_the_connection(
    pooled: Database, pooled_url: str
) -> None:
    """The next client of the same server connection is nobody, and sees nothing."""
    async with pooled.org("acme") as connection:
        insert = sa.text("INSERT INTO lanes (org_id, crm) VALUES ('acme', 'hubspot')")
        await connection.execute(insert)
    stranger = await asyncpg.connect(pooled_url, statement_cache_size=0)
    try:
        assert await stranger.fetchval("SELECT count(*) FROM lanes") == 0
        assert await stranger.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
    finally:
        await stranger.close()


async def test_the_migrations_run_through_it(pooled_url: str) -> None:
    """Their lock ends with their transaction, so no session is needed."""
    assert (await migrate(pooled_url)).after == head()


async def test_hints_are_sent_through_it_and_heard_past_it(
    pooled: Database, database_url: str
) -> None:
    """LISTEN has the direct address, NOTIFY needs none."""
    heard: list[str | None] = []
    listener = Listener(database_url)
    listener.subscribe(WORK, heard.append)
    await listener.start()
    notifier = Notifier(pooled)
    await notifier.start()
    notifier.hint(WORK, "acme hubspot")
    await notifier.stop()
    await eventually(lambda: assert_heard(heard))
    await listener.stop()


def command(host: str, folder: Path) -> list[str]:
    """Return how to run it: never as root, and as somebody who may open PostgreSQL's socket."""
    start = [str(shutil.which("pgbouncer")), "--quiet", str(folder / "pgbouncer.ini")]
    if os.geteuid() != 0:
        return start
    user = (
        pwd.getpwuid(Path(host).stat().st_uid) if host.startswith("/") else pwd.getpwnam("nobody")
    )
    os.chown(folder, user.pw_uid, user.pw_gid)
    folder.parent.chmod(0o711)
    return [*start, "--user", user.pw_name]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def assert_listens(port: int) -> None:
    """Require that somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError as error:
        raise AssertionError from error


def assert_heard(heard: list[str | None]) -> None:
    """Require the hint; for `eventually`."""
    assert heard == ["acme hubspot"]
