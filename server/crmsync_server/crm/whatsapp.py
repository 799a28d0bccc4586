"""WhatsApp Business: Meta's Cloud API, which carries messages and keeps no contacts.

Facts this file stands on: there is no list of contacts to read and none to write to; messages are
sent one to a call, and sending twice is not told apart; what became of one is told by webhooks.
What it offers is `messaging`: contacts are not pushed to it.

Secrets:
    access_token: of a system user; it does not expire by itself, and nothing renews it.
    app_secret: of the app, which signs webhooks with it (optional; without it none is genuine).
    verify_token: what Meta shows when the webhook is set up (optional; without it none is).

Options:
    waba_id: Meta's id of the WhatsApp Business Account; without it the account cannot be read.
    business_id: Meta's id of the business that owns it, where Meta does not tell it.
    version: of the Graph API, such as `v23.0`, in place of the one that the URL ends in.
    messages_per_second: how many messages are sent in a second, from all numbers together (default
        1000). How many from one number is a setting of the server.
    timeout_seconds: the longest silence while Meta answers (default 30).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    Limit,
    Standing,
    Tools,
)
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.http import Caller, checked, credential, number, patience
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced
from crmsync_server.crm.whatsapp_account import WhatsAppAccount
from crmsync_server.crm.whatsapp_messaging import WhatsAppMessaging
from crmsync_server.crm.whatsapp_sending import MESSAGES, Sending
from crmsync_server.crm.whatsapp_webhooks import Signatures

VERSION = "v23.0"
"""The version of the Graph API that this adapter was built for."""

_MESSAGES_PER_SECOND = 1_000
_VERSION = re.compile(r"v\d{1,3}\.\d{1,3}")
_ID = re.compile(r"\d{1,64}")
_NO_CONTACTS = (
    "WhatsApp carries messages and keeps no contacts: send one with ConversationService.SendMessage"
)


def build(account: Account, tools: Tools) -> "WhatsAppAdapter":
    """Build the adapter of one account; raises ValueError naming what is missing or wrong."""
    token = credential(account, "access_token")
    # What Meta shows us is never in its replies, and a short one would garble the ids that are.
    secrets = {name: value for name, value in account.secrets.items() if name != "verify_token"}
    called = replace(account, base_url=_base_url(account), secrets=secrets)
    headers = {"accept": "application/json", "authorization": f"Bearer {token}"}
    caller = Caller("WhatsApp", called, tools, headers, patience(account), limits=None)
    owner = WhatsAppAccount(
        caller,
        _meta_id(account, "waba_id", account.options.get("waba_id", "")),
        _meta_id(account, "business_id", account.options.get("business_id", "")),
    )
    signatures = Signatures(
        account.secrets.get("app_secret", ""), account.secrets.get("verify_token", "")
    )
    messaging = WhatsAppMessaging(owner, Sending(caller), signatures, tools.clock)
    return WhatsAppAdapter(owner, messaging, _capabilities(account, caller))


def _capabilities(account: Account, caller: Caller) -> Capabilities:
    rate = number(account, "messages_per_second", _MESSAGES_PER_SECOND)
    return Capabilities(
        max_batch=1,
        concurrency=1,
        requires_email=False,
        idempotent=True,  # nothing is delivered: contacts are not taken
        push_timeout=caller.total_timeout,
        limits=(Limit(MESSAGES, rate, timedelta(seconds=1), delivers=False),),
        takes_contacts=False,
    )


def _base_url(account: Account) -> str:
    """Return the URL with the version that is meant: the option's, its own, or ours."""
    url = account.base_url.rstrip("/")
    if urlsplit(url).query:
        msg = f"the URL of the {account.crm} connection must be without a query (?…)"
        raise ValueError(msg)
    wanted = account.options.get("version", "").strip()
    if wanted and not _VERSION.fullmatch(wanted):
        msg = f"the option 'version' of the {account.crm} connection must be like {VERSION}"
        raise ValueError(msg)
    place, _, last = url.rpartition("/")
    if _VERSION.fullmatch(last):
        return f"{place}/{wanted or last}"
    return f"{url}/{wanted or VERSION}"


def _meta_id(account: Account, name: str, given: str) -> str:
    found = given.strip()
    if found and not (found.isascii() and _ID.fullmatch(found)):
        msg = f"the option {name!r} of the {account.crm} connection must be an id of Meta's: digits"
        raise ValueError(msg)
    return found


class WhatsAppAdapter:
    """One WhatsApp Business account; messaging: what it offers."""

    def __init__(
        self, owner: WhatsAppAccount, messaging: WhatsAppMessaging, capabilities: Capabilities
    ) -> None:
        """Take the account, and how it carries messages; nothing is called yet."""
        self._owner = owner
        self._capabilities = capabilities
        self.messaging = messaging

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; contacts are not among it."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Reject every contact: there are only messages here. Nothing is called."""
        return [Rejected("NOT_SUPPORTED", _NO_CONTACTS) for _ in batch]

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Reject likewise: no ticket was ever handed out."""
        del ticket
        return await self.push(batch)

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Tell nothing: no contact was ever delivered."""
        return [None] * len(batch)

    async def check(self) -> Standing:
        """Read the account's name; nothing is written or sent."""
        return await checked(self._standing())

    async def _standing(self) -> Standing:
        try:
            found = await self._owner.found()
        except AddressRefusedError:
            raise
        except CredentialsRefusedError as refused:
            return Standing(valid=False, message=str(refused))
        if isinstance(found, Postponed | Retry):
            return Standing(valid=False, message=found.message, reachable=False)
        if isinstance(found, Rejected):
            return Standing(valid=False, message=found.message, code=found.code)
        message = f"WhatsApp shows the account {found.name or found.waba_id}"
        return Standing(valid=True, message=message, account_id=found.waba_id)
