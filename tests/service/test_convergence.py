"""Both sides change, in any order and whatever happens in between: in the end they agree."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from structlog.testing import capture_logs

from crmsync_server.demo.processes import free_port
from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho import ZohoSettings
from crmsync_server.settings import Settings
from tests.postgres import Postgres
from tests.service.accounts import Account, good
from tests.service.both_sides import Play
from tests.service.plays import LAG, Happening, plays
from tests.service.stage import Stage, stage
from tests.service.two_sides import Ahead, HubSpotThere, There, ZohoThere

_PLENTY = 100_000
_PROFILE = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

_org_ids = (f"org{number}" for number in count())


@pytest.fixture
def played(
    postgres: Postgres, template: str, tmp_path: Path
) -> Iterator[tuple[asyncio.Runner, Stage, Ahead]]:
    """Run a server and the simulated CRMs for all plays, in a loop of their own."""
    hubspot = HubSpotSettings(burst_limit=_PLENTY, search_limit=_PLENTY)
    # A server that is cut down complains at length of a database that is gone.
    with capture_logs(), asyncio.Runner() as runner:
        making = postgres.database(template)
        url = runner.run(making.__aenter__())
        clock = Ahead()
        sandbox = Sandbox(hubspot=hubspot, zoho=ZohoSettings(lag_seconds=LAG), clock=clock)
        runner.run(sandbox.start())
        staging = stage(postgres, _settings(url, tmp_path), sandbox)
        yield runner, runner.run(staging.__aenter__()), clock
        runner.run(staging.__aexit__(None, None, None))
        runner.run(sandbox.stop())
        runner.run(making.__aexit__(None, None, None))


def _settings(url: str, data_dir: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": data_dir,
            "database_url": url,
            "database_pool_size": 5,
            "grpc_address": f"127.0.0.1:{free_port()}",
            "http_address": f"127.0.0.1:{free_port()}",
            "drain_timeout": "0.2",
            # What a server leaves behind that was cut down is taken up soon.
            "engine_lease": "0.7",
            "engine_rescue_interval": "0.3",
            "engine_backoff_base": "0.05",
            "engine_backoff_cap": "0.2",
            "engine_max_retries": "20",
            "engine_poll_interval": "0.5",
            "allowed_networks": "127.0.0.0/8",
        }
    )


def _account(sandbox: Sandbox, crm: str) -> Account:
    account = good(sandbox, crm)
    if crm == "zoho":
        return account
    options = {**account.options, "burst_calls": str(_PLENTY), "search_calls": str(_PLENTY)}
    secrets = {**account.secrets, "client_secret": sandbox.hubspot.settings.client_secret}
    return Account(crm, account.base_url, secrets, options)


async def _perform(on: Stage, there: There, steps: Sequence[Happening]) -> None:
    """Let a play happen to an organization of its own, and look at both sides in the end."""
    org_id = next(_org_ids)
    async with on.client(org_id) as client:
        connection = await _account(on.sandbox, there.crm).connect(client)
        webhook_url = f"{on.http_url}/webhooks/{there.crm}/{connection.id}"
        play = Play(on, org_id, client, there, webhook_url)
        for step in steps:
            await step.do(play)
        await play.settle()
        await play.check()


@pytest.mark.slow
@pytest.mark.parametrize("crm", [HubSpotThere, ZohoThere])
def test_whatever_both_sides_do_they_agree_in_the_end(
    played: tuple[asyncio.Runner, Stage, Ahead], crm: type[HubSpotThere | ZohoThere]
) -> None:
    """Or an open conflict names the field; nobody is lost or doubled, and nothing moves after."""
    runner, on, clock = played

    @_PROFILE
    @given(plays(crm.fields))
    def performed(steps: Sequence[Happening]) -> None:
        runner.run(_perform(on, crm(on.sandbox, clock), steps))

    performed()
