"""Reading again what notices are about, and telling what is to be done with it.

A notice says that something happened to a record, and is not believed beyond that: what is taken in
is what the record says when it is read. So their order does not matter, nor how often they come.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from crmsync_server.crm.outcomes import Retry
from crmsync_server.crm.source import Record, Source
from crmsync_server.store.states import NoticeKind
from crmsync_server.sync.run import TroubledError

READ = "READ"
GONE = "GONE"
NOT_FOUND = "NOT_FOUND"

# A record that was just made may not be found yet; one that is told to be deleted is believed.
_LOOKS = 3

Linked = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""Returns the CRM's ids of records that contacts with these emails are linked to, by email."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One record, by its id or its email, with all notices that are about it."""

    crm_contact_id: str
    email: str
    notices: Sequence[sa.Row[Any]]

    @property
    def is_final(self) -> bool:
        """Whether a record that is not found is believed to be gone."""
        looks = [int(one.retry_count) for one in self.notices if one.outcome == NOT_FOUND]
        deleted = any(one.kind == NoticeKind.DELETED for one in self.notices)
        return deleted or max(looks, default=0) + 1 >= _LOOKS


@dataclass(slots=True)
class Findings:
    """What reading a portion brought.

    records: to be taken in. gone: ids of records that are no more, those that were merged away
        included: whatever is still linked to them then is dealt with after the records.
    outcomes: what became of each notice, by key. missing: notices of records that may yet be found.
    """

    records: list[Record] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    missing: list[sa.Row[Any]] = field(default_factory=list)


def subjects(notices: Iterable[sa.Row[Any]]) -> Sequence[Subject]:
    """Put the notices of each record together, in the order in which they are due."""
    found: dict[tuple[str, str], list[sa.Row[Any]]] = {}
    for notice in notices:
        email = "" if notice.crm_contact_id else notice.email.strip().lower()
        found.setdefault((notice.crm_contact_id, email), []).append(notice)
    return [Subject(*names, told) for names, told in found.items()]


async def look(
    source: Source, names: frozenset[str] | None, portion: Sequence[Subject], linked: Linked
) -> Findings:
    """Read the records of a portion, no larger than the source's fetch_batch.

    Raises TroubledError, and what the source raises.
    """
    emails = [one.email for one in portion if one.email]
    by_email = await _all(source.find(emails, names), emails) if emails else {}
    unknown = [email for email in emails if by_email[email] is None]
    # An email that nobody has any more may have been changed there: the record is known by its id.
    ids_of = await linked(unknown) if unknown else {}
    ids = list(dict.fromkeys([one.crm_contact_id for one in portion if one.crm_contact_id]))
    ids += [one for one in dict.fromkeys(ids_of.values()) if one not in ids]
    by_id = await _all(source.fetch(ids, names), ids) if ids else {}
    findings = Findings()
    for subject in portion:
        record_id = subject.crm_contact_id or ids_of.get(subject.email, "")
        record = by_email.get(subject.email) or by_id.get(record_id)
        _judge(findings, subject, record_id, record)
    return findings


async def _all(
    reading: Awaitable[Mapping[str, Record | None] | Any], asked: Sequence[str]
) -> Mapping[str, Record | None]:
    found = await reading
    if not isinstance(found, Mapping):
        raise TroubledError(found)
    if left_out := [one for one in asked if one not in found]:
        # What an answer does not account for is not gone.
        message = f"{len(left_out)} of {len(asked)} records are neither there nor missing"
        raise TroubledError(Retry("UNACCOUNTED", message))
    return found


def _judge(findings: Findings, subject: Subject, record_id: str, record: Record | None) -> None:
    if record is None and not subject.is_final:
        findings.missing += subject.notices
        return
    if record is None or (record.deleted and not record.merged_into):
        findings.gone += [record_id] if record_id else []
        _note(findings, subject, GONE if record_id else NOT_FOUND)
        return
    findings.records.append(record)
    if record_id and record.crm_contact_id != record_id:
        findings.records.append(Record(record_id, merged_into=record.crm_contact_id))
        findings.gone.append(record_id)
    elif record.merged_into:
        findings.gone.append(record.crm_contact_id)
    _note(findings, subject, READ)


def _note(findings: Findings, subject: Subject, outcome: str) -> None:
    findings.outcomes.update({one.key: outcome for one in subject.notices})
