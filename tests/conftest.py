"""Fixtures for every test: a migrated database of its own, and an event loop left clean."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import certifi
import pytest
import structlog

from crmsync_server.store.db import Database, Pool
from crmsync_server.store.embedded import TUNING, EmbeddedPostgres
from crmsync_server.store.migrations import migrate
from tests.postgres import NOT_DURABLE, Postgres


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust a single authority: HTTP clients read all that they trust, 20 ms for the usual 140."""
    end = "-----END CERTIFICATE-----\n"
    bundle = tmp_path_factory.mktemp("authority") / "authority.pem"
    bundle.write_text(certifi.contents().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(bundle))
        yield


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log them as the server does: pretty ones take a second each, in which nothing else runs."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure([*structlog.get_config()["processors"][:-1], plain])


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Run an embedded PostgreSQL, or use the server that CRMSYNC_TEST_DATABASE_URL names.

    The role in that URL owns what it makes: CREATEDB, no superuser.
    """
    if url := os.environ.get("CRMSYNC_TEST_DATABASE_URL"):
        yield Postgres(url, url)
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), {**TUNING, **NOT_DURABLE})
    server.start()
    try:
        yield Postgres(server.url, server.admin_url)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[str]:
    """Migrate one database, for the others to be copied from."""
    with asyncio.Runner() as runner:
        making = postgres.database()
        url = runner.run(making.__aenter__())
        runner.run(migrate(url))
        yield url
        runner.run(making.__aexit__(None, None, None))


@pytest.fixture
async def database_url(postgres: Postgres, template: str) -> AsyncIterator[str]:
    """Make a migrated, empty database."""
    async with postgres.database(template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open the test's database."""
    database = Database(database_url, Pool(size=5))
    yield database
    await database.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture(autouse=True)
async def _no_task_is_left_behind() -> AsyncIterator[None]:
    yield
    mine = asyncio.current_task()
    # A call's last words may still be on their way when its caller has the answer.
    if left := [task for task in asyncio.all_tasks() if task is not mine]:
        _, left_behind = await asyncio.wait(left, timeout=2)
        assert not left_behind, f"left behind: {left_behind}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped has failed: everything that it needs can be installed there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing is skipped in CI: {report.longreprtext}"
    return report
