"""What adapter tests share: deliveries, a clock that stands, a quota and a scripted CRM."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import httpx

from crmsync_server.crm.adapter import (
    Account,
    Allowance,
    Delivery,
    QuotaExhaustedError,
    Token,
    Tools,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = "shh-this-is-the-secret"


class Rations:
    """A quota that allows a number of calls, then none until a known time."""

    def __init__(self, calls: int = 10_000, until: datetime = NOW) -> None:
        """Take how many calls there are, and until when there are no more."""
        self.left = calls
        self.until = until
        self.taken: list[str] = []
        self.told: list[Allowance] = []
        self.refusals: list[tuple[str, datetime]] = []

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Take calls, or say that there are none."""
        if self.left < calls:
            raise QuotaExhaustedError(bucket, self.until)
        self.left -= calls
        self.taken.append(bucket)

    def learn(self, told: Allowance) -> None:
        """Remember what a reply's headers told."""
        self.told.append(told)

    def refused(self, bucket: str, until: datetime) -> None:
        """Remember a 429."""
        self.refusals.append((bucket, until))


class Purse:
    """Keeps one access token in memory, as the store does for all replicas."""

    def __init__(
        self, clock: Callable[[], datetime] = lambda: NOW, *, lasting: bool = True
    ) -> None:
        """Begin without a token; lasting: whether it says that it keeps it."""
        self._clock = clock
        self.lasting = lasting
        self._token: Token | None = None

    async def current(
        self, renew: Callable[[str], Awaitable[Token]], *, refused: str = ""
    ) -> Token:
        """Return the token, renewed when it has expired or was refused."""
        held = self._token
        if held is None or held.expire_time <= self._clock() or held.value == refused:
            self._token = held = await renew(held.refresh_token if held else "")
        return held


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

    def tools(self, quota: Rations | None = None) -> Tools:
        """Return tools whose client speaks to this CRM alone."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Tools(client, lambda: NOW, quota or Rations(), Purse())

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
