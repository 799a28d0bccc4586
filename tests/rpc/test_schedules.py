"""Schedules are created, listed, changed, run and deleted by admins."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from crmsync.v1 import admin_service_pb2 as pb
from crmsync.v1 import contact_sync_pb2, session_pb2
from crmsync.v1.queue_filter_pb2 import QueueFilter
from crmsync.v1.schedule_pb2 import QueueAllAction, Schedule
from crmsync_server.store.db import Database
from tests.rpc.admins import OTHER, Office, open_office
from tests.rpc.contacts import ORG
from tests.rpc.serving import failure_of
from tests.store import people

ALL = QueueAllAction(crm="hubspot", priority=contact_sync_pb2.PRIORITY_NORMAL)


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    """Serve AdminService."""
    async with open_office(database) as office:
        yield office


async def create(office: Office, request_id: str = "", **values: Any) -> Schedule:  # noqa: ANN401 - a value of the field
    """Create a schedule: every hour, of all contacts."""
    given: dict[str, Any] = {"cron": "0 * * * *", "queue_all": ALL} | values
    schedule = Schedule(**given)
    request = pb.CreateScheduleRequest(schedule=schedule, request_id=request_id)
    return (await office.stub.CreateSchedule(request)).schedule


async def update(office: Office, before: Schedule, *paths: str, **values: Any) -> Schedule:  # noqa: ANN401 - a value of the field
    """Change a schedule."""
    schedule = Schedule(id=before.id, **values)
    request = pb.UpdateScheduleRequest(schedule=schedule, update_mask=FieldMask(paths=paths))
    return (await office.stub.UpdateSchedule(request)).schedule


async def listed(office: Office, **values: Any) -> list[Schedule]:  # noqa: ANN401 - a value of the field
    """Read all pages."""
    request = pb.ListSchedulesRequest(**values)
    found: list[Schedule] = []
    while True:
        page = await office.stub.ListSchedules(request)
        found += page.schedules
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_a_schedule_comes_back_as_it_was_given(office: Office) -> None:
    """With what the server decides: id, version, creator and when it runs next."""
    action = QueueAllAction(
        crm="hubspot",
        filter=QueueFilter(
            has_email=True, not_already_synced=True, domain_id=str(uuid4()), filter="tags:vip"
        ),
        priority=contact_sync_pb2.PRIORITY_HIGH,
        force=True,
    )
    created = await create(
        office, display_name="Nightly", time_zone="Europe/Athens", queue_all=action
    )
    assert created.queue_all == action
    assert (created.display_name, created.time_zone) == ("Nightly", "Europe/Athens")
    assert (created.version, created.creator, created.enabled) == (1, "anna", True)
    assert created.next_run_time.seconds % 3600 == 0
    assert not created.HasField("last_run_time")
    assert await listed(office) == [created]
    assert office.told == [("schedule",)]


async def test_what_is_left_out_is_the_default(office: Office) -> None:
    """UTC, and enabled; one that is not has no next run."""
    created = await create(office)
    assert (created.time_zone, created.enabled) == ("UTC", True)
    assert not created.queue_all.HasField("filter")
    off = await create(office, enabled=False)
    assert not off.HasField("next_run_time")


async def test_a_repeated_creation_creates_nothing(office: Office) -> None:
    """It gets the first answer."""
    request_id = str(uuid4())
    assert await create(office, request_id) == await create(office, request_id)
    assert len(await listed(office)) == 1


@pytest.mark.parametrize(
    ("values", "field", "told"),
    [
        ({"cron": ""}, "schedule.cron", "must have 5 fields"),
        ({"cron": "0 25 * * *"}, "schedule.cron", "is wrong at the hour, '25': must be 0 to 23"),
        ({"cron": "0 0 30 2 *"}, "schedule.cron", "never"),
        ({"time_zone": "Europe/Atlantis"}, "schedule.time_zone", "there is no 'Europe/Atlantis'"),
        ({"queue_all": None}, "schedule.action", "must be set"),
        (
            {"queue_all": QueueAllAction(crm="hubspot", filter=QueueFilter(filter="tags:"))},
            "schedule.queue_all.filter.filter",
            "character",
        ),
    ],
)
async def test_what_cannot_be_is_told_by_its_field(
    office: Office, values: dict[str, Any], field: str, told: str
) -> None:
    """And nothing is created, or changed."""
    failure = await failure_of(create(office, **values))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told in failure.violations[field]
    assert await listed(office) == []
    created = await create(office)
    path = "queue_all" if "queue_all" in values else next(iter(values))
    failure = await failure_of(update(office, created, path, **values))
    assert told in failure.violations[field]
    assert await listed(office) == [created]


async def test_an_unknown_crm_is_told(office: Office) -> None:
    """On creation and on a change."""
    action = QueueAllAction(crm="siebel")
    failure = await failure_of(create(office, queue_all=action))
    assert failure.info.reason == "UNKNOWN_CRM"
    failure = await failure_of(update(office, await create(office), queue_all=action))
    assert failure.info.reason == "UNKNOWN_CRM"


async def test_an_organization_has_a_hundred_schedules_at_most(office: Office) -> None:
    """Others have their own."""
    for _ in range(100):
        await create(office)
    failure = await failure_of(create(office))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.info.metadata == {"field": "schedules", "limit": "100", "received": "101"}
    request = pb.CreateScheduleRequest(schedule=Schedule(cron="0 0 * * *", queue_all=ALL))
    await office.stub.CreateSchedule(request, metadata=OTHER)


async def test_schedules_are_listed_newest_first_page_by_page(office: Office) -> None:
    """Of one CRM or all."""
    created = [await create(office) for _ in range(5)]
    brevo = await create(office, queue_all=QueueAllAction(crm="brevo"))
    assert await listed(office, page_size=2) == [brevo, *reversed(created)]
    assert await listed(office, crm="brevo") == [brevo]
    page = await office.stub.ListSchedules(pb.ListSchedulesRequest(page_size=2))
    stolen = pb.ListSchedulesRequest(page_size=2, page_token=page.next_page_token, crm="hubspot")
    failure = await failure_of(office.stub.ListSchedules(stolen))
    assert failure.info.reason == "INVALID_PAGE_TOKEN"


async def test_a_change_takes_what_it_names(office: Office) -> None:
    """Without a mask, what is set; the next run is found anew."""
    created = await create(office, display_name="a")
    changed = await update(office, created, cron="30 4 * * *", time_zone="Asia/Kolkata")
    assert (changed.cron, changed.time_zone, changed.display_name) == (
        "30 4 * * *",
        "Asia/Kolkata",
        "a",
    )
    assert changed.version == 2
    assert changed.next_run_time.ToDatetime().strftime("%H:%M") == "23:00"
    changed = await update(office, created, "display_name", "time_zone", "enabled", enabled=False)
    assert (changed.display_name, changed.time_zone, changed.enabled) == ("", "UTC", False)
    assert not changed.HasField("next_run_time")
    action = QueueAllAction(crm="brevo", force=True, priority=ALL.priority)
    assert (await update(office, created, queue_all=action)).queue_all == action


async def test_a_change_says_which_schedule_and_what_of_it(office: Office) -> None:
    """Another version is told the present one."""
    failure = await failure_of(update(office, Schedule(), cron="* * * * *"))
    assert failure.violations["schedule.id"] == "must be a valid UUID"
    created = await create(office)
    failure = await failure_of(update(office, created, "creator"))
    assert "must be one of display_name, cron" in failure.violations["update_mask.paths[0]"]
    failure = await failure_of(update(office, created, display_name="b", version=7))
    assert (failure.code, failure.info.metadata["version"]) == (grpc.StatusCode.ABORTED, "1")


async def test_a_schedule_runs_at_once_with_a_session_of_its_own(
    office: Office, database: Database
) -> None:
    """Besides its times, and also when it is not enabled; a repeat does not run it again."""
    async with database.org(ORG) as connection:
        for name, email in (("a", True), ("b", True), ("c", False)):
            await people.create(connection, ORG, name, email=email)
    chosen = QueueFilter(filter="first_name = a OR first_name = c")
    created = await create(
        office, enabled=False, queue_all=QueueAllAction(crm="hubspot", filter=chosen)
    )
    request = pb.RunScheduleRequest(schedule_id=created.id, request_id=str(uuid4()))
    opened = (await office.stub.RunSchedule(request)).session
    assert opened.kind == session_pb2.SESSION_KIND_RUN_SCHEDULE
    assert (opened.creator, opened.progress.total) == (f"schedule:{created.id}", 1)
    assert (await office.stub.RunSchedule(request)).session.id == opened.id
    [after] = await listed(office)
    assert (after.last_session_id, after.last_error) == (opened.id, "")
    assert after.HasField("last_run_time")
    assert not after.HasField("next_run_time")
    assert ("queued", ORG, "hubspot") in office.told


async def test_a_schedule_of_a_crm_that_takes_no_work_does_not_run(office: Office) -> None:
    """The caller is told, and nothing is written down."""
    created = await create(office)
    office.off.add("hubspot")
    request = pb.RunScheduleRequest(schedule_id=created.id)
    failure = await failure_of(office.stub.RunSchedule(request))
    assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.info.reason == "CRM_DISABLED"
    assert await listed(office) == [created]


async def test_a_schedule_that_is_not_there_is_not_found(office: Office) -> None:
    """Nor one of another organization, nor one that was deleted."""
    created = await create(office)
    await office.stub.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id=created.id))
    others = await create(office)
    for schedule_id, metadata in ((created.id, ()), (others.id, OTHER)):
        change = pb.UpdateScheduleRequest(schedule=Schedule(id=schedule_id, cron="* * * * *"))
        calls = (
            office.stub.DeleteSchedule(
                pb.DeleteScheduleRequest(schedule_id=schedule_id), metadata=metadata
            ),
            office.stub.RunSchedule(
                pb.RunScheduleRequest(schedule_id=schedule_id), metadata=metadata
            ),
            office.stub.UpdateSchedule(change, metadata=metadata),
        )
        for call in calls:
            failure = await failure_of(call)
            assert failure.code is grpc.StatusCode.NOT_FOUND
            assert failure.info.reason == "SCHEDULE_NOT_FOUND"
