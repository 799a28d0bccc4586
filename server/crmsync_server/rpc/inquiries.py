"""Asking an organization's account at a CRM, and what callers are told when it does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.directory import Directory, Trouble, directory_of
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.errors import (
    ConnectionMisconfiguredError,
    CrmBusyError,
    CrmDisabledError,
    CrmRefusedError,
    CrmsyncError,
    CrmUnavailableError,
    NotSupportedError,
    RefusedCredentialsError,
)
from crmsync_server.rpc.auth import current_caller
from crmsync_server.rpc.credentials import TIMEOUT, Accounts, Stored
from crmsync_server.rpc.crms import Crms
from crmsync_server.store.keys import KeyFileError
from crmsync_server.store.vault import VaultError

Answer = TypeVar("Answer")
Question = Callable[[Directory], Awaitable[Answer | Trouble]]

PATIENCE = timedelta(minutes=1)
"""For a question, which is a few calls with a time-out each."""
NOT_SUPPORTED = "NOT_SUPPORTED"
"""The code of an adapter that knows that its CRM has no such thing."""


@dataclass(frozen=True, slots=True)
class Inquiries:
    """Asks the accounts of whoever calls."""

    accounts: Accounts
    crms: Crms
    clock: Callable[[], datetime]

    async def stored(self, crm: str) -> Stored:
        """Return the caller's account at a CRM, as it is at this very moment.

        Raises:
            UnknownCrmError, CrmDisabledError: there is no such CRM, or no account at it.
            ConnectionMisconfiguredError: no adapter can be built for it.
        """
        self.crms.find(crm)
        try:
            stored = await self.accounts.stored(current_caller().org_id, crm, fresh=True)
        except (VaultError, KeyFileError):
            raise  # the operator's to mend, and nothing that the caller could
        except ValueError as why:
            raise ConnectionMisconfiguredError(crm, str(why)) from None
        if stored is None:
            raise CrmDisabledError(crm)
        return stored

    async def ask(
        self, crm: str, method: str, question: Question[Answer], patience: timedelta = PATIENCE
    ) -> Answer:
        """Ask the directory of the caller's account at a CRM; raises as `stored` and `ask_of`."""
        return await self.ask_of(await self.stored(crm), (crm, method), question, patience)

    async def ask_of(
        self,
        stored: Stored,
        place: tuple[str, str],
        question: Question[Answer],
        patience: timedelta = PATIENCE,
    ) -> Answer:
        """Ask the directory of an account.

        Args:
            stored: the account.
            place: the CRM's id, and what is asked for as callers know it, such as `ListFields`.
            question: asks it.
            patience: how long the CRM may take.

        Raises:
            CrmsyncError: there is no answer; see the contract of ConnectionService.
        """
        directory = directory_of(stored.adapter)
        if directory is None:
            raise NotSupportedError(*place)
        return await self.answered(place, question(directory), patience)

    async def answered(
        self,
        place: tuple[str, str],
        work: Awaitable[Answer | Trouble],
        patience: timedelta = PATIENCE,
    ) -> Answer:
        """Return the answer to what a CRM is being asked; raises as `ask_of`.

        Args:
            place: the CRM's id, and what is asked for as callers know it.
            work: asks it.
            patience: how long the CRM may take.
        """
        crm, method = place
        try:
            async with asyncio.timeout(patience.total_seconds()):
                answer = await work
        except TimeoutError:
            late = f"{crm} did not answer within {patience.total_seconds():g} s"
            raise CrmUnavailableError(crm, TIMEOUT, late) from None
        except AddressRefusedError as refused:
            raise ConnectionMisconfiguredError(crm, str(refused)) from None
        except CredentialsRefusedError as refused:
            raise RefusedCredentialsError(crm, str(refused)) from None
        if isinstance(answer, Postponed | Retry | Rejected):
            raise self.error_of(crm, method, answer)
        return answer

    def error_of(self, crm: str, method: str, trouble: Trouble) -> CrmsyncError:
        """Return the error that tells why there is no answer."""
        match trouble:
            case Postponed(until=until, code=code, message=message):
                return CrmBusyError(crm, code, message, wait=until - self.clock())
            case Retry(code=code, message=message, after=after):
                wait = None if after is None else after - self.clock()
                return CrmUnavailableError(crm, code, message, wait=wait)
            case Rejected(code=code) if code == NOT_SUPPORTED:
                return NotSupportedError(crm, method)
            case Rejected(code=code, message=message, request_id=request_id):
                return CrmRefusedError(crm, code, message, request_id)
