"""The same promises at a HubSpot whose upserts erase what they leave out, should it be one."""

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest_asyncio

from crmsync_server.sandbox.hubspot import HubSpotSettings
from crmsync_server.sandbox.server import Sandbox
from tests.conformance import test_hubspot
from tests.crm.support import SECRET


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Run such a portal."""
    hubspot = HubSpotSettings(token=SECRET, burst_limit=100_000, upsert_clears_omitted=True)
    async with Sandbox(hubspot=hubspot) as running:
        yield running


class TestHubSpotThatClears(test_hubspot.TestHubSpot):
    """A portal with the default settings."""

    lacks: ClassVar = {
        "test_values_that_are_not_ours_stay": "whether an upsert of all that we own erases the "
        "rest is not documented; looking all contacts up is what the option look_up=all is for",
    }


class TestHubSpotLookedUp(test_hubspot.TestHubSpot):
    """A portal where every contact is looked up before its first delivery."""

    options: ClassVar = {"look_up": "all"}
