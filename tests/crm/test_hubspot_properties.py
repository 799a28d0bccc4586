"""Properties of a contact at HubSpot: those that the portal has arrive, the others sink none."""

from collections.abc import Mapping
from dataclasses import replace

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.hubspot_properties import PROPERTIES
from crmsync_server.crm.outcomes import Postponed, Retry, Synced
from tests.crm.hubspot_script import UPSERT, accepted, hubspot, push, refusal
from tests.crm.support import ScriptedCrm, delivery
from tests.crm.support import inputs as inputs_of

COMPUTED = {"name": "createdate", "modificationMetadata": {"readOnlyValue": True}}


def portal(*names: str) -> ScriptedCrm:
    """Return a portal that has these properties, and one that HubSpot computes."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path != PROPERTIES:
            return accepted(request)
        return httpx.Response(200, json={"results": [*({"name": n} for n in names), COMPUTED]})

    return ScriptedCrm(respond)


def unread(answer: httpx.Response) -> ScriptedCrm:
    """Return a portal that answers so when it is asked for its properties."""
    return ScriptedCrm(lambda r: answer if r.url.path == PROPERTIES else accepted(r))


def with_properties(**properties: str) -> Delivery:
    """Return a delivery with properties of its own."""
    return replace(delivery(1), properties=properties)


def sent(request: httpx.Request) -> Mapping[str, object]:
    """Return the properties of the only input of a batch."""
    (entry,) = inputs_of(request)
    assert isinstance(entry["properties"], dict)
    return entry["properties"]


async def test_a_property_that_the_portal_lacks_is_left_out_and_noted() -> None:
    """It would have HubSpot refuse the whole contact, for good."""
    crm = portal("tier")
    (outcome,) = await push(crm, with_properties(Tier="gold", SHOE="39", createdate="0"))
    assert isinstance(outcome, Synced)
    assert outcome.note == "not sent, HubSpot has no place for it: SHOE, createdate"
    assert sent(crm.requests[-1]).items() >= {("tier", "gold"), ("firstname", "First1")}
    assert sent(crm.requests[-1]).keys().isdisjoint({"Tier", "SHOE", "createdate"})


async def test_the_portals_properties_are_asked_for_once_and_only_when_needed() -> None:
    """One call in ten minutes, none for contacts without properties of their own."""
    crm = portal("tier")
    adapter = hubspot(crm.tools())
    await adapter.push([delivery(1)])
    await adapter.push([with_properties(tier="gold")])
    await adapter.push([with_properties(tier="silver")])
    assert crm.paths == [UPSERT, PROPERTIES, UPSERT, UPSERT]


async def test_every_property_is_sent_where_the_token_may_not_read_their_names() -> None:
    """The scope of contacts is enough to write them; most properties exist."""
    crm = unread(refusal(403, category="MISSING_SCOPES"))
    (outcome,) = await push(crm, with_properties(tier="gold", SHOE="39"))
    assert outcome == Synced("501")
    assert sent(crm.requests[-1]).items() >= {("tier", "gold"), ("SHOE", "39")}


@pytest.mark.parametrize(
    ("status", "ends"), [(429, Postponed), (500, Retry), (504, Retry), (200, Retry)]
)
async def test_nothing_is_sent_while_the_portals_properties_are_unknown(
    status: int, ends: type[object]
) -> None:
    """A guess could have the contact refused for good, because of a fault that passes."""
    crm = unread(httpx.Response(status, json={}))
    (outcome,) = await push(crm, with_properties(tier="gold"))
    assert isinstance(outcome, ends)
    assert crm.paths == [PROPERTIES]


async def test_a_token_refused_for_the_properties_is_refused() -> None:
    """As anywhere else: the lane waits for new credentials."""
    with pytest.raises(CredentialsRefusedError):
        await push(unread(refusal(401, message="expired")), with_properties(tier="gold"))


async def test_custom_properties_never_replace_the_owned_ones() -> None:
    """An address or a record id cannot be smuggled in as a custom property."""
    crm = portal("email", "firstname", "hs_object_id", "tier")
    properties = {"Email": "x@x.com", "hs_object_id": "1", "firstname": "No", "tier": "gold"}
    extra = Delivery(delivery(1).contact_id, 1, None, "a@x.com", "Ana", properties=properties)
    await push(crm, extra)
    assert sent(crm.requests[-1]) == {"tier": "gold", "firstname": "Ana"}
