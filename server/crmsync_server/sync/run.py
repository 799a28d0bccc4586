"""The run of one session: what a server does for it, phase by phase, until it has nothing to do.

Every step is one transaction that moves the run first and writes only while the run is held; so a
page is stored once, whoever reads it, and a server that was given up for dead stores nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.leads import Leads
from crmsync_server.crm.mapping import STANDARD
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Record, Scope, Source, Trouble
from crmsync_server.store import run as runs
from crmsync_server.store import session as sessions
from crmsync_server.store.contact import is_deadlock
from crmsync_server.store.db import Database
from crmsync_server.store.run import Hold, Step
from crmsync_server.store.states import Direction, Phase, SessionKind
from crmsync_server.sync.absorb import Terms, absorb
from crmsync_server.sync.circuit import REFUSED
from crmsync_server.sync.hints import Hints
from crmsync_server.sync.lane_config import LaneConfig
from crmsync_server.sync.storable import storable
from crmsync_server.sync.verdict import LEAST_WAIT, RetryPolicy

_log = structlog.get_logger()

_CHUNK = 1000  # records that are taken in by one round of statements
# Somebody else made the same contact or link meanwhile, or Postgres ended a deadlock by this one.
_TRIES = 4


class OverError(Exception):
    """The run is not held any more, or has been let go of: nothing more is to be done here."""


class FailedError(Exception):
    """The session cannot go on."""

    def __init__(self, message: str, code: str) -> None:
        """Say why, for people and for programs."""
        super().__init__(message)
        self.code = code
        self.message = message


class TroubledError(Exception):
    """The CRM did not answer what it was asked."""

    def __init__(self, trouble: Trouble) -> None:
        """Take what the source said."""
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Reader:
    """How an organization reads a CRM.

    source: None where it cannot be read. batch_size: how many contacts one call delivers.
    daily_calls: how many calls the CRM allows in a day; 0 where it says nothing of days.
    leads: None where the CRM keeps none. takes_contacts: whether any can be delivered to it.
    """

    source: Source | None
    config: LaneConfig
    requires_email: bool
    batch_size: int
    daily_calls: int = 0
    leads: Leads | None = None
    takes_contacts: bool = True

    @property
    def readable(self) -> bool:
        """Whether the CRM can be read."""
        return self.source is not None

    @property
    def salt(self) -> bytes:
        """Return what the CRM gets besides a contact's content; see store.queue."""
        return self.config.mapping.salt if self.config.mapping else b""

    @property
    def names(self) -> frozenset[str] | None:
        """Return which custom properties are read; None means all."""
        mapping = self.config.mapping
        if mapping is None or mapping.custom_properties is None:
            return None
        targets = {rule.target for rule in mapping.rules} - set(STANDARD)
        return mapping.custom_properties | targets


@dataclass(frozen=True, slots=True)
class Desk:
    """What every run works with.

    readers: how (org_id, crm) is read; raises FailedError where it is not.
    on_refused: told of (org_id, crm, message) when the CRM refuses the credentials.
    max_deletion_share: what holds for sessions that say nothing of it, such as those of schedules.
    """

    database: Database
    hints: Hints
    policy: RetryPolicy
    clock: Callable[[], datetime]
    owner: str
    lease: timedelta
    readers: Callable[[str, str], Awaitable[Reader]]
    on_refused: Callable[[str, str, str], Awaitable[None]]
    max_deletion_share: float = 0.2


