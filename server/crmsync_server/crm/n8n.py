"""n8n: contacts are posted to the webhook of a workflow, in a contract of our own.

Facts this file stands on: a 200 may say that n8n still starts up; an immediate reply means
started, not done; a path is unknown (404) while its workflow is inactive; n8n keeps nothing of
ours, so that it cannot be asked afterwards what it has.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    Limit,
    Standing,
    Tools,
)
from crmsync_server.crm.bisect import deliver
from crmsync_server.crm.guard import Faulted, Guard
from crmsync_server.crm.http import checked, number
from crmsync_server.crm.n8n_body import Record, record
from crmsync_server.crm.n8n_calls import BUCKET, Webhook, webhook
from crmsync_server.crm.n8n_check import check
from crmsync_server.crm.n8n_options import read
from crmsync_server.crm.n8n_replies import Answer, judge, words
from crmsync_server.crm.outcomes import Outcome, Postponed, Synced, Unknown
from crmsync_server.crm.replies import Reply

# How long a push may start calls; the last one may take its whole time.
_STARTING = timedelta(seconds=90)
_MOST_AT_ONCE = 100
# A workflow that is being saved anew is unknown for a moment; one that is inactive stays so.
_REDEPLOYMENT = timedelta(minutes=1)
_UNREGISTERED_WAIT = timedelta(seconds=10)


def build(account: Account, tools: Tools) -> "N8n":
    """Build the adapter of one webhook; the account's base_url is its Production URL.

    Option `auth` is `none` (default), `basic` (secrets `username`, `password`), `header`
    (`header_name`, `header_value`) or `jwt` (`jwt_secret` for HS256, or a ready `token`). The
    secret `signing_secret` signs every body. Further options: `batch_size` (contacts per call,
    default 1), `response` (`started`, default, or `results`), `receiver_deduplicates` (default
    `true`), `calls_per_second` (default 10), `concurrency` (default 5), `health_path`,
    `test_prefix` and `timeout_seconds` (default 30). Raises ValueError naming what is wrong.
    """
    options = read(account)
    calls = webhook(account, tools, options)
    capabilities = Capabilities(
        max_batch=options.batch_size,
        concurrency=number(account, "concurrency", 5, _MOST_AT_ONCE),
        requires_email=False,
        idempotent=options.deduplicates,
        push_timeout=_STARTING + 2 * calls.caller.total_timeout,
        limits=(Limit(BUCKET, number(account, "calls_per_second", 10), timedelta(seconds=1)),),
    )
    return N8n(calls, capabilities)


class N8n:
    """One webhook."""

    def __init__(self, webhook: Webhook, capabilities: Capabilities) -> None:
        """Take the webhook's calls; nothing is called yet."""
        self._webhook = webhook
        self._capabilities = capabilities
        self._unregistered_since: datetime | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What this webhook can do; a batch is one call, so that an urgent one soon follows."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch in calls of the size that was asked for; one outcome each."""
        guard = Guard(self._webhook.now, _STARTING)
        records = [record(delivery) for delivery in batch]
        size = self._webhook.options.batch_size
        outcomes: list[Outcome] = []

        async def send(call: Sequence[Record]) -> Answer:
            return await guard.call(lambda: self._answer(call))

        for at in range(0, len(records), size):
            outcomes += await deliver(records[at : at + size], send)
        guard.conclude(outcomes)
        return outcomes

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer Unknown: n8n hands out no tickets."""
        return [Unknown(f"n8n knows no ticket {ticket[:40]}") for _ in batch]

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Tell nothing: a workflow cannot be asked what it has taken."""
        return [None] * len(batch)

    async def check(self) -> Standing:
        """Ask whether the workflow is active; it is not started, and no credentials are sent."""
        return await checked(check(self._webhook))

    async def _answer(self, call: Sequence[Record]) -> Answer:
        reply = await self._webhook.deliver(call)
        if not isinstance(reply, Reply):
            return Faulted(reply)
        if reply.status == HTTPStatus.NOT_FOUND:
            return self._unregistered(reply)
        self._unregistered_since = None
        return judge(reply, call, self._webhook)

    def _unregistered(self, reply: Reply) -> Faulted[Outcome]:
        now = self._webhook.now()
        self._unregistered_since = self._unregistered_since or now
        if now - self._unregistered_since >= _REDEPLOYMENT:
            msg = f"n8n does not know the webhook: {words(reply)}"
            raise CredentialsRefusedError(msg)
        return Faulted(Postponed(now + _UNREGISTERED_WAIT, "NOT_REGISTERED", words(reply)))
