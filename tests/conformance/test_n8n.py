"""n8n keeps the promises of every adapter that the receiver of a webhook can keep."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

import httpx
import pytest_asyncio

from crmsync_server.crm import n8n
from crmsync_server.crm.adapter import Adapter
from crmsync_server.crm.outcomes import Rejected, Retry, Synced
from crmsync_server.sandbox.n8n import N8nSettings
from crmsync_server.sandbox.n8n_workflow import NodeCredentials
from crmsync_server.sandbox.server import Sandbox
from tests.conformance.harness import Held
from tests.conformance.suite import AdapterConformance
from tests.crm.support import SECRET, deliveries, delivery

_NO_REMOVAL = "a workflow takes contacts, and offers nothing to remove them by"
_NO_READ_BACK = "a workflow cannot be asked what it has taken"
_TAKES_ALL = "n8n answers before the workflow has looked at a record"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Run the simulated CRMs; n8n's webhooks ask for the secret of the tests."""
    settings = N8nSettings(credentials=NodeCredentials(header_value=SECRET, signing_secret=SECRET))
    async with Sandbox(n8n=settings) as running:
        yield running


class TestN8n(AdapterConformance):
    """A workflow that answers at once: what it has taken is synced."""

    crm = "n8n"
    build = staticmethod(n8n.build)
    options: ClassVar = {"auth": "header"}
    secrets: ClassVar = {
        "header_name": "x-api-key",
        "header_value": SECRET,
        "signing_secret": SECRET,
    }
    container = "fields"
    names = ("first_name", "last_name", "company")
    webhook: ClassVar = "contacts"
    lacks: ClassVar = {
        "test_an_address_that_is_to_be_kept_is_kept": "a workflow is told the whole contact",
        "test_an_unknown_property_does_not_keep_a_contact_out": "a workflow takes any property",
        "test_every_delivery_has_one_outcome_in_its_place": "n8n needs no address: see below",
        "test_limits_in_headers_are_told_to_the_quota": "n8n's headers tell of no limits",
        "test_a_check_tells_good_credentials_from_bad": "only an execution would prove them",
        "test_an_unknown_outcome_is_settled_by_reading_back": _NO_READ_BACK,
        "test_reading_back_compares_every_value": _NO_READ_BACK,
        "test_reading_back_keeps_to_what_was_delivered": _NO_READ_BACK,
        "test_rejected_records_do_not_sink_their_batch": _TAKES_ALL,
        "test_unnamed_culprits_do_not_sink_their_batch": _TAKES_ALL,
        "test_every_contact_is_accounted_for_under_random_faults": _TAKES_ALL,
        "test_a_removed_record_is_gone_and_no_other_is": _NO_REMOVAL,
        "test_a_record_whose_id_is_not_known_is_removed_by_its_email": _NO_REMOVAL,
        "test_what_is_gone_already_counts_as_removed": _NO_REMOVAL,
        "test_a_contact_of_which_nothing_is_known_has_no_record": _NO_REMOVAL,
        "test_a_full_batch_is_removed": _NO_REMOVAL,
        "test_a_rate_limit_postpones_a_removal": _NO_REMOVAL,
        "test_a_fault_is_no_removal": _NO_REMOVAL,
        "test_refused_credentials_raise_instead_of_removing": _NO_REMOVAL,
        "test_every_removal_is_accounted_for_under_random_faults": _NO_REMOVAL,
    }

    def adapter(self, client: httpx.AsyncClient | None = None, *, base_url: str = "") -> Adapter:
        """Build the adapter for one of the workflows."""
        url = base_url or self.sandbox.urls["n8n"].removesuffix("/webhook/contacts")
        return super().adapter(client, base_url=f"{url}/webhook/{self.webhook}")

    async def test_contacts_without_an_address_are_taken(self) -> None:
        """And two contacts that share an address stay two."""
        batch = [delivery(1), delivery(2, email=" "), delivery(3, email="PERSON1@example.com")]
        outcomes = await self.deliver(self.adapter(), batch)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        held = [contact["email"] for contact in self.simulator.contacts()]
        assert sorted(held, key=str) == [None, "person1@example.com", "person1@example.com"]

    async def test_a_contact_changed_back_is_delivered(self) -> None:
        """Its content has been delivered before, its key has not: no receiver takes it for old."""
        adapter = self.adapter()
        known = None
        for attempt, company in enumerate(("A", "B", "A", "B"), start=1):
            one = delivery(1, crm_contact_id=known)
            (outcome,) = await adapter.push([replace(one, attempt=attempt, company=company)])
            assert isinstance(outcome, Synced)
            assert [held.company for held in self.held().values()] == [company]
            known = outcome.crm_contact_id

    async def test_what_was_applied_before_a_lost_answer_is_taken_once(self) -> None:
        """The next attempt has the same key; the receiver knows it."""
        adapter = self.adapter()
        self.fail_write(kind="drop", applied=True)
        await adapter.push([delivery(1)])
        await adapter.push([replace(delivery(1), attempt=2)])
        (contact,) = self.simulator.contacts()
        assert (contact["times_created"], contact["times_updated"]) == (1, 0)

    async def test_a_check_executes_nothing(self) -> None:
        """Not even a workflow that listens for other methods besides."""
        state = self.sandbox.n8n.state
        for methods in (("POST",), ("GET", "HEAD", "PATCH", "POST"), ("DELETE", "PATCH", "PUT")):
            workflow = state.workflows[self.webhook].model_copy(update={"methods": methods})
            self.sandbox.n8n.state = state.model_copy(
                update={"workflows": {self.webhook: workflow}}
            )
            assert (await self.adapter().check()).valid == ("POST" in methods)
        assert self.sandbox.n8n.executions == []

    async def test_a_check_proves_no_credentials(self) -> None:
        """And says so."""
        self.turn(token_expired=True)
        standing = await self.adapter().check()
        assert standing.valid
        assert "only a delivery proves the credentials" in standing.message


