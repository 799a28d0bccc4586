"""What every rpc refuses, in the same words: CRMs unknown or without credentials, ids of others."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import grpc
import pytest

from crmsync.v1 import admin_service_pb2 as admin
from crmsync.v1 import connection_service_pb2 as connections
from crmsync.v1 import session_service_pb2 as sessions
from crmsync.v1 import sync_service_pb2 as sync
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync.v1.crm_config_pb2 import CrmConfig
from crmsync.v1.schedule_pb2 import QueueAllAction, Schedule
from crmsync_client import CrmsyncClient
from crmsync_server.rpc.auth import Caller, Role
from crmsync_server.rpc.tokens import mint
from crmsync_server.sandbox.server import Sandbox
from tests.service import accounts
from tests.service.calls import create, failure, new_uuid, queue_all
from tests.service.conftest import SECRET

Call = Callable[[CrmsyncClient, str, str], Awaitable[object]]

QUEUEING: dict[str, Call] = {
    "QueueContact": lambda client, contact, crm: client.sync.QueueContact(
        sync.QueueContactRequest(contact_id=contact, crm=crm)
    ),
    "BulkQueueContacts": lambda client, contact, crm: client.sync.BulkQueueContacts(
        sync.BulkQueueContactsRequest(contact_ids=[contact], crm=crm)
    ),
    "QueueAllContacts": lambda client, _, crm: client.sync.QueueAllContacts(
        sync.QueueAllContactsRequest(crm=crm)
    ),
    "RetryContact": lambda client, contact, crm: client.sync.RetryContact(
        sync.RetryContactRequest(contact_id=contact, crm=crm)
    ),
    "RetryAllFailures": lambda client, _, crm: client.sync.RetryAllFailures(
        sync.RetryAllFailuresRequest(crm=crm)
    ),
}
ASKING: dict[str, Call] = {
    "CancelContact": lambda client, contact, crm: client.sync.CancelContact(
        sync.CancelContactRequest(contact_id=contact, crm=crm)
    ),
    "GetSyncStats": lambda client, _, crm: client.sync.GetSyncStats(
        sync.GetSyncStatsRequest(crm=crm)
    ),
    "ListSyncFailures": lambda client, _, crm: client.sync.ListSyncFailures(
        sync.ListSyncFailuresRequest(crm=crm)
    ),
    "ListAttempts": lambda client, contact, crm: client.sync.ListAttempts(
        sync.ListAttemptsRequest(contact_id=contact, crm=crm)
    ),
    "WatchEvents": lambda client, _, crm: client.sync.WatchEvents(
        sync.WatchEventsRequest(crm=crm)
    ).read(),
    "TestCredentials": lambda client, _, crm: client.connections.TestCredentials(
        connections.TestCredentialsRequest(crm=crm)
    ),
    "CreateConnection": lambda client, _, crm: client.connections.CreateConnection(
        connections.CreateConnectionRequest(
            connection=Connection(crm=crm), credentials=Credentials(secrets={"token": "t"})
        )
    ),
    "ListConnections": lambda client, _, crm: client.connections.ListConnections(
        connections.ListConnectionsRequest(crm=crm)
    ),
    "GetCrmConfig": lambda client, _, crm: client.admin.GetCrmConfig(
        admin.GetCrmConfigRequest(crm=crm)
    ),
    "UpdateCrmConfig": lambda client, _, crm: client.admin.UpdateCrmConfig(
        admin.UpdateCrmConfigRequest(config=CrmConfig(crm=crm, batch_size=1))
    ),
    "PauseCrm": lambda client, _, crm: client.admin.PauseCrm(admin.PauseCrmRequest(crm=crm)),
    "ResumeCrm": lambda client, _, crm: client.admin.ResumeCrm(admin.ResumeCrmRequest(crm=crm)),
    "CreateSchedule": lambda client, _, crm: client.admin.CreateSchedule(daily(crm)),
    "ListSchedules": lambda client, _, crm: client.admin.ListSchedules(
        admin.ListSchedulesRequest(crm=crm)
    ),
}


def daily(crm: str) -> admin.CreateScheduleRequest:
    """Ask for a schedule that queues everything every morning."""
    schedule = Schedule(cron="0 6 * * *", queue_all=QueueAllAction(crm=crm))
    return admin.CreateScheduleRequest(schedule=schedule)


@pytest.mark.parametrize("name", [*QUEUEING, *ASKING])
async def test_an_unknown_crm_is_told_with_those_there_are(
    client: CrmsyncClient, name: str
) -> None:
    """A CRM's id is written small: one in capitals is another one."""
    call, contact_id = (QUEUEING | ASKING)[name], await create(client)
    for crm in ("salesforce", "HubSpot"):
        failed = await failure(call(client, contact_id, crm))
        assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_CRM")
        assert failed.metadata["crm"] == crm
        known = set(failed.metadata["known"].split(","))
        assert {"brevo", "hubspot", "mautic", "n8n", "zoho"} <= known


