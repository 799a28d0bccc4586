"""The composition root: the only place that builds things, in order, and closes them in reverse."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import httpx
import structlog

from crmsync.v1 import (
    admin_service_pb2_grpc,
    connection_service_pb2_grpc,
    contact_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    sync_service_pb2_grpc,
)
from crmsync_server.adapters import Adapters, Shop, accounts, keep_health, public_urls
from crmsync_server.crm.registry import known
from crmsync_server.crm.transport import GuardedTransport
from crmsync_server.errors import CrmDisabledError
from crmsync_server.postgres import postgres
from crmsync_server.rpc.admin import AdminService, Crew
from crmsync_server.rpc.auth import Authenticator
from crmsync_server.rpc.connection import ConnectionService
from crmsync_server.rpc.contact import ContactService
from crmsync_server.rpc.crm_config import Defaults
from crmsync_server.rpc.crms import Crms, CrmTraits
from crmsync_server.rpc.events import sync_event
from crmsync_server.rpc.forecast import snapshots, watched
from crmsync_server.rpc.keys import Keys, SharedSecret, from_file, from_url
from crmsync_server.rpc.server import Door, Registration, Server, build_server
from crmsync_server.rpc.session import SessionService
from crmsync_server.rpc.sync import SyncService
from crmsync_server.rpc.sync_failures import Retries, SyncFailures
from crmsync_server.rpc.tokens import Claims, OpenAuthenticator, TokenAuthenticator
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database, Pool
from crmsync_server.store.keys import GivenKeys, KeyFile
from crmsync_server.store.keys import Keys as EncryptionKeys
from crmsync_server.store.listen import Listener
from crmsync_server.store.migrations import migrate
from crmsync_server.store.notify import CONFIG, CONNECTION, SESSION, WORK, Notifier
from crmsync_server.store.vault import Vault
from crmsync_server.sync.configs import Configs
from crmsync_server.sync.engine import Engine
from crmsync_server.sync.events import EventHub
from crmsync_server.sync.forecaster import Forecaster
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.janitor import Janitor
from crmsync_server.sync.lane import Bench
from crmsync_server.sync.progress import ProgressHub
from crmsync_server.sync.pulse import Pulse
from crmsync_server.sync.push import Deliverer
from crmsync_server.sync.rescue import Rescue
from crmsync_server.sync.rotation import Rotation
from crmsync_server.sync.schedules import Schedules
from crmsync_server.sync.tokens import TokenKeeper
from crmsync_server.sync.verdict import RetryPolicy

_log = structlog.get_logger()

_CONNECTIONS = 100
_LAST_RENEWALS = 5.0  # seconds for tokens that are being renewed when the server stops

Hub = ProgressHub[session_service_pb2.WatchSessionResponse]


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is ready for calls.

    port: where it listens.
    """

    port: int
    database_url: str


@asynccontextmanager
async def serving(settings: Settings, authenticator: Authenticator) -> AsyncIterator[Serving]:
    """Run a server for as long as the block; leaving it drains and closes everything.

    authenticator: from `authenticator_of`.
    """
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres(settings))
        migrated = await migrate(url)
        _log.info("database ready", applied=migrated)
        database = Database(url, _pool(settings))
        stack.push_async_callback(database.close)
        client = await stack.enter_async_context(_http_client(settings))
        house = _House(settings, database, client)
        await house.open(stack, direct_url=_direct_url(settings, url))
        server = house.server(authenticator)
        # Before the start: an address that is taken must not leave the engine running either.
        stack.push_async_callback(house.drain, server)
        port = await server.start()
        pulse = Pulse(database, server.serve)
        pulse.start()
        stack.push_async_callback(pulse.stop)
        yield Serving(port, url)


def authenticator_of(settings: Settings, development_secret: str | None) -> Authenticator:
    """Return what tells callers apart: tokens, or on loopback without a setting also nobody.

    development_secret: what `token` mints with when no setting says how tokens are signed.
    """
    claims = Claims(
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        org=settings.org_claim,
        roles=settings.roles_claim,
    )
    if settings.authenticates:
        return TokenAuthenticator(_keys(settings), claims)
    development = [SharedSecret(development_secret)] if development_secret else []
    return OpenAuthenticator(TokenAuthenticator(development, claims))


