"""The calls of one n8n connection: deliveries to its webhook, and questions that run nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from crmsync_server.crm.adapter import Account, Tools
from crmsync_server.crm.http import Caller, Fault, caller
from crmsync_server.crm.n8n_body import Record, body, call_key, signature
from crmsync_server.crm.n8n_options import Options, without_names
from crmsync_server.crm.replies import Reply

BUCKET = "calls"
# A webhook that ignores bots takes anything that is only a name and a version for one.
_USER_AGENT = {"user-agent": "Mozilla/5.0 (compatible; crmsync; contact sync)"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook, and the n8n that it belongs to."""

    options: Options
    caller: Caller

    def now(self) -> datetime:
        """Return the present time."""
        return self.caller.tools.clock()

    async def deliver(self, records: Sequence[Record]) -> Reply | Fault:
        """Deliver records in one call."""
        content = body(records)
        credentials = self.options.credentials(self.now())
        headers = {**credentials, "idempotency-key": call_key(records), **self._signed(content)}
        # A reply may repeat what it was sent.
        hidden = [part for value in credentials.values() for part in (value, value.split()[-1])]
        sender = replace(self._with(headers), hidden=hidden)
        return await sender.call("POST", "", buckets=(BUCKET,), json=content)

    async def ask(self, method: str) -> Reply | Fault:
        """Ask about the webhook by a method that does not start its workflow, as nobody."""
        parts = urlsplit(self.options.url)
        origin = {"origin": f"{parts.scheme}://{parts.netloc}"}
        return await self._with(origin).call(method, "", buckets=(BUCKET,))

    async def readiness(self) -> Reply | Fault:
        """Ask whether n8n has started and has its database."""
        asker = self._with({})
        account = replace(asker.account, base_url=self.options.health_url)
        return await replace(asker, account=account).call("GET", "", buckets=(BUCKET,))

    def _signed(self, content: object) -> Mapping[str, str]:
        secret = self.options.signing_secret
        if not secret:
            return {}
        # The same encoder as the call's own, so that these are the bytes that are sent.
        raw = httpx.Request("POST", self.options.url, json=content).content
        return signature(secret, raw, self.now())

    def _with(self, headers: Mapping[str, str]) -> Caller:
        return replace(self.caller, headers={**_USER_AGENT, **headers})


def webhook(account: Account, tools: Tools, options: Options) -> Webhook:
    """Return the calls of a connection; raises ValueError naming an option."""
    reached = replace(without_names(account), base_url=options.url)
    return Webhook(options, caller("n8n", reached, tools, {}))
