"""What filters may name, of each kind of row that can be filtered."""

from collections.abc import Mapping
from functools import cache

import sqlalchemy as sa

from crmsync_server.store.filter_terms import Field, Kind
from crmsync_server.store.tables import schema

_TEXTS = ("name", "first_name", "last_name", "phone", "company")
_NUMBERS = ("unread_count", "version")
_TIMES = ("last_message_time", "create_time", "update_time")


def of_contacts(contacts: sa.FromClause) -> dict[str, Field]:
    """Return the fields of contacts, `contacts` having the columns of their table."""
    c = contacts.c
    return {
        "email": Field(c.email, Kind.TEXT, folded=c.email_key),
        **{name: Field(c[name], Kind.TEXT) for name in _TEXTS},
        "domain_id": Field(c.domain_id, Kind.ID),
        "tags": Field(c.tags, Kind.TAGS),
        "properties": Field(c.properties, Kind.MAP),
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
def contact_fields() -> Mapping[str, Field]:
    """Return the fields of contacts that a statement under sql/ calls `c`."""
    return of_contacts(schema().tables["contacts"].alias("c"))
