"""Brevo's paths of webhooks."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.brevo_errors import INVALID, MISSING, BrevoError, read_body
from crmsync_server.sandbox.brevo_webhooks import Announcer, Webhook

_WEBHOOKS = "/v3/webhooks"


class WebhookPaths:
    """The handlers under /v3/webhooks."""

    def __init__(self, announcer: Announcer) -> None:
        """Serve these webhooks."""
        self._announcer = announcer

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(_WEBHOOKS, self.list_all, methods=["GET"]),
            Route(_WEBHOOKS, self.create, methods=["POST"]),
            Route(f"{_WEBHOOKS}/{{id:int}}", self.read, methods=["GET"]),
            Route(f"{_WEBHOOKS}/{{id:int}}", self.delete, methods=["DELETE"]),
        ]

    async def list_all(self, _: Request) -> Response:
        """Return every webhook."""
        held = [webhook.as_json() for webhook in self._announcer.webhooks.values()]
        return JSONResponse({"webhooks": held})

    async def create(self, request: Request) -> Response:
        """Add a webhook."""
        body = await read_body(request)
        if not isinstance(body.get("url"), str) or not isinstance(body.get("events"), list):
            raise BrevoError(400, "url and events are required", code=MISSING)
        if body.get("type", "transactional") != "marketing":
            raise BrevoError(400, "Only marketing webhooks are simulated", code=INVALID)
        webhook = self._announcer.subscribe(
            body["url"],
            [str(event) for event in body["events"]],
            token=_token(body),
            headers=_headers(body),
            batched=body.get("batched") is True,
        )
        webhook.description = str(body.get("description") or "")
        return JSONResponse({"id": webhook.id}, status_code=201)

    async def read(self, request: Request) -> Response:
        """Return one webhook."""
        return JSONResponse(self._webhook(request).as_json())

    async def delete(self, request: Request) -> Response:
        """Remove a webhook."""
        del self._announcer.webhooks[self._webhook(request).id]
        return Response(status_code=204)

    def _webhook(self, request: Request) -> Webhook:
        webhook = self._announcer.webhooks.get(request.path_params["id"])
        if webhook is None:
            raise BrevoError(404, "Webhook ID does not exist")
        return webhook


def _token(body: Mapping[str, Any]) -> str | None:
    auth = body.get("auth")
    if auth is None:
        return None
    if not isinstance(auth, dict) or auth.get("type") != "bearer" or not auth.get("token"):
        raise BrevoError(400, "auth should be {type: bearer, token}", code=INVALID)
    return str(auth["token"])


def _headers(body: Mapping[str, Any]) -> dict[str, str]:
    headers = body.get("headers") or []
    if not isinstance(headers, list) or not all(isinstance(one, dict) for one in headers):
        raise BrevoError(400, "headers should be a list of {key, value}", code=INVALID)
    return {str(one.get("key")): str(one.get("value")) for one in headers}
