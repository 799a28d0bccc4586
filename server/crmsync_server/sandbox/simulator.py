"""What every simulated CRM offers the gateway in front of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import Fault, FaultDial
from crmsync_server.sandbox.wire import JsonObject


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether the CRM's limits let a request in, and the headers that say how much is left."""

    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: Response | None = None


class Simulator(Protocol):
    """A CRM that holds contacts in memory."""

    name: str
    api_path: str
    """Where its API begins on its host: a path without a trailing slash, or empty."""
    faults: FaultDial
    calls: CallLog

    def routes(self) -> Sequence[Route]:
        """Return the CRM's own paths, and those under /_sandbox that only it has."""
        ...

    def build_app(self, routes: Sequence[Route]) -> Starlette:
        """Return the application that answers these routes with this CRM's error bodies."""
        ...

    def is_write(self, method: str, path: str) -> bool:
        """Say whether a request to this path template changes contacts."""
        ...

    def authenticate(self, request: Request) -> Response | None:
        """Return the CRM's refusal of these credentials, or None if they are good."""
        ...

    def admit(self, request: Request) -> Admission:
        """Count a request against the CRM's limits."""
        ...

    def failure(self, fault: Fault) -> Response:
        """Return the CRM's answer for a `status` fault."""
        ...

    def contacts(self) -> Iterator[JsonObject]:
        """Yield everything held, oldest first."""
        ...

    def reset(self) -> None:
        """Forget all contacts, limits taken and identifiers given out."""
        ...

    async def start(self) -> None:
        """Start the CRM's background work."""
        ...

    async def stop(self) -> None:
        """Stop the CRM's background work, finished or not."""
        ...
