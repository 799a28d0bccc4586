"""The fields that filters may name, each with its type, its operators and an example."""

from collections.abc import Iterable, Iterator

from crmsync.v1 import search_pb2 as pb
from crmsync_server.rpc.search_messages import key_field
from crmsync_server.store.contact_search import SortField
from crmsync_server.store.filter_fields import contact_fields, record_fields
from crmsync_server.store.filter_terms import Field, Kind, operators

_TYPES = {
    Kind.TEXT: pb.FILTER_TYPE_TEXT,
    Kind.NUMBER: pb.FILTER_TYPE_NUMBER,
    Kind.TIME: pb.FILTER_TYPE_TIME,
    Kind.FLAG: pb.FILTER_TYPE_BOOLEAN,
    Kind.ID: pb.FILTER_TYPE_ID,
    Kind.TAGS: pb.FILTER_TYPE_TAGS,
    Kind.MAP: pb.FILTER_TYPE_MAP,
    Kind.CHOICE: pb.FILTER_TYPE_CHOICE,
}
_BY_KIND = {
    Kind.TEXT: '{} = "Acme*"',
    Kind.NUMBER: "{} >= 1",
    Kind.TIME: "{} >= 2026-01-31T12:00:00Z",
    Kind.FLAG: "{} = true",
    Kind.ID: "{} = 0191c6ab-7c00-7000-8000-000000000001",
    Kind.TAGS: "{}:vip",
    Kind.MAP: "{}:plan",
    Kind.CHOICE: "{} = COMPLETE",
}
_EXAMPLES = {
    "email": "email = *@example.com",
    "phone": 'phone = "+49*"',
    "name": 'name = "Ada *"',
    "first_name": "first_name = Ada",
    "last_name": "last_name = Love*",
    "notes": "notes:invoice",
    "avatar": "avatar:*",
}


def filter_fields(crms: Iterable[str], property_keys: Iterable[str]) -> Iterator[pb.FilterField]:
    """Yield the fields of records in the order of their names, and then these properties."""
    for name, field in sorted(record_fields(tuple(crms)).items()):
        yield _told(name, field, _EXAMPLES.get(name) or _BY_KIND[field.kind].format(name))
    member = Field(contact_fields()["properties"].column, Kind.TEXT)
    for key in property_keys:
        name = key_field(key)
        yield _told(name, member, f"{name}:*")


def _told(name: str, field: Field, example: str) -> pb.FilterField:
    return pb.FilterField(
        field=name,
        type=_TYPES[field.kind],
        operators=operators(field.kind),
        example=example,
        sortable=name in set(SortField),
        choices=list(field.choices),
    )
