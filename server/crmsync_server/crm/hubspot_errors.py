"""What HubSpot's errors mean: whom they name, and what becomes of the record.

An error body is {status, message, correlationId, category, context, errors}; every field
may be missing, in the body itself and in each of its `errors`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.hubspot_writes import Write
from crmsync_server.crm.outcomes import Outcome, Rejected, Retry
from crmsync_server.crm.replies import Reply, brief, mapping, mappings, text, texts

Result = Outcome | Write

_EXISTING_ID = re.compile(r"Existing ID:\s*(\d+)", re.IGNORECASE)
# Two addresses of one merged record look like two contacts until HubSpot resolves them.
_TWICE_IN_CALL = re.compile(r"\bduplicate\b.*\bbatch\b", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>\"'(),:;\[\]{}=]+@[^\s<>\"(),:;\[\]{}=]+[^\s<>\"'(),.:;\[\]{}=]")
_RECORD_ID = re.compile(r"\bids?\b\W{0,4}(\d+)", re.IGNORECASE)
_TRANSIENT = frozenset({"RATE_LIMITS", "RATE_LIMIT", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE"})
_ID_KEYS = ("id", "ids", "objectId", "email", "emails")


class Culprits:
    """The writes of one call, found by whatever an error says about them."""

    def __init__(self, call: Sequence[Write]) -> None:
        """Index the call by trace id, and by record id or address."""
        self._by_trace = {write.trace_id: at for at, write in enumerate(call)}
        self._by_key = {write.key: at for at, write in enumerate(call)}
        self._by_email = {write.email: at for at, write in enumerate(call)}

    def traced(self, entry: Mapping[str, object]) -> set[int]:
        """Return the positions whose trace ids an error or a result repeats."""
        context = mapping(entry.get("context"))
        named = [*texts(entry.get("objectWriteTraceId")), *texts(context.get("objectWriteTraceId"))]
        return {self._by_trace[name] for name in named if name in self._by_trace}

    def listed(self, entry: Mapping[str, object]) -> set[int]:
        """Return the positions whose ids or addresses an error's context lists."""
        context = mapping(entry.get("context"))
        return self._known(name for key in _ID_KEYS for name in texts(context.get(key)))

    def mentioned(self, entry: Mapping[str, object]) -> set[int]:
        """Return the one position that an error's message mentions.

        A message that mentions several is taken to name nobody: blaming a good record is worse
        than the calls that a bisection costs.
        """
        message = _EXISTING_ID.sub("", text(entry.get("message")))
        found = self._known([*_ADDRESS.findall(message), *_RECORD_ID.findall(message)])
        return found if len(found) == 1 else set()

    def named(self, entry: Mapping[str, object]) -> set[int]:
        """Return the positions an error names, by the surest means it offers."""
        return self.traced(entry) or self.listed(entry) or self.mentioned(entry)

    def returned(self, result: Mapping[str, object]) -> set[int]:
        """Return the position that a result belongs to, never judged by its place."""
        email = text(mapping(result.get("properties")).get("email"))
        return self.traced(result) or self._known([text(result.get("id"))]) or self._known([email])

    def _known(self, names: Iterable[str]) -> set[int]:
        keys = [name.strip().lower() for name in names]
        return {
            index[key] for key in keys for index in (self._by_key, self._by_email) if key in index
        }


def judge(error: Mapping[str, object], write: Write, correlation_id: str) -> Result:
    """Decide what an error means for the write it names: an outcome, or another way to go."""
    category = text(error.get("category")).upper()
    message = brief(text(error.get("message"))) or "HubSpot gave no reason"
    existing = _EXISTING_ID.search(message)
    if existing and not write.record_id and write.may_turn:
        return write.as_update(existing.group(1))
    if _TWICE_IN_CALL.search(message):
        retry = Retry("DUPLICATE_IN_CALL", message, request_id=correlation_id)
        return write.again() if write.may_turn else retry
    if is_not_found(error):
        return write.as_upsert() if write.record_id and write.may_turn else _gone(correlation_id)
    if category in _TRANSIENT:
        return Retry(category, message, request_id=correlation_id)
    return Rejected(category or "REFUSED", message, correlation_id)


def is_not_found(error: Mapping[str, object]) -> bool:
    """Tell whether an error says that a record id is gone: merged away or deleted."""
    return "NOT_FOUND" in text(error.get("category")).upper()


def _gone(correlation_id: str) -> Retry:
    message = "HubSpot names a record for this contact that it no longer finds"
    return Retry("OBJECT_NOT_FOUND", message, request_id=correlation_id)


def correlation_of(reply: Reply) -> str:
    """Return what HubSpot's support asks for."""
    found = text(reply.fields.get("correlationId"))
    return brief(found or reply.headers.get("x-hubspot-correlation-id", ""))


def credentials_error(reply: Reply) -> CredentialsRefusedError:
    """Say why HubSpot refuses the token, naming the scopes it lacks."""
    words = brief(text(reply.fields.get("message"))) or f"HTTP {reply.status}"
    scopes = sorted(set(_scopes(reply.fields)))
    lacking = f" (missing scopes: {', '.join(scopes)})" if scopes else ""
    return CredentialsRefusedError(f"HubSpot refuses the token: {words}{lacking}")


def _scopes(error: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    for entry in (error, *mappings(error.get("errors"))):
        for key, value in mapping(entry.get("context")).items():
            if "scope" in key.lower():
                found += texts(value)
    return found
