"""A simulated n8n: workflows with webhooks, that start up, fail and answer as n8n's do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.clock import Clock
from crmsync_server.sandbox.faults import Fault, FaultDial, FaultSettings
from crmsync_server.sandbox.n8n_errors import (
    N8nError,
    answer_error,
    answer_routing_error,
    failure,
    unregistered,
)
from crmsync_server.sandbox.n8n_receiver import Receiver, failed, verify
from crmsync_server.sandbox.n8n_workflow import NodeCredentials, Workflow, refuse
from crmsync_server.sandbox.simulator import Admission
from crmsync_server.sandbox.wire import JsonObject, MalformedBodyError, parse_object

_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
_TEST_LIFE = timedelta(seconds=120)
_STARTED: JsonObject = {"message": "Workflow was started"}


class N8nState(BaseModel):
    """How the instance stands, and its workflows by the path of their webhooks.

    state: `starting` answers everything but its health with 200 and a text, `no_database` with
        503.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: Literal["ready", "starting", "no_database"] = "ready"
    workflows: dict[str, Workflow] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class N8nSettings:
    """An instance, and the contents of its credentials.

    Two workflows take contacts: `contacts` answers at once, `contacts-results` when it is done.
    """

    credentials: NodeCredentials = field(default_factory=NodeCredentials)
    payload_limit: int = 16 * 1024 * 1024
    state: N8nState = field(
        default_factory=lambda: N8nState(
            workflows={
                "contacts": Workflow(verifies=True),
                "contacts-results": Workflow(verifies=True, respond="node"),
            }
        )
    )
    faults: FaultSettings = field(default_factory=FaultSettings)


