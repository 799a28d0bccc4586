"""The steps of the demo: each works on a house that runs, whoever started it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crmsync.v1.contact_service_pb2 import ImportContactsResponse
from crmsync.v1.session_pb2 import Session
from crmsync.v1.sync_service_pb2 import QueueAllContactsRequest
from crmsync_client import CrmsyncClient
from crmsync_server.demo import ledger
from crmsync_server.demo.account import Account, account
from crmsync_server.demo.faults import DIALS, SCRIPTS
from crmsync_server.demo.holdings import held
from crmsync_server.demo.house import CRMS, House
from crmsync_server.store.invariants import violations


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo found.

    lines: contacts in the file.
    broken_promises: what the database's own invariants say; none is right.
    """

    lines: int
    imported: ImportContactsResponse
    accounts: Sequence[Account]
    broken_promises: Sequence[str] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        """Tell whether nothing is lost, invented, altered or counted twice."""
        told = self.imported
        sums = told.created + told.updated + told.unchanged + told.rejected
        complete = self.lines == told.received == sums
        queued = all(one.accepted == told.created for one in self.accounts)
        balanced = all(one.balances for one in self.accounts)
        return complete and queued and balanced and not self.broken_promises


async def misbehave(running: House) -> None:
    """Turn the simulated CRMs' faults on."""
    for crm in CRMS:
        await running.set_faults(crm, DIALS[crm])
        await running.script(crm, *SCRIPTS[crm])


async def queue_all(crmsync: CrmsyncClient) -> Mapping[str, Session]:
    """Queue every contact for every CRM; return the sessions."""
    answers = {crm: crmsync.sync.QueueAllContacts(QueueAllContactsRequest(crm=crm)) for crm in CRMS}
    return {crm: (await answer).session for crm, answer in answers.items()}


async def watch(
    crmsync: CrmsyncClient, sessions: Mapping[str, Session], show: Callable[[Session], None]
) -> None:
    """Show every state of the sessions until all have ended."""

    async def follow(session_id: str) -> None:
        async for session in crmsync.watch_session(session_id):
            show(session)

    async with asyncio.TaskGroup() as group:
        for session in sessions.values():
            group.create_task(follow(session.id))


async def examine(
    running: House, lines: int, imported: ImportContactsResponse, sessions: Mapping[str, Session]
) -> Result:
    """Compare what the CRMs hold with what the database says."""
    accounts = []
    async with running.database() as database, database.everyone() as connection:
        for crm, session in sessions.items():
            there = [held(crm, contact) for contact in await running.held(crm)]
            told = await ledger.told(connection, crm)
            attempts = await ledger.attempts(connection, crm)
            accounts.append(account(crm, session.progress.total, told, there, attempts))
        broken = [" ".join(map(str, row)) for row in await violations(connection)]
    return Result(lines, imported, accounts, broken)
