"""The doors: every service of the contract, on one server."""

from collections.abc import Sequence
from functools import partial

from crmsync.v1 import (
    admin_service_pb2_grpc,
    analytics_service_pb2_grpc,
    bulk_service_pb2_grpc,
    connection_service_pb2_grpc,
    contact_service_pb2_grpc,
    conversation_service_pb2_grpc,
    lead_service_pb2_grpc,
    search_service_pb2_grpc,
    session_service_pb2_grpc,
    sync_service_pb2_grpc,
    user_service_pb2_grpc,
)
from crmsync_server.app.house import House, now
from crmsync_server.crm.registry import known
from crmsync_server.rpc import health_rules
from crmsync_server.rpc.admin import AdminService, Crew
from crmsync_server.rpc.analytics import AnalyticsService
from crmsync_server.rpc.auth import Authenticator
from crmsync_server.rpc.bulk import BulkService
from crmsync_server.rpc.bulk_batch import Batches
from crmsync_server.rpc.bulk_mass import MassUpdates
from crmsync_server.rpc.connection import ConnectionService
from crmsync_server.rpc.contact import ContactService
from crmsync_server.rpc.conversation import ConversationService
from crmsync_server.rpc.conversation_account import WhatsAppAccounts
from crmsync_server.rpc.crm_config import Defaults
from crmsync_server.rpc.crms import Crms
from crmsync_server.rpc.export import Exports
from crmsync_server.rpc.figures import Figures
from crmsync_server.rpc.gate import gate
from crmsync_server.rpc.health import Observer
from crmsync_server.rpc.inquiries import Inquiries
from crmsync_server.rpc.leads import Helm, LeadService
from crmsync_server.rpc.record_sync import RecordSync
from crmsync_server.rpc.search import SearchService
from crmsync_server.rpc.server import Door, Registration, Server, build_server
from crmsync_server.rpc.session import SessionService
from crmsync_server.rpc.session_checks import Bucket, Checks
from crmsync_server.rpc.session_steps import Moves, Steps
from crmsync_server.rpc.sync import SyncService
from crmsync_server.rpc.sync_failures import Retries, SyncFailures
from crmsync_server.rpc.users import UserService
from crmsync_server.sync.conflict_sides import Sides
from crmsync_server.sync.lead_look import LeadLook


def server(house: House, authenticator: Authenticator) -> Server:
    """Build the gRPC server with every service."""
    crms = Crms(known(), house.traits)
    registrations = {
        "crmsync.v1.AdminService": _admins(house, crms),
        "crmsync.v1.AnalyticsService": _analytics(house, crms),
        "crmsync.v1.BulkService": _bulk(house, crms),
        "crmsync.v1.ConnectionService": _connections(house, crms),
        "crmsync.v1.ContactService": _contacts(house),
        "crmsync.v1.LeadService": _leads(house, crms),
        "crmsync.v1.SearchService": _searches(house, crms),
        "crmsync.v1.ConversationService": _conversations(house, crms),
        "crmsync.v1.SyncService": _syncs(house, crms),
        "crmsync.v1.SessionService": _sessions(house, crms),
        "crmsync.v1.UserService": _users(house),
    }
    door = Door(house.settings.grpc_address, house.settings.max_message_bytes)
    return build_server(
        door=door,
        registrations=registrations,
        authenticator=authenticator,
        gate=gate(house.database, house.settings),
    )


def _admins(house: House, crms: Crms) -> Registration:
    crew = Crew(
        able=house.adapters.able,
        requires_email=house.requires_email,
        on_config=house.on_config,
        on_queued=house.hints.queued,
        on_schedule=house.schedules.wake,
    )
    settings = house.settings
    defaults = Defaults(settings.engine_max_retries, settings.engine_poll_interval)
    service = AdminService(house.database, crms, crew, defaults, now)
    return partial(admin_service_pb2_grpc.add_AdminServiceServicer_to_server, service)


