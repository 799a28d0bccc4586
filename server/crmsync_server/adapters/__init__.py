"""The adapters of all organizations: of their own connections, or of the settings' accounts."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crmsync_server.adapters.building import Shop, Workshop
from crmsync_server.adapters.traits import MISCONFIGURED, traits_of
from crmsync_server.crm.adapter import Account, Adapter, Capabilities
from crmsync_server.rpc.credentials import Stored
from crmsync_server.rpc.crms import CrmTraits
from crmsync_server.store import connection as connections

_MAX_AGE = 5.0  # seconds after which a connection's version is looked at again


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
        self._workshop = Workshop(accounts, shop)
        self._database = shop.database
        self._max_age = max_age
        self._monotonic = monotonic
        self._held: dict[tuple[str, str], _Held] = {}
        self._changed: dict[tuple[str, str], float] = {}
        self._outdated: dict[tuple[str, str], float] = {}
        self._all_changed = float("-inf")
        self._building: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

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
        return self._workshop.trial(account)

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
        except ValueError:
            return MISCONFIGURED
        return traits_of(adapter)

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
        async with self._database.org(org_id) as connection:
            row = await connections.find(connection, org_id, crm)
            found = (row.id, row.version) if row else (None, 0)
            outdated = held is None or held.seen <= self._outdated.get((org_id, crm), float("-inf"))
            if held and not outdated and found == (held.connection_id, held.version):
                return _Held(held.stored, held.connection_id, held.version, seen)
            sealed = await connections.secrets(connection, org_id, row.id) if row else {}
        if row is None:
            return _Held(self._workshop.of_settings(org_id, crm), None, 0, seen)
        return _Held(self._workshop.of_connection(row, sealed), row.id, row.version, seen)
