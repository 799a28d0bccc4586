"""The accounts of a simulated Zoho: companies, by id and by name."""

from dataclasses import dataclass, replace
from datetime import datetime

from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_table import comparable


@dataclass(frozen=True, slots=True)
class Account:
    """One company; times are whole seconds."""

    id: int
    name: str
    created: datetime
    modified: datetime

    def as_reference(self) -> JsonObject:
        """Return the account as contacts name it."""
        return {"name": self.name, "id": str(self.id)}


class Accounts:
    """Companies, told apart by their names in any case of letters."""

    def __init__(self) -> None:
        """Start with none."""
        self._by_id: dict[str, Account] = {}
        self._ids: dict[str, str] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_id)

    def get(self, account_id: object) -> Account | None:
        """Return the account of an id."""
        return self._by_id.get(str(account_id))

    def find(self, name: str) -> Account | None:
        """Return the account of a name."""
        return self._by_id.get(self._ids.get(comparable(name), ""))

    def add(self, account_id: int, name: str, moment: datetime) -> Account:
        """Add an account, whose name no other has."""
        account = Account(account_id, name.strip(), moment, moment)
        self._ids[comparable(name)] = str(account_id)
        self._by_id[str(account_id)] = account
        return account

    def touch(self, account: Account, moment: datetime) -> Account:
        """Move the Modified_Time of an account, as every write does."""
        after = replace(account, modified=moment)
        self._by_id[str(account.id)] = after
        return after
