"""Building adapters: for stored credentials, for those of the settings, and for a try."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import sqlalchemy as sa

from crmsync_server.crm.adapter import Account, Adapter, Allowance, Quota, Tokens, Tools
from crmsync_server.crm.hiding import hidden
from crmsync_server.crm.names import check_names, secret_ones
from crmsync_server.crm.registry import factory
from crmsync_server.rpc.credentials import Stored
from crmsync_server.store import vault as vaults
from crmsync_server.store.connection_token import Bearer
from crmsync_server.store.db import Database
from crmsync_server.sync.discretion import Discreet
from crmsync_server.sync.quota import HIGH_SHARE, AccountQuota
from crmsync_server.sync.tokens import AccountTokens, TokenKeeper


@dataclass(frozen=True, slots=True)
class Shop:
    """What adapters are built from.

    public_urls: where the API of a CRM begins for everybody, by CRM id; not every CRM has such.
    high_share: what is kept of each allowance for priority HIGH, from 0 to 1.
    """

    database: Database
    client: httpx.AsyncClient
    keeper: TokenKeeper
    public_urls: Mapping[str, str]
    high_share: float = HIGH_SHARE

    @property
    def clock(self) -> Callable[[], datetime]:
        """Tell the time."""
        return self.keeper.clock


class Workshop:
    """Builds adapters, and keeps what outlives them: quotas, and tokens of the settings' accounts.

    Building raises ValueError naming the secret or option that is missing, wrong or unknown.
    """

    def __init__(self, accounts: Mapping[str, Account], shop: Shop) -> None:
        """Take the settings' accounts by CRM id, for organizations without a connection."""
        self._accounts = accounts
        self._shop = shop
        self._quotas: dict[tuple[str, str], AccountQuota] = {}
        # A refresh token that rotates is nowhere else.
        self._tokens: dict[tuple[str, str], AccountTokens] = {}

    def trial(self, account: Account) -> Adapter:
        """Return an adapter for credentials that nobody has stored; nothing is called."""
        tokens = AccountTokens(self._shop.clock, lasting=False)
        return self._built(account, self._tools(_Unlimited(), tokens))

    def of_settings(self, org_id: str, crm: str) -> Stored | None:
        """Return the adapter of the settings' account, for an organization; None without one."""
        account = self._accounts.get(crm)
        if account is None:
            return None
        owned = Account(org_id, crm, account.base_url, account.secrets, account.options)
        tokens = self._tokens.setdefault((org_id, crm), AccountTokens(self._shop.clock))
        return Stored(self._owned(owned, tokens), None, tokens.expire_time)

    def of_connection(self, row: sa.Row[Any], sealed: Mapping[str, bytes]) -> Stored:
        """Return the adapter of a connection, given its row and its sealed secrets.

        Raises VaultError or KeyFileError: they cannot be decrypted.
        """
        owner = vaults.Account(row.org_id, row.id)
        secrets = self._shop.keeper.vault.open_all(owner, row.key_id, sealed)
        account = Account(row.org_id, row.crm, row.base_url, secrets, row.options)
        tokens = self._shop.keeper.of(Bearer(row.org_id, row.id, row.credentials_version))
        return Stored(self._owned(account, tokens), row.credentials_version, tokens.expire_time)

    def _owned(self, account: Account, tokens: Tokens) -> Adapter:
        key = (account.org_id, account.crm)
        if key not in self._quotas:
            shop = self._shop
            self._quotas[key] = AccountQuota(shop.database, *key, high_share=shop.high_share)
        quota = self._quotas[key]
        adapter = self._built(account, self._tools(quota, tokens))
        quota.limit(adapter.capabilities.limits)
        return adapter

    def _tools(self, quota: Quota, tokens: Tokens) -> Tools:
        return Tools(self._shop.client, self._shop.clock, quota, tokens)

    def _built(self, account: Account, tools: Tools) -> Adapter:
        base_url = account.base_url or self._shop.public_urls.get(account.crm, "")
        if not base_url:
            msg = f"the URL of the {account.crm} connection is missing"
            raise ValueError(msg)
        check_names(account)
        whole = Account(account.org_id, account.crm, base_url, account.secrets, account.options)
        try:
            adapter = factory(account.crm)(whole, tools)
        except ValueError as why:
            raise ValueError(hidden(str(why), account.secrets.values())) from None
        return Discreet(adapter, secret_ones(account.secrets).values())


class _Unlimited:
    """The quota of a few calls that only ask whether credentials are good."""

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Allow them."""

    def learn(self, told: Allowance) -> None:
        """Learn nothing: the account may be anybody's."""

    def refused(self, bucket: str, until: datetime) -> None:
        """Give way to nobody; there is no second call."""
