"""Mautic keeps the promises of every adapter with either kind of credentials, and its own."""

from dataclasses import replace
from typing import ClassVar

import pytest

from crmsync_server.crm import mautic
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Synced
from crmsync_server.sandbox.mautic import MauticSwitches
from tests.conformance.suite import AdapterConformance
from tests.crm.support import SECRET, deliveries, delivery


class TestMauticBasic(AdapterConformance):
    """An instance that takes Basic credentials."""

    crm = "mautic"
    build = staticmethod(mautic.build)
    secrets: ClassVar = {"username": "sandbox", "password": SECRET}
    container = "fields"
    names = ("firstname", "lastname", "company")
    lacks: ClassVar = {
        "test_an_address_that_is_to_be_kept_is_kept": "its batches find records by their email",
    }

    @pytest.fixture(autouse=True)
    def _switches(self) -> None:
        self.turn_switches()

    def turn_switches(self, **switches: object) -> None:
        """Turn the instance's switches; those not named stand as they do at first."""
        settings = {"hourly_limit": 100_000, **switches}
        self.sandbox.mautic.switches = MauticSwitches.model_validate(settings)

    async def test_a_contact_that_mautic_keeps_is_told_apart_from_one_that_is_gone(self) -> None:
        """Its answer shows both as they were, and errors for both."""
        adapter, deleter = self.deleter()
        first, second = await self.deliver(adapter, deliveries(2))
        assert isinstance(first, Synced)
        assert isinstance(second, Synced)
        people = [
            delivery(1, crm_contact_id=first.crm_contact_id),
            delivery(2, crm_contact_id=second.crm_contact_id),
        ]
        await deleter.delete(people[:1])
        self.turn(reject_share=1)
        gone, kept = await deleter.delete(people)
        assert gone == first
        assert isinstance(kept, Rejected)
        assert kept.code == "HTTP_403"

    async def test_an_address_that_another_record_has_is_refused(self) -> None:
        """That record keeps its values, and so does the one that was to move."""
        adapter = self.adapter()
        first, second = await self.deliver(adapter, deliveries(2))
        assert isinstance(first, Synced)
        assert isinstance(second, Synced)
        before = self.held()
        known = first.crm_contact_id
        moved = delivery(1, crm_contact_id=known, email="person2@example.com")
        (outcome,) = await self.deliver(adapter, [replace(moved, first_name="Ann")])
        assert isinstance(outcome, Rejected)
        assert outcome.code == "EMAIL_TAKEN"
        assert self.held() == before

    async def test_records_that_swap_addresses_keep_to_their_address(self) -> None:
        """No record is merged into another, and nothing is left under a wrong address."""
        adapter = self.adapter()
        first, second = await self.deliver(adapter, deliveries(2))
        assert isinstance(first, Synced)
        assert isinstance(second, Synced)
        swapped = [
            delivery(1, crm_contact_id=first.crm_contact_id, email="person2@example.com"),
            delivery(2, crm_contact_id=second.crm_contact_id, email="person1@example.com"),
        ]
        outcomes = await self.deliver(adapter, swapped)
        assert [o.crm_contact_id for o in outcomes if isinstance(o, Synced)] == ["2", "1"]
        held = self.held()
        assert held["person2@example.com"].first_name == "First1"
        assert held["person1@example.com"].first_name == "First2"

    async def test_addresses_that_move_on_in_a_row_leave_nothing_behind(self) -> None:
        """The second record frees the address that the first one waits for."""
        adapter = self.adapter()
        outcomes = await self.deliver(adapter, deliveries(2))
        ids = [outcome.crm_contact_id for outcome in outcomes if isinstance(outcome, Synced)]
        moved = [
            delivery(1, crm_contact_id=ids[0], email="person2@example.com"),
            delivery(2, crm_contact_id=ids[1], email="person3@example.com"),
        ]
        outcomes = await self.deliver(adapter, moved)
        assert [o.crm_contact_id for o in outcomes if isinstance(o, Synced)] == ids
        assert self.held().keys() == {"person2@example.com", "person3@example.com"}

    async def test_contacts_that_shared_a_record_part_when_their_addresses_do(self) -> None:
        """One keeps the record, and the other gets its own."""
        adapter = self.adapter()
        shared = [delivery(1), delivery(2, email="person1@example.com")]
        first, second = await self.deliver(adapter, shared)
        assert first == second
        assert isinstance(first, Synced)
        parted = [
            delivery(number, crm_contact_id=first.crm_contact_id, email=f"new{number}@example.com")
            for number in (1, 2)
        ]
        outcomes = await self.deliver(adapter, parted)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        held = self.held()
        assert held["new1@example.com"].first_name == "First1"
        assert held["new2@example.com"].first_name == "First2"
        assert len(held) == 2

    async def test_a_record_that_is_gone_is_made_again(self) -> None:
        """Deleted in Mautic, or merged there under another id."""
        gone = delivery(1, crm_contact_id="4711")
        (outcome,) = await self.deliver(self.adapter(), [gone])
        assert isinstance(outcome, Synced)
        assert list(self.held()) == ["person1@example.com"]

    async def test_a_limit_on_the_batch_costs_one_call_and_no_record(self) -> None:
        """The adapter keeps to it from then on."""
        type(self).options = {"batch_size": "300"}
        adapter = self.adapter()
        type(self).options = {}
        for _ in range(2):
            outcomes = await self.deliver(adapter, deliveries(300))
            assert {type(outcome) for outcome in outcomes} == {Synced}
        calls = self.simulator.calls.as_json()["calls"]
        counts = {call["status"]: call["count"] for call in calls if call["write"]}
        assert counts == {"500": 1, "201": 4}

    async def test_an_api_that_is_off_postpones_and_blames_no_credentials(self) -> None:
        """It is delivered to once somebody has switched it on; a check says what is to be done."""
        adapter = self.adapter()
        self.turn_switches(api_enabled=False)
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Postponed)
        assert outcome.code == "API_DISABLED"
        standing = await adapter.check()
        assert (standing.valid, standing.reachable) == (False, True)
        assert "switched off" in standing.message
        self.turn_switches()
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Synced)

    async def test_a_page_with_status_200_is_no_success(self) -> None:
        """Neither for a delivery nor for a check."""
        self.turn_switches(maintenance=True)
        adapter = self.adapter()
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Retry)
        standing = await adapter.check()
        assert (standing.valid, standing.reachable) == (False, False)

    async def test_a_user_without_permission_is_found_out_by_the_check(self) -> None:
        """The user is known, and yet may not read contacts."""
        self.turn_switches(contacts_allowed=False)
        standing = await self.adapter().check()
        assert (standing.valid, standing.reachable) == (False, True)
        assert "access" in standing.message

    async def test_an_hour_used_up_postpones_until_the_next(self) -> None:
        """The quota is told how long, by the instance's own headers."""
        self.turn_switches(hourly_limit=1)
        adapter = self.adapter()
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Synced)
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Postponed)
        (told, *_) = self.quota.told
        assert (told.bucket, told.calls, told.remaining) == ("hourly", 1, 0)
        assert self.quota.refusals == [("hourly", outcome.until)]

    async def test_a_zero_that_mautic_takes_for_nothing_is_noted(self) -> None:
        """It keeps the value that it has, and says 200."""
        self.sandbox.mautic.instance.add_field({"label": "Score", "alias": "score"})
        adapter = self.adapter()
        for score, noted in (("5", False), ("0.0", True), ("0.5", True), ("7", False)):
            (outcome,) = await adapter.push([replace(delivery(1), properties={"score": score})])
            assert isinstance(outcome, Synced)
            assert ("score" in outcome.note) is noted
        (held,) = self.simulator.contacts()
        assert held["fields"]["score"] == "7"

    async def test_tags_and_properties_arrive(self) -> None:
        """Under the alias of their field; tags that are there stay."""
        self.sandbox.mautic.instance.add_field({"label": "Plan", "alias": "plan"})
        adapter = self.adapter()
        for tag, plan in (("vip", "free"), ("lead", "pro")):
            one = replace(delivery(1), tags=[tag], properties={"Plan": plan})
            (outcome,) = await self.deliver(adapter, [one])
            assert isinstance(outcome, Synced)
            assert outcome.note == ""
        (held,) = self.simulator.contacts()
        assert (held["tags"], held["fields"]["plan"]) == (["vip", "lead"], "pro")