@dataclass(slots=True)
class Run:
    """One run that this server holds, and where it stands.

    task: what was asked for: `crm_contact_ids`, `contact_ids`, `force`, `plan`, `max_share`.
    """

    row: sa.Row[Any]
    desk: Desk
    reader: Reader
    phase: Phase
    cursor: Mapping[str, Any]
    since: datetime | None
    until_time: datetime | None
    task: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    async def of(cls, row: sa.Row[Any], desk: Desk) -> "Run":
        """Take up a claimed run; raises what the desk's readers raise."""
        reader = await desk.readers(row.org_id, row.crm)
        phase = Phase(row.phase)
        return cls(row, desk, reader, phase, row.cursor, row.since, row.until_time, row.task)

    @property
    def org_id(self) -> str:
        """Return whose run it is."""
        return str(self.row.org_id)

    @property
    def crm(self) -> str:
        """Return which CRM it reads."""
        return str(self.row.crm)

    @property
    def kind(self) -> SessionKind:
        """Return what kind of session it is for."""
        return SessionKind(self.row.kind)

    @property
    def direction(self) -> Direction:
        """Return which way the session goes."""
        return Direction(self.row.direction)

    @property
    def hold(self) -> Hold:
        """Return what tells this holding of the run from any other."""
        return hold_of(self.row)

    @property
    def source(self) -> Source:
        """Return where to read; raises FailedError where the CRM cannot be read."""
        if self.reader.source is None:
            message = f"{self.crm} cannot be read"
            raise FailedError(message, "NOT_SUPPORTED")
        return self.reader.source

    @property
    def scope(self) -> Scope:
        """Return what to read."""
        return Scope(self.since, self.reader.names)

    @property
    def terms(self) -> Terms:
        """Return how records are taken in."""
        config = self.reader.config
        return Terms(
            org_id=self.org_id,
            crm=self.crm,
            direction=self.direction,
            mapping=config.mapping,
            merging=config.merging,
            salt=self.reader.salt,
            session_id=self.row.session_id,
            dry_run=self.row.dry_run,
        )

    async def step(
        self,
        step: Step,
        write: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> None:
        """Move the run on and write what belongs to that, both or neither.

        Raises OverError when the run is not held any more.
        """
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._step(step, write)
            except DBAPIError as error:
                if not (tries_left and _is_passing(error)):
                    raise
            else:
                break
        self.phase, self.cursor = step.phase, step.cursor
        self.since = step.since or self.since
        self.until_time = step.until_time or self.until_time
        self.desk.hints.sessions(self.org_id, self.row.session_id)

    async def _step(
        self, step: Step, write: Callable[[AsyncConnection], Awaitable[None]] | None
    ) -> None:
        async with self.desk.database.org(self.org_id) as connection:
            if not await runs.advance(connection, self.hold, step, lease=self.desk.lease):
                raise OverError
            if write is not None:
                await write(connection)

    async def take_in(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """Take in records within a step."""
        for start in range(0, len(records), _CHUNK):
            await absorb(connection, self.terms, records[start : start + _CHUNK])

    async def rest(self, rest: timedelta, code: str = "", message: str = "") -> None:
        """Let go of the run for a while; raises OverError, since there is nothing more to do."""
        await let_go(self.desk, self.hold, rest, code, message)
        raise OverError


def hold_of(row: sa.Row[Any]) -> Hold:
    """Return what tells the holding of a claimed run from any other."""
    return Hold(str(row.org_id), row.session_id, row.fence)


async def let_go(
    desk: Desk,
    hold: Hold,
    rest: timedelta,
    code: str = "",
    message: str = "",
    *,
    failed: bool = False,
) -> None:
    """Let go of a run for a while, and tell watchers why."""
    async with desk.database.org(hold.org_id) as connection:
        await runs.wait(
            connection,
            hold,
            rest=max(rest, timedelta(0)),
            code=storable(code) or None,
            message=storable(message) or None,
            failed=failed,
        )
    desk.hints.sessions(hold.org_id, hold.session_id)


async def fail(desk: Desk, hold: Hold, why: FailedError) -> None:
    """Let the session of a run fail, if the run is held still."""
    async with desk.database.org(hold.org_id) as connection:
        if not await runs.end(connection, hold):
            return
        await sessions.fail(
            connection,
            hold.org_id,
            hold.session_id,
            code=storable(why.code),
            message=storable(why.message),
        )
    desk.hints.sessions(hold.org_id, hold.session_id)


async def guarded(desk: Desk, row: sa.Row[Any], work: Callable[[], Awaitable[None]]) -> None:
    """Do the work of a run, and deal with whatever keeps it from going on."""
    hold = hold_of(row)
    try:
        await work()
    except OverError:
        return
    except FailedError as why:
        await fail(desk, hold, why)
    except CredentialsRefusedError as refused:
        await desk.on_refused(row.org_id, row.crm, str(refused))
        await fail(desk, hold, FailedError(str(refused), REFUSED))
    except TroubledError as troubled:
        await _wait_out(desk, hold, troubled.trouble)
    except Exception as error:  # noqa: BLE001 - a session outlives a fault, and the log tells of it
        _log.exception("a session's step failed", session_id=str(hold.session_id))
        trouble = Retry("INTERNAL", f"the server's log says more ({type(error).__name__})")
        await _wait_out(desk, hold, trouble)


async def _wait_out(desk: Desk, hold: Hold, trouble: Trouble) -> None:
    match trouble:
        case Rejected(code, message):
            await fail(desk, hold, FailedError(message, code))
        case Postponed(until, code, message):
            await let_go(desk, hold, max(until - desk.clock(), LEAST_WAIT), code, message)
        case Retry(code, message, after):
            retries = await _retries(desk, hold)
            if retries >= desk.policy.max_retries:
                await fail(desk, hold, FailedError(f"{code}: {message}", "CRM_UNREACHABLE"))
                return
            wait = max(desk.policy.wait(retries), LEAST_WAIT / 10)
            if after is not None:
                wait = max(wait, after - desk.clock())
            await let_go(desk, hold, wait, code, message, failed=True)


async def _retries(desk: Desk, hold: Hold) -> int:
    """Return how many faults there were in a row, which pages that went well have reset."""
    async with desk.database.org(hold.org_id) as connection:
        found = await runs.get(connection, [(hold.org_id, hold.session_id)])
    return int(found[0].retry_count) if found else 0


def _is_passing(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or is_deadlock(error)


def begin(phase: Phase, cursor: Mapping[str, Any] | None = None) -> Step:
    """Return the step to the beginning of a phase."""
    return Step(phase, cursor or {}, pages=0)
