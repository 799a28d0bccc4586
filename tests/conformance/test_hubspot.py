"""HubSpot keeps the promises of every adapter."""

from typing import ClassVar

from crmsync_server.crm import hubspot
from tests.conformance.suite import AdapterConformance


class TestHubSpot(AdapterConformance):
    """A portal, delivered to in batches."""

    crm = "hubspot"
    build = staticmethod(hubspot.build)
    container = "properties"
    names = ("firstname", "lastname", "company")
    lacks: ClassVar = {
        "test_empty_values_keep_the_crms": "HubSpot supports no partial upsert by email, so the "
        "whole owned set is sent and an empty value clears",
    }
