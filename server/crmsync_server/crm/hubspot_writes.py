"""What is sent to HubSpot for each contact, and which contacts share a call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crmsync_server.crm.adapter import Delivery

MAX_BATCH = 100
CONTACTS = "/crm/v3/objects/contacts"
# What a delivery's fields are called at HubSpot.
FIELDS = {
    "first_name": "firstname",
    "last_name": "lastname",
    "phone": "phone",
    "company": "company",
}
_RESERVED = frozenset({*FIELDS.values(), "email", "hs_object_id"})
# An update may turn into an upsert (record gone) and back (address taken), no further.
_MAX_TURNS = 2


@dataclass(frozen=True, slots=True)
class Write:
    """One delivery on its way: an update when the record id is known, else an upsert by email.

    position: where the delivery stands in the batch of the push.
    email: trimmed and in lower case.
    keep_email: leave the record's primary address as it is: it holds ours as a second one, or is
        not to get it.
    turns: how often the CRM's answer has already changed the way.
    properties: the delivery's own that the portal has a place for.
    note: what was left out, for people to read.
    """

    position: int
    delivery: Delivery
    email: str
    record_id: str = ""
    keep_email: bool = False
    turns: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def key(self) -> str:
        """What HubSpot identifies the record by in this call."""
        return self.record_id or self.email

    @property
    def trace_id(self) -> str:
        """Name this delivery for ever; HubSpot repeats it in results and errors."""
        return f"{self.delivery.contact_id}:{self.delivery.attempt}"

    @property
    def may_turn(self) -> bool:
        """Whether another way may still be tried."""
        return self.turns < _MAX_TURNS

    def as_update(self, record_id: str) -> "Write":
        """Return the write aimed at a record that already holds the address."""
        return replace(self, record_id=record_id, keep_email=True, turns=self.turns + 1)

    def found(self, record_id: str) -> "Write":
        """Return the write aimed at the record that was found to hold the address."""
        return replace(self, record_id=record_id, keep_email=True)

    def again(self) -> "Write":
        """Return the write for a later call of the same push, the same way."""
        return replace(self, turns=self.turns + 1)

    def as_upsert(self) -> "Write":
        """Return the write aimed at the address: the record id is gone."""
        return replace(self, record_id="", keep_email=False, turns=self.turns + 1)


def body(call: Sequence[Write]) -> dict[str, object]:
    """Return the request body of one batch call."""
    return {"inputs": [_input(write) for write in call]}


def path(call: Sequence[Write]) -> str:
    """Return the path of one batch call; its writes all go the same way."""
    return f"{CONTACTS}/batch/{'update' if call[0].record_id else 'upsert'}"


def _input(write: Write) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": write.key,
        "properties": properties(write),
        "objectWriteTraceId": write.trace_id,
    }
    # batch/update takes record ids only; naming a property there has made HubSpot refuse calls.
    return entry if write.record_id else {**entry, "idProperty": "email"}


def custom(delivery: Delivery) -> Mapping[str, str]:
    """Return a delivery's own properties, with those to be cleared of which it has no value."""
    given = {name.lower() for name in delivery.properties} | _RESERVED | FIELDS.keys() | {"tags"}
    cleared = {name: "" for name in sorted(delivery.blank) if name.lower() not in given}
    return {**delivery.properties, **cleared}


def properties(write: Write) -> dict[str, str]:
    """Return what is sent, by HubSpot's names: values, and empty ones for what is to be cleared."""
    blank = {FIELDS.get(name, name).lower() for name in write.delivery.blank}
    wanted = _wanted(write)
    sent = {name: value for name, value in wanted.items() if value or name.lower() in blank}
    moved = write.record_id and not write.keep_email
    return {**sent, "email": write.email} if moved else sent


def is_partial(write: Write) -> bool:
    """Tell whether a write leaves out something that we own: the CRM is to keep what it has."""
    return not _wanted(write).keys() <= properties(write).keys()


def _wanted(write: Write) -> dict[str, str]:
    own = {n: value for n, value in write.properties.items() if n.lower() not in _RESERVED}
    fields = {name: str(getattr(write.delivery, field)) for field, name in FIELDS.items()}
    return {name: value if value.strip() else "" for name, value in {**own, **fields}.items()}


def calls(writes: Sequence[Write]) -> list[list[Write]]:
    """Group writes into calls of one way, at most 100, no record twice in one; order is kept."""
    grouped: list[list[Write]] = []
    waiting = list(writes)
    while waiting:
        call, waiting = _next_call(waiting)
        grouped.append(call)
    return grouped


def _next_call(waiting: Sequence[Write]) -> tuple[list[Write], list[Write]]:
    by_id = bool(waiting[0].record_id)
    call: dict[str, Write] = {}
    rest: list[Write] = []
    for write in waiting:
        fits = len(call) < MAX_BATCH and bool(write.record_id) == by_id and write.key not in call
        if fits:
            call[write.key] = write
        else:
            rest.append(write)
    return list(call.values()), rest
