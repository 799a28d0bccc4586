"""WatchConflicts tells what is open, then every change as it becomes visible, and loses none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import grpc
import pytest

from crmsync.v1 import analytics_service_pb2 as pb
from crmsync.v1 import conflict_pb2
from crmsync_server.rpc import conflict_watch
from crmsync_server.store import conflict, event, place
from crmsync_server.store.db import Database
from tests.rpc.admins import OTHER
from tests.rpc.conflicts import (
    COMPANY,
    CRM,
    EARLIER,
    LATER,
    PHONE,
    Desk,
    Where,
    found,
    open_desk,
    opened,
)
from tests.rpc.contacts import ORG
from tests.rpc.serving import failure_of
from tests.store.deliveries import take_id

THEIRS = conflict_pb2.CONFLICT_CHOICE_THEIRS
OPEN = conflict_pb2.CONFLICT_STATE_OPEN
RESOLVED = conflict_pb2.CONFLICT_STATE_RESOLVED
SETTLED = conflict_pb2.CONFLICT_STATE_SETTLED

Call = "grpc.aio.UnaryStreamCall[pb.WatchConflictsRequest, pb.WatchConflictsResponse]"


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """Serve AnalyticsService."""
    async with open_desk(database) as desk:
        yield desk


@asynccontextmanager
async def watching(desk: Desk, metadata: Any = (), **asked: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - a call's
    """Watch conflicts."""
    call = desk.stub.WatchConflicts(pb.WatchConflictsRequest(**asked), metadata=metadata)
    try:
        yield call
    finally:
        call.cancel()


async def some(call: Any, count: int) -> Sequence[pb.WatchConflictsResponse]:  # noqa: ANN401 - a call's
    """Read until so many conflicts have come."""
    told: list[pb.WatchConflictsResponse] = []
    async with asyncio.timeout(20):
        while len(told) < count:
            message = cast("pb.WatchConflictsResponse", await call.read())
            if message.HasField("conflict"):
                told.append(message)
    return told


async def beat(call: Any) -> str:  # noqa: ANN401 - a call's
    """Read a sign of life, and return its token."""
    message = cast("pb.WatchConflictsResponse", await call.read())
    assert message.heartbeat.HasField("send_time")
    return message.resume_token


def states(told: Sequence[pb.WatchConflictsResponse]) -> list[tuple[str, int]]:
    """Return which conflicts were told, and how they stand."""
    return [(one.conflict.id, one.conflict.state) for one in told]


async def resolve(desk: Desk, conflict_id: UUID) -> conflict_pb2.Conflict:
    """Resolve a conflict."""
    request = pb.ResolveConflictRequest(conflict_id=str(conflict_id), choice=THEIRS)
    return (await desk.stub.ResolveConflict(request)).conflict


async def settle(database: Database, contact_id: UUID) -> None:
    """Let both sides come to agree."""
    async with database.org(ORG) as connection:
        await conflict.settle(connection, ORG, CRM, [contact_id])


async def test_a_watch_begins_with_what_is_open_and_goes_on_with_each_change(
    desk: Desk, database: Database
) -> None:
    """Found, resolved, settled; what had ended before is not told."""
    await resolve(desk, await opened(database))
    ids = [str(await opened(database)) for _ in range(3)]
    async with watching(desk) as call:
        assert states(await some(call, 3)) == [(one, OPEN) for one in ids]
        await beat(call)
        await resolve(desk, UUID(ids[1]))
        contact_id, new = await found(database, Where(), [PHONE])
        assert states(await some(call, 2)) == [(ids[1], RESOLVED), (str(new), OPEN)]
        await settle(database, contact_id)
        assert states(await some(call, 1)) == [(str(new), SETTLED)]


async def test_what_is_open_comes_in_pages(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their length."""
    monkeypatch.setattr(conflict_watch, "_PAGE", 2)
    ids = [str(await opened(database)) for _ in range(4)]
    async with watching(desk) as call:
        assert [one.conflict.id for one in await some(call, 4)] == ids
        await beat(call)


async def test_a_watch_goes_on_right_after_any_token(desk: Desk, database: Database) -> None:
    """Whether it came with an open conflict, a change or a sign of life."""
    ids = [str(await opened(database)) for _ in range(3)]
    async with watching(desk) as call:
        first = await some(call, 3)
        quiet = await beat(call)
        await resolve(desk, UUID(ids[0]))
        [changed] = await some(call, 1)
    for token, expected in (
        (first[0].resume_token, [(ids[1], OPEN), (ids[2], OPEN), (ids[0], RESOLVED)]),
        (quiet, [(ids[0], RESOLVED)]),
        (first[2].conflict.resume_token, [(ids[0], RESOLVED)]),
    ):
        async with watching(desk, resume_token=token) as call:
            assert states(await some(call, len(expected))) == expected
    new = str(await opened(database))
    async with watching(desk, resume_token=changed.resume_token) as call:
        assert states(await some(call, 1)) == [(new, OPEN)]


