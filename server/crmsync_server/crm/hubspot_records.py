"""HubSpot's contacts as records: which properties to ask for, and what they tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crmsync_server.crm.hubspot_properties import Names
from crmsync_server.crm.hubspot_times import instant
from crmsync_server.crm.replies import mapping, text
from crmsync_server.crm.source import Record

MERGED = "hs_merged_object_ids"
_MODIFIED = "lastmodifieddate"
_EMAILS = ("email", "hs_additional_emails")
_OWN = (*_EMAILS, "firstname", "lastname", "phone", "company", MERGED, _MODIFIED)

Result = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Shown:
    """What to ask HubSpot for, of every contact.

    names: custom properties, as they were asked for. sure: whether the portal has them all, so
        that one that is not in an answer has no value.
    """

    names: Sequence[str]
    sure: bool

    @property
    def properties(self) -> list[str]:
        """The properties, by HubSpot's names."""
        return sorted({*_OWN, *(name.lower() for name in self.names)})

    def record(self, result: Result) -> Record:
        """Return one contact that is there."""
        held = mapping(result.get("properties"))
        return Record(
            text(result.get("id")),
            email=text(held.get("email")),
            first_name=text(held.get("firstname")),
            last_name=text(held.get("lastname")),
            phone=text(held.get("phone")),
            company=text(held.get("company")),
            properties={
                name: text(held.get(name.lower()))
                for name in self.names
                if self.sure or name.lower() in held
            },
            modified_time=instant(held.get(_MODIFIED)) or instant(result.get("updatedAt")),
        )

    def records(self, results: Iterable[Result]) -> Iterator[Record]:
        """Yield the contacts that are there, and those that were merged into them."""
        for result in results:
            if result.get("archived") is True or not text(result.get("id")):
                continue
            record = self.record(result)
            yield record
            yield from (
                _merged(merged_id, record.crm_contact_id, record.modified_time)
                for merged_id in merged_ids(result)
            )


def shown(names: Names, asked: frozenset[str] | None) -> Shown:
    """Return what to ask for: these custom properties that the portal has; None means all."""
    wanted = names.custom if asked is None else asked
    if names.readable is None:
        return Shown(sorted(wanted), sure=False)
    return Shown(sorted(name for name in wanted if name.lower() in names.readable), sure=True)


def merged_ids(result: Result) -> list[str]:
    """Return the ids of the contacts that were merged into one."""
    told = text(mapping(result.get("properties")).get(MERGED))
    if not told:
        return []
    listed = told.split(";")
    own = text(result.get("id"))
    return [one.strip() for one in listed if one.strip() and one.strip() != own]


def gone(result: Result, merged_into: str = "") -> Record:
    """Return a contact that is in HubSpot's archive, or was merged into another one."""
    when = instant(result.get("archivedAt")) or instant(result.get("updatedAt"))
    record_id = text(result.get("id"))
    return Record(record_id, deleted=True, merged_into=merged_into, modified_time=when)


def departed(result: Result, merged_into: str) -> Iterator[Record]:
    """Yield a contact that is gone, and those that were merged into it before that was seen."""
    left = gone(result, merged_into)
    yield left
    for merged_id in merged_ids(result):
        yield _merged(merged_id, merged_into, left.modified_time)


def addresses(result: Result) -> set[str]:
    """Return a contact's addresses, the primary one and further ones, in lower case."""
    held = mapping(result.get("properties"))
    listed = ";".join(text(held.get(name)) for name in _EMAILS).lower().split(";")
    return {one.strip() for one in listed if one.strip()}


def by_id(results: Iterable[Result]) -> dict[str, Result]:
    """Return contacts by their ids and by those of the contacts that were merged into them."""
    found: dict[str, Result] = {}
    for result in results:
        found.update(dict.fromkeys(merged_ids(result), result))
    # A contact that is there under its own id is meant by it, whatever another one says.
    return {**found, **{text(result.get("id")): result for result in results}}


def _merged(merged_id: str, into: str, when: datetime | None) -> Record:
    return Record(merged_id, deleted=True, merged_into=into, modified_time=when)
