"""Which role each method needs, and which a caller has."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import grpc
import pytest

import crmsync.v1
from crmsync.v1 import session_service_pb2 as pb
from crmsync.v1.session_service_pb2_grpc import SessionServiceStub
from crmsync_server.rpc.auth import Caller, Role, required_role
from tests.rpc.serving import GET, SESSION_ID, Script, failure_of, serving

READING = {
    "AdminService/GetCrmConfig",
    "AdminService/ListSchedules",
    "AnalyticsService/GetPerformance",
    "AnalyticsService/GetSummaryReport",
    "AnalyticsService/GetSyncHealth",
    "AnalyticsService/GetTrends",
    "AnalyticsService/ListConflicts",
    "AnalyticsService/WatchConflicts",
    "BulkService/GetBulkHealth",
    "BulkService/ValidateBatch",
    "ConnectionService/GetConnection",
    "ConnectionService/GetOrganization",
    "ConnectionService/GetPermissions",
    "ConnectionService/ListConnections",
    "ConnectionService/ListFields",
    "ConnectionService/ListModules",
    "ContactService/GetContact",
    "ContactService/ListContacts",
    "ConversationService/GetAccount",
    "ConversationService/GetConversation",
    "ConversationService/GetConversationAnalytics",
    "ConversationService/GetDashboard",
    "ConversationService/ListConversations",
    "ConversationService/WatchMessages",
    "LeadService/GetLead",
    "LeadService/GetLeadStats",
    "LeadService/ListLeadHistory",
    "LeadService/ListLeads",
    "SearchService/ExportRecords",
    "SearchService/GetRecord",
    "SearchService/ListFilters",
    "SearchService/ListRecentSearches",
    "SearchService/SearchRecords",
    "SearchService/SuggestRecords",
    "SessionService/GetSession",
    "SessionService/ListSessionItems",
    "SessionService/ListSessions",
    "SessionService/ValidateSession",
    "SessionService/WatchSession",
    "SyncService/GetContactSyncStatus",
    "SyncService/GetSyncStats",
    "SyncService/ListAttempts",
    "SyncService/ListSyncFailures",
    "SyncService/WatchEvents",
    "UserService/GetUser",
    "UserService/ListUsers",
}
WRITING = {
    "AnalyticsService/ResolveConflict",
    "BulkService/ApplyBatch",
    "BulkService/StartMassUpdate",
    "ContactService/CreateContact",
    "ContactService/DeleteContact",
    "ContactService/ImportContacts",
    "ContactService/UpdateContact",
    "ConversationService/CloseConversation",
    "ConversationService/MarkConversationRead",
    "ConversationService/SendMessage",
    "LeadService/RegisterLead",
    "LeadService/SyncLead",
    "LeadService/SyncRecentLeads",
    "SearchService/SyncRecord",
    "SessionService/CancelSession",
    "SessionService/PauseSession",
    "SessionService/ResumeSession",
    "SessionService/StartSession",
    "SyncService/BulkQueueContacts",
    "SyncService/CancelContact",
    "SyncService/QueueAllContacts",
    "SyncService/QueueContact",
    "SyncService/RetryAllFailures",
    "SyncService/RetryContact",
}
ADMINISTERING = {
    "AdminService/CreateSchedule",
    "AdminService/DeleteSchedule",
    "AdminService/PauseCrm",
    "AdminService/ResumeCrm",
    "AdminService/RunSchedule",
    "AdminService/UpdateCrmConfig",
    "AdminService/UpdateSchedule",
    "ConnectionService/CreateConnection",
    "ConnectionService/CreateFields",
    "ConnectionService/DeleteConnection",
    "ConnectionService/RefreshToken",
    "ConnectionService/TestCredentials",
    "ConnectionService/UpdateConnection",
    "ConnectionService/ValidateConnection",
    "ConnectionService/ValidateFields",
    "ConversationService/ConnectAccount",
    "UserService/SyncUserStream",
    "UserService/SyncUsers",
}


class Known:
    """Lets everybody in as one caller, whatever the token."""

    def __init__(self, *roles: Role) -> None:
        """Take the caller's roles."""
        self._caller = Caller("acme", "ada", frozenset(roles))

    async def authenticate(self, token: str | None) -> Caller:
        """Return the one caller."""
        assert token is None
        return self._caller


def _methods() -> Iterator[str]:
    for module in pkgutil.iter_modules(crmsync.v1.__path__, "crmsync.v1."):
        if module.name.endswith("_pb2"):
            services = import_module(module.name).DESCRIPTOR.services_by_name
            for service in services.values():
                yield from (f"{service.full_name}/{method.name}" for method in service.methods)


def test_every_method_of_the_contract_needs_the_role_that_its_service_names() -> None:
    """A method that is in neither set has not been thought about."""
    roles = {
        method.removeprefix("crmsync.v1."): required_role(f"/{method}") for method in _methods()
    }
    assert {method for method, role in roles.items() if role is Role.READER} == READING
    assert {method for method, role in roles.items() if role is Role.WRITER} == WRITING
    assert {method for method, role in roles.items() if role is Role.ADMIN} == ADMINISTERING


def test_services_of_others_are_for_admins() -> None:
    """Channelz tells of every caller's connection."""
    assert required_role("/grpc.channelz.v1.Channelz/GetServers") is Role.ADMIN


@pytest.mark.parametrize(
    ("has", "may"),
    [
        ([], []),
        ([Role.READER], [Role.READER]),
        ([Role.WRITER], [Role.READER, Role.WRITER]),
        ([Role.ADMIN], [Role.READER, Role.WRITER, Role.ADMIN]),
        ([Role.READER, Role.ADMIN], [Role.READER, Role.WRITER, Role.ADMIN]),
    ],
)
def test_a_role_implies_those_below_it(has: list[Role], may: list[Role]) -> None:
    """An admin writes, a writer reads."""
    caller = Caller("acme", "ada", frozenset(has))
    assert [role for role in Role if caller.may(role)] == may


async def test_a_reader_is_refused_what_changes_something() -> None:
    """The error names the method and the role that it needs."""
    async with serving(Script(), Known(Role.READER)) as running:
        stub = SessionServiceStub(running.channel)
        await stub.GetSession(GET)
        failure = await failure_of(
            stub.CancelSession(pb.CancelSessionRequest(session_id=SESSION_ID))
        )
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED
    assert failure.info.reason == "ROLE_REQUIRED"
    assert failure.info.metadata == {
        "method": "/crmsync.v1.SessionService/CancelSession",
        "required_role": "writer",
    }


async def test_who_has_no_role_may_not_even_read() -> None:
    """Naming an organization is not enough."""
    async with serving(Script(), Known()) as running:
        failure = await failure_of(SessionServiceStub(running.channel).GetSession(GET))
    assert failure.info.metadata["required_role"] == "reader"


async def test_the_caller_is_checked_before_the_request() -> None:
    """Who may not call learns nothing about what would be valid."""
    async with serving(Script(), Known()) as running:
        invalid = pb.GetSessionRequest(session_id="7")
        failure = await failure_of(SessionServiceStub(running.channel).GetSession(invalid))
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED
