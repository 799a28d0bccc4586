"""The HTTP listener, put together where the settings want one."""

from crmsync_server.app.house import House, now
from crmsync_server.crm.registry import known
from crmsync_server.web.metrics import Metrics
from crmsync_server.web.routes import MetricsDoor, application
from crmsync_server.web.server import HttpServer
from crmsync_server.web.webhooks import Intake, Rules, WebhookDoor
from crmsync_server.web.whatsapp import Post, WhatsAppDoor


class Web:
    """What is served over HTTP; nothing without an address."""

    def __init__(self, house: House) -> None:
        """Build it; nothing listens before `start`."""
        settings = house.settings
        self._is_well = True
        self._server: HttpServer | None = None
        if settings.http_address is None:
            return
        metrics = Metrics(house.database)
        rules = Rules(
            known(), settings.public_url or "", settings.max_webhook_bytes, settings.http_timeout
        )
        intake = Intake(house.database, metrics, now, house.adapters.of, house.on_notices)
        post = Post(
            database=house.database,
            metrics=metrics,
            clock=now,
            adapter_of=house.adapters.of,
            on_told=house.correspondence.on_told,
            max_bytes=settings.max_webhook_bytes,
            patience=settings.http_timeout,
        )
        served = application(
            WebhookDoor(rules, intake),
            WhatsAppDoor(post),
            MetricsDoor(metrics, settings.metrics_networks),
            lambda: self._is_well,
        )
        self._server = HttpServer(settings.http_address, served, settings.http_timeout)

    async def start(self) -> int | None:
        """Listen, and return the port; None where nothing is served.

        Raises:
            HttpAddressError: the address cannot be listened on.
        """
        return await self._server.start() if self._server else None

    async def serve(self, there: bool) -> None:  # noqa: FBT001 - it is all that is said
        """Say at /healthz that all is well, or not."""
        self._is_well = there

    async def stop(self) -> None:
        """Take no more requests, and let those under way be answered."""
        if self._server is not None:
            await self._server.stop()
