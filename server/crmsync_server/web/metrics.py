"""What is counted and measured, in the text that Prometheus reads."""

import asyncio
from collections.abc import Mapping

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)

from crmsync_server.store import notice, stats, whatsapp
from crmsync_server.store.db import FAULTS, Database

CONTENT_TYPE = CONTENT_TYPE_LATEST

_PATIENCE = 3.0  # seconds for the database; Prometheus gives up after ten

_log = structlog.get_logger()


class Metrics:
    """The metrics of one process, beside those of the whole installation that the tables hold."""

    def __init__(self, database: Database) -> None:
        """Begin to count at zero."""
        self._database = database
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._webhooks = Counter(
            "crmsync_webhooks",
            "Webhooks that came in to this process, by CRM and what became of them.",
            ("crm", "result"),
            registry=self._registry,
        )
        self._left_out = Counter(
            "crmsync_webhook_changes_left_out",
            "Changes that genuine webhooks told of what no organization has, by CRM.",
            ("crm",),
            registry=self._registry,
        )
        self._queue = Gauge(
            "crmsync_queue_open",
            "Deliveries that are queued or under way, over all organizations.",
            ("crm",),
            registry=self._registry,
        )
        self._notices = Gauge(
            "crmsync_notices_waiting",
            "Notices of webhooks whose records are still to be read, over all organizations.",
            ("crm",),
            registry=self._registry,
        )
        self._inbox = Gauge(
            "crmsync_whatsapp_inbox_waiting",
            "Changes that webhooks of WhatsApp told and that are still to be worked off.",
            registry=self._registry,
        )

    def webhook(self, crm: str, result: str) -> None:
        """Count a webhook; crm must not be whatever a caller writes, or they are without end."""
        self._webhooks.labels(crm, result).inc()

    def left_out(self, crm: str, changes: int) -> None:
        """Count changes that a genuine webhook told, and that are about nobody here."""
        self._left_out.labels(crm).inc(changes)

    async def text(self) -> bytes:
        """Return all of it; while the database is away, without what only the tables know."""
        try:
            async with asyncio.timeout(_PATIENCE), self._database.everyone() as connection:
                queued = await stats.totals(connection)
                waiting = await notice.waiting(connection)
                self._inbox.set(await whatsapp.count_waiting(connection))
        except (*FAULTS, TimeoutError) as error:
            _log.warning("metrics without the database", kind=type(error).__name__)
            queued, waiting = {}, {}
        _set(self._queue, queued)
        _set(self._notices, waiting)
        return generate_latest(self._registry)


def _set(gauge: Gauge, values: Mapping[str, int]) -> None:
    gauge.clear()
    for crm, value in values.items():
        gauge.labels(crm).set(value)