def _keys(settings: Settings) -> list[Keys]:
    keys: list[Keys] = []
    if settings.jwt_secret is not None:
        keys.append(SharedSecret(settings.jwt_secret.get_secret_value()))
    if settings.jwks_url is not None:
        keys.append(from_url(settings.jwks_url))
    if settings.jwks_file is not None:
        keys.append(from_file(settings.jwks_file))
    return keys


def _encryption_keys(settings: Settings) -> EncryptionKeys:
    if settings.encryption_keys is not None:
        return GivenKeys(settings.encryption_keys.get_secret_value())
    file = KeyFile(settings.data_dir)
    file.check()  # a file that cannot be used is said now, and not when it is needed
    return file


def _pool(settings: Settings) -> Pool:
    return Pool(
        size=settings.database_pool_size,
        overflow=settings.database_pool_overflow,
        timeout=settings.database_pool_timeout.total_seconds(),
        prepared_statements=settings.database_prepared_statements,
    )


def _direct_url(settings: Settings, url: str) -> str:
    direct = settings.database_direct_url
    return direct.get_secret_value() if direct is not None else url


@asynccontextmanager
async def _http_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    transport = GuardedTransport(settings.allowed_networks, limits=limits)
    async with httpx.AsyncClient(transport=transport) as client:
        yield client


