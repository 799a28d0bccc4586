"""The CRMs' side of a test that changes contacts on both sides: one way to work in each of them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

from typing_extensions import override

from crmsync_server.sandbox.clock import utc_now
from crmsync_server.sandbox.hubspot_errors import HubSpotError
from crmsync_server.sandbox.hubspot_properties import PropertyDefinition
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.zoho_fields import Field

Fields = Mapping[str, str]
"""Values by the contact's field; empty where there is nothing."""


class Ahead:
    """The simulated CRMs' clock; it can be put forward."""

    def __init__(self) -> None:
        """Be right at first."""
        self.by = timedelta()

    def __call__(self) -> datetime:
        """Return the present instant."""
        return utc_now() + self.by


class There(Protocol):
    """A simulated CRM and somebody at work in it.

    crm: its name. fields: what can be edited there, and cleared.
    """

    crm: str
    fields: tuple[str, ...]

    def add(self, values: Fields) -> bool:
        """Add a record; False where one has its email."""

    def edit(self, key: str, values: Fields) -> None:
        """Change a record."""

    def remove(self, key: str) -> None:
        """Delete a record."""

    def merge(self, loser: str, winner: str) -> None:
        """Merge one record into another."""

    def subscribe(self, url: str | None) -> None:
        """Have the CRM tell this address of changes, where it does that by itself."""

    def calls(self) -> int:
        """Return how many calls have come."""

    def lag(self, seconds: float) -> None:
        """Have changes show up so much later from now on, where that can be set."""

    def is_behind(self) -> bool:
        """Tell whether changes do not show yet."""

    def held(self) -> dict[str, Fields]:
        """Return every living record by its id."""


class HubSpotThere(There):
    """A portal: merges make new ids, and the index can be told to lag."""

    crm = "hubspot"
    fields = ("first_name", "company", "phone", "properties.plan")
    _names: Mapping[str, str] = {
        "email": "email",
        "first_name": "firstname",
        "company": "company",
        "phone": "phone",
        "properties.plan": "plan",
    }

    def __init__(self, sandbox: Sandbox, clock: Ahead) -> None:
        """Work in this sandbox's portal."""
        clock.by = timedelta()
        self._hubspot = sandbox.hubspot
        self._hubspot.reset()
        self._hubspot.calls.clear()
        plan = PropertyDefinition("plan", "Plan", hubspot_defined=False)
        self._hubspot.portal.definitions["plan"] = plan

    @override
    def add(self, values: Fields) -> bool:
        try:
            self._hubspot.user.add(self._told(values))
        except HubSpotError as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
            return False
        return True

    @override
    def subscribe(self, url: str | None) -> None:
        self._hubspot.subscribe(url)

    @override
    def calls(self) -> int:
        return int(str(self._hubspot.calls.as_json()["total"]))

    @override
    def edit(self, key: str, values: Fields) -> None:
        self._hubspot.user.edit(key, self._told(values))

    @override
    def remove(self, key: str) -> None:
        self._hubspot.user.remove(key)

    @override
    def merge(self, loser: str, winner: str) -> None:
        self._hubspot.user.merge(loser, winner)

    @override
    def lag(self, seconds: float) -> None:
        self._hubspot.index.lag = timedelta(seconds=seconds)

    @override
    def is_behind(self) -> bool:
        return self._hubspot.index.is_behind()

    @override
    def held(self) -> dict[str, Fields]:
        return {
            one.id: {field: one.properties.get(name, "") for field, name in self._names.items()}
            for one in self._hubspot.portal.contacts.values()
            if not one.archived
        }

    def _told(self, values: Fields) -> dict[str, str]:
        return {self._names[field]: value for field, value in values.items()}


class ZohoThere(There):
    """An organization: the merged record keeps its id.

    Times are whole seconds. Whoever brings back what was there earlier in the very second is not
    told apart from a reading that comes late; therefore everybody takes a second here.
    """

    crm = "zoho"
    fields = ("first_name", "phone", "properties.Plan")
    _names: Mapping[str, str] = {
        "email": "Email",
        "first_name": "First_Name",
        "last_name": "Last_Name",
        "phone": "Phone",
        "properties.Plan": "Plan",
    }

    def __init__(self, sandbox: Sandbox, clock: Ahead) -> None:
        """Work in this sandbox's organization."""
        self._clock = clock
        clock.by = timedelta()
        self._zoho = sandbox.zoho
        self._zoho.reset()
        self._zoho.calls.clear()
        self._zoho.organization.fields["Plan"] = Field("Plan", custom=True)

    @override
    def add(self, values: Fields) -> bool:
        emails = {one["email"].strip().lower() for one in self.held().values()}
        if values["email"].strip().lower() in emails:
            return False
        self._take_a_second()
        self._zoho.user.add({"Last_Name": "Last", **self._told(values)})
        return True

    @override
    def subscribe(self, url: str | None) -> None:
        """Zoho tells only of channels that somebody asked for."""

    @override
    def calls(self) -> int:
        return int(str(self._zoho.calls.as_json()["total"]))

    @override
    def edit(self, key: str, values: Fields) -> None:
        self._take_a_second()
        self._zoho.user.edit(key, self._told(values))

    @override
    def remove(self, key: str) -> None:
        self._take_a_second()
        self._zoho.user.remove(key)

    @override
    def merge(self, loser: str, winner: str) -> None:
        self._take_a_second()
        self._zoho.user.merge(loser, winner)

    @override
    def lag(self, seconds: float) -> None:
        """Zoho's lag is set once for all."""

    @override
    def is_behind(self) -> bool:
        return self._zoho.organization.is_behind()

    @override
    def held(self) -> dict[str, Fields]:
        return {
            str(one.id): {
                field: str(one.values.get(name) or "") for field, name in self._names.items()
            }
            for one in self._zoho.organization.live.contacts.values()
        }

    def _take_a_second(self) -> None:
        self._clock.by += timedelta(seconds=1)

    def _told(self, values: Fields) -> dict[str, object]:
        return {self._names[field]: value or None for field, value in values.items()}
