"""Deliveries that the CRM never answered, through a real channel: what is edited later holds."""

import pytest

from crmsync.v1 import admin_service_pb2, crm_config_pb2
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from tests.service.pulls import contacts, edit
from tests.service.starting import BOTH, PULL, changes, done, full


async def crm_wins(client: CrmsyncClient) -> None:
    """Let the policy decide against what is here, and nothing be tried twice."""
    settings = crm_config_pb2.MergeSettings(policy=crm_config_pb2.MERGE_POLICY_CRM_WINS)
    config = crm_config_pb2.CrmConfig(crm="hubspot", merge_settings=settings, max_retries=0)
    request = admin_service_pb2.UpdateCrmConfigRequest(config=config)
    await client.admin.UpdateCrmConfig(request)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
async def test_what_is_edited_after_an_unanswered_delivery_is_not_undone(
    client: CrmsyncClient, sandbox: Sandbox, *, applied: bool
) -> None:
    """Whatever the policy says: nobody at the CRM has changed anything."""
    await crm_wins(client)
    sandbox.hubspot.user.add({"email": "ada@example.com", "company": "Engines"})
    await done(client, full(direction=BOTH))
    ada = (await contacts(client))["ada@example.com"].id
    fault = ScriptedFault(kind="drop", applied=applied, path="*/batch/up*")
    sandbox.hubspot.faults.script(fault)
    await edit(client, ada, company="Looms")
    assert (await done(client, changes(direction=BOTH))).progress.errors == 1
    await edit(client, ada, company="Mills")
    read = await done(client, changes(direction=PULL))
    assert (read.pull.updated, read.pull.conflicts) == (0, 0)
    assert (await contacts(client))["ada@example.com"].company == "Mills"
    assert (await done(client, changes(direction=BOTH))).progress.synced == 1
    [held] = [one["properties"] for one in sandbox.hubspot.contacts()]
    assert held["company"] == "Mills"
    quiet = await done(client, changes(direction=BOTH))
    assert (quiet.pull.updated, quiet.progress.synced) == (0, 0)
