"""Zoho keeps the promises of every adapter, and its own."""

from dataclasses import replace
from typing import ClassVar

import pytest

from crmsync_server.crm import zoho
from crmsync_server.crm.outcomes import Postponed, Synced
from crmsync_server.sandbox.zoho_fields import Field
from tests.conformance.suite import AdapterConformance
from tests.crm.support import SECRET, deliveries, delivery


class TestZoho(AdapterConformance):
    """An organization that keeps a contact's company as text."""

    crm = "zoho"
    build = staticmethod(zoho.build)
    secrets: ClassVar = {
        "client_id": "1000.SANDBOX",
        "client_secret": SECRET,
        "refresh_token": "1000.sandbox-zoho-refresh-token",
    }
    options: ClassVar = {"company_field": "Company"}
    container = "fields"
    names = ("First_Name", "Last_Name", "Company")
    writes_at = "/crm/v8/Contacts*"
    lacks: ClassVar = {
        "test_limits_in_headers_are_told_to_the_quota": "Zoho tells what is left and not how much "
        "there is, and that only once half of it is used; a test of its own follows",
        "test_a_rate_limit_is_told_to_the_quota": "the host that gives tokens has limits of its "
        "own, of which no quota is kept; a test with a token follows",
    }

    @pytest.fixture(autouse=True)
    def _company(self) -> None:
        self.sandbox.zoho.organization.fields["Company"] = Field("Company", custom=True)

    async def test_a_rate_limit_of_the_api_is_told_to_the_quota(self) -> None:
        """Calls at once, as long as nothing says that credits are used up."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        self.turn(throttle_rate=1)
        outcomes = await adapter.push(deliveries(3))
        assert {type(outcome) for outcome in outcomes} == {Postponed}
        assert {bucket for bucket, _ in self.quota.refusals} == {"burst"}

    async def test_what_is_left_of_the_credits_is_told_to_the_quota(self) -> None:
        """Once half of them are used."""
        self.sandbox.zoho.meter.credits.limit = 4
        try:
            adapter = self.adapter()
            for number in (1, 2):
                await self.deliver(adapter, [delivery(number)])
        finally:
            self.sandbox.zoho.meter.credits.limit = self.sandbox.zoho.settings.credits
        assert [(told.bucket, told.remaining) for told in self.quota.told] == [
            ("credits", 2),
            ("credits", 1),
        ]

    async def test_a_token_is_asked_for_once_while_it_holds(self) -> None:
        """And again when it has expired, which nobody notices."""
        adapter = self.adapter()
        for number in range(1, 4):
            await adapter.push([delivery(number)])
        assert self.sandbox.zoho.tokens.issued == 1
        self.sandbox.zoho.tokens.expire()
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Synced)
        assert self.sandbox.zoho.tokens.issued == 2

    async def test_a_record_that_is_gone_is_made_again(self) -> None:
        """Deleted in Zoho, or merged there into another one."""
        (outcome,) = await self.deliver(self.adapter(), [delivery(1, crm_contact_id="4711")])
        assert isinstance(outcome, Synced)
        assert outcome.crm_contact_id != "4711"
        assert list(self.held()) == ["person1@example.com"]

    async def test_a_delivery_sets_off_no_automation_unless_it_is_told_to(self) -> None:
        """The default is to stay silent."""
        await self.deliver(self.adapter(), [delivery(1)])
        assert self.sandbox.zoho.organization.workflows_run == 0
        type(self).options = {**self.options, "trigger": "workflow"}
        try:
            await self.deliver(self.adapter(), [replace(delivery(1), attempt=2)])
        finally:
            type(self).options = {"company_field": "Company"}
        assert self.sandbox.zoho.organization.workflows_run == 1