@pytest.mark.parametrize("name", QUEUEING)
async def test_a_crm_without_credentials_takes_no_work(client: CrmsyncClient, name: str) -> None:
    """And no session is left behind."""
    failed = await failure(QUEUEING[name](client, await create(client), "mautic"))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CRM_DISABLED")
    assert dict(failed.metadata) == {"crm": "mautic"}
    assert not (await client.sessions.ListSessions(sessions.ListSessionsRequest())).sessions


@pytest.mark.parametrize("name", ["QueueContact", "RetryContact", "CancelContact", "ListAttempts"])
async def test_a_contact_that_is_not_there_is_not_found(client: CrmsyncClient, name: str) -> None:
    """Whatever is asked of it."""
    failed = await failure((QUEUEING | ASKING)[name](client, new_uuid(), "hubspot"))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND")


async def test_what_belongs_to_another_organization_is_not_found(
    client: CrmsyncClient, target: str, sandbox: Sandbox
) -> None:
    """Be it read, watched or changed; and it is as it was."""
    contact_id = await create(client)
    session = await queue_all(client)
    connection = await accounts.good(sandbox, "brevo").connect(client)
    schedule = (await client.admin.CreateSchedule(daily("hubspot"))).schedule
    stranger = Caller("globex", "tester", frozenset({Role.ADMIN}))
    token = mint(SECRET, stranger, timedelta(minutes=5))
    async with CrmsyncClient(target, token=token) as other:
        for reason, calls in strange(other, contact_id, session.id, connection.id, schedule.id):
            for call in calls:
                failed = await failure(call)
                assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, reason)
        bulk = sync.BulkQueueContactsRequest(contact_ids=[contact_id], crm="hubspot")
        [result] = (await other.sync.BulkQueueContacts(bulk)).results
        assert result.reason == "CONTACT_NOT_FOUND"
    kept = await client.connections.ListConnections(connections.ListConnectionsRequest())
    assert [one.version for one in kept.connections] == [connection.version]
    [still] = (await client.admin.ListSchedules(admin.ListSchedulesRequest())).schedules
    assert still == schedule


def strange(
    client: CrmsyncClient, contact: str, session: str, connection: str, schedule: str
) -> Sequence[tuple[str, Sequence[Awaitable[object]]]]:
    """Return every call that takes an id, and the reason that it is refused with."""
    status = sync.GetContactSyncStatusRequest(contact_id=contact)
    of_contact = [
        call(client, contact, "hubspot")
        for name, call in (QUEUEING | ASKING).items()
        if name in {"QueueContact", "RetryContact", "CancelContact", "ListAttempts"}
    ]
    named = Connection(id=connection, display_name="mine")
    test = Schedule(id=schedule, display_name="mine")
    return (
        ("CONTACT_NOT_FOUND", [*of_contact, client.sync.GetContactSyncStatus(status)]),
        (
            "SESSION_NOT_FOUND",
            [
                client.sessions.GetSession(sessions.GetSessionRequest(session_id=session)),
                client.sessions.CancelSession(sessions.CancelSessionRequest(session_id=session)),
                client.sessions.WatchSession(
                    sessions.WatchSessionRequest(session_id=session)
                ).read(),
            ],
        ),
        (
            "CONNECTION_NOT_FOUND",
            [
                client.connections.GetConnection(
                    connections.GetConnectionRequest(connection_id=connection)
                ),
                client.connections.UpdateConnection(
                    connections.UpdateConnectionRequest(connection=named)
                ),
                client.connections.DeleteConnection(
                    connections.DeleteConnectionRequest(connection_id=connection)
                ),
            ],
        ),
        (
            "SCHEDULE_NOT_FOUND",
            [
                client.admin.UpdateSchedule(admin.UpdateScheduleRequest(schedule=test)),
                client.admin.RunSchedule(admin.RunScheduleRequest(schedule_id=schedule)),
                client.admin.DeleteSchedule(admin.DeleteScheduleRequest(schedule_id=schedule)),
            ],
        ),
    )