class _House:
    """What lies between the database and the doors."""

    def __init__(self, settings: Settings, database: Database, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._database = database
        self._vault = Vault(_encryption_keys(settings))
        self._tokens = TokenKeeper(database, self._vault, _now)
        share = settings.quota_high_share
        shop = Shop(database, client, self._tokens, public_urls(settings), share)
        self._adapters = Adapters(accounts(settings), shop)
        self._forecaster = Forecaster(self._deliverer, share)
        self._hub: Hub = ProgressHub(
            database, watched, snapshots(self._forecaster.of, database.everyone)
        )
        self._notifier = Notifier(database)
        self._events = EventHub(database, sync_event)
        self._hints = Hints(self._notifier, self._on_work, self._on_session)
        self._policy = RetryPolicy(
            max_retries=settings.engine_max_retries,
            base=settings.engine_backoff_base,
            cap=settings.engine_backoff_cap,
        )
        self._configs = Configs(database)
        self._schedules = Schedules(database, self._requires_email, self._hints.queued)
        self._engine = self._build_engine()

    async def open(self, stack: AsyncExitStack, direct_url: str) -> None:
        """Start every background duty; the stack stops them in reverse."""
        listener = Listener(direct_url)
        listener.subscribe(WORK, self._engine.on_work)
        listener.subscribe(SESSION, self._on_session)
        listener.subscribe(WORK, self._events.on_hint)
        listener.subscribe(CONFIG, self._configs.on_config)
        listener.subscribe(CONFIG, self._engine.on_work)
        listener.subscribe(CONNECTION, self._adapters.on_connection)
        listener.subscribe(CONNECTION, self._engine.on_work)
        await listener.start()
        stack.push_async_callback(listener.stop)
        await self._notifier.start()
        stack.push_async_callback(self._notifier.stop)
        janitor = self._janitor()
        # Before the first delivery: a partition that appears while its rows are being written
        # makes that writing fail.
        await janitor.turn()
        rotation = Rotation(self._database, self._vault)
        for duty in (janitor, self._rescue(), self._schedules, rotation):
            duty.start()
            stack.push_async_callback(duty.stop)
        self._hub.start()
        self._events.start()
        self._engine.start()

    def server(self, authenticator: Authenticator) -> Server:
        """Build the gRPC server with every service."""
        crms = Crms(known(), self._traits)
        contacts = ContactService(self._database)
        syncs = SyncService(
            self._database,
            crms,
            _now,
            self._hints.queued,
            self._events.watch,
            self._failures(crms),
        )
        sessions = SessionService(
            self._database, self._hub.watch, _now, self._hints.sessions, self._forecaster.of
        )
        registrations: dict[str, Registration] = {
            "crmsync.v1.AdminService": partial(
                admin_service_pb2_grpc.add_AdminServiceServicer_to_server, self._admins(crms)
            ),
            "crmsync.v1.ConnectionService": partial(
                connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server,
                self._connections(crms),
            ),
            "crmsync.v1.ContactService": partial(
                contact_service_pb2_grpc.add_ContactServiceServicer_to_server, contacts
            ),
            "crmsync.v1.SyncService": partial(
                sync_service_pb2_grpc.add_SyncServiceServicer_to_server, syncs
            ),
            "crmsync.v1.SessionService": partial(
                session_service_pb2_grpc.add_SessionServiceServicer_to_server, sessions
            ),
        }
        door = Door(self._settings.grpc_address, self._settings.max_message_bytes)
        return build_server(door=door, registrations=registrations, authenticator=authenticator)

    def _admins(self, crms: Crms) -> AdminService:
        crew = Crew(
            able=self._adapters.able,
            requires_email=self._requires_email,
            on_config=self._on_config,
            on_queued=self._hints.queued,
            on_schedule=self._schedules.wake,
        )
        settings = self._settings
        defaults = Defaults(settings.engine_max_retries, settings.engine_poll_interval)
        return AdminService(self._database, crms, crew, defaults, _now)

    def _failures(self, crms: Crms) -> SyncFailures:
        retries = Retries(self._policy.max_retries, self._policy.wait)
        hints = self._hints
        return SyncFailures(self._database, crms, _now, retries, hints.queued, hints.sessions)

    def _connections(self, crms: Crms) -> ConnectionService:
        return ConnectionService(
            self._database,
            self._vault,
            self._adapters,
            crms,
            self._settings.allowed_networks,
            on_changed=self._on_connection,
            on_queued=self._hints.queued,
        )

    def _on_connection(self, org_id: str, crm: str) -> None:
        self._adapters.forget(org_id, crm)
        self._notifier.hint(CONNECTION, f"{org_id}/{crm}")

    async def _requires_email(self, org_id: str, crm: str) -> bool:
        traits = await self._traits(org_id, crm)
        if not traits.enabled:
            raise CrmDisabledError(crm)
        return traits.requires_email

    async def _traits(self, org_id: str, crm: str) -> CrmTraits:
        traits = await self._adapters.traits(org_id, crm)
        switched_on = (await self._configs.of(org_id, crm)).enabled
        return replace(traits, enabled=traits.enabled and switched_on)

    def _on_config(self, org_id: str, crm: str) -> None:
        hint = f"{org_id}/{crm}"
        self._configs.on_config(hint)
        self._notifier.hint(CONFIG, hint)
        self._hints.queued(org_id, crm)

    async def drain(self, server: Server) -> None:
        """Take no more calls and claim no more work; let what is under way end."""
        grace = self._settings.drain_timeout.total_seconds()
        await asyncio.gather(
            server.drain(grace), self._hub.stop(), self._events.stop(), self._engine.stop(grace)
        )
        await self._tokens.close(_LAST_RENEWALS)

    def _on_work(self, hint: str | None) -> None:
        self._engine.on_work(hint)

    def _on_session(self, hint: str | None) -> None:
        self._hub.on_session(hint)
        self._events.on_hint(hint)

    def _build_engine(self) -> Engine:
        bench = Bench(
            database=self._database,
            hints=self._hints,
            policy=self._policy,
            clock=_now,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            lease=self._settings.engine_lease,
            health=keep_health,
        )
        poll_interval = self._settings.engine_poll_interval.total_seconds()
        return Engine(self._database, self._deliverer, bench, poll_interval)

    async def _deliverer(self, org_id: str, crm: str) -> Deliverer | None:
        adapter = await self._adapters.of(org_id, crm)
        if adapter is None:
            return None
        return Deliverer(adapter, await self._configs.of(org_id, crm))

    def _rescue(self) -> Rescue:
        interval = self._settings.engine_rescue_interval
        return Rescue(
            self._database, self._hints, self._policy, interval, _now, self._adapters.idempotent
        )

    def _janitor(self) -> Janitor:
        return Janitor(
            self._database,
            _now,
            attempts_retention=self._settings.attempts_retention,
            sessions_retention=self._settings.sessions_retention,
        )


def _now() -> datetime:
    return datetime.now(UTC)
