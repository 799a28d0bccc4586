"""What webhooks and late answers tell of messages that are on their way: none goes out twice."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from crmsync_server.crm.messaging import Outgoing, Scope, SendOutcome, SlowDown
from crmsync_server.store import message, outbox, whatsapp
from crmsync_server.store.db import Database
from crmsync_server.store.message import Status
from crmsync_server.store.outbox import Result
from crmsync_server.store.states import MessageStatus
from tests.eventually import eventually
from tests.store.chats import NOW, NUMBER, ORG, account, broken, rows
from tests.sync.test_outbox import Meta, put, stands, waiting, working

_PACE = outbox.Pace(10, timedelta(0), timedelta(0))


@pytest.fixture(autouse=True)
async def _account(database: Database) -> None:
    await account(database)


async def _tell(database: Database, message_id: UUID) -> None:
    """Have a webhook tell that Meta has a message."""
    async with database.org(ORG) as connection:
        await whatsapp.lock(connection, ORG)
        await message.tell(connection, ORG, [Status("wamid.1", "sent", NOW, message_id=message_id)])


async def _noted(database: Database, message_id: UUID) -> None:
    """AssertionError until a message was handed over and put back."""
    [row] = await rows(
        database, "SELECT lease_end_time FROM message_outbox WHERE message_id = :id", id=message_id
    )
    assert row.lease_end_time is None


def _soon(_: Outgoing) -> SendOutcome:
    until = datetime.now(UTC) + timedelta(seconds=0.5)
    return SlowDown(until, 131016, "service unavailable", Scope.ACCOUNT)


async def test_what_a_webhook_has_told_of_is_not_sent_after_a_pause(database: Database) -> None:
    """Whatever Meta answered: it was taken after all."""
    [first] = await put(database, "1")
    meta = Meta(_soon)
    async with working(database, meta):
        await meta.begun.wait()
        await eventually(lambda: _noted(database, first))
        await _tell(database, first)
        [second] = await put(database, "2")
        meta.answer = Meta().answer
        await eventually(lambda: stands(database, second, "SENT"))
    row = await stands(database, first, "SENT")
    assert row.whatsapp_id == "wamid.1"
    assert [one.text for one in meta.handed] == ["1", "2"]
    assert await waiting(database) == 0
    assert await broken(database) == []


async def test_what_a_webhook_tells_of_during_the_call_is_not_put_back(database: Database) -> None:
    """The answer that it was not taken comes late."""
    [first] = await put(database, "1")
    meta = Meta(_soon)
    meta.lets_go.clear()
    async with working(database, meta):
        await meta.begun.wait()
        await _tell(database, first)
        meta.lets_go.set()

        async def nothing_waits() -> None:
            assert await waiting(database) == 0

        await eventually(nothing_waits)
    await stands(database, first, "SENT")
    assert len(meta.handed) == 1


@pytest.mark.parametrize("status", [MessageStatus.SENT, MessageStatus.FAILED])
async def test_an_answer_after_the_message_was_given_up_is_noted(
    database: Database, status: MessageStatus
) -> None:
    """What is known is better than nothing; only what is not known is overruled."""
    [first] = await put(database, "1")
    unknown = Result(MessageStatus.UNKNOWN, error={"code": 0, "kind": "UNKNOWN_OUTCOME"})
    known = Result(status, "wamid.1" if status is MessageStatus.SENT else "")
    async with database.org(ORG) as connection:
        await outbox.claim(connection, ORG, NUMBER, pace=_PACE, lease=timedelta(0))
        await whatsapp.lock(connection, ORG)
        for result in (unknown, known, unknown):
            await outbox.finish(connection, ORG, first, result)
    row = await stands(database, first, status)
    assert (row.whatsapp_id or "", row.error) == (known.whatsapp_id, None)
    assert await broken(database) == []