def _analytics(house: House, crms: Crms) -> Registration:
    async def sides(org_id: str, crm: str) -> Sides:
        return Sides.of(await house.configs.of(org_id, crm))

    async def allowances(org_id: str, crm: str) -> Sequence[health_rules.Bucket]:
        return await house.forecaster.allowances(org_id, crm, lambda: house.database.org(org_id))

    service = AnalyticsService(
        house.database,
        crms,
        now,
        sides,
        house.conflicts.watch,
        house.on_resolved,
        Figures(
            Observer(house.database, allowances, now), crms, house.settings.statistics_retention
        ),
    )
    return partial(analytics_service_pb2_grpc.add_AnalyticsServiceServicer_to_server, service)


def _bulk(house: House, crms: Crms) -> Registration:
    queued, database = house.hints.queued, house.database
    patience = house.settings.bulk_wait.total_seconds()
    batches = Batches(database, crms, house.hub.watch, queued, patience)
    service = BulkService(database, crms, now, batches, MassUpdates(database, crms, now, queued))
    return partial(bulk_service_pb2_grpc.add_BulkServiceServicer_to_server, service)


def _connections(house: House, crms: Crms) -> Registration:
    service = ConnectionService(
        house.database,
        house.vault,
        house.adapters,
        crms,
        house.settings.allowed_networks,
        on_changed=house.on_connection,
        on_queued=house.hints.queued,
        clock=now,
    )
    return partial(connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server, service)


def _contacts(house: House) -> Registration:
    service = ContactService(house.database)
    return partial(contact_service_pb2_grpc.add_ContactServiceServicer_to_server, service)


def _leads(house: House, crms: Crms) -> Registration:
    helm = Helm(
        look=LeadLook(house.database).look,
        switched_on=house.readers.switched_on,
        on_started=house.on_started,
        on_schedule=house.schedules.wake,
    )
    service = LeadService(house.database, Inquiries(house.adapters, crms, now), helm)
    return partial(lead_service_pb2_grpc.add_LeadServiceServicer_to_server, service)


def _searches(house: House, crms: Crms) -> Registration:
    syncs = RecordSync(house.database, crms, house.hints.queued)
    service = SearchService(house.database, crms, syncs, Exports(house.database, crms, now))
    return partial(search_service_pb2_grpc.add_SearchServiceServicer_to_server, service)


def _conversations(house: House, crms: Crms) -> Registration:
    accounts = WhatsAppAccounts(
        database=house.database,
        vault=house.vault,
        accounts=house.adapters,
        inquiries=Inquiries(house.adapters, crms, now),
        networks=house.settings.allowed_networks,
        on_changed=house.on_connection,
    )
    correspondence = house.correspondence
    service = ConversationService(
        house.database, accounts, correspondence.hub.watch, correspondence.on_queued, now
    )
    return partial(conversation_service_pb2_grpc.add_ConversationServiceServicer_to_server, service)


def _syncs(house: House, crms: Crms) -> Registration:
    service = SyncService(
        house.database,
        crms,
        now,
        house.hints.queued,
        house.events.watch,
        _failures(house, crms),
    )
    return partial(sync_service_pb2_grpc.add_SyncServiceServicer_to_server, service)


def _failures(house: House, crms: Crms) -> SyncFailures:
    retries = Retries(house.policy.max_retries, house.policy.wait)
    hints = house.hints
    return SyncFailures(house.database, crms, now, retries, hints.queued, hints.sessions)


def _sessions(house: House, crms: Crms) -> Registration:
    service = SessionService(
        house.database,
        house.hub.watch,
        now,
        house.hints.sessions,
        house.forecaster.of,
        _steps(house, crms),
    )
    return partial(session_service_pb2_grpc.add_SessionServiceServicer_to_server, service)


def _steps(house: House, crms: Crms) -> Steps:
    async def allowances(org_id: str, crm: str) -> Sequence[Bucket]:
        return await house.forecaster.allowances(org_id, crm, lambda: house.database.org(org_id))

    inquiries = Inquiries(house.adapters, crms, now)
    checks = Checks(house.database, inquiries, house.readers.switched_on, allowances)
    moves = Moves(started=house.on_started, stopped=house.on_paused, two_ways=house.on_config)
    share = house.settings.max_deletion_share
    return Steps(house.database, crms, house.readers.reach, moves, checks, share)


def _users(house: House) -> Registration:
    service = UserService(house.database, house.settings.max_deactivation_share)
    return partial(user_service_pb2_grpc.add_UserServiceServicer_to_server, service)
