"""The calls to one Trading CRM, with the authorization and the headers that each of them needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.outcomes import Outcome
from crmsync_server.crm.questions import Trouble, unanswered
from crmsync_server.crm.replies import Reply
from crmsync_server.crm.trading_access import BUCKET, Access
from crmsync_server.crm.trading_replies import trouble

HEADERS: Mapping[str, str] = {"accept": "application/json", "api-version": "4.0"}
ACCOUNTS = "/accounts"
REGISTRATION = "/accounts/registrationwithsso"
# The largest page that any caller of this API asks for.
PAGE = 500
# Servers and what stands before them commonly take 8 KB; the host and the path come on top.
_LONGEST_QUERY = 7_800
_IDS_AT_ONCE = 100
_MANY = "WHERE[affiliateTransactionId][]"

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Trading:
    """One account at a broker."""

    caller: Caller
    access: Access = field(repr=False)

    def now(self) -> datetime:
        """Return the present instant."""
        return self.caller.tools.clock()

    async def ask(self, query: Query) -> Sequence[object] | Trouble:
        """Ask for leads; the answer is a bare array. Raises CredentialsRefusedError."""
        reply = await self._call("GET", f"{ACCOUNTS}?{urlencode(query)}")
        if not isinstance(reply, Reply):
            return unanswered(reply)
        if reply.status == HTTPStatus.OK and isinstance(reply.body, list):
            return reply.body
        return unanswered(trouble(reply, self.now()))

    async def register(self, body: Mapping[str, str]) -> Reply | Outcome:
        """Register a lead; what it answers with success is returned, whatever its shape.

        Raises CredentialsRefusedError.
        """
        reply = await self._call("POST", REGISTRATION, body)
        if not isinstance(reply, Reply):
            return reply
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return reply
        return trouble(reply, self.now(), writing=True)

    async def _call(
        self, method: str, path: str, json: Mapping[str, str] | None = None
    ) -> Reply | Fault:
        """Make a call; once more with a new token, if it was the token that was refused."""
        token = await self.access.token()
        reply = await self._made(token, method, path, json)
        if isinstance(reply, Reply) and reply.status == HTTPStatus.UNAUTHORIZED:
            another = await self.access.token(spent=str(token))
            if another != token:
                return await self._made(another, method, path, json)
        return reply

    async def _made(
        self, token: str | Fault, method: str, path: str, json: Mapping[str, str] | None
    ) -> Reply | Fault:
        if not isinstance(token, str):
            return token
        headers = {**HEADERS, "authorization": f"Bearer {token}"}
        if json is not None:
            headers["content-type"] = "application/json-patch+json"
        authorized = replace(self.caller, headers=headers, hidden=(token,))
        return await authorized.call(method, path, buckets=(BUCKET,), json=json)


def by_ids(ids: Sequence[str]) -> Query:
    """Return the query for the leads of these transaction ids; a single one is asked for alone."""
    if len(ids) == 1:
        return [("WHERE[affiliateTransactionId]", ids[0])]
    return [*((_MANY, one) for one in ids), ("LIMIT[Take]", str(PAGE))]


def by_email(email: str) -> Query:
    """Return the query for the leads of an email."""
    return [("WHERE[email]", email)]


def created_since(day: str, skip: int) -> Query:
    """Return the query for a page of the leads that were created on a day, or later."""
    return [
        ("WHERE[createdOn][min]", day),
        ("LIMIT[Skip]", str(skip)),
        ("LIMIT[Take]", str(PAGE)),
        ("ORDER[sortOrder]", "DESC"),
    ]


def portions(ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Part ids so that each part fits into the address of one call; about a hundred do."""
    parts: list[list[str]] = []
    room = 0
    for one in ids:
        length = len(urlencode([(_MANY, one)])) + 1
        if not parts or room < length or len(parts[-1]) == _IDS_AT_ONCE:
            parts.append([])
            room = _LONGEST_QUERY - len(urlencode([("LIMIT[Take]", str(PAGE))]))
        parts[-1].append(one)
        room -= length
    return parts
