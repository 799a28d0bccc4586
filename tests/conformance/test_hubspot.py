"""HubSpot keeps the promises of every adapter, and its own."""

from dataclasses import replace

from crmsync_server.crm import hubspot
from crmsync_server.crm.hubspot_writes import CONTACTS
from crmsync_server.crm.outcomes import Synced
from tests.conformance.harness import Held
from tests.conformance.suite import AdapterConformance
from tests.crm.support import SECRET, deliveries, delivery


class TestHubSpot(AdapterConformance):
    """A portal, delivered to in batches."""

    crm = "hubspot"
    build = staticmethod(hubspot.build)
    container = "properties"
    names = ("firstname", "lastname", "company")
    writes_at = "*/batch/up*"

    async def test_a_merged_contact_is_found_again(self) -> None:
        """A merge retires both record ids; the contact is delivered to the merged record."""
        adapter = self.adapter()
        ids = [o.crm_contact_id for o in await adapter.push(deliveries(2)) if isinstance(o, Synced)]
        url = self.sandbox.urls["hubspot"]
        merged = await self.client.post(
            f"{url}/_sandbox/merge",
            json={"primary": ids[0], "secondary": ids[1]},
            headers={"authorization": f"Bearer {SECRET}"},
        )
        again = [
            replace(delivery(n), attempt=2, crm_contact_id=i) for n, i in enumerate(ids, start=1)
        ]
        outcomes = await adapter.push(again)
        assert [o.crm_contact_id for o in outcomes if isinstance(o, Synced)] == [
            merged.json()["id"],
            merged.json()["id"],
        ]

    async def test_removing_a_merged_contact_removes_who_is_left(self) -> None:
        """Its own id says nothing to HubSpot any more, and is taken for gone there."""
        adapter, deleter = self.deleter()
        ids = [o.crm_contact_id for o in await adapter.push(deliveries(2)) if isinstance(o, Synced)]
        self.sandbox.hubspot.user.merge(ids[1], ids[0])
        (outcome,) = await deleter.delete([delivery(2, crm_contact_id=ids[1])])
        assert isinstance(outcome, Synced)
        assert self.held() == {}

    async def test_two_contacts_of_one_address_complete_each_other(self) -> None:
        """What one of them leaves out is not lost to the other, though both are new."""
        first = replace(delivery(1), company="", phone="")
        second = replace(delivery(2, email="PERSON1@example.com"), first_name="", last_name="")
        outcomes = await self.adapter().push([first, second])
        assert [type(outcome) for outcome in outcomes] == [Synced, Synced]
        assert list(self.held().values()) == [
            Held("person1@example.com", "First1", "Last1", "Company 2")
        ]

    async def test_values_that_are_not_ours_stay(self) -> None:
        """A property that we do not deliver is HubSpot's."""
        adapter = self.adapter()
        (first,) = await adapter.push([delivery(1)])
        assert isinstance(first, Synced)
        await self.client.patch(
            f"{self.sandbox.urls['hubspot']}{CONTACTS}/{first.crm_contact_id}",
            json={"properties": {"jobtitle": "Astronaut"}},
            headers={"authorization": f"Bearer {SECRET}"},
        )
        for known in (first.crm_contact_id, None):
            await adapter.push([delivery(1, crm_contact_id=known)])
            (contact,) = self.simulator.contacts()
            assert contact["properties"]["jobtitle"] == "Astronaut"
