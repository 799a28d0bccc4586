"""The fault dial: what goes wrong at a simulated CRM, at random or by script.

Random faults come from a seeded generator. A scripted fault waits for the next request that it
matches and takes precedence over chance, so that a test meets exactly the fault it asked for.
"""

from collections import deque
from fnmatch import fnmatchcase
from hashlib import blake2b
from random import Random
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crmsync_server.sandbox.wire import normalize_email

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
HttpError: TypeAlias = Annotated[int, Field(ge=400, le=599)]


class FaultSettings(BaseModel):
    """The dial's position; everything off by default. Shares and rates run from 0 to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_seconds: Annotated[float, Field(ge=0)] = 0
    """Added to every answer."""
    throttle_rate: Share = 0
    """Share of requests refused with 429."""
    server_error_rate: Share = 0
    """Share of requests answered with one of `server_error_statuses`, not applied."""
    server_error_statuses: Annotated[tuple[HttpError, ...], Field(min_length=1)] = (502, 503, 504)
    hang_rate: Share = 0
    """Share of requests never answered and not applied."""
    hang_after_applying_rate: Share = 0
    """Share of requests applied and never answered."""
    drop_rate: Share = 0
    """Share of requests whose connection is closed without an answer, not applied."""
    drop_after_applying_rate: Share = 0
    """Share of requests applied, then the connection is closed without an answer."""
    reject_share: Share = 0
    """Share of records the CRM finds invalid; the same addresses every time."""
    failed_import_rate: Share = 0
    """Brevo: share of accepted imports that end as failed, with no row applied."""
    lost_notification_rate: Share = 0
    """Brevo: share of imports whose notifyUrl is never called. Zoho: of notifications not sent."""
    locked_share: Share = 0
    """Zoho: share of the contacts it holds that are locked; the same addresses every time."""
    unnamed_culprits: bool = False
    """HubSpot, Mautic: a failing batch does not say which input failed, and none is applied."""
    token_expired: bool = False
    """Credentials are answered with 401."""
    seed: int = 0
    """Decides which requests meet a random fault, and which records are rejected."""

    @model_validator(mode="after")
    def _one_fault_per_request(self) -> Self:
        if sum(rate for _, rate in self.rates()) > 1:
            message = "the rates of faults add up to more than 1"
            raise ValueError(message)
        return self

    def rates(self) -> list[tuple["Fault", float]]:
        """Return each random fault with its rate; 5xx is split evenly over its statuses."""
        each = self.server_error_rate / len(self.server_error_statuses)
        return [
            (Fault(kind="status", status=429), self.throttle_rate),
            *((Fault(kind="status", status=code), each) for code in self.server_error_statuses),
            (Fault(kind="hang"), self.hang_rate),
            (Fault(kind="hang", applied=True), self.hang_after_applying_rate),
            (Fault(kind="drop"), self.drop_rate),
            (Fault(kind="drop", applied=True), self.drop_after_applying_rate),
        ]


class Fault(BaseModel):
    """One thing that goes wrong with one request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["status", "hang", "drop", "delay"]
    """An error status, no answer, a closed connection, or a late but right answer."""
    status: HttpError = 503
    """For `status`."""
    applied: bool = False
    """Whether the request takes effect before it fails."""
    policy: str | None = None
    """For HubSpot's 429: `DAILY` or `TEN_SECONDLY_ROLLING`."""
    retry_after_seconds: Annotated[int, Field(ge=0)] | None = None
    """Sent as Retry-After."""
    delay_seconds: Annotated[float, Field(ge=0)] = 0
    """Waited before the request is looked at."""

    @property
    def label(self) -> str:
        """The name under which a request that got no answer is counted."""
        return f"{self.kind}_after_applying" if self.applied else self.kind


class ScriptedFault(Fault):
    """A fault that waits for its request."""

    method: str = "*"
    path: str = "*"
    """A glob over the request's path, without the query."""
    times: Annotated[int, Field(ge=1)] = 1
    """How many matching requests it meets, in a row."""

    def matches(self, method: str, path: str) -> bool:
        """Say whether this is the request it waits for."""
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)


class FaultDial:
    """Decides what goes wrong with each request, and which records are rejected."""

    def __init__(self, settings: FaultSettings | None = None) -> None:
        """Start at a position; without one, everything works."""
        self._script: deque[tuple[ScriptedFault, int]] = deque()
        self.settings = settings or FaultSettings()

    @property
    def settings(self) -> FaultSettings:
        """The present position; setting it restarts the random sequence from its seed."""
        return self._settings

    @settings.setter
    def settings(self, settings: FaultSettings) -> None:
        self._settings = settings
        self._random = Random(settings.seed)  # noqa: S311 - repeatable, not secret
        self._rates = [(fault, rate) for fault, rate in settings.rates() if rate]

    @property
    def scripted(self) -> list[ScriptedFault]:
        """The faults still waiting, oldest first, each with the `times` it has left."""
        return [fault.model_copy(update={"times": left}) for fault, left in self._script]

    def script(self, *faults: ScriptedFault) -> None:
        """Queue faults; the oldest one that matches a request meets it."""
        self._script.extend((fault, fault.times) for fault in faults)

    def clear_script(self) -> None:
        """Forget the faults that still wait."""
        self._script.clear()

    def draw(self, method: str, path: str) -> Fault | None:
        """Return what goes wrong with this request, if anything does."""
        return self._next_scripted(method, path) or self._next_random()

    def happens(self, rate: float) -> bool:
        """Draw once from the random sequence for something that happens at this rate."""
        return rate > 0 and self._random.random() < rate

    def rejects(self, email: str) -> bool:
        """Say whether the CRM finds this record invalid: always the same for one address."""
        return self._is_chosen(email, self._settings.reject_share, "")

    def locks(self, email: str) -> bool:
        """Say whether the CRM holds this record locked: always the same for one address."""
        return self._is_chosen(email, self._settings.locked_share, "locked:")

    def _is_chosen(self, email: str, share: float, purpose: str) -> bool:
        if not share or not email:
            return False
        key = f"{purpose}{self._settings.seed}:{normalize_email(email)}".encode()
        return int.from_bytes(blake2b(key, digest_size=8).digest()) < share * 2**64

    def _next_scripted(self, method: str, path: str) -> Fault | None:
        for index, (fault, left) in enumerate(self._script):
            if fault.matches(method, path):
                if left > 1:
                    self._script[index] = (fault, left - 1)
                else:
                    del self._script[index]
                return fault
        return None

    def _next_random(self) -> Fault | None:
        if not self._rates:
            return None
        point = self._random.random()
        for fault, rate in self._rates:
            if point < rate:
                return fault
            point -= rate
        return None
