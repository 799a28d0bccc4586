"""Contacts on the wire: read into what the store keeps, and written from its rows."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync.v1.contact_pb2 import Contact
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store.content import Content


def content_of(contact: Contact) -> Content:
    """Read the fields that callers write from a valid contact."""
    return Content(
        contact.email or None,
        contact.name,
        contact.first_name,
        contact.last_name,
        contact.phone,
        contact.company,
        tuple(contact.tags),
        contact.notes,
        contact.avatar,
        UUID(contact.domain_id) if contact.domain_id else None,
        dict(contact.properties),
    )


def message_of(row: sa.Row[Any]) -> Contact:
    """Write a row of contacts."""
    return Contact(
        id=str(row.id),
        email=row.email or "",
        name=row.name,
        first_name=row.first_name,
        last_name=row.last_name,
        phone=row.phone,
        company=row.company,
        tags=row.tags,
        notes=row.notes,
        avatar=row.avatar,
        domain_id=str(row.domain_id or ""),
        properties=row.properties,
        unread_count=row.unread_count,
        last_message_time=timestamp(row.last_message_time),
        version=row.version,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )
