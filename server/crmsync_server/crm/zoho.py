"""Zoho CRM (v8): contacts in batches of 100, by record id where it is known, else by their email.

Facts this file stands on: a reply names records by their place alone, and its HTTP status says
nothing of any of them; failures to get a token come with HTTP 200; an access token lives an hour,
ten of them can be had in ten minutes; a 429 means credits or calls at once and does not say which.

Secrets: `client_id`, `client_secret` and `refresh_token` of a self client or a server-based
application, made in the organization's own data centre; `webhook_token`, which notifications show.

The base URL is that of the data centre's API (`https://www.zohoapis.eu`; the default is the one of
the United States), from which the accounts server follows. A token says where its API is, and that
is followed to Zoho's own hosts, unless the connection names another host than the default.

Options:
    accounts_url: the data centre's accounts server (`https://accounts.zoho.eu`), in place of a
        base URL.
    edition: free, standard (the default), professional, enterprise or ultimate; it sets the
        defaults of the two limits below.
    daily_credits: what the organization may use in 24 hours (5000 in a free one, else 50000: what
        users add is learned from replies). A write costs one for ten contacts.
    burst_calls: calls in ten seconds (25, 50, 75, 100 or 125 by edition).
    trigger: which automations a write sets off: none by default, `all`, or some of workflow,
        approval, blueprint, pathfinder and orchestration, separated by commas.
    duplicate_check_fields: API names of the unique fields by which an upsert finds a contact, in
        order (default Email).
    company_field: the API name of the field that takes the company (default Account_Name, which
        names a record of Accounts: that is found by its name, or made).
    bulk_read_threshold: from how many contacts on everything is read by a bulk job (default 20000).
    timeout_seconds: the longest silence while Zoho answers (default 30).

A contact without a last name, which Zoho demands of a new one, gets the part of its email before
the @; one that is there already keeps its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crmsync_server.crm.adapter import (
    Account,
    Capabilities,
    CredentialsRefusedError,
    Delivery,
    Standing,
    Tools,
)
from crmsync_server.crm.http import Caller, checked, number, patience
from crmsync_server.crm.names import secret_ones
from crmsync_server.crm.outcomes import Outcome, Synced, Unknown
from crmsync_server.crm.replies import iso_time, text
from crmsync_server.crm.zoho_access import Access
from crmsync_server.crm.zoho_bulk import Bulk
from crmsync_server.crm.zoho_calls import Zoho
from crmsync_server.crm.zoho_check import standing
from crmsync_server.crm.zoho_companies import Companies
from crmsync_server.crm.zoho_delete import Delete
from crmsync_server.crm.zoho_directory import ZohoDirectory
from crmsync_server.crm.zoho_fields import FieldBook, Fields
from crmsync_server.crm.zoho_limits import ZohoLimits
from crmsync_server.crm.zoho_options import MAX_BATCH, edition, hosts, limits, writing
from crmsync_server.crm.zoho_push import STARTING, Office, Push
from crmsync_server.crm.zoho_reads import Reads
from crmsync_server.crm.zoho_rows import EMAIL, LAST_NAME, Row, holds, row
from crmsync_server.crm.zoho_source import ZohoSource
from crmsync_server.crm.zoho_webhooks import ZohoWebhooks

_BULK_THRESHOLD = 20_000
_SHOWN = (EMAIL, LAST_NAME, "Modified_Time")


def build(account: Account, tools: Tools) -> "ZohoAdapter":
    """Build the adapter of one organization; raises ValueError naming what is missing or wrong."""
    called = replace(account, secrets=secret_ones(account.secrets))
    caller = Caller("Zoho", called, tools, {}, patience(account), ZohoLimits())
    zoho = Zoho(caller, Access(account, hosts(account), caller))
    how = writing(account)
    capabilities = Capabilities(
        max_batch=MAX_BATCH,
        concurrency=edition(account).pushes,
        requires_email=True,
        idempotent=True,
        # The last call, a new token, and the call again.
        push_timeout=STARTING + 3 * caller.total_timeout,
        limits=limits(account),
        read_back=True,
        delete=True,
        keeps_email=True,
    )
    reads, fields = Reads(zoho), FieldBook(zoho)
    office = Office(zoho, how, fields, Companies(zoho, how.trigger), reads)
    threshold = number(account, "bulk_read_threshold", _BULK_THRESHOLD)
    source = ZohoSource(reads, fields, how.company_field, threshold, Bulk(zoho))
    webhooks = ZohoWebhooks(account.secrets.get("webhook_token", ""))
    return ZohoAdapter(office, capabilities, source, webhooks)


class ZohoAdapter:
    """One organization's Zoho CRM.

    source: reads its contacts. webhooks: reads its notifications. directory: what it is.
    """

    def __init__(
        self,
        office: Office,
        capabilities: Capabilities,
        source: ZohoSource,
        webhooks: ZohoWebhooks,
    ) -> None:
        """Take what it works with; nothing is called yet."""
        self._office = office
        self.source = source
        self.webhooks = webhooks
        self.directory = ZohoDirectory(office.zoho, office.fields, office.writing.company_field)
        self._capabilities = capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What Zoho can do, as the options set it."""
        return self._capabilities

    async def push(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Deliver a batch: known records by id, the others by email; one outcome each."""
        return await Push(self._office).run(batch)

    async def delete(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Move records into the recycle bin, by id or by email; one outcome each."""
        return await Delete(self._office).run(batch)

    async def settle(self, ticket: str, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer Unknown: an upsert applies at once and hands out no tickets."""
        return [Unknown(f"Zoho knows no ticket {ticket[:40]}") for _ in batch]

    async def read_back(self, batch: Sequence[Delivery]) -> Sequence[Synced | None]:
        """Look for the contacts by id, then by email, and compare all that a delivery says."""
        try:
            return await self._found_back(batch)
        except CredentialsRefusedError:
            return [None] * len(batch)

    async def check(self) -> Standing:
        """Read one contact, which proves the scope that counts, and the organization's name."""
        return await checked(standing(self._office.zoho))

    async def _found_back(self, batch: Sequence[Delivery]) -> list[Synced | None]:
        company = self._office.writing.company_field
        fields = await self._office.fields.read()
        if not isinstance(fields, Fields):
            return [None] * len(batch)
        rows = [row(at, one, fields, company) for at, one in enumerate(batch)]
        reads = self._office.reads
        names = list(dict.fromkeys([*_SHOWN, company, *(n for one in rows for n in one.values)]))
        known = await reads.by_ids([one.record_id for one in rows if one.record_id], names)
        records = known if isinstance(known, dict) else {}
        lost = [one.email for one in rows if one.email and one.record_id not in records]
        holders = await reads.holders(lost) if lost else {}
        ids = holders if isinstance(holders, dict) else {}
        others = await reads.by_ids(ids.values(), names)
        records |= others if isinstance(others, dict) else {}
        return [
            self._held(one, records.get(one.record_id) or records.get(ids.get(one.email, "")))
            for one in rows
        ]

    def _held(self, one: Row, record: Mapping[str, object] | None) -> Synced | None:
        if record is None or not holds(one, record, self._office.writing.company_field):
            return None
        made_up = not one.has_last_name and text(record.get(LAST_NAME)) == one.stand_in
        note = one.named().note if made_up else one.note
        record_id = text(record.get("id"))
        return Synced(record_id, note=note, modified_time=iso_time(record.get("Modified_Time")))
