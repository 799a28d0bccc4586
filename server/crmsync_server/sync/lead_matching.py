"""Which lead a record of a CRM is about, and what is kept of it. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa

from crmsync_server.crm.leads import LeadRecord, chosen
from crmsync_server.store.lead import Told
from crmsync_server.sync.storable import storable

Matched: TypeAlias = tuple[str, LeadRecord]
"""A lead's id, and the record that is about it."""


def by_id(records: Sequence[LeadRecord], ids: Sequence[str]) -> Iterator[Matched]:
    """Yield the record that counts for each of these ids; those without one are left out."""
    found: dict[str, list[LeadRecord]] = defaultdict(list)
    for one in records:
        found[one.transaction_id].append(one)
    for lead_id in dict.fromkeys(ids):
        record = chosen(found.get(lead_id, ()))
        if record is not None:
            yield lead_id, record


def by_owner(records: Sequence[LeadRecord], owners: Sequence[sa.Row[Any]]) -> Iterator[Matched]:
    """Yield the record that counts for each lead that was not noted yet.

    owners: leads with one of the records' ids or emails, oldest first. A record that names the id
    of a lead is about that one; any other is about the oldest lead with its email, but for leads
    that are known to have another record.
    """
    ids = {row.id for row in owners}
    emails: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for row in owners:
        if not row.noted:
            emails[row.email_key].append(row)
    found: dict[str, list[LeadRecord]] = defaultdict(list)
    for one in records:
        if one.transaction_id in ids:
            found[one.transaction_id].append(one)
            continue
        namesakes = emails.get(one.email.strip().lower(), ())
        fitting = (row.id for row in namesakes if row.crm_lead_id in {None, one.crm_lead_id})
        found[next(fitting, "")].append(one)
    for row in owners:
        record = None if row.noted else _of_one(row.id, found.get(row.id, ()))
        if record is not None:
            yield row.id, record


def own(lead_id: str, records: Sequence[LeadRecord], others: frozenset[str]) -> LeadRecord | None:
    """Return the record that is about a lead, of several with its email; None of none.

    others: ids of other leads; a record that names one of them is about that one.
    """
    mine = [one for one in records if one.transaction_id not in others - {lead_id}]
    return _of_one(lead_id, mine)


def _of_one(lead_id: str, records: Sequence[LeadRecord]) -> LeadRecord | None:
    """Return the record that counts; one that names the lead's own id comes before any other."""
    named = [one for one in records if one.transaction_id == lead_id]
    return chosen(named or records)


def told_of(lead_id: str, record: LeadRecord) -> Told:
    """Return what is kept of a record."""
    return Told(
        id=lead_id,
        crm_lead_id=storable(record.crm_lead_id),
        status_code=record.status_code,
        status_text=storable(record.status_text),
        ftd=record.ftd_exists,
        tp_account=storable(record.tp_account),
        currency=storable(record.currency),
        create_time=record.create_time,
        modify_time=record.modify_time,
    )
