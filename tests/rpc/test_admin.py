"""Deliveries are configured, paused and resumed by admins, and read by readers."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from crmsync.v1 import admin_service_pb2 as pb
from crmsync.v1 import crm_config_pb2
from crmsync.v1.crm_config_pb2 import (
    CrmConfig,
    FieldMapping,
    MappingRule,
    MergeSettings,
    Transform,
)
from crmsync_server.store.db import Database
from tests.rpc.admins import OTHER, READER, Office, open_office
from tests.rpc.contacts import ORG
from tests.rpc.serving import failure_of

RULE = MappingRule(
    target="whatsapp",
    field="phone",
    default_value="+300",
    write_empty=True,
    transforms=[
        Transform(text=crm_config_pb2.TEXT_TRANSFORM_TRIM),
        Transform(e164=crm_config_pb2.E164Transform(region="GR")),
        Transform(date=crm_config_pb2.DateTransform(output_format="%Y")),
    ],
)
EMPTY = MappingRule(target="company", constant="")
OURS = crm_config_pb2.MERGE_POLICY_OURS_WINS


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    """Serve AdminService."""
    async with open_office(database) as office:
        yield office


async def update(office: Office, *paths: str, version: int = 0, **values: Any) -> CrmConfig:  # noqa: ANN401 - a value of the field
    """Change the configuration of hubspot."""
    config = CrmConfig(crm="hubspot", version=version, **values)
    request = pb.UpdateCrmConfigRequest(config=config, update_mask=FieldMask(paths=paths))
    return (await office.stub.UpdateCrmConfig(request)).config


async def config_of(office: Office, crm: str = "hubspot", metadata: Any = ()) -> CrmConfig:  # noqa: ANN401 - of a call
    """Return one configuration."""
    response = await office.stub.GetCrmConfig(pb.GetCrmConfigRequest(crm=crm), metadata=metadata)
    assert list(response.configs) == [crm]
    return response.configs[crm]


async def test_every_crm_is_told_with_what_is_in_force(office: Office) -> None:
    """Also the ones without credentials."""
    configs = (await office.stub.GetCrmConfig(pb.GetCrmConfigRequest())).configs
    told = {
        crm: MessageToDict(config, preserving_proto_field_name=True)
        for crm, config in configs.items()
    }
    defaults = {"enabled": True, "max_retries": 5, "interval": "5s"}
    assert told == {
        "brevo": {"crm": "brevo"} | defaults,
        "hubspot": {
            "crm": "hubspot",
            "configured": True,
            "batch_size": 100,
            "concurrency": 4,
            "known_limits": [{"bucket": "burst", "calls": "190", "period": "10s"}],
            "max_batch_size": 100,
            "requires_email": True,
        }
        | defaults,
    }


async def test_a_limit_that_the_crm_told_stands_for_the_declared_one(
    office: Office, database: Database
) -> None:
    """Which is a guess until then."""
    async with database.org(ORG) as connection:
        text = (
            "INSERT INTO quotas (org_id, crm, bucket, arrival_time, declared, calls, period)"
            " VALUES ('acme', 'hubspot', 'burst', now(), 190, 250, interval '10 s')"
        )
        await connection.execute(sa.text(text))
    [limit] = (await config_of(office)).known_limits
    assert (limit.bucket, limit.calls, limit.period.seconds) == ("burst", 250, 10)


async def test_a_mapping_is_told_as_it_was_given(office: Office) -> None:
    """With empty constants and all."""
    mapping = FieldMapping(rules=[RULE, EMPTY])
    changed = await update(office, field_mapping=mapping, custom_properties=["plan"])
    assert changed.field_mapping == mapping
    assert list(changed.custom_properties) == ["plan"]
    assert changed.version == 1
    assert changed.HasField("update_time")
    assert await config_of(office) == changed
    assert office.told == [("config", ORG, "hubspot")]


async def test_merge_settings_are_told_as_they_were_given(office: Office) -> None:
    """Those that nobody set are left out: then the defaults hold."""
    settings = MergeSettings(
        policy=crm_config_pb2.MERGE_POLICY_MANUAL,
        field_policies={"company": OURS, "properties.plan": crm_config_pb2.MERGE_POLICY_CRM_WINS},
        deletion_policy=crm_config_pb2.DELETION_POLICY_DELETE,
        create_contacts=False,
        phone_region="IN",
    )
    changed = await update(office, merge_settings=settings)
    assert (changed.merge_settings, changed.version) == (settings, 1)
    assert (await config_of(office, metadata=READER)).merge_settings == settings
    assert not (await config_of(office, metadata=OTHER)).HasField("merge_settings")
    assert (await update(office, batch_size=10)).merge_settings == settings
    assert (await update(office, merge_settings=settings)).version == 2
    changed = await update(office, "merge_settings")
    assert not changed.HasField("merge_settings")


async def test_a_mask_names_what_changes_also_to_nothing(office: Office) -> None:
    """Without one, what is set in the configuration does."""
    await update(office, batch_size=10, concurrency=2, max_retries=0, custom_properties=["plan"])
    told = await config_of(office)
    assert (told.batch_size, told.concurrency, told.max_retries) == (10, 2, 0)
    told = await update(
        office, "batch_size", "enabled", "max_retries", "custom_properties", concurrency=3
    )
    assert (told.enabled, told.batch_size, told.max_retries) == (False, 100, 5)
    assert (told.concurrency, list(told.custom_properties)) == (2, [])
    assert (await update(office, enabled=True)).enabled


@pytest.mark.parametrize(
    ("values", "field", "told"),
    [
        ({"batch_size": 101}, "config.batch_size", "at most 100"),
        ({"concurrency": 5}, "config.concurrency", "at most 4"),
        ({"max_retries": 101}, "config.max_retries", "100"),
        ({"custom_properties": ["a", "a"]}, "config.custom_properties", "twice"),
        (
            {"field_mapping": FieldMapping(rules=[EMPTY, EMPTY])},
            "config.field_mapping.rules[1].target",
            "rules[0]",
        ),
        (
            {"field_mapping": FieldMapping(rules=[MappingRule(target="x", field="nick")])},
            "config.field_mapping.rules[0].field",
            "must be one of id, email, first_name",
        ),
        (
            {"field_mapping": FieldMapping(rules=[MappingRule(target="x")])},
            "config.field_mapping.rules[0].source",
            "",
        ),
        (
            {"merge_settings": MergeSettings(field_policies={"nick": OURS})},
            'config.merge_settings.field_policies["nick"]',
            "must be one of email, first_name, last_name, phone, company, tags and properties.key",
        ),
        (
            {"merge_settings": MergeSettings(field_policies={"properties.": OURS})},
            'config.merge_settings.field_policies["properties."]',
            "properties.key",
        ),
        (
            {"merge_settings": MergeSettings(field_policies={"company": 0})},  # type: ignore[dict-item]  # what a caller may send
            'config.merge_settings.field_policies["company"]',
            "MERGE_POLICY_CRM_WINS",
        ),
        (
            {"merge_settings": MergeSettings(phone_region="ZZ")},
            "config.merge_settings.phone_region",
            "must be a region with phone numbers",
        ),
        (
            {"merge_settings": MergeSettings(phone_region="in")},
            "config.merge_settings.phone_region",
            "must match",
        ),
    ],
)
async def test_what_cannot_be_is_told_by_its_field_and_changes_nothing(
    office: Office, values: dict[str, Any], field: str, told: str
) -> None:
    """With what would be right."""
    failure = await failure_of(update(office, **values, enabled=False))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told in failure.violations[field]
    assert (await config_of(office)).version == 0


async def test_only_some_fields_can_be_changed(office: Office) -> None:
    """A mask that names another one is told which."""
    failure = await failure_of(update(office, "enabled", "crm"))
    assert "must be one of enabled, batch_size" in failure.violations["update_mask.paths[1]"]


async def test_what_a_crm_without_credentials_can_do_is_not_asked(office: Office) -> None:
    """It is clamped when it has some."""
    config = CrmConfig(crm="brevo", batch_size=500)
    changed = await office.stub.UpdateCrmConfig(pb.UpdateCrmConfigRequest(config=config))
    assert (changed.config.batch_size, changed.config.configured) == (500, False)


async def test_a_change_for_another_version_is_aborted(office: Office) -> None:
    """And told the present one."""
    await update(office, batch_size=10)
    failure = await failure_of(update(office, batch_size=20, version=3))
    assert failure.code is grpc.StatusCode.ABORTED
    assert failure.info.reason == "VERSION_MISMATCH"
    assert failure.info.metadata["version"] == "1"
    assert (await update(office, batch_size=20, version=1)).version == 2


async def test_a_repeated_request_changes_nothing_again(office: Office) -> None:
    """It gets the first answer."""
    request = pb.UpdateCrmConfigRequest(
        config=CrmConfig(crm="hubspot", batch_size=10), request_id=str(uuid4())
    )
    first = await office.stub.UpdateCrmConfig(request)
    await update(office, batch_size=20)
    assert await office.stub.UpdateCrmConfig(request) == first
    assert (await config_of(office)).batch_size == 20


async def test_a_crm_is_paused_by_somebody_for_a_reason(office: Office) -> None:
    """Until somebody resumes it; the first pause stays."""
    asked = pb.PauseCrmRequest(crm="hubspot", reason="moving house")
    paused = (await office.stub.PauseCrm(asked)).config.pause
    assert (paused.pauser, paused.reason, paused.code) == ("anna", "moving house", "PAUSED")
    assert paused.HasField("pause_time")
    assert not paused.HasField("resume_time")
    again = pb.PauseCrmRequest(crm="hubspot", reason="another")
    assert (await office.stub.PauseCrm(again)).config.pause == paused
    assert (await config_of(office, metadata=READER)).pause == paused
    assert not (await config_of(office, metadata=OTHER)).HasField("pause")
    for _ in range(2):
        resumed = await office.stub.ResumeCrm(pb.ResumeCrmRequest(crm="hubspot"))
        assert not resumed.config.HasField("pause")
    assert office.told == [("queued", ORG, "hubspot")] * 2


async def test_readers_read_and_admins_change(office: Office) -> None:
    """Nobody else."""
    calls = (
        office.stub.PauseCrm(pb.PauseCrmRequest(crm="hubspot"), metadata=READER),
        office.stub.RunSchedule(pb.RunScheduleRequest(schedule_id=str(uuid4())), metadata=READER),
    )
    for call in calls:
        failure = await failure_of(call)
        assert failure.code is grpc.StatusCode.PERMISSION_DENIED
        assert failure.info.metadata["required_role"] == "admin"
    await office.stub.ListSchedules(pb.ListSchedulesRequest(), metadata=READER)


async def test_an_unknown_crm_is_told_with_those_there_are(office: Office) -> None:
    """By every method."""
    calls = (
        office.stub.GetCrmConfig(pb.GetCrmConfigRequest(crm="siebel")),
        office.stub.UpdateCrmConfig(pb.UpdateCrmConfigRequest(config=CrmConfig(crm="siebel"))),
        office.stub.PauseCrm(pb.PauseCrmRequest(crm="siebel")),
        office.stub.ResumeCrm(pb.ResumeCrmRequest(crm="siebel")),
        office.stub.ListSchedules(pb.ListSchedulesRequest(crm="siebel")),
    )
    for call in calls:
        failure = await failure_of(call)
        assert failure.info.reason == "UNKNOWN_CRM"
        assert failure.info.metadata["known"] == "brevo,hubspot"
