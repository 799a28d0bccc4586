"""Brevo keeps the promises of every adapter, one by one and by import."""

from typing import ClassVar

from crmsync_server.crm import brevo
from tests.conformance.suite import AdapterConformance
from tests.crm.support import SECRET, delivery

_NAMES = "Brevo's replies and reports always name the row"


class TestBrevoSingly(AdapterConformance):
    """An account without a list: every contact has its own call."""

    crm = "brevo"
    build = staticmethod(brevo.build)
    container = "attributes"
    names = ("FIRSTNAME", "LASTNAME", "COMPANY")
    lacks: ClassVar = {
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


class TestBrevoByImport(TestBrevoSingly):
    """An account with a list: every batch is an import."""

    options: ClassVar = {"list_id": "7", "import_threshold": "1"}