class TestMauticApplication(TestMauticBasic):
    """An instance that takes OAuth2 only, from an application that acts for itself."""

    secrets: ClassVar = {"client_id": "1_sandbox", "client_secret": SECRET}

    def turn_switches(self, **switches: object) -> None:
        """Leave Basic credentials off, as they are in a new Mautic."""
        super().turn_switches(**{"basic_enabled": False, **switches})

    def fail_write(self, **fault: object) -> None:
        """Let the next write meet a fault; asking for a token is none."""
        super().fail_write(**{"path": "/api/*", **fault})

    async def test_an_expired_token_is_renewed_and_nobody_notices(self) -> None:
        """A 401 is answered by a new token, once."""
        adapter = self.adapter()
        for _ in range(2):
            (outcome,) = await adapter.push([delivery(1)])
            assert isinstance(outcome, Synced)
            self.sandbox.mautic.tokens.expire()
        assert self._tokens() == 2

    async def test_a_token_is_asked_for_once_while_it_holds(self) -> None:
        """Not for every call."""
        adapter = self.adapter()
        await adapter.check()
        for number in range(1, 4):
            await adapter.push([delivery(number)])
        assert self._tokens() == 1

    def _tokens(self) -> int:
        calls = self.simulator.calls.as_json()["calls"]
        return sum(int(call["count"]) for call in calls if call["path"].startswith("/oauth"))


class TestMauticUser(TestMauticApplication):
    """An application that a user authorized: its refresh token rotates."""

    secrets: ClassVar = {
        "client_id": "1_sandbox",
        "client_secret": SECRET,
        "refresh_token": "sandbox-mautic-refresh-token",
    }
