"""Which OAuth scope each of Zoho's paths asks for."""

from collections.abc import Iterable

_MODULE = "ZohoCRM.modules.contacts"
_PLAIN = {
    "users": "ZohoCRM.users",
    "org": "ZohoCRM.org",
    "actions": "ZohoCRM.notifications",
    "Contacts": _MODULE,
    "Accounts": "ZohoCRM.modules.accounts",
}
_OPERATIONS = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "PATCH": "UPDATE"}
_SEARCH = "ZohoSearch.securesearch.READ"

ALL_SCOPES = (
    "ZohoCRM.modules.ALL",
    "ZohoCRM.settings.ALL",
    "ZohoCRM.users.READ",
    "ZohoCRM.org.READ",
    "ZohoCRM.coql.READ",
    "ZohoCRM.bulk.ALL",
    "ZohoCRM.notifications.ALL",
    _SEARCH,
)


def covers(granted: Iterable[str], method: str, path: str) -> bool:
    """Say whether these scopes allow a request; of paths that do not exist, all do."""
    held = {scope.lower() for scope in granted}
    return all(not held.isdisjoint(_enough(scope.lower())) for scope in _needed(method, path))


def _needed(method: str, path: str) -> list[str]:
    operation = _OPERATIONS.get(method, "DELETE")
    parts = path.strip("/").split("/")[1:]
    if parts[:1] == ["bulk"]:
        return [f"ZohoCRM.bulk.{operation}", f"{_MODULE}.READ"]
    match parts[1:]:
        case ["settings", kind, *_]:
            return [f"ZohoCRM.settings.{kind}.{operation}"]
        case ["coql"]:
            return ["ZohoCRM.coql.READ", f"{_MODULE}.READ"]
        case ["Contacts", "search"]:
            return [f"{_MODULE}.READ", _SEARCH]
        case [name, *_]:
            return [f"{_PLAIN[name]}.{operation}"] if name in _PLAIN else []
    return []


def _enough(scope: str) -> set[str]:
    """Return the scopes any of which will do: this one, and wider ones."""
    *parts, operation = scope.split(".")
    words = {operation, "all"} | ({"write"} if operation in {"create", "update"} else set())
    wider = [".".join(parts[:length]) for length in range(2, len(parts) + 1)]
    return {f"{prefix}.{word}" for prefix in wider or [".".join(parts)] for word in words}
