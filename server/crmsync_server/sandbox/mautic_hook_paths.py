"""Mautic's paths of webhooks."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.mautic_errors import MauticError, read_json
from crmsync_server.sandbox.mautic_webhooks import TRIGGERS, Announcer, MauticHook


class HookPaths:
    """The handlers under /api/hooks."""

    def __init__(self, announcer: Announcer) -> None:
        """Serve these webhooks."""
        self._announcer = announcer

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route("/api/hooks", self.list_all, methods=["GET"]),
            Route("/api/hooks/new", self.create, methods=["POST"]),
            Route("/api/hooks/triggers", self.list_triggers, methods=["GET"]),
            Route("/api/hooks/{id:int}", self.read, methods=["GET"]),
            Route("/api/hooks/{id:int}/edit", self.edit, methods=["PATCH"]),
            Route("/api/hooks/{id:int}/delete", self.delete, methods=["DELETE"]),
        ]

    async def list_all(self, _: Request) -> Response:
        """Return every webhook."""
        hooks = [hook.as_json() for hook in self._announcer.hooks.values()]
        return JSONResponse({"total": len(hooks), "hooks": hooks})

    async def list_triggers(self, _: Request) -> Response:
        """Return what can be subscribed to."""
        shown = {name: {"label": label, "description": label} for name, label in TRIGGERS.items()}
        return JSONResponse({"triggers": shown})

    async def create(self, request: Request) -> Response:
        """Add a webhook."""
        body = await read_json(request)
        if not isinstance(body, dict) or not body.get("name") or not body.get("webhookUrl"):
            details = {"webhookUrl": ["A name and a URL are required."]}
            raise MauticError(400, "webhookUrl: A name and a URL are required.", details=details)
        triggers = body.get("triggers")
        hook = self._announcer.subscribe(
            str(body["webhookUrl"]),
            str(body.get("secret") or ""),
            list(map(str, triggers)) if isinstance(triggers, list) else [],
            newest_first=body.get("eventsOrderbyDir") == "DESC",
        )
        hook.name = str(body["name"])
        hook.is_published = body.get("isPublished", True) is not False
        return JSONResponse({"hook": hook.as_json()}, status_code=HTTPStatus.CREATED)

    async def read(self, request: Request) -> Response:
        """Return one webhook."""
        return JSONResponse({"hook": self._hook(request).as_json()})

    async def edit(self, request: Request) -> Response:
        """Publish a webhook, or take it back; failures are counted from none again."""
        hook, body = self._hook(request), await read_json(request)
        if not isinstance(body, dict) or not isinstance(body.get("isPublished"), bool):
            raise MauticError(400, "Nothing but isPublished is changed by the sandbox.")
        hook.is_published, hook.failures = body["isPublished"], 0
        return JSONResponse({"hook": hook.as_json()})

    async def delete(self, request: Request) -> Response:
        """Remove a webhook."""
        hook = self._hook(request)
        del self._announcer.hooks[hook.id]
        return JSONResponse({"hook": hook.as_json()})

    def _hook(self, request: Request) -> MauticHook:
        hook = self._announcer.hooks.get(request.path_params["id"])
        if hook is None:
            raise MauticError(404, "Item was not found.")
        return hook
