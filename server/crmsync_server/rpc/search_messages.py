"""Rows of the store as the messages that SearchService answers with."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync.v1 import search_pb2 as pb
from crmsync_server.rpc import sync_messages
from crmsync_server.rpc.contact_fields import message_of
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.search_facets import Counted

_SYNC = "sync"


def records(
    contacts: Iterable[sa.Row[Any]], standings: Iterable[sa.Row[Any]]
) -> Iterable[pb.Record]:
    """Yield each contact with its own standings."""
    by_contact: dict[UUID, list[sa.Row[Any]]] = {}
    for standing in standings:
        by_contact.setdefault(standing.contact_id, []).append(standing)
    for contact in contacts:
        own = by_contact.get(contact.id, ())
        syncs = {row.crm: sync_messages.contact_sync(row) for row in own}
        yield pb.Record(contact=message_of(contact), contact_syncs=syncs)


def facets(asked: Sequence[str], counted: Sequence[Counted]) -> list[pb.Facet]:
    """Return what was counted by field, in the order in which it was asked for."""
    by_field: dict[str, list[Counted]] = {name: [] for name in asked if name != _SYNC}
    for one in counted:
        by_field.setdefault(one.field, []).append(one)

    def place(field: str) -> tuple[int, str]:
        return list(asked).index(field.partition(".")[0]), field

    return [_facet(field, by_field[field]) for field in sorted(by_field, key=place)]


def recent(row: sa.Row[Any]) -> pb.RecentSearch:
    """Return an earlier search."""
    return pb.RecentSearch(
        text=row.text,
        filter=row.filter,
        order_by=row.order_by,
        search_time=timestamp(row.search_time),
        search_count=row.search_count,
    )


def _facet(field: str, counted: Sequence[Counted]) -> pb.Facet:
    values = [
        pb.FacetValue(value=one.value, count=one.number, filter=_filter(field, one.value))
        for one in counted
    ]
    return pb.Facet(field=field, values=values)


def _filter(field: str, value: str) -> str:
    """Return the filter that finds what was counted."""
    if field == "tags":
        return f"tags:{quoted(value)}"
    if field == "email_domain":
        return f"email = {quoted(value, before='*@')}"
    if field.startswith(f"{_SYNC}."):
        return f"{field} = {value}"
    return f"{field} = {quoted(value)}"


def quoted(text: str, before: str = "") -> str:
    """Return a text as a filter takes it literally, behind what it may begin with."""
    literal = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{before}{literal}"'


def known_syncs(
    known: Sequence[str], contact_id: UUID, rows: Iterable[sa.Row[Any]]
) -> Mapping[str, Any]:
    """Return how a contact stands at every CRM, those that it was never selected for included."""
    never = {crm: sync_messages.never_synced(contact_id, crm) for crm in known}
    return never | {row.crm: sync_messages.contact_sync(row) for row in rows if row.crm}


def key_field(key: str) -> str:
    """Return how a filter names a property."""
    plain = key.replace("_", "").replace("-", "")
    is_word = plain.isascii() and plain.isalnum()
    return f"properties.{key if is_word else json.dumps(key, ensure_ascii=False)}"
