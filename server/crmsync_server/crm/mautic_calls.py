"""The calls to one Mautic, with the authorization that each of them needs."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.mautic_access import Access
from crmsync_server.crm.mautic_errors import is_refusal, refused, verdict
from crmsync_server.crm.mautic_limits import HOURLY
from crmsync_server.crm.mautic_replies import indexed
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply

CONTACTS = "/api/contacts"
SELF = "/api/users/self"
# More values would make the address of the call too long for many a web server.
_SOUGHT_AT_ONCE = 50
# One address may have several contacts, from before it had to be unique.
_SHOWN_AT_ONCE = 4 * _SOUGHT_AT_ONCE

Contacts = Mapping[int, Mapping[str, object]]


@dataclass(slots=True)
class Mautic:
    """One instance.

    portion: how many records one call may have, as far as is known.
    """

    caller: Caller
    access: Access = field(repr=False)
    portion: int

    def now(self) -> datetime:
        """Return the present instant."""
        return self.caller.tools.clock()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply | Fault:
        """Make a call; once more with a new token, if it was the token that was refused.

        Raises CredentialsRefusedError when there is no token to be had.
        """
        header = await self.access.authorize()
        reply = await self._made(header, method, path, json, params)
        if isinstance(reply, Reply) and reply.status == HTTPStatus.UNAUTHORIZED:
            another = await self.access.authorize(spent=str(header))
            if another != header:
                return await self._made(another, method, path, json, params)
        return reply

    async def _made(
        self,
        header: str | Fault,
        method: str,
        path: str,
        json: object,
        params: Mapping[str, str] | None,
    ) -> Reply | Fault:
        if not isinstance(header, str):
            return header
        headers = {"authorization": header, "accept": "application/json"}
        hidden = (header.partition(" ")[2],)
        authorized = replace(self.caller, headers=headers, hidden=hidden)
        return await authorized.call(method, path, buckets=(HOURLY,), json=json, params=params)

    async def find(self, column: str, values: Sequence[str]) -> Contacts | Faulted[Outcome]:
        """Return the contacts with one of the values, by id, the newest first.

        Raises CredentialsRefusedError.
        """
        found: dict[int, Mapping[str, object]] = {}
        sought = list(dict.fromkeys(values))
        for start in range(0, len(sought), _SOUGHT_AT_ONCE):
            page = await self._page(column, sought[start : start + _SOUGHT_AT_ONCE])
            if isinstance(page, Faulted):
                return page
            found.update(page)
        return dict(sorted(found.items(), reverse=True))

    async def ask(self, path: str, params: Mapping[str, str] | None = None) -> Reply | Trouble:
        """Ask something; a reply that is none of JSON and 200 is a fault, whatever it shows.

        Raises CredentialsRefusedError where the credentials are refused; what only their user may
        not is Rejected, since everything else may be open to it.
        """
        reply = await self.call("GET", path, params=params)
        if not isinstance(reply, Reply):
            return unanswered(reply)
        if reply.status == HTTPStatus.OK and isinstance(reply.body, dict | list):
            return reply
        return self.lacking(reply)

    def lacking(self, reply: Reply) -> Trouble:
        """Decide what a reply means to somebody who only asked; raises CredentialsRefusedError."""
        if reply.status == HTTPStatus.FORBIDDEN and is_refusal(reply):
            return Rejected("FORBIDDEN", str(refused(reply)))
        found = verdict(reply, self.now())
        return unanswered(found.outcome if isinstance(found, Faulted) else found.alone)

    async def _page(self, column: str, values: Sequence[str]) -> Contacts | Faulted[Outcome]:
        params = {
            "where[0][col]": column,
            "where[0][expr]": "in",
            "where[0][val]": _listed(values),
            "orderBy": "id",
            "orderByDir": "desc",
            "limit": str(_SHOWN_AT_ONCE),
        }
        reply = await self.call("GET", CONTACTS, params=params)
        if not isinstance(reply, Reply):
            return Faulted(_unread(reply))
        if reply.status == HTTPStatus.OK and "contacts" in reply.fields:
            return indexed(reply.fields.get("contacts"), "id")
        found = verdict(reply, self.now())
        return Faulted(_unread(found.outcome if isinstance(found, Faulted) else found.alone))


def _listed(values: Iterable[str]) -> str:
    """Return values as Mautic takes a list of them: separated by commas, quoted where need be."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _unread(why: Outcome) -> Outcome:
    """Return what records end in that could not be looked up: nothing was sent of them."""
    if isinstance(why, Postponed):
        return why
    words = why.message if isinstance(why, Retry | Unknown | Rejected) else ""
    return Retry("CONTACTS_UNKNOWN", f"Mautic's contacts are unknown: {words}"[:500])
