"""What ListAttempts says of a contact that waits: the first reason that holds, and until when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from crmsync.v1 import attempt_pb2
from crmsync_server.rpc.attempts import waiting
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.store import attempt
from crmsync_server.store.db import Database
from tests.store import people
from tests.store.people import CRM, ORG

TRAITS = CrmTraits(enabled=True, requires_email=False, records_per_second=2.0)
NOW = datetime(2026, 3, 1, tzinfo=UTC)

PAUSED = (
    "INSERT INTO lanes (org_id, crm, paused_until, pause_code, pause_message)"
    " VALUES ('acme', 'hubspot', {until}, '{code}', 'as said')"
)
BY_HAND = PAUSED.format(until="'infinity'", code="MANUAL")
REFUSED = PAUSED.format(until="now() + interval '1 hour'", code="CREDENTIALS_REFUSED")
NO_ALLOWANCE = PAUSED.format(until="now() + interval '1 hour'", code="QUOTA_EXHAUSTED")
OVER = PAUSED.format(until="now() - interval '1 hour'", code="RATE_LIMIT")
USED_UP = (
    "INSERT INTO quotas (org_id, crm, bucket, arrival_time, declared, calls, period, blocked_until)"
    " VALUES ('acme', 'hubspot', 'daily', now(), 9, 9, interval '1 day', now() + interval '1 hour')"
)
LATER = "UPDATE contact_syncs SET due_time = now() + interval '1 hour'"


async def told(
    database: Database, *statements: str, traits: CrmTraits | None = TRAITS, ahead: int = 0
) -> attempt_pb2.Waiting:
    """Queue a contact behind others, bring that about, and tell what it waits for."""
    ids = await people.populate(database, ahead + 1)
    for contact_id in ids:
        async with database.org(ORG) as connection:
            await people.enqueue(connection, [contact_id], people.order())
    async with database.org(ORG) as connection:
        for one in statements:
            await connection.execute(sa.text(one))
    return await _told(database, ids[-1], traits)


async def _told(
    database: Database, contact_id: UUID, traits: CrmTraits | None = TRAITS
) -> attempt_pb2.Waiting:
    async with database.org(ORG) as connection:
        [row] = await attempt.waiting(connection, ORG, contact_id, None)
    return waiting(row, traits, NOW)


@pytest.mark.parametrize(
    ("statements", "reason", "code"),
    [
        ([REFUSED], attempt_pb2.WAIT_REASON_LANE_PAUSED, "CREDENTIALS_REFUSED"),
        ([REFUSED, USED_UP, LATER], attempt_pb2.WAIT_REASON_LANE_PAUSED, "CREDENTIALS_REFUSED"),
        ([LATER], attempt_pb2.WAIT_REASON_NOT_DUE, ""),
        ([LATER, USED_UP], attempt_pb2.WAIT_REASON_NOT_DUE, ""),
        ([USED_UP], attempt_pb2.WAIT_REASON_QUOTA, "daily"),
        ([NO_ALLOWANCE, USED_UP], attempt_pb2.WAIT_REASON_QUOTA, "daily"),
        ([NO_ALLOWANCE], attempt_pb2.WAIT_REASON_QUOTA, ""),
    ],
)
async def test_the_first_reason_that_holds_is_told_with_its_end(
    database: Database,
    statements: list[str],
    reason: attempt_pb2.WaitReason.ValueType,
    code: str,
) -> None:
    """In the order in which the contract has them."""
    found = await told(database, *statements)
    assert (found.crm, found.reason, found.code) == (CRM, reason, code)
    left = found.until_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert found.message
    assert not found.ahead_count


async def test_a_lane_that_is_paused_by_hand_has_no_end(database: Database) -> None:
    """Nobody knows when it is resumed."""
    found = await told(database, BY_HAND, USED_UP)
    assert (found.reason, found.code) == (attempt_pb2.WAIT_REASON_LANE_PAUSED, "MANUAL")
    assert found.message == "as said"
    assert not found.HasField("until_time")


@pytest.mark.parametrize("traits", [None, CrmTraits(False, False, 1.0)])  # noqa: FBT003 - as it is built
async def test_a_crm_without_credentials_holds_up_its_lane(
    database: Database, traits: CrmTraits | None
) -> None:
    """As does one that this server does not know."""
    found = await told(database, LATER, traits=traits)
    assert (found.reason, found.code) == (attempt_pb2.WAIT_REASON_LANE_PAUSED, "CRM_DISABLED")


async def test_those_ahead_are_told_with_an_estimate(database: Database) -> None:
    """By what the CRM allows, before the lane's rate was ever measured."""
    found = await told(database, OVER, ahead=3)
    assert (found.reason, found.ahead_count) == (attempt_pb2.WAIT_REASON_BEHIND_OTHERS, 3)
    assert found.until_time.ToDatetime(UTC) == NOW + timedelta(seconds=2)
    assert "3 others" in found.message


async def test_a_delivery_tells_its_server_until_the_crm_has_accepted_it(
    database: Database,
) -> None:
    """Then it tells when the CRM is asked."""
    [contact_id] = await people.populate(database, 1)
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order())
    async with database.org(ORG) as connection:
        await people.claim(connection, 1)
    found = await _told(database, contact_id)
    assert (found.reason, found.server) == (attempt_pb2.WAIT_REASON_BEING_DELIVERED, "tests")
    async with database.org(ORG) as connection:
        await connection.execute(sa.text("UPDATE contact_syncs SET ticket = 'import-1'"))
        await connection.execute(
            sa.text(
                "INSERT INTO tickets (org_id, crm, ticket, check_time)"
                " VALUES ('acme', 'hubspot', 'import-1', now() + interval '5 minutes')"
            )
        )
    found = await _told(database, contact_id)
    assert (found.reason, found.server) == (attempt_pb2.WAIT_REASON_ACCEPTED, "")
    assert found.HasField("until_time")
