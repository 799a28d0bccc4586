"""Reads contacts of one Zoho: by their ids, and by their addresses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from crmsync_server.crm.replies import Reply, mapping, mappings, text
from crmsync_server.crm.zoho_calls import CONTACTS, V8, Call, Zoho
from crmsync_server.crm.zoho_errors import Trouble, trouble
from crmsync_server.crm.zoho_options import MAX_BATCH
from crmsync_server.crm.zoho_rows import EMAIL

MAX_FIELDS = 50
_COQL = f"{V8}/coql"
# As many values as COQL takes in one list, and as many rows as cost one credit.
_SOUGHT_AT_ONCE = 50
QUERY_ROWS = 200
_EMPTY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

Shown = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """Records as Zoho shows them, and what it says of the pages that they are from."""

    records: Sequence[Shown]
    info: Shown


@dataclass(frozen=True, slots=True)
class Reads:
    """The contacts of one organization, to be read."""

    zoho: Zoho

    async def found(self, call: Call) -> Found | Trouble:
        """Make a call that answers with records; none where nothing is there or has changed.

        Raises CredentialsRefusedError.
        """
        return self.judged(await self.zoho.call(call))

    def judged(self, reply: object) -> Found | Trouble:
        """Read such an answer. Raises CredentialsRefusedError."""
        if isinstance(reply, Reply) and reply.status in _EMPTY:
            return Found((), {})
        if isinstance(reply, Reply) and reply.status == HTTPStatus.OK and "data" in reply.fields:
            return Found(mappings(reply.fields["data"]), mapping(reply.fields.get("info")))
        return trouble(reply, self.zoho.now())

    async def query(self, select: str) -> Found | Trouble:
        """Ask in COQL; a limit of `QUERY_ROWS` at most. Raises CredentialsRefusedError."""
        return await self.found(Call("POST", _COQL, json={"select_query": select}))

    async def by_ids(
        self, ids: Iterable[str], names: Sequence[str]
    ) -> dict[str, dict[str, object]] | Trouble:
        """Return the contacts that there are, by id, with these fields.

        A call for a hundred contacts and fifty fields. Raises CredentialsRefusedError.
        """
        wanted = list(dict.fromkeys(ids))
        records: dict[str, dict[str, object]] = {}
        for start in range(0, len(wanted), MAX_BATCH):
            some = wanted[start : start + MAX_BATCH]
            for at in range(0, max(1, len(names)), MAX_FIELDS):
                params = {
                    "ids": ",".join(some),
                    "fields": ",".join(names[at : at + MAX_FIELDS]) or "id",
                    "per_page": str(MAX_BATCH),
                }
                found = await self.found(Call("GET", CONTACTS, params=params))
                if not isinstance(found, Found):
                    return found
                for record in found.records:
                    if record_id := text(record.get("id")):
                        records.setdefault(record_id, {}).update(record)
        return records

    async def holders(self, emails: Iterable[str]) -> dict[str, str] | Trouble:
        """Return the id of a contact with each of these addresses, where there is one.

        What changed a moment ago may not be found yet. Raises CredentialsRefusedError.
        """
        sought = list(dict.fromkeys(emails))
        holders: dict[str, str] = {}
        for start in range(0, len(sought), _SOUGHT_AT_ONCE):
            values = ", ".join(quoted(one) for one in sought[start : start + _SOUGHT_AT_ONCE])
            select = (
                f"select id, {EMAIL} from Contacts where {EMAIL} in ({values}) "  # noqa: S608 - quoted
                f"order by id asc limit 0, {QUERY_ROWS}"
            )
            found = await self.query(select)
            if not isinstance(found, Found):
                return found
            for record in found.records:
                # Several may have it; the oldest stays the one.
                holders.setdefault(text(record.get(EMAIL)).strip().lower(), text(record.get("id")))
        return holders


def quoted(value: str) -> str:
    """Return a text as COQL takes it: an apostrophe is doubled."""
    return "'" + value.replace("'", "''") + "'"
