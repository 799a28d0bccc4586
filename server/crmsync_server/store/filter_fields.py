"""What filters may name, of each kind of row that can be filtered."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.base import ReadOnlyColumnCollection, WriteableColumnCollection

from crmsync_server.store.filter_terms import Field, Kind
from crmsync_server.store.states import SyncStatus
from crmsync_server.store.tables import schema

Columns = ReadOnlyColumnCollection[str, sa.ColumnElement[Any]]

_TEXTS = ("name", "first_name", "last_name", "phone", "company")
_NUMBERS = ("unread_count", "version")
_TIMES = ("last_message_time", "create_time", "update_time")


def of_contacts(contacts: sa.FromClause) -> dict[str, Field]:
    """Return the fields of contacts, `contacts` having the columns of their table."""
    return _of_contacts(contacts.c)


def _of_contacts(c: Columns) -> dict[str, Field]:
    return {
        "email": Field(c.email, Kind.TEXT, folded=c.email_key, term="w:"),
        **{name: Field(c[name], Kind.TEXT, term="w:") for name in _TEXTS},
        "domain_id": Field(c.domain_id, Kind.ID, term="d:"),
        "tags": Field(c.tags, Kind.TAGS, term="t:"),
        "properties": Field(c.properties, Kind.MAP, term="p:"),
        **{name: Field(c[name], Kind.NUMBER) for name in _NUMBERS},
        **{name: Field(c[name], Kind.TIME) for name in _TIMES},
    }


def of_failures(
    standings: sa.FromClause, contacts: sa.FromClause, max_retries: int
) -> dict[str, Field]:
    """Return the fields of failures, which are standings, and of the contacts that failed."""
    cs = standings.c
    return of_contacts(contacts) | {
        "contact_id": Field(cs.contact_id, Kind.ID),
        "error.code": Field(cs.error_code, Kind.TEXT),
        "error.message": Field(cs.error_message, Kind.TEXT),
        "error.request_id": Field(cs.error_request_id, Kind.TEXT),
        "retry_count": Field(cs.retry_count, Kind.NUMBER),
        "last_retry_time": Field(cs.last_retry_time, Kind.TIME),
        "error_time": Field(cs.update_time, Kind.TIME),
        "can_retry": Field(cs.retry_count < max_retries, Kind.FLAG),
    }


@cache
def bare_columns() -> Columns:
    """Return the columns of contacts that a statement calls `c`: the table, or a part of it."""
    table = schema().tables["contacts"]
    named = [(one.name, sa.literal_column(f"c.{one.name}", one.type)) for one in table.columns]
    return WriteableColumnCollection(named).as_readonly()


@cache
def record_fields(crms: tuple[str, ...]) -> Mapping[str, Field]:
    """Return the fields of contacts that a statement calls `c`, and of their standings at CRMs."""
    c = bare_columns()
    standings = schema().tables["contact_syncs"].alias("cs")
    return _of_contacts(c) | {
        "id": Field(c.id, Kind.ID),
        "notes": Field(c.notes, Kind.TEXT),
        "avatar": Field(c.avatar, Kind.TEXT),
        "has_email": Field(c.email.is_not(None), Kind.FLAG),
        "has_phone": Field(c.phone != sa.literal_column("''"), Kind.FLAG),
        "unread": Field(c.unread_count > sa.literal_column("0"), Kind.FLAG),
        **{f"sync.{crm}": _standing(c, standings, crm) for crm in crms},
    }


def _standing(c: Columns, standings: sa.FromClause, crm: str) -> Field:
    """Return the sync status of a contact at a CRM, None where it was never selected."""
    cs = standings.c
    here = (cs.org_id == c.org_id, cs.contact_id == c.id, cs.crm == sa.literal(crm))
    # Words of our own, written out: partial indexes are found by them.
    choices = {
        str(status): sa.exists().where(*here, cs.sync_status == sa.literal_column(f"'{status}'"))
        for status in SyncStatus
    }
    status = sa.select(cs.sync_status).where(*here).scalar_subquery()
    return Field(status, Kind.CHOICE, choices=choices)


@cache
def contact_fields() -> Mapping[str, Field]:
    """Return the fields of contacts that a statement under sql/ calls `c`."""
    return of_contacts(schema().tables["contacts"].alias("c"))