class TestN8nInBatches(TestN8n):
    """The same workflow, with thirty contacts in each call."""

    options: ClassVar = {"auth": "header", "batch_size": "30"}


class TestN8nWithResults(TestN8n):
    """A workflow that answers what became of each contact."""

    options: ClassVar = {"auth": "header", "batch_size": "30", "response": "results"}
    webhook: ClassVar = "contacts-results"
    lacks: ClassVar = {
        "test_unnamed_culprits_do_not_sink_their_batch": "a workflow that failed may do better "
        "next time: see below",
    }

    test_rejected_records_do_not_sink_their_batch = (
        AdapterConformance.test_rejected_records_do_not_sink_their_batch
    )
    test_every_contact_is_accounted_for_under_random_faults = (
        AdapterConformance.test_every_contact_is_accounted_for_under_random_faults
    )

    async def test_a_record_that_a_workflow_fails_at_is_tried_again_alone(self) -> None:
        """The rest of its call arrives."""
        self.turn(reject_share=0.08, unnamed_culprits=True)
        batch = deliveries(100)
        outcomes = await self.deliver(self.adapter(), batch)
        fails = {one.email for one in batch if self.simulator.faults.rejects(one.email)}
        retried = [
            one.email for one, o in zip(batch, outcomes, strict=True) if isinstance(o, Retry)
        ]
        assert fails
        assert set(retried) == fails
        assert self.held().keys() == {one.email for one in batch} - fails

    async def test_a_rejection_carries_the_workflows_reason(self) -> None:
        """Its code and its message."""
        self.turn(reject_share=1)
        (outcome,) = await self.deliver(self.adapter(), [delivery(1)])
        message = "the workflow's own rules do not take this contact"
        assert outcome == Rejected("INVALID_CONTACT", message)

    async def test_what_a_receiver_took_before_is_synced(self) -> None:
        """A repetition is a success, and changes nothing."""
        adapter = self.adapter()
        for attempt in (1, 2):
            (outcome,) = await adapter.push([replace(delivery(1), attempt=attempt)])
            assert isinstance(outcome, Synced)
        assert self.held() == {
            "person1@example.com": Held("person1@example.com", "First1", "Last1", "Company 1")
        }
        assert self.sandbox.n8n.receiver.repetitions == 1
