"""Contacts as the parameters of insert.sql and write.sql: a list for each column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from crmsync_server.store.content import Content, content_hash
from crmsync_server.store.statements import column, document

Draft = tuple[UUID, Content]

_COLUMNS = (
    "emails",
    "names",
    "first_names",
    "last_names",
    "phones",
    "companies",
    "tags",
    "notes",
    "avatars",
    "domain_ids",
    "properties",
)
# What stands for nothing in a column, where that is not an empty text.
_NOTHING = {"emails": None, "tags": "{}", "domain_ids": None, "properties": "{}"}


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What locked contacts are to say, drawn up for write.sql.

    columns: its parameters besides the ids; None for one that stays as it is.
    """

    contact_ids: Sequence[UUID]
    columns: Mapping[str, Sequence[Any] | None]

    @classmethod
    def of(cls, drafts: Sequence[Draft], befores: Sequence[Content] = ()) -> Self:
        """Draw up drafts, some at least; befores: what the same contacts say now, if known.

        What none of them changes need not be sent: the driver looks at every element.
        """
        contents = [content for _, content in drafts]
        changed = _by_column(contents)
        for name, values in _by_column(befores).items():
            if values == changed[name]:
                del changed[name]
        hashes = [content_hash(content) for content in contents]
        columns = dict.fromkeys(_COLUMNS) | _sendable(changed) | {"content_hashes": hashes}
        return cls([contact_id for contact_id, _ in drafts], columns)


def columns(drafts: Sequence[Draft]) -> dict[str, list[Any] | None]:
    """Return the parameters of insert.sql: a list for each column that says any."""
    contents = [content for _, content in drafts]
    values = _sendable(_by_column(contents))
    told = {name: column(some, _NOTHING.get(name, "")) for name, some in values.items()}
    told["ids"] = [contact_id for contact_id, _ in drafts]
    told["content_hashes"] = [content_hash(content) for content in contents]
    return told


def _by_column(contents: Sequence[Content]) -> dict[str, Sequence[Any]]:
    return dict(zip(_COLUMNS, zip(*contents, strict=True), strict=True)) if contents else {}


def _sendable(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return columns as the driver takes them."""
    told = dict(columns)
    for name, write in (("tags", _array), ("properties", _object)):
        if name in told:
            told[name] = [write(one) for one in told[name]]
    return told


def _array(texts: Sequence[str]) -> str:
    """Return texts as Postgres writes an array: rows of unequal length do not fit in another."""
    if not texts:
        return "{}"
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return '{"' + '","'.join(quoted) + '"}'


def _object(properties: dict[str, str]) -> str:
    return document(properties) if properties else "{}"
