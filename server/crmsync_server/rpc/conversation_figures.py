"""The overview of conversations, and what is told of their days."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_server.rpc.conversation_messages import conversation as message_of
from crmsync_server.store import conversation, message
from crmsync_server.store.conversation import Selection
from crmsync_server.store.sender import digits
from crmsync_server.store.states import ConversationStatus

_RECENT = 10
_MONTH = 30  # days
_WEEK = 7  # days


async def dashboard(
    connection: AsyncConnection, org_id: str, today: date
) -> pb.GetDashboardResponse:
    """Return the overview but for the account; it costs the same however much there is."""
    since = today - timedelta(days=_MONTH - 1)
    days = await message.days(connection, org_id, since, today)
    totals = await message.totals(connection, org_id)
    counts = await conversation.counts(connection, org_id)
    recent = await conversation.list(connection, org_id, Selection(), size=_RECENT)
    top = await message.top(connection, org_id, size=_RECENT)
    return pb.GetDashboardResponse(
        contacts=_contacts(totals, days, today),
        conversations=_conversations(counts),
        messages=_messages(totals, days, today),
        recent_conversations=map(message_of, recent),
        top_contacts=[
            pb.TopContact(
                contact_id=str(row.contact_id),
                name=row.contact_name or "",
                messages=row.message_count,
                phone=f"+{digits(row.phone)}" if row.phone else "",
            )
            for row in top
        ],
    )


async def analytics(
    connection: AsyncConnection, org_id: str, today: date, length: int
) -> pb.GetConversationAnalyticsResponse:
    """Return what is told of so many days, today included."""
    since = today - timedelta(days=length - 1)
    rows = {row.day: row for row in await message.days(connection, org_id, since, today)}
    answers = sum(row.answers for row in rows.values())
    seconds = sum(float(row.response_seconds) for row in rows.values())
    return pb.GetConversationAnalyticsResponse(
        message_trend=list(_trend(rows, since, today)),
        average_response_seconds=seconds / answers if answers else None,
        contact_growth=[
            pb.DailyContacts(
                date=day.isoformat(), count=rows[day].new_contacts if day in rows else 0
            )
            for day in _back(today, since)
        ],
        start_date=since.isoformat(),
        end_date=today.isoformat(),
    )


def _contacts(totals: sa.Row[Any], days: Sequence[sa.Row[Any]], today: date) -> pb.ContactFigures:
    week = today - timedelta(days=_WEEK - 1)
    return pb.ContactFigures(
        total=int(totals.contacts),
        active=sum(row.last_contacts for row in days),
        last_week_growth=sum(row.new_contacts for row in days if row.day >= week),
    )


def _conversations(counts: Mapping[ConversationStatus, int]) -> pb.ConversationFigures:
    open_ones = counts.get(ConversationStatus.OPEN, 0)
    closed = counts.get(ConversationStatus.CLOSED, 0)
    total = open_ones + closed
    return pb.ConversationFigures(
        total=total,
        open=open_ones,
        closed=closed,
        active_rate=100 * open_ones / total if total else 0.0,
    )


def _messages(totals: sa.Row[Any], days: Sequence[sa.Row[Any]], today: date) -> pb.MessageFigures:
    by_day = {row.day: row.sent + row.received for row in days}
    return pb.MessageFigures(
        total=int(totals.sent + totals.received),
        sent=int(totals.sent),
        received=int(totals.received),
        today=by_day.get(today, 0),
        average_per_day=sum(by_day.values()) / _MONTH,
    )


def _trend(
    rows: Mapping[date, sa.Row[Any]], since: date, today: date
) -> Iterator[pb.DailyMessages]:
    for day in _back(today, since):
        row = rows.get(day)
        sent, received = (row.sent, row.received) if row else (0, 0)
        yield pb.DailyMessages(
            date=day.isoformat(), count=sent + received, sent=sent, received=received
        )


def _back(today: date, since: date) -> Iterator[date]:
    for back in range((today - since).days + 1):
        yield today - timedelta(days=back)
