"""The calls to one Zoho CRM, with the token that each of them needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.replies import Reply
from crmsync_server.crm.zoho_access import Access, Grant
from crmsync_server.crm.zoho_errors import SCOPE_MISSING, code_of
from crmsync_server.crm.zoho_limits import BURST, CREDITS

V8 = "/crm/v8"
CONTACTS = f"{V8}/Contacts"
BULK = "/crm/bulk/v8/read"


@dataclass(frozen=True, slots=True)
class Call:
    """One call to be made.

    credits: what it costs.
    """

    method: str
    path: str
    credits: int = 1
    json: object = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def buckets(self) -> tuple[str, ...]:
        """What the call is taken from: the day first, for what it forbids must not use up more."""
        return (*(CREDITS,) * self.credits, BURST)


@dataclass(frozen=True, slots=True)
class Zoho:
    """One organization's Zoho CRM."""

    caller: Caller
    access: Access = field(repr=False)

    def now(self) -> datetime:
        """Return the present instant."""
        return self.caller.tools.clock()

    async def call(self, call: Call) -> Reply | Fault:
        """Make a call; once more with a new token, if it was the token that was refused.

        Raises CredentialsRefusedError when there is no token to be had.
        """
        grant = await self.access.authorize()
        reply = await self._made(grant, call)
        if isinstance(grant, Grant) and is_spent(reply):
            return await self._made(await self.access.authorize(spent=grant.kept), call)
        return reply

    async def _made(self, grant: Grant | Fault, call: Call) -> Reply | Fault:
        if not isinstance(grant, Grant):
            return grant
        return await self.authorized(grant, call).call(
            call.method, call.path, buckets=call.buckets, json=call.json, params=call.params
        )

    def authorized(self, grant: Grant, call: Call) -> Caller:
        """Return a caller that shows a token, where the token's API is."""
        account = replace(self.caller.account, base_url=grant.api_url)
        headers = {
            "authorization": f"Zoho-oauthtoken {grant.token}",
            "accept": "application/json",
            **call.headers,
        }
        return replace(self.caller, account=account, headers=headers, hidden=(grant.token,))


def is_spent(reply: object) -> bool:
    """Tell whether Zoho takes a token for none any more; one that lacks a scope is still good."""
    unauthorized = isinstance(reply, Reply) and reply.status == HTTPStatus.UNAUTHORIZED
    return unauthorized and isinstance(reply, Reply) and code_of(reply) != SCOPE_MISSING
