"""Brevo keeps the promises of every adapter, one by one and by import."""

from typing import ClassVar

from crmsync_server.crm import brevo
from tests.conformance.suite import AdapterConformance

_KEEPS = "empty values are left out: an import could not tell them from unknown ones"
_NAMES = "Brevo's replies and reports always name the row"


class TestBrevoSingly(AdapterConformance):
    """An account without a list: every contact has its own call."""

    crm = "brevo"
    build = staticmethod(brevo.build)
    container = "attributes"
    names = ("FIRSTNAME", "LASTNAME", "COMPANY")
    lacks: ClassVar = {
        "test_empty_values_clear_what_we_own": _KEEPS,
        "test_unnamed_culprits_do_not_sink_their_batch": _NAMES,
    }


class TestBrevoByImport(AdapterConformance):
    """An account with a list: every batch is an import."""

    crm = "brevo"
    build = staticmethod(brevo.build)
    options: ClassVar = {"list_id": "7", "import_threshold": "1"}
    container = "attributes"
    names = ("FIRSTNAME", "LASTNAME", "COMPANY")
    lacks = TestBrevoSingly.lacks