async def test_a_token_of_a_list_or_an_answer_leaves_nothing_out(
    desk: Desk, database: Database
) -> None:
    """Not even what an earlier transaction commits later."""
    contact_id, _ = await found(database, Where(), [COMPANY])
    conflict_id = await opened(database)
    async with database.org(ORG) as slow:
        await take_id(slow)
        answered = await resolve(desk, conflict_id)
        listed = (await desk.stub.ListConflicts(pb.ListConflictsRequest(page_size=1))).conflicts
        told = conflict.Conflict(contact_id, "7", [_phone()], EARLIER, LATER)
        [late] = await conflict.write(slow, ORG, CRM, [told], None)
    for token in (answered.resume_token, listed[0].resume_token):
        async with watching(desk, resume_token=token) as call:
            assert str(late) in {one.conflict.id for one in await some(call, 2)}


async def test_a_commit_that_comes_late_is_told_before_what_overtook_it(
    desk: Desk, database: Database
) -> None:
    """Nothing is stepped over."""
    contact_id, first = await found(database, Where(), [COMPANY])
    async with watching(desk) as call:
        await some(call, 1)
        await beat(call)
        async with database.org(ORG) as slow:
            await take_id(slow)
            second = await opened(database)
            told = conflict.Conflict(contact_id, "7", [_phone()], EARLIER, LATER)
            await conflict.write(slow, ORG, CRM, [told], None)
        assert states(await some(call, 2)) == [(str(first), OPEN), (str(second), OPEN)]


async def test_a_watch_of_one_crm_leaves_out_the_others(desk: Desk, database: Database) -> None:
    """What is open, and what changes."""
    await opened(database)
    first = str(await opened(database, crm="brevo"))
    async with watching(desk, crm="brevo") as call:
        assert states(await some(call, 1)) == [(first, OPEN)]
        await opened(database)
        second = str(await opened(database, crm="brevo"))
        assert states(await some(call, 1)) == [(second, OPEN)]


async def test_conflicts_of_another_organization_are_not_told(
    desk: Desk, database: Database
) -> None:
    """Nor do its tokens name anything."""
    await opened(database)
    async with watching(desk, OTHER) as call:
        token = await beat(call)
        theirs = str(await opened(database, org_id="globex"))
        assert states(await some(call, 1)) == [(theirs, OPEN)]
    async with watching(desk, resume_token=token) as call:
        assert "resume_token" in (await failure_of(call.read())).violations


async def test_silence_is_broken_by_signs_of_life(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing was ever in conflict."""
    monkeypatch.setattr(conflict_watch, "_HEARTBEAT", 0.05)
    async with watching(desk) as call, asyncio.timeout(10):
        for _ in range(3):
            await beat(call)


@pytest.mark.parametrize("bad", ["nonsense", "A" * 64, "x" * 101])
async def test_a_token_that_is_none_is_refused_by_its_field(desk: Desk, bad: str) -> None:
    """And says what would be right."""
    async with watching(desk, resume_token=bad) as call:
        failure = await failure_of(call.read())
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(failure.violations) == ["resume_token"]


async def test_a_token_of_events_is_none_of_conflicts(desk: Desk, database: Database) -> None:
    """The two streams have nothing in common."""
    async with database.everyone() as connection:
        bounds = await event.bounds(connection)
    foreign = place.token(ORG, bounds.system, bounds.border)
    async with watching(desk, resume_token=foreign) as call:
        assert "resume_token" in (await failure_of(call.read())).violations


async def test_a_token_from_before_the_database_was_set_back_is_refused(
    desk: Desk, database: Database
) -> None:
    """With one that begins anew."""
    conflict_id = await opened(database)
    async with watching(desk) as call:
        [told] = await some(call, 1)
    async with database.org(ORG) as connection:
        await _set_back(connection)
    async with watching(desk, resume_token=told.resume_token) as call:
        failure = await failure_of(call.read())
    assert (failure.code, failure.info.reason) == (
        grpc.StatusCode.OUT_OF_RANGE,
        "RESUME_TOKEN_EXPIRED",
    )
    async with watching(desk, resume_token=failure.info.metadata["oldest_token"]) as call:
        assert states(await some(call, 1)) == [(str(conflict_id), OPEN)]


async def _set_back(connection: Any) -> None:  # noqa: ANN401 - a connection
    await connection.exec_driver_sql("UPDATE conflicts SET transaction = transaction - 1")


def _phone() -> dict[str, str]:
    return {"field": "phone", "ours": "1", "theirs": "2"}
