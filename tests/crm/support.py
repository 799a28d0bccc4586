"""What adapter tests share: deliveries, a clock that stands, a quota and a scripted CRM."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import httpx

from crmsync_server.crm.adapter import Account, Delivery, QuotaExhaustedError, Tools

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = "shh-this-is-the-secret"


class Allowance:
    """A quota that allows a number of calls, then none until a known time."""

    def __init__(self, calls: int = 10_000, until: datetime = NOW) -> None:
        """Take how many calls there are, and until when there are no more."""
        self.left = calls
        self.until = until
        self.taken: list[str] = []

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Take calls, or say that there are none."""
        if self.left < calls:
            raise QuotaExhaustedError(bucket, self.until)
        self.left -= calls
        self.taken.append(bucket)


class ScriptedCrm:
    """Answers each request with what a function makes of it, and keeps the requests."""

    def __init__(self, respond: Callable[[httpx.Request], httpx.Response]) -> None:
        """Take the function that answers."""
        self._respond = respond
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        return self._respond(request)

    def tools(self, quota: Allowance | None = None) -> Tools:
        """Return tools whose client speaks to this CRM alone."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Tools(client=client, clock=lambda: NOW, quota=quota or Allowance())

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.url.path for request in self.requests]


def account(crm: str, **options: str) -> Account:
    """Return an account at a CRM with every secret that any adapter needs."""
    secrets = {"token": SECRET, "api_key": SECRET}
    return Account("org-1", crm, f"https://{crm}.test", secrets, options)


def delivery(number: int, *, crm_contact_id: str | None = None, email: str = "") -> Delivery:
    """Return a delivery whose fields all differ from any other number's."""
    return Delivery(
        contact_id=UUID(int=number),
        attempt=1,
        crm_contact_id=crm_contact_id,
        email=email or f"person{number}@example.com",
        first_name=f"First{number}",
        last_name=f"Last{number}",
        phone=f"+3319999{number:04d}",
        company=f"Company {number}",
    )


def deliveries(count: int) -> list[Delivery]:
    """Return so many different deliveries."""
    return [delivery(number) for number in range(1, count + 1)]


def inputs(request: httpx.Request) -> Sequence[dict[str, object]]:
    """Return the inputs of a HubSpot batch request."""
    found = json.loads(request.content)["inputs"]
    assert isinstance(found, list)
    return found
