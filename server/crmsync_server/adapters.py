"""The CRM accounts that the settings hold credentials for, and their adapters."""

from collections.abc import Callable, Mapping
from datetime import datetime

import httpx
from pydantic import SecretStr

from crmsync_server.crm.adapter import Account, Adapter, Tools
from crmsync_server.crm.registry import factory
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.settings import Settings
from crmsync_server.store.db import Database
from crmsync_server.sync.quota import AccountQuota
from crmsync_server.sync.tokens import AccountTokens

_NOBODY = ""  # the organization of an adapter that is only asked for its capabilities
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
    return found


def _mautic_secrets(settings: Settings) -> Mapping[str, str]:
    known = {
        "username": settings.mautic_username,
        "password": settings.mautic_password,
        "client_id": settings.mautic_client_id,
        "client_secret": settings.mautic_client_secret,
        "refresh_token": settings.mautic_refresh_token,
    }
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in known.items()
        if value
    }


class Adapters:
    """One adapter for each organization and CRM, built when it is first asked for."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        database: Database,
        client: httpx.AsyncClient,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the accounts by CRM id, and what adapters work with."""
        self._accounts = accounts
        self._database = database
        self._client = client
        self._clock = clock
        self._built: dict[tuple[str, str], Adapter] = {}

    def of(self, org_id: str, crm: str) -> Adapter | None:
        """Return the adapter of an organization's account, None without credentials."""
        account = self._accounts.get(crm)
        if account is None:
            return None
        key = (org_id, crm)
        if key not in self._built:
            quota = AccountQuota(self._database, org_id, crm)
            tools = Tools(self._client, self._clock, quota, AccountTokens(self._clock))
            owned = Account(org_id, crm, account.base_url, account.secrets, account.options)
            adapter = factory(crm)(owned, tools)
            quota.limit(adapter.capabilities.limits)
            self._built[key] = adapter
        return self._built[key]

    def idempotent(self, org_id: str, crm: str) -> bool:
        """Tell whether delivering twice is harmless; where nothing is delivered, it is."""
        adapter = self.of(org_id, crm)
        return adapter is None or adapter.capabilities.idempotent

    def traits(self, crm: str) -> CrmTraits:
        """Return what callers are told of a CRM."""
        adapter = self.of(_NOBODY, crm)
        if adapter is None:
            return CrmTraits(enabled=False, requires_email=False, records_per_second=1.0)
        able = adapter.capabilities
        rates = (limit.calls / limit.period.total_seconds() for limit in able.limits)
        return CrmTraits(
            enabled=True,
            requires_email=able.requires_email,
            records_per_second=min(rates, default=_UNLIMITED) * able.max_batch,
        )