class N8n:
    """One n8n instance, in memory."""

    name = "n8n"
    api_path = "/webhook/contacts"

    def __init__(self, settings: N8nSettings, clock: Clock) -> None:
        """Set up an instance whose workflows have received nothing."""
        self.settings = settings
        self.faults = FaultDial(settings.faults)
        self.calls = CallLog()
        self.receiver = Receiver(self.faults, self.calls)
        self.state = settings.state
        self.executions: list[JsonObject] = []
        self._listening: dict[str, datetime] = {}
        self._clock = clock

    def reset(self) -> None:
        """Forget what was received and executed; workflows are as they were at first."""
        self.receiver.clear()
        self.executions.clear()
        self._listening.clear()
        self.state = self.settings.state

    async def start(self) -> None:
        """Do nothing: executions end before their calls are answered."""

    async def stop(self) -> None:
        """Do nothing: executions end before their calls are answered."""

    def contacts(self) -> Iterator[JsonObject]:
        """Yield `{contact_id, email, fields, properties, times_created, times_updated}` of each."""
        return self.receiver.as_json()

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with n8n's error bodies."""
        handlers = {N8nError: answer_error, HTTPException: answer_routing_error}
        return Starlette(routes=list(routes), exception_handlers=handlers)

    def routes(self) -> Sequence[Route]:
        """Return n8n's paths, and those that show and change its workflows."""
        return [
            Route("/healthz", self.health, methods=["GET"]),
            Route("/healthz/readiness", self.readiness, methods=["GET"]),
            Route("/webhook/{path:path}", self.webhook, methods=_METHODS),
            Route("/webhook-test/{path:path}", self.test_webhook, methods=_METHODS),
            Route("/_sandbox/n8n", self.read_state, methods=["GET"]),
            Route("/_sandbox/n8n", self.set_state, methods=["PUT"]),
            Route("/_sandbox/listen/{path:path}", self.listen, methods=["POST"]),
            Route("/_sandbox/executions", self.list_executions, methods=["GET"]),
        ]

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request may start a workflow."""
        return method == "POST" and path.startswith("/webhook")

    def authenticate(self, _: Request) -> None:
        """Let everybody in: it is the Webhook node that asks for credentials."""

    def admit(self, _: Request) -> Admission:
        """Let every request in: n8n has no limits."""
        return Admission()

    def failure(self, fault: Fault) -> Response:
        """Return the answer for a `status` fault."""
        return failure(fault)

    async def health(self, _: Request) -> Response:
        """Say that there is an HTTP server."""
        return JSONResponse({"status": "ok"})

    async def readiness(self, _: Request) -> Response:
        """Say whether there is a database, and its schema."""
        if self.state.state == "ready":
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "error"}, status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    async def webhook(self, request: Request) -> Response:
        """Answer at the production path of a workflow's webhook."""
        path = request.path_params["path"].removesuffix("/")
        return await self._call(request, path, self._active(path), test=False)

    async def test_webhook(self, request: Request) -> Response:
        """Answer at the test path, which takes one call within two minutes of listening."""
        path = request.path_params["path"].removesuffix("/")
        since = self._listening.get(path)
        live = since is not None and self._clock() - since < _TEST_LIFE
        workflow = self.state.workflows.get(path) if live else None
        if workflow is not None and request.method in workflow.methods:
            del self._listening[path]
        return await self._call(request, path, workflow, test=True)

    async def listen(self, request: Request) -> Response:
        """Do what the editor's button for a test event does."""
        self._listening[request.path_params["path"]] = self._clock()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def read_state(self, _: Request) -> Response:
        """Return the instance's state and workflows."""
        return JSONResponse(self.state.model_dump(mode="json"))

    async def set_state(self, request: Request) -> Response:
        """Replace the instance's state and workflows."""
        try:
            self.state = N8nState.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"message": str(error)}, status_code=HTTPStatus.BAD_REQUEST)
        return await self.read_state(request)

    async def list_executions(self, _: Request) -> Response:
        """Return `{path, mode, status, headers, body}` of each execution, oldest first."""
        return JSONResponse(self.executions)

    def _active(self, path: str) -> Workflow | None:
        workflow = self.state.workflows.get(path)
        return workflow if workflow is not None and workflow.active else None

    async def _call(
        self, request: Request, path: str, workflow: Workflow | None, *, test: bool
    ) -> Response:
        if self.state.state == "starting":
            return PlainTextResponse("n8n is starting up. Please wait")
        if self.state.state == "no_database":
            raise N8nError(HTTPStatus.SERVICE_UNAVAILABLE, "Database is not ready!")
        methods = workflow.methods if workflow is not None else ()
        if request.method == "OPTIONS":
            return _preflight(request, methods)
        if workflow is None or request.method not in methods:
            raise unregistered(path, request.method, methods, test=test)
        raw = await request.body()
        if len(raw) > self.settings.payload_limit:
            raise N8nError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request entity too large")
        refusal = self._admit(request, workflow)
        if refusal is not None:
            return refusal
        return self._execute(request, raw, workflow, {"path": path, "test": test})

    def _admit(self, request: Request, workflow: Workflow) -> Response | None:
        if self.faults.settings.token_expired:
            of_header = workflow.auth == "header"
            return refuse(HTTPStatus.FORBIDDEN if of_header else HTTPStatus.UNAUTHORIZED)
        return workflow.admit(request.headers, self.settings.credentials, self._clock())

    def _execute(
        self, request: Request, raw: bytes, workflow: Workflow, execution: JsonObject
    ) -> Response:
        try:
            body = parse_object(raw)
        except MalformedBodyError as error:
            raise N8nError(422, "Failed to parse request body") from error
        execution |= {"status": "success", "headers": dict(request.headers), "body": body}
        self.executions.append(execution)
        try:
            results = self._run(request, raw, body, workflow)
        except N8nError:
            execution["status"] = "error"
            if workflow.respond == "immediately":
                return JSONResponse(_STARTED)
            raise
        return _answer(workflow, results)

    def _run(
        self, request: Request, raw: bytes, body: JsonObject, workflow: Workflow
    ) -> list[JsonObject]:
        if workflow.fails:
            raise failed()
        if workflow.verifies:
            secret = self.settings.credentials.signing_secret
            verify(secret, request.headers, raw, self._clock())
        return self.receiver.take(body)


def _answer(workflow: Workflow, results: list[JsonObject]) -> Response:
    match workflow.respond:
        case "immediately":
            return JSONResponse(_STARTED)
        case "node":
            return JSONResponse({"results": results})
        case "last_node":
            return JSONResponse(results[0] if results else {})
        case "nothing":
            return Response()


def _preflight(request: Request, methods: tuple[str, ...]) -> Response:
    """Answer OPTIONS: only a browser's, with an origin, is told the methods."""
    headers = {}
    if "origin" in request.headers:
        headers["access-control-allow-methods"] = ", ".join(["OPTIONS", *methods])
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
