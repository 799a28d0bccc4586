"""The adapters of all organizations: of their own connections, or of the settings' accounts."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from crmsync_server.crm.adapter import (
    Account,
    Adapter,
    Allowance,
    Capabilities,
    Standing,
    Tokens,
    Tools,
)
from crmsync_server.crm.hiding import hidden
from crmsync_server.crm.names import check_names, secret_ones
from crmsync_server.crm.registry import factory
from crmsync_server.rpc.credentials import Stored
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.settings import Settings
from crmsync_server.store import connection as connections
from crmsync_server.store import vault as vaults
from crmsync_server.store.connection_token import Bearer
from crmsync_server.store.db import Database
from crmsync_server.store.health import health_of
from crmsync_server.sync.discretion import Discreet
from crmsync_server.sync.quota import HIGH_SHARE, AccountQuota
from crmsync_server.sync.tokens import AccountTokens, TokenKeeper

_NOBODY = ""  # the organization of an account that is the installation's
_MAX_AGE = 5.0  # seconds after which a connection's version is looked at again
_UNLIMITED = 10.0  # calls per second that a CRM without limits is reckoned with


def accounts(settings: Settings) -> Mapping[str, Account]:
    """Return the account at every CRM that the settings hold credentials for, by CRM id."""
    found = {}
    if settings.hubspot_token is not None:
        found["hubspot"] = Account(
            _NOBODY,
            "hubspot",
            settings.hubspot_base_url,
            {"token": settings.hubspot_token.get_secret_value()},
            settings.hubspot_options,
        )
    if settings.brevo_api_key is not None:
        list_id = {"list_id": str(settings.brevo_list_id)} if settings.brevo_list_id else {}
        found["brevo"] = Account(
            _NOBODY,
            "brevo",
            settings.brevo_base_url,
            {"api_key": settings.brevo_api_key.get_secret_value()},
            settings.brevo_options | list_id,
        )
    if settings.n8n_webhook_url is not None:
        found["n8n"] = Account(
            _NOBODY,
            "n8n",
            settings.n8n_webhook_url,
            {name: secret.get_secret_value() for name, secret in settings.n8n_secrets.items()},
            settings.n8n_options,
        )
    if settings.mautic_base_url is not None:
        found["mautic"] = Account(
            _NOBODY,
            "mautic",
            settings.mautic_base_url,
            _mautic_secrets(settings),
            settings.mautic_options,
        )
    if settings.zoho_client_id is not None:
        found["zoho"] = Account(
            _NOBODY,
            "zoho",
            settings.zoho_base_url,
            _zoho_secrets(settings),
            settings.zoho_options,
        )
    if settings.trading_base_url is not None:
        found["trading"] = Account(
            _NOBODY,
            "trading",
            settings.trading_base_url,
            _trading_secrets(settings),
            settings.trading_options,
        )
    return found | _whatsapp(settings)


def public_urls(settings: Settings) -> Mapping[str, str]:
    """Return where the API of a CRM begins for connections that do not say, by CRM id."""
    return {
        "brevo": settings.brevo_base_url,
        "hubspot": settings.hubspot_base_url,
        "whatsapp": settings.whatsapp_base_url,
        "zoho": settings.zoho_base_url,
    }


def _zoho_secrets(settings: Settings) -> Mapping[str, str]:
    known = {
        "client_secret": settings.zoho_client_secret,
        "refresh_token": settings.zoho_refresh_token,
    }
    shown = {"client_id": settings.zoho_client_id or ""}
    return shown | {name: value.get_secret_value() for name, value in known.items() if value}


def _trading_secrets(settings: Settings) -> Mapping[str, str]:
    known = {"password": settings.trading_password, "token": settings.trading_token}
    shown = {"username": settings.trading_username} if settings.trading_username else {}
    return shown | {name: value.get_secret_value() for name, value in known.items() if value}


def _whatsapp(settings: Settings) -> dict[str, Account]:
    if settings.whatsapp_access_token is None:
        return {}
    known = {
        "access_token": settings.whatsapp_access_token,
        "app_secret": settings.whatsapp_app_secret,
        "verify_token": settings.whatsapp_verify_token,
    }
    secrets = {name: value.get_secret_value() for name, value in known.items() if value}
    options = settings.whatsapp_options | {"waba_id": settings.whatsapp_waba_id or ""}
    account = Account(_NOBODY, "whatsapp", settings.whatsapp_base_url, secrets, options)
    return {"whatsapp": account}


def _mautic_secrets(settings: Settings) -> Mapping[str, str]:
    known = {
        "username": settings.mautic_username,
        "password": settings.mautic_password,
        "client_id": settings.mautic_client_id,
        "client_secret": settings.mautic_client_secret,
    }
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in known.items()
        if value
    }


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


@dataclass(frozen=True, slots=True)
class _Held:
    """An adapter, and when it was last known to be that of the connection as it is.

    version: of the connection; 0 for an account of the settings, or none.
    """

    stored: Stored | None
    connection_id: object
    version: int
    seen: float


class Adapters:
    """One adapter for each organization and CRM, built anew when its connection has changed."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        shop: Shop,
        max_age: float = _MAX_AGE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings' accounts by CRM id, for organizations without a connection.

        max_age: seconds that a change may go unnoticed when nothing is heard of it.
        """
        self._accounts = accounts
        self._shop = shop
        self._max_age = max_age
        self._monotonic = monotonic
        self._held: dict[tuple[str, str], _Held] = {}
        self._changed: dict[tuple[str, str], float] = {}
        self._outdated: dict[tuple[str, str], float] = {}
        self._all_changed = float("-inf")
        self._building: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._quotas: dict[tuple[str, str], AccountQuota] = {}
        # They outlive their adapters: a refresh token that rotates is nowhere else.
        self._tokens: dict[tuple[str, str], AccountTokens] = {}

    async def of(self, org_id: str, crm: str) -> Adapter | None:
        """Return the adapter of an organization's account, None without credentials.

        Raises:
            VaultError, KeyFileError: its credentials cannot be decrypted.
            ValueError: the adapter does not take what the connection tells it.
        """
        stored = await self.stored(org_id, crm)
        return stored.adapter if stored else None

    async def stored(self, org_id: str, crm: str, *, fresh: bool = False) -> Stored | None:
        """Return the same, with which credentials it works; raises as `of` does.

        fresh: whether it must be that of the connection as it is at this very moment.
        """
        key = (org_id, crm)
        if fresh:
            self.forget(org_id, crm)
        held = self._held.get(key)
        if held is None or not self._is_fresh(key, held):
            async with self._building[key]:
                held = self._held.get(key)
                if held is None or not self._is_fresh(key, held):
                    self._held[key] = held = await self._looked_at(org_id, crm, held)
        return held.stored

    def build(self, account: Account) -> Adapter:
        """Return an adapter for credentials that nobody has stored; nothing is called.

        Raises ValueError naming the secret or option that is missing, wrong or unknown.
        """
        tokens = AccountTokens(self._shop.clock, lasting=False)
        tools = Tools(self._shop.client, self._shop.clock, _Unlimited(), tokens)
        return self._built(account, tools)

    async def idempotent(self, org_id: str, crm: str) -> bool:
        """Tell whether delivering twice is harmless; where nothing is delivered, it is."""
        adapter = await self.of(org_id, crm)
        return adapter is None or adapter.capabilities.idempotent

    async def able(self, org_id: str, crm: str) -> Capabilities | None:
        """Return what an adapter declares; None where there is none, or none can be built."""
        try:
            adapter = await self.of(org_id, crm)
        except ValueError:  # what is wrong is said where it is delivered, and by a test
            return None
        return None if adapter is None else adapter.capabilities

    async def traits(self, org_id: str, crm: str) -> CrmTraits:
        """Return what callers are told of a CRM."""
        try:
            adapter = await self.of(org_id, crm)
        except ValueError:  # work is taken in, and waits until what is wrong is mended
            return CrmTraits(
                enabled=True, requires_email=False, records_per_second=1.0, removes=True
            )
        if adapter is None:
            return CrmTraits(enabled=False, requires_email=False, records_per_second=1.0)
        able = adapter.capabilities
        if not able.takes_contacts:
            return CrmTraits(
                enabled=True,
                requires_email=able.requires_email,
                records_per_second=1.0,
                takes_contacts=False,
            )
        rates = (limit.calls / limit.period.total_seconds() for limit in able.limits)
        return CrmTraits(
            enabled=True,
            requires_email=able.requires_email,
            records_per_second=min(rates, default=_UNLIMITED) * able.max_batch,
            removes=able.delete,
        )

    def forget(self, org_id: str, crm: str) -> None:
        """Look at a connection again before its adapter is handed out the next time."""
        self._changed[org_id, crm] = self._monotonic()

    def renew(self, org_id: str, crm: str) -> None:
        """Build an adapter anew before it is handed out the next time.

        Also where its connection is the same: what it knows of its account may have changed.
        """
        self._outdated[org_id, crm] = self._changed[org_id, crm] = self._monotonic()

    def on_connection(self, hint: str | None) -> None:
        """Renew what a hint names, `organization/crm`; None means to look at everything again."""
        org_id, _, crm = (hint or "").rpartition("/")
        if org_id:
            self.renew(org_id, crm)
        else:
            self._all_changed = self._monotonic()

    def _is_fresh(self, key: tuple[str, str], held: _Held) -> bool:
        if held.stored is None:
            return False  # whoever has just connected at another replica is not to be refused here
        changed = max(self._changed.get(key, float("-inf")), self._all_changed)
        return held.seen > changed and self._monotonic() - held.seen < self._max_age

    async def _looked_at(self, org_id: str, crm: str, held: _Held | None) -> _Held:
        # Before it is read: what changes meanwhile is looked at once more.
        seen = self._monotonic()
        async with self._shop.database.org(org_id) as connection:
            row = await connections.find(connection, org_id, crm)
            found = (row.id, row.version) if row else (None, 0)
            outdated = held is None or held.seen <= self._outdated.get((org_id, crm), float("-inf"))
            if held and not outdated and found == (held.connection_id, held.version):
                return _Held(held.stored, held.connection_id, held.version, seen)
            sealed = await connections.secrets(connection, org_id, row.id) if row else {}
        if row is None:
            return _Held(self._of_settings(org_id, crm), None, 0, seen)
        return _Held(self._of_connection(row, sealed), row.id, row.version, seen)

    def _of_settings(self, org_id: str, crm: str) -> Stored | None:
        account = self._accounts.get(crm)
        if account is None:
            return None
        owned = Account(org_id, crm, account.base_url, account.secrets, account.options)
        tokens = self._tokens.setdefault((org_id, crm), AccountTokens(self._shop.clock))
        return Stored(self._owned(owned, tokens), None, tokens.expire_time)

    def _of_connection(self, row: sa.Row[Any], sealed: Mapping[str, bytes]) -> Stored:
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
        adapter = self._built(account, Tools(self._shop.client, self._shop.clock, quota, tokens))
        quota.limit(adapter.capabilities.limits)
        return adapter

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


async def keep_health(
    connection: AsyncConnection, org_id: str, crm: str, standing: Standing
) -> None:
    """Write down how an organization's connection was found; nothing without one."""
    health = health_of(valid=standing.valid, reachable=standing.reachable)
    found = connections.Found(health, standing.message, standing.account_id)
    await connections.record_health(connection, org_id, crm, found)


class _Unlimited:
    """The quota of a few calls that only ask whether credentials are good."""

    async def take(self, bucket: str, calls: int = 1) -> None:
        """Allow them."""

    def learn(self, told: Allowance) -> None:
        """Learn nothing: the account may be anybody's."""

    def refused(self, bucket: str, until: datetime) -> None:
        """Give way to nobody; there is no second call."""
