"""What lies between the database and the doors, built once and opened in order."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx

from crmsync.v1 import (
    session_service_pb2,
)
from crmsync_server.adapters import Adapters
from crmsync_server.adapters.accounts import accounts, public_urls
from crmsync_server.adapters.building import Shop
from crmsync_server.adapters.health import keep_health
from crmsync_server.app.access import encryption_keys
from crmsync_server.app.correspondence import Correspondence
from crmsync_server.app.reading import Readers
from crmsync_server.errors import CrmDisabledError
from crmsync_server.rpc.conflict_messages import conflict
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.rpc.events import sync_event
from crmsync_server.rpc.forecast import snapshots, watched
from crmsync_server.rpc.server import Server
from crmsync_server.settings import Settings
from crmsync_server.store import conflict_log
from crmsync_server.store.db import Database
from crmsync_server.store.listen import Listener
from crmsync_server.store.notify import CONFIG, CONNECTION, NOTICE, SESSION, WORK, Notifier
from crmsync_server.store.vault import Vault
from crmsync_server.sync.configs import Configs
from crmsync_server.sync.engine import Engine
from crmsync_server.sync.events import EventHub
from crmsync_server.sync.forecaster import Forecaster
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.indexer import Indexer
from crmsync_server.sync.janitor import Janitor
from crmsync_server.sync.lane import Bench
from crmsync_server.sync.notices import Notices
from crmsync_server.sync.progress import ProgressHub
from crmsync_server.sync.push import Deliverer
from crmsync_server.sync.rescue import Rescue
from crmsync_server.sync.rotation import Rotation
from crmsync_server.sync.run import Desk
from crmsync_server.sync.runs import Runs
from crmsync_server.sync.schedules import Schedules
from crmsync_server.sync.tokens import TokenKeeper
from crmsync_server.sync.verdict import RetryPolicy

_LAST_RENEWALS = 5.0  # seconds for tokens that are being renewed when the server stops

Hub = ProgressHub[session_service_pb2.WatchSessionResponse]


class House:
    """What lies between the database and the doors."""

    def __init__(self, settings: Settings, database: Database, client: httpx.AsyncClient) -> None:
        """Build everything; nothing runs before `open`."""
        self.settings = settings
        self.database = database
        self.vault = Vault(encryption_keys(settings))
        self._tokens = TokenKeeper(database, self.vault, now)
        share = settings.quota_high_share
        shop = Shop(database, client, self._tokens, public_urls(settings), share)
        self.adapters = Adapters(accounts(settings), shop)
        self.forecaster = Forecaster(self._deliverer, share)
        self.hub: Hub = ProgressHub(
            database, watched, snapshots(self.forecaster.of, database.everyone)
        )
        self.notifier = Notifier(database)
        self.events = EventHub(database, sync_event)
        self.conflicts = EventHub(database, conflict, conflict_log)
        self.correspondence = Correspondence(
            settings, database, self.adapters.of, self.notifier, now
        )
        self.hints = Hints(self.notifier, self._on_work, self._on_session, self.hub.on_ended)
        self.policy = RetryPolicy(
            max_retries=settings.engine_max_retries,
            base=settings.engine_backoff_base,
            cap=settings.engine_backoff_cap,
        )
        self.configs = Configs(database)
        self.schedules = Schedules(database, self.requires_email, self.hints.queued)
        self.readers = Readers(database, self.adapters, self.configs)
        desk = self._desk()
        self.runs = Runs(desk)
        self.notices = Notices(desk)
        self.engine = self._build_engine()

    async def open(self, stack: AsyncExitStack, direct_url: str) -> None:
        """Start every background duty; the stack stops them in reverse."""
        listener = Listener(direct_url)
        listener.subscribe(WORK, self.engine.on_work)
        listener.subscribe(SESSION, self._on_session)
        listener.subscribe(SESSION, self.runs.on_session)
        listener.subscribe(WORK, self._on_news)
        listener.subscribe(CONFIG, self.configs.on_config)
        listener.subscribe(CONFIG, self.engine.on_work)
        listener.subscribe(CONNECTION, self.adapters.on_connection)
        listener.subscribe(CONNECTION, self.engine.on_work)
        listener.subscribe(NOTICE, self.notices.wake)
        self.correspondence.listen(listener)
        await listener.start()
        stack.push_async_callback(listener.stop)
        await self.notifier.start()
        stack.push_async_callback(self.notifier.stop)
        janitor = self._janitor()
        # Before the first delivery: a partition that appears while its rows are being written
        # makes that writing fail.
        await janitor.turn()
        rotation = Rotation(self.database, self.vault)
        indexer = Indexer(self.database)
        for duty in (janitor, self._rescue(), self.schedules, rotation, self.notices, indexer):
            duty.start()
            stack.push_async_callback(duty.stop)
        self.correspondence.open(stack)
        self.hub.start()
        self.events.start()
        self.conflicts.start()
        self.engine.start()
        self.runs.start()

    def on_started(self, org_id: str, crm: str, session_id: UUID) -> None:
        """Tell every process that a session was opened, or goes on."""
        self.hints.sessions(org_id, session_id)
        self.hints.queued(org_id, crm)
        self.runs.wake()

    def on_resolved(self, org_id: str, crm: str, session_id: UUID | None) -> None:
        """Tell every process that a conflict was resolved, and that its result may be queued."""
        if session_id is not None:
            self.hints.sessions(org_id, session_id)
        self.conflicts.on_hint(f"{org_id}/{crm}")
        self.hints.queued(org_id, crm)

    def on_paused(self, org_id: str, session_id: UUID) -> None:
        """Tell every process that a session was paused."""
        self.hints.sessions(org_id, session_id)
        self.runs.wake()

    def on_notices(self, org_id: str, crm: str) -> None:
        """Tell every process that a webhook told of something."""
        self.notices.wake()
        self.notifier.hint(NOTICE, f"{org_id}/{crm}")

    def on_connection(self, org_id: str, crm: str) -> None:
        """Tell every process that a connection, or what is at its other end, changed."""
        self.adapters.renew(org_id, crm)
        self.notifier.hint(CONNECTION, f"{org_id}/{crm}")

    async def requires_email(self, org_id: str, crm: str) -> bool:
        """Tell whether a CRM needs an email; raises CrmDisabledError when it takes no work."""
        traits = await self.traits(org_id, crm)
        if not traits.enabled:
            raise CrmDisabledError(crm)
        return traits.requires_email

    async def traits(self, org_id: str, crm: str) -> CrmTraits:
        """Return what an organization's callers are told of a CRM."""
        traits = await self.adapters.traits(org_id, crm)
        switched_on = (await self.configs.of(org_id, crm)).enabled
        return replace(traits, enabled=traits.enabled and switched_on)

    def on_config(self, org_id: str, crm: str) -> None:
        """Tell every process that a configuration changed."""
        hint = f"{org_id}/{crm}"
        self.configs.on_config(hint)
        self.notifier.hint(CONFIG, hint)
        self.hints.queued(org_id, crm)

    async def drain(self, server: Server) -> None:
        """Take no more calls and claim no more work; let what is under way end."""
        grace = self.settings.drain_timeout.total_seconds()
        await asyncio.gather(
            server.drain(grace),
            self.hub.stop(),
            self.events.stop(),
            self.conflicts.stop(),
            self.correspondence.hub.stop(),
            self.engine.stop(grace),
            self.runs.stop(),
        )
        await self._tokens.close(_LAST_RENEWALS)

    def _on_work(self, hint: str | None) -> None:
        self.engine.on_work(hint)

    def _on_session(self, hint: str | None) -> None:
        self.hub.on_session(hint)
        self._on_news(hint)

    def _on_news(self, hint: str | None) -> None:
        self.events.on_hint(hint)
        self.conflicts.on_hint(hint)

    def _desk(self) -> Desk:
        return Desk(
            database=self.database,
            hints=self.hints,
            policy=self.policy,
            clock=now,
            owner=_owner(),
            lease=self.settings.engine_lease,
            readers=self.readers.of,
            on_refused=self.readers.refused,
            max_deletion_share=self.settings.max_deletion_share,
        )

    def _build_engine(self) -> Engine:
        bench = Bench(
            database=self.database,
            hints=self.hints,
            policy=self.policy,
            clock=now,
            owner=_owner(),
            lease=self.settings.engine_lease,
            health=keep_health,
        )
        poll_interval = self.settings.engine_poll_interval.total_seconds()
        return Engine(self.database, self._deliverer, bench, poll_interval)

    async def _deliverer(self, org_id: str, crm: str) -> Deliverer | None:
        adapter = await self.adapters.of(org_id, crm)
        if adapter is None:
            return None
        return Deliverer(adapter, await self.configs.of(org_id, crm))

    def _rescue(self) -> Rescue:
        interval = self.settings.engine_rescue_interval
        return Rescue(
            self.database, self.hints, self.policy, interval, now, self.adapters.idempotent
        )

    def _janitor(self) -> Janitor:
        return Janitor(
            self.database,
            now,
            attempts_retention=self.settings.attempts_retention,
            sessions_retention=self.settings.sessions_retention,
            statistics_retention=self.settings.statistics_retention,
        )


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)
