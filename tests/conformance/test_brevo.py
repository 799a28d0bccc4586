"""Brevo keeps the promises of every adapter, one by one and by import."""

from typing import ClassVar

from crmsync_server.crm import brevo
from crmsync_server.crm.outcomes import Synced
from tests.conformance.suite import AdapterConformance
from tests.crm.support import SECRET, delivery

_KNOWN = "Brevo knows its records by their email"
_NAMES = "Brevo's replies and reports always name the row"


class TestBrevoSingly(AdapterConformance):
    """An account without a list: every contact has its own call."""

    crm = "brevo"
    build = staticmethod(brevo.build)
    container = "attributes"
    names = ("FIRSTNAME", "LASTNAME", "COMPANY")
    lacks: ClassVar = {
        "test_an_address_that_is_to_be_kept_is_kept": _KNOWN,
        "test_unnamed_culprits_do_not_sink_their_batch": _NAMES,
    }

    async def test_consent_given_or_taken_at_brevo_stays(self) -> None:
        """Who unsubscribed there is not subscribed again by a delivery."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        reply = await self.client.put(
            f"{self.sandbox.urls['brevo']}/contacts/person1%40example.com",
            json={"emailBlacklisted": True},
            headers={"api-key": SECRET},
        )
        assert reply.is_success
        await self.deliver(adapter, [delivery(1)])
        (contact,) = self.simulator.contacts()
        assert contact["emailBlacklisted"] is True

    async def test_nobody_elses_contact_is_removed_by_an_address_that_has_moved_on(self) -> None:
        """Under the address of a contact that is gone may be another one, whom our id tells."""
        adapter, deleter = self.deleter()
        await self.deliver(adapter, [delivery(2, email="person1@example.com")])
        gone = delivery(1, crm_contact_id="person1@example.com")
        (outcome,) = await deleter.delete([gone])
        assert isinstance(outcome, Synced)
        assert list(self.held()) == ["person1@example.com"]

    async def test_an_address_that_was_changed_at_brevo_does_not_keep_a_contact(self) -> None:
        """Our own id finds it."""
        adapter, deleter = self.deleter()
        await self.deliver(adapter, [delivery(1)])
        ((record_id, _),) = [(str(one["id"]), one) for one in self.simulator.contacts()]
        self.sandbox.brevo.user.edit(record_id, {"email": "moved@example.com"})
        known = delivery(1, crm_contact_id="person1@example.com")
        (outcome,) = await deleter.delete([known])
        assert isinstance(outcome, Synced)
        assert self.held() == {}


class TestBrevoByImport(TestBrevoSingly):
    """An account with a list: every batch is an import."""

    options: ClassVar = {"list_id": "7", "import_threshold": "1"}
