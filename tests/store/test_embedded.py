"""The embedded PostgreSQL: started, shared, adopted after a crash, stopped by the last."""

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from crmsync_server.store.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.eventually import eventually

USE = """
import sys
from pathlib import Path
from crmsync_server.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def running(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """Use the server of a directory."""
    server = EmbeddedPostgres(data_dir)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def running_elsewhere(data_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Use it from another process, until that one's input ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", USE, str(data_dir)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdin
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def ask(url: str, question: str) -> object:
    """Ask one question on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def postmaster(data_dir: Path) -> int:
    """Return the postmaster's process id, from the file that it keeps."""
    return int((data_dir / "postgres/postmaster.pid").read_text().split()[0])


def assert_stopped(data_dir: Path) -> None:
    """Require that no postmaster has the directory."""
    assert not (data_dir / "postgres/postmaster.pid").exists()


async def test_crmsync_owns_its_database_and_is_no_superuser(data_dir: Path) -> None:
    """Row-level security binds whoever is not a superuser."""
    with running(data_dir) as server:
        assert await ask(server.url, "SELECT current_user || ' ' || current_database()") == (
            "crmsync crmsync"
        )
        assert await ask(server.url, "SHOW is_superuser") == "off"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'crmsync'"
        assert await ask(server.url, owner) == "crmsync"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("fsync", "on"), ("synchronous_commit", "on"), ("listen_addresses", ""), ("TimeZone", "UTC")],
)
async def test_settings_are_what_durability_and_privacy_ask(
    data_dir: Path, setting: str, value: str
) -> None:
    """What is committed is on disk, and no network reaches the server."""
    with running(data_dir) as server:
        assert await ask(server.url, f"SHOW {setting}") == value


async def test_letters_of_every_language_have_their_case(data_dir: Path) -> None:
    """The locale is the server's own, whatever the machine has installed."""
    with running(data_dir) as server:
        assert await ask(server.url, "SELECT lower('ÅSA ŽIŽEK ΣΊΓΜΑ')") == "åsa žižek σίγμα"


async def test_what_was_written_is_there_after_a_restart(data_dir: Path) -> None:
    """The second start finds the cluster made, and is ready in well under a second."""
    with running(data_dir) as server:
        await ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert_stopped(data_dir)
    began = time.monotonic()
    with running(data_dir) as server:
        assert time.monotonic() - began < 1
        assert await ask(server.url, "SELECT answer FROM kept") == 42


async def test_two_servers_share_one_postmaster(data_dir: Path) -> None:
    """The second attaches; the first to leave leaves it running, the last one stops it."""
    with running(data_dir) as server:
        async with running_elsewhere(data_dir):
            assert await ask(server.url, "SELECT 1") == 1
        assert await ask(server.url, "SELECT 1") == 1
    assert_stopped(data_dir)


async def test_the_first_server_may_leave_first(data_dir: Path) -> None:
    """Whoever started the postmaster is nobody special."""
    first = EmbeddedPostgres(data_dir)
    first.start()
    async with running_elsewhere(data_dir):
        first.stop()
        assert await ask(first.url, "SELECT 1") == 1
    assert_stopped(data_dir)


async def test_two_servers_may_start_at_once(data_dir: Path) -> None:
    """One makes the cluster, the other waits and uses it."""
    async with running_elsewhere(data_dir), running_elsewhere(data_dir):
        assert postmaster(data_dir)
    assert_stopped(data_dir)


async def test_the_postmaster_of_a_killed_server_is_adopted(data_dir: Path) -> None:
    """A server that dies by kill -9 leaves PostgreSQL alone; the next server finds it warm."""
    async with running_elsewhere(data_dir) as process:
        process.kill()
        await process.wait()
    left = postmaster(data_dir)
    with running(data_dir) as server:
        assert postmaster(data_dir) == left
        assert await ask(server.url, "SELECT 1") == 1
    assert_stopped(data_dir)


async def test_a_killed_postmaster_is_started_anew(data_dir: Path) -> None:
    """Its file is still there; what was committed is, too."""
    with running(data_dir) as server:
        await ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        killed = postmaster(data_dir)
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: assert_gone(killed))
    with running(data_dir) as server:
        assert postmaster(data_dir) != killed
        assert await ask(server.url, "SELECT answer FROM kept") == 42


async def test_a_deep_directory_gets_a_short_socket(tmp_path: Path) -> None:
    """The path of a Unix socket is 107 bytes at most."""
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 8)
    with running(deep) as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_a_cluster_that_was_not_finished_is_made_again(data_dir: Path) -> None:
    """A server that was killed while it made the cluster leaves only a heap to clear away."""
    (data_dir / "postgres.new").mkdir(parents=True)
    (data_dir / "postgres.new/PG_VERSION").write_text("18\n")
    with running(data_dir) as server:
        assert await ask(server.url, "SELECT 1") == 1


def test_a_broken_cluster_says_what_is_wrong(data_dir: Path) -> None:
    """The error holds PostgreSQL's own words."""
    (data_dir / "postgres").mkdir(parents=True)
    with pytest.raises(EmbeddedPostgresError, match="not a database cluster directory"):
        EmbeddedPostgres(data_dir).start()


def test_nobody_else_may_enter(data_dir: Path) -> None:
    """The data and the socket are their owner's alone: that is what makes trust sound."""
    with running(data_dir):
        for name in ("postgres", "socket"):
            assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o700


def assert_gone(pid: int) -> None:
    """Require that a process has ended, and that its parent has taken note."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    raise AssertionError
