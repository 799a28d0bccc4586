"""Adapters are found by their entry points."""

import pytest

from crmsync_server.crm import brevo, hubspot, registry
from crmsync_server.crm.registry import UnknownCrmError


def test_the_built_in_crms_are_known() -> None:
    """Their factories are what the entry points name."""
    known = {"brevo", "hubspot", "mautic", "n8n", "trading", "whatsapp", "zoho"}
    assert known <= registry.known()
    assert registry.factory("brevo") is brevo.build
    assert registry.factory("hubspot") is hubspot.build


def test_an_unknown_crm_is_named_with_the_known_ones() -> None:
    """The message helps whoever mistyped it."""
    with pytest.raises(UnknownCrmError, match=r"'hubspit'.*brevo.*hubspot"):
        registry.factory("hubspit")
