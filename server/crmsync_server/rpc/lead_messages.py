"""Leads: rows as messages, and what requests say of them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from crmsync.v1 import contact_sync_pb2, lead_pb2
from crmsync.v1 import lead_service_pb2 as pb
from crmsync_server.rpc.convert import timestamp
from crmsync_server.store import lead
from crmsync_server.store.states import LeadRegistration

TRADING = "trading"
"""The CRM where a request names none."""
STATUSES: Mapping[int, str] = {
    1: "New",
    2: "Attempted",
    3: "Contact",
    4: "No Answer",
    5: "Callback",
    6: "Not Interested",
    7: "Invalid Number",
    8: "Demo",
    9: "FTD",
    10: "Retention",
    11: "Deposited",
    12: "Withdrawn",
}
_REGISTRATION = "LEAD_REGISTRATION_"
_PLACES = 4  # decimals of a rate


def status_name(code: int) -> str:
    """Return the name of a status code; of one that has none, `Unknown (N)`."""
    return STATUSES.get(code, f"Unknown ({code})")


def signup_of(given: lead_pb2.Lead) -> lead.Signup:
    """Return what a caller says of a lead."""
    return lead.Signup(
        id=given.id,
        crm=given.crm or TRADING,
        email=given.email,
        first_name=given.first_name,
        last_name=given.last_name,
        phone=given.phone,
        country=given.country,
        language=given.language,
        ip_address=given.ip_address,
        campaign_id=given.campaign_id,
        tag=given.tag,
    )


def message_of(row: sa.Row[Any]) -> lead_pb2.Lead:
    """Turn a row of leads into its message."""
    return lead_pb2.Lead(
        id=row.id,
        crm=row.crm,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        phone=row.phone,
        country=row.country,
        language=row.language,
        ip_address=row.ip_address,
        campaign_id=row.campaign_id,
        tag=row.tag,
        status_code=row.status_code,
        status="" if row.sync_time is None else status_name(row.status_code),
        status_text=row.status_text,
        ftd_exists=row.ftd_exists,
        tp_account=row.tp_account,
        currency=row.currency,
        crm_lead_id=row.crm_lead_id or "",
        registration=lead_pb2.LeadRegistration.Value(f"{_REGISTRATION}{row.registration}"),
        registration_error=_error(row),
        conversion_time=timestamp(row.conversion_time),
        change_time=timestamp(row.change_time),
        sync_time=timestamp(row.sync_time),
        crm_create_time=timestamp(row.crm_create_time),
        crm_modify_time=timestamp(row.crm_modify_time),
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def change_of(row: sa.Row[Any]) -> lead_pb2.LeadChange:
    """Turn a row of a lead's history into its message."""
    first = row.sequence == 1
    return lead_pb2.LeadChange(
        lead_id=row.lead_id,
        sequence=row.sequence,
        previous_status_code=row.previous_status_code,
        previous_status="" if first else status_name(row.previous_status_code),
        status_code=row.status_code,
        status=status_name(row.status_code),
        status_text=row.status_text,
        ftd_exists=row.ftd_exists,
        tp_account=row.tp_account,
        conversion=row.conversion,
        session_id=str(row.session_id or ""),
        crm_modify_time=timestamp(row.crm_modify_time),
        create_time=timestamp(row.create_time),
    )


def stats_of(crm: str, totals: sa.Row[Any] | None, counts: Mapping[int, int]) -> lead_pb2.LeadStats:
    """Turn what is kept up of a CRM's leads into its message."""
    if totals is None:
        return lead_pb2.LeadStats(crm=crm)
    rate = totals.conversions / totals.synced if totals.synced else 0.0
    return lead_pb2.LeadStats(
        crm=crm,
        total_leads=totals.leads,
        total_synced=totals.synced,
        conversions=totals.conversions,
        conversion_rate=round(rate, _PLACES),
        last_sync_time=timestamp(totals.last_sync_time),
        status_counts={status_name(code): count for code, count in counts.items()},
    )


def filter_of(request: pb.ListLeadsRequest) -> lead.Filter:
    """Return which leads a request asks for."""
    asked = lead_pb2.LeadRegistration.Name(request.registration).removeprefix(_REGISTRATION)
    return lead.Filter(
        crm=request.crm or None,
        status_codes=[*request.status_codes] or None,
        ftd_exists=request.ftd_exists if request.HasField("ftd_exists") else None,
        email_key=request.email.strip().lower() or None,
        registration=LeadRegistration(asked) if request.registration else None,
        session_id=UUID(request.session_id) if request.session_id else None,
    )


def _error(row: sa.Row[Any]) -> contact_sync_pb2.SyncError | None:
    if row.registration_error_code is None:
        return None
    return contact_sync_pb2.SyncError(
        code=row.registration_error_code, message=row.registration_error_message or ""
    )
