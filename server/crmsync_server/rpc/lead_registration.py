"""Handing a signup to its CRM, once: kept here first, then sent, then written down how it ended."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from crmsync.v1 import lead_service_pb2 as pb
from crmsync.v1.error_reason_pb2 import ErrorReason
from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.leads import Leads, Registered, Signup
from crmsync_server.crm.outcomes import Rejected, Unknown
from crmsync_server.crm.questions import Trouble
from crmsync_server.errors import (
    ConnectionMisconfiguredError,
    CrmsyncError,
    CrmUnavailableError,
    InvalidRequestError,
    LeadBusyError,
    RefusedCredentialsError,
    Violation,
)
from crmsync_server.rpc import lead_messages as messages
from crmsync_server.rpc.auth import current_caller
from crmsync_server.store import lead, lead_schedule
from crmsync_server.store.db import Database
from crmsync_server.store.lead import Ending
from crmsync_server.store.states import LeadRegistration

UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
"""The code of a registration that was sent, and of which no usable answer came."""
_METHOD = "RegisterLead"
# A look, the call itself, and a look for a lost answer, each with a time-out and perhaps a token.
_PATIENCE = timedelta(minutes=3)
_LEASE = _PATIENCE + timedelta(seconds=30)
_BUSY_WAIT = timedelta(seconds=2)

Answer = Registered | Trouble | Unknown


class Errors(Protocol):
    """Tells callers why a CRM did not answer; see rpc.inquiries."""

    def error_of(self, crm: str, method: str, trouble: Trouble) -> CrmsyncError:
        """Return the error that tells of a trouble."""


@dataclass(frozen=True, slots=True)
class Registration:
    """Registers leads for whoever calls."""

    database: Database
    errors: Errors

    async def run(self, signup: lead.Signup, leads: Leads) -> pb.RegisterLeadResponse:
        """Register a signup unless its CRM has it.

        Raises:
            InvalidRequestError: the lead belongs to another CRM.
            LeadBusyError: somebody registers it at this moment.
            CrmsyncError: the CRM did not take it; the lead is kept, and says why.
        """
        before, attempt = await self._begin(signup)
        if attempt is None:
            return pb.RegisterLeadResponse(lead=messages.message_of(before))
        perhaps_sent = before.registration in {
            LeadRegistration.REGISTERING,
            LeadRegistration.UNKNOWN,
        }
        try:
            answer = await self._sent(signup, leads, perhaps_sent=perhaps_sent)
        except CredentialsRefusedError as refused:
            error = _refusal(signup.crm, refused)
            await self._end(signup, attempt, _refused(error, perhaps_sent=perhaps_sent))
            raise error from None
        row = await self._end(signup, attempt, _ending(answer, perhaps_sent=perhaps_sent))
        if not isinstance(answer, Registered):
            raise self._error(signup.crm, answer)
        return pb.RegisterLeadResponse(
            lead=messages.message_of(row), created=answer.created, login_url=answer.login_url
        )

    async def _begin(self, signup: lead.Signup) -> tuple[sa.Row[Any], int | None]:
        """Keep the lead and take it; without an attempt where its CRM has it."""
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            row = await lead.keep(connection, org_id, signup)
            if row.elsewhere:
                told = f"must be {row.crm}: the lead of this id is there"
                raise InvalidRequestError([Violation("lead.crm", "lead.crm", told)])
            if row.held:
                raise LeadBusyError(signup.id, _BUSY_WAIT)
            await lead_schedule.make(connection, org_id, signup.crm)
            if row.registration == LeadRegistration.REGISTERED:
                return row, None
            taken = await lead.begin_registration(connection, org_id, signup.id, lease=_LEASE)
            return row, int(taken.registration_attempt)

    async def _sent(self, signup: lead.Signup, leads: Leads, *, perhaps_sent: bool) -> Answer:
        person = Signup(
            id=signup.id,
            email=signup.email,
            first_name=signup.first_name,
            last_name=signup.last_name,
            phone=signup.phone,
            country=signup.country,
            language=signup.language,
            ip_address=signup.ip_address,
            campaign_id=signup.campaign_id,
            tag=signup.tag,
        )
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                return await leads.register(person, perhaps_sent=perhaps_sent)
        except TimeoutError:
            return Unknown(f"{signup.crm} did not answer within {_PATIENCE.total_seconds():g} s")

    async def _end(self, signup: lead.Signup, attempt: int, ending: Ending) -> sa.Row[Any]:
        org_id = current_caller().org_id
        async with self.database.org(org_id) as connection:
            return await lead.end_registration(connection, org_id, signup.id, attempt, ending)

    def _error(self, crm: str, answer: Trouble | Unknown) -> CrmsyncError:
        if isinstance(answer, Unknown):
            told = f"{answer.message}; whether {crm} has the lead is looked up by the next call"
            return CrmUnavailableError(crm, UNKNOWN_OUTCOME, told)
        return self.errors.error_of(crm, _METHOD, answer)


def _ending(answer: Answer, *, perhaps_sent: bool) -> Ending:
    if isinstance(answer, Registered):
        return Ending(LeadRegistration.REGISTERED, answer.crm_lead_id)
    if isinstance(answer, Unknown):
        return Ending(LeadRegistration.UNKNOWN, code=UNKNOWN_OUTCOME, message=answer.message)
    refused = isinstance(answer, Rejected)
    known = LeadRegistration.REFUSED if refused else LeadRegistration.PENDING
    # What an earlier call may have sent is not undone by this one.
    registration = LeadRegistration.UNKNOWN if perhaps_sent else known
    return Ending(registration, code=answer.code, message=answer.message)


def _refusal(crm: str, refused: CredentialsRefusedError) -> CrmsyncError:
    if isinstance(refused, AddressRefusedError):
        return ConnectionMisconfiguredError(crm, str(refused))
    return RefusedCredentialsError(crm, str(refused))


def _refused(error: CrmsyncError, *, perhaps_sent: bool) -> Ending:
    registration = LeadRegistration.UNKNOWN if perhaps_sent else LeadRegistration.PENDING
    code = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    return Ending(registration, code=code, message=error.message)
