"""Brevo's two classes of calls, and what its refusals mean.

Everything under /contacts has 10 calls a second and 36,000 an hour; everything else shares
100 calls an hour.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.brevo_limits import CONTACTS_BUCKETS, OTHER, resets_at
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import (
    Reply,
    brief,
    http_date,
    mapping,
    retry_after,
    text,
    texts,
)

_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
ACCOUNT_REFUSED = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN},
)
# With whatever status they come: no contact is to blame, and the next one would fare no better.
_OF_THE_ACCOUNT = frozenset(
    {"ACCOUNT_UNDER_VALIDATION", "NOT_ENOUGH_CREDITS", "PERMISSION_DENIED", "UNAUTHORIZED"}
)
# A gateway answers these in Brevo's place: it does not know what Brevo did.
_GATEWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_LIST = re.compile(r"\blist[ _-]?ids?\b", re.IGNORECASE)
# What may pass between Brevo's reading its clock and applying the first row.
_CLOCK_MARGIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Brevo:
    """The calls of one account.

    list_id: the list that every delivered contact joins; None for none.
    """

    caller: Caller
    list_id: int | None

    async def contacts(
        self,
        method: str,
        path: str = "",
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply | Fault:
        """Make a call below /contacts."""
        return await self.caller.call(
            method,
            "/contacts" + path,
            buckets=CONTACTS_BUCKETS,
            json=json,
            params=params,
        )

    async def process(self, process_id: str) -> Reply | Fault:
        """Ask once after an asynchronous process: one of the account's 100 calls an hour."""
        return await self.caller.call("GET", f"/processes/{process_id}", buckets=(OTHER,))

    async def account(self) -> Reply | Fault:
        """Ask whose account it is: one of its 100 calls an hour."""
        return await self.caller.call("GET", "/account", buckets=(OTHER,))

    def now(self) -> datetime:
        """Return the present time."""
        return self.caller.tools.clock()

    def server_time(self, reply: Reply) -> datetime:
        """Return the time of a reply by Brevo's own clock, a little early."""
        return (http_date(reply.headers.get("date")) or self.now()) - _CLOCK_MARGIN


def judge(reply: Reply, brevo: Brevo) -> Outcome | Faulted[Outcome]:
    """Decide what a reply that is no success means.

    An outcome concerns the records of this call; a Faulted concerns the whole account.
    Raises CredentialsRefusedError.
    """
    code = text(reply.fields.get("code")).upper()
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Faulted(Postponed(resets_at(reply, brevo.now()), "RATE_LIMIT", words(reply)))
    if reply.status in ACCOUNT_REFUSED or code in _OF_THE_ACCOUNT:
        raise refused(reply)
    if reply.status in _PASSING or code == "ACCOUNT_IN_PROCESS":
        return Retry(code or "TOO_EARLY", words(reply), retry_after(reply.headers, brevo.now()))
    if HTTPStatus(400) <= reply.status < HTTPStatus(500) and reply.fields:
        if brevo.list_id is not None and _LIST.search(words(reply)):
            msg = f"Brevo refuses the list {brevo.list_id}: {words(reply)}"
            raise CredentialsRefusedError(msg)
        return Rejected(code or f"HTTP_{reply.status}", words(reply))
    return _fault(reply)


def _fault(reply: Reply) -> Outcome | Faulted[Outcome]:
    message = brief(f"Brevo answered {reply.status}: {words(reply)}")
    if reply.status < HTTPStatus(300):
        return Retry("UNACCOUNTED", message)
    return Faulted(Unknown(message) if reply.status in _GATEWAY else Retry("CRM_FAULT", message))


def lacking(reply: Reply, brevo: Brevo) -> Trouble:
    """Decide what a reply means to somebody who only asked; raises CredentialsRefusedError."""
    verdict = judge(reply, brevo)
    return unanswered(verdict.outcome if isinstance(verdict, Faulted) else verdict)


def refused(reply: Reply) -> CredentialsRefusedError:
    """Say why Brevo refuses the account, in its own words: a blocked address looks like this."""
    return CredentialsRefusedError(f"Brevo refuses the account ({reply.status}): {words(reply)}")


def words(reply: Reply) -> str:
    """Return Brevo's message, with the identifiers that belong to somebody else."""
    metadata = mapping(reply.fields.get("metadata"))
    taken = ", ".join(texts(metadata.get("duplicate_identifiers")))
    message = text(reply.fields.get("message")) or reply.text
    return brief(f"{message} (duplicate identifiers: {taken})" if taken else message)
