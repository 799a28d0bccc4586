"""What is served at which path, and to whom."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crmsync_server.settings.kinds import Network
from crmsync_server.web.metrics import CONTENT_TYPE, Metrics
from crmsync_server.web.webhooks import WebhookDoor
from crmsync_server.web.whatsapp import WhatsAppDoor

_WHATSAPP = "/webhooks/whatsapp"
# What a proxy adds: the one who asks is not the one whose address the connection has.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class MetricsDoor:
    """Serves metrics to this machine, and to networks that are allowed."""

    def __init__(self, metrics: Metrics, networks: Sequence[Network]) -> None:
        """Take the metrics, and who may read them besides."""
        self._metrics = metrics
        self._networks = networks

    async def read(self, request: Request) -> Response:
        """Answer `GET /metrics`."""
        if not self._allowed(request):
            return PlainTextResponse("metrics are for this machine alone\n", status_code=403)
        return Response(await self._metrics.text(), media_type=CONTENT_TYPE)

    def _allowed(self, request: Request) -> bool:
        if request.client is None or any(name in request.headers for name in _FORWARDED):
            return False
        peer = ip_address(request.client.host.partition("%")[0])
        mapped = getattr(peer, "ipv4_mapped", None)
        address = mapped or peer
        return address.is_loopback or any(address in network for network in self._networks)


def application(
    webhooks: WebhookDoor,
    whatsapp: WhatsAppDoor,
    metrics: MetricsDoor,
    is_well: Callable[[], bool],
) -> ASGIApp:
    """Return everything that is served over HTTP; is_well: whether there is a database behind."""

    async def health(_: Request) -> Response:
        well = is_well()
        return PlainTextResponse(
            "serving\n" if well else "not serving\n", status_code=200 if well else 503
        )

    application = Starlette(
        routes=[
            Route("/healthz", health, methods=["GET"]),
            Route("/metrics", metrics.read, methods=["GET"]),
            Route(_WHATSAPP, whatsapp, methods=["GET", "POST"]),
            Route("/webhooks/{crm}/{connection_id}", webhooks.receive, methods=["POST"]),
        ]
    )
    # A redirect would have to say where to, and CRMs do not follow it.
    application.router.redirect_slashes = False

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        # What comes thousands of times a second goes past the framework.
        posted = scope["type"] == "http" and scope["method"] == "POST"
        answer = whatsapp if posted and scope["path"] == _WHATSAPP else application
        await answer(scope, receive, send)

    return served
