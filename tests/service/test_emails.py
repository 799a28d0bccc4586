"""Emails from end to end: what names a contact on both sides is told with care."""

from collections.abc import Callable

import pytest

from crmsync.v1 import admin_service_pb2 as admin_pb
from crmsync.v1 import crm_config_pb2
from crmsync.v1.crm_config_pb2 import CrmConfig, FieldMapping, MappingRule, MergeSettings
from crmsync.v1.session_service_pb2 import ApplyPlan, StartSessionRequest
from crmsync_client import CrmsyncClient
from crmsync_server.crm.replies import mapping
from crmsync_server.sandbox.server import Sandbox
from tests.service import accounts
from tests.service.calls import finished
from tests.service.pulls import edit
from tests.service.starting import BOTH, PUSH, changes, done, full, items
from tests.service.test_conflicts import (
    OPEN,
    configure,
    conflicts,
    contact_of,
    held,
    quiet,
    resolve,
)

MANUAL = crm_config_pb2.MERGE_POLICY_MANUAL
POLICIES = [number for number in crm_config_pb2.MergePolicy.values() if number]


@pytest.fixture
async def record(client: CrmsyncClient, sandbox: Sandbox) -> str:
    """Have a record that is a contact as well, and return its id at HubSpot."""
    record = sandbox.hubspot.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full())
    return record


@pytest.mark.parametrize("how", [changes, full])
async def test_an_email_in_conflict_stays_as_it_is_at_the_crm(
    client: CrmsyncClient,
    sandbox: Sandbox,
    record: str,
    how: Callable[..., StartSessionRequest],
) -> None:
    """Though the session that finds the conflict delivers the contact, and so do later ones."""
    await configure(client, MANUAL)
    contact_id = (await contact_of(client)).id
    await edit(client, contact_id, email="ours@example.com")
    sandbox.hubspot.user.edit(record, {"email": "theirs@example.com"})
    session = await done(client, how(direction=BOTH))
    assert session.progress.conflicts == 1
    await edit(client, contact_id, first_name="Augusta")
    await done(client, how(direction=BOTH))
    assert held(sandbox)["email"] == "theirs@example.com"
    assert held(sandbox)["firstname"] == "Augusta"
    assert (await contact_of(client)).email == "ours@example.com"
    [conflict] = await conflicts(client, OPEN)
    assert [one.field for one in conflict.fields] == ["email"]


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_push_leaves_the_email_that_the_crm_has_changed(
    client: CrmsyncClient,
    sandbox: Sandbox,
    record: str,
    policy: crm_config_pb2.MergePolicy.ValueType,
) -> None:
    """What has not changed here since both agreed is not told again."""
    await configure(client, policy)
    sandbox.hubspot.user.edit(record, {"email": "theirs@example.com"})
    await edit(client, (await contact_of(client)).id, first_name="Augusta")
    await done(client, changes(direction=PUSH))
    assert held(sandbox)["email"] == "theirs@example.com"
    assert held(sandbox)["firstname"] == "Augusta"
    await done(client, changes(direction=BOTH))
    assert (await contact_of(client)).email == "theirs@example.com"
    await quiet(client)


async def test_an_email_that_a_mapping_falls_back_to_reaches_a_record_without_one(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """The contact's own, where it has none to be told instead."""
    mapping = FieldMapping(rules=[MappingRule(target="email", field="properties.work")])
    settings = MergeSettings(policy=crm_config_pb2.MERGE_POLICY_OURS_WINS)
    config = CrmConfig(crm="hubspot", merge_settings=settings, field_mapping=mapping)
    await client.admin.UpdateCrmConfig(admin_pb.UpdateCrmConfigRequest(config=config))
    sandbox.hubspot.user.add({"firstname": "Ada", "phone": "+442071838750"})
    await done(client, full())
    await edit(client, (await contact_of(client)).id, email="ada@example.com")
    await done(client, full(direction=BOTH))
    assert held(sandbox)["email"] == "ada@example.com"
    await quiet(client)


@pytest.mark.parametrize("planned", [True, False])
async def test_a_contact_that_gets_its_email_is_delivered_in_the_same_session(
    client: CrmsyncClient, sandbox: Sandbox, *, planned: bool
) -> None:
    """A plan says so too, and does it when it is applied."""
    record = sandbox.hubspot.user.add({"firstname": "Ada", "phone": "+442071838750"})
    await done(client, full())
    await edit(client, (await contact_of(client)).id, first_name="Augusta")
    sandbox.hubspot.user.edit(record, {"email": "ada@example.com"})
    request = full(direction=BOTH)
    if planned:
        request.dry_run = True
        plan = await done(client, request)
        request = StartSessionRequest(crm="hubspot", apply=ApplyPlan(session_id=plan.id))
    await done(client, request)
    assert (await contact_of(client)).email == "ada@example.com"
    assert held(sandbox)["firstname"] == "Augusta"


async def test_a_crm_that_knows_records_by_their_email_is_told_nothing_of_one_in_conflict(
    client: CrmsyncClient, sandbox: Sandbox
) -> None:
    """And says so, where there was more to tell; the resolution brings all of it."""
    await accounts.good(sandbox, "mautic").connect(client)
    config = CrmConfig(crm="mautic", merge_settings=MergeSettings(policy=MANUAL))
    await client.admin.UpdateCrmConfig(admin_pb.UpdateCrmConfigRequest(config=config))
    record = sandbox.mautic.user.add({"email": "ada@example.com", "firstname": "Ada"})
    await done(client, full("mautic"))
    contact_id = (await contact_of(client)).id
    await edit(client, contact_id, email="ours@example.com")
    sandbox.mautic.user.edit(record, {"email": "theirs@example.com"})
    session = await done(client, changes("mautic", BOTH))
    assert (session.progress.conflicts, session.progress.errors) == (1, 0)
    await edit(client, contact_id, first_name="Augusta")
    session = await done(client, changes("mautic", BOTH))
    assert [one.error.code for one in await items(client, session.id) if one.error.code] == [
        "EMAIL_IN_CONFLICT"
    ]
    assert shown(sandbox) == [("theirs@example.com", "Ada")]
    [conflict] = await conflicts(client, OPEN)
    resolved = await resolve(client, conflict)
    await finished(client, resolved.resolve_session_id)
    assert shown(sandbox) == [("ours@example.com", "Augusta")]


def shown(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return the address and the first name of each of Mautic's contacts."""
    return [
        (str(mapping(one["fields"])["email"]), str(mapping(one["fields"])["firstname"]))
        for one in sandbox.mautic.contacts()
    ]
