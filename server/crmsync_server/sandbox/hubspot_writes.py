"""How a simulated HubSpot portal takes writes: one record, or a batch of up to 100.

A batch is all or nothing, and its error is that of the first input that failed, unless every
input carries an `objectWriteTraceId` of its own: then the good inputs are applied and the others
are listed in a 207.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.hubspot_errors import HubSpotError, invalid_value
from crmsync_server.sandbox.hubspot_portal import Portal, PortalContact, UniqueValue
from crmsync_server.sandbox.hubspot_properties import EMAIL, check_values
from crmsync_server.sandbox.wire import JsonObject

MAX_INPUTS = 100
ALWAYS_SHOWN = frozenset({"createdate", "hs_object_id", "lastmodifieddate"})
"""Properties that an answer has whichever were asked for."""
SHOWN = ALWAYS_SHOWN | {"email", "firstname", "lastname"}
"""Properties that an answer has where none were asked for."""
Verb: TypeAlias = Literal["create", "update", "upsert"]


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a batch, or the whole of a single write."""

    properties: dict[str, str]
    id: str | None = None
    id_property: str | None = None
    trace_id: str | None = None

    @classmethod
    def parse(cls, item: object, *, with_id: bool) -> "Input":
        """Read one input.

        Raises:
            HubSpotError: 400, a field is missing or is no string.
        """
        if not isinstance(item, dict):
            raise HubSpotError(400, "Invalid input JSON: an input must be an object")
        properties = item.get("properties")
        if not isinstance(properties, dict):
            raise HubSpotError(400, "Some required fields were not set: [properties]")
        if with_id and "id" not in item:
            raise HubSpotError(400, "Some required fields were not set: [id]")
        optional = {key: item.get(key) for key in ("id", "idProperty", "objectWriteTraceId")}
        for name, value in [*properties.items(), *optional.items()]:
            if not isinstance(value, str) and (name in properties or value is not None):
                raise HubSpotError(400, f"Invalid input JSON: {name} must be a string")
        return cls(
            properties, optional["id"], optional["idProperty"], optional["objectWriteTraceId"]
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """A write that was checked and may be applied."""

    target: PortalContact | None
    properties: dict[str, str]
    input: Input


class Writer:
    """Checks and applies writes to one portal."""

    def __init__(
        self, portal: Portal, faults: FaultDial, calls: CallLog, *, upsert_clears_omitted: bool
    ) -> None:
        """Write to this portal; the dial decides which records it finds invalid."""
        self._portal = portal
        self._faults = faults
        self._calls = calls
        self._upsert_clears_omitted = upsert_clears_omitted

    def write(self, verb: Verb, item: Input) -> JsonObject:
        """Apply one write and return the record.

        Raises:
            HubSpotError: 400, 404 or 409; nothing was applied.
        """
        return self._apply(verb, self._plan(verb, item))

    def write_batch(
        self, verb: Verb, inputs: Sequence[Input]
    ) -> tuple[list[JsonObject], list[JsonObject]]:
        """Apply a batch and return its results, not in the order of inputs, and its errors.

        Raises:
            HubSpotError: the batch fails as a whole; nothing was applied.
        """
        _check_batch(inputs)
        plans, failures = self._plan_batch(verb, inputs)
        if failures and self._faults.settings.unnamed_culprits:
            raise HubSpotError(400, "The batch contains invalid inputs")
        if failures and not _all_traced(inputs):
            raise failures[0][1]
        results = [self._apply(verb, plan) for plan in reversed(plans)]
        return results, [error.as_entry(item.trace_id or "") for item, error in failures]

    def _plan_batch(
        self, verb: Verb, inputs: Sequence[Input]
    ) -> tuple[list[_Plan], list[tuple[Input, HubSpotError]]]:
        plans: list[_Plan] = []
        failures: list[tuple[Input, HubSpotError]] = []
        claimed: set[UniqueValue] = set()
        for item in inputs:
            try:
                plan = self._plan(verb, item)
                claimed |= self._claims(plan, claimed)
            except HubSpotError as error:
                failures.append((item, error))
            else:
                plans.append(plan)
        return plans, failures

    def _claims(self, plan: _Plan, claimed: set[UniqueValue]) -> set[UniqueValue]:
        """Return what a write takes for itself, unless an earlier one of the batch has it."""
        claims = set(self._portal.unique_values(plan.properties))
        if plan.target:
            claims.add(("hs_object_id", plan.target.id))
        if claims & claimed:
            raise HubSpotError(400, f"Duplicate contact in batch input: {plan.input.id}")
        return claims

    def _plan(self, verb: Verb, item: Input) -> _Plan:
        target = self._target(verb, item)
        changes = item.properties
        if verb == "upsert" and target is None and item.id_property and item.id is not None:
            changes = {item.id_property: item.id} | changes
        for error in check_values(self._portal.definitions, changes):
            error.context = {"id": [item.id]} if item.id else {}
            raise error
        base = None if verb == "upsert" and self._upsert_clears_omitted else target
        properties = self._portal.merged_values(base, changes)
        if base is not target and target is not None:
            properties = {EMAIL: target.properties.get(EMAIL, "")} | properties
        email = properties.get(EMAIL, "")
        if self._faults.rejects(email):
            message = f"Email address {email} is invalid"
            raise invalid_value(message, "INVALID_EMAIL", EMAIL)
        self._portal.check_free(target, properties)
        return _Plan(target, properties, item)

    def _target(self, verb: Verb, item: Input) -> PortalContact | None:
        if verb == "create" or item.id is None:
            return None
        if verb == "update" and item.id_property == EMAIL:
            message = "Unable to perform update/upsert by non-unique 0-1 property"
            raise HubSpotError(400, message)
        target = self._portal.find(item.id, item.id_property)
        if target is None and (verb == "update" or item.id_property is None):
            raise HubSpotError(
                404, f"Object not found. objectId: {item.id}", context={"id": [item.id]}
            )
        return target

    def _apply(self, verb: Verb, plan: _Plan) -> JsonObject:
        contact = plan.target
        if contact is None:
            contact = self._portal.create(plan.properties)
            self._calls.records_created += 1
        else:
            self._portal.update(contact, plan.properties)
            self._calls.records_updated += 1
        shown = {EMAIL, *plan.input.properties, *ALWAYS_SHOWN}
        record = record_json(contact, shown)
        if verb == "upsert":
            record["new"] = plan.target is None
        if plan.input.trace_id is not None:
            record["objectWriteTraceId"] = plan.input.trace_id
        return record


def parse_inputs(body: JsonObject) -> list[object]:
    """Return a batch's inputs, unread.

    Raises:
        HubSpotError: 400, there are none, or more than 100.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise HubSpotError(400, "Some required fields were not set: [inputs]")
    if len(inputs) > MAX_INPUTS:
        raise HubSpotError(
            400, f"The maximum number of inputs supported in a batch is {MAX_INPUTS}"
        )
    return inputs


def strings(body: JsonObject, key: str) -> list[str]:
    """Return the list of strings under a key of a body; none if it is absent.

    Raises:
        HubSpotError: 400, it is not one.
    """
    values = body.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise HubSpotError(400, f"Invalid input JSON: {key} must be a list of strings")
    return values


def record_json(
    contact: PortalContact, properties: set[str], blanks: Collection[str] = ()
) -> JsonObject:
    """Return a contact as HubSpot prints it, with those of these properties that it has.

    Those of `blanks` that it does not have are null.
    """
    held = contact.all_properties()
    shown = {name: held[name] for name in sorted(properties) if name in held}
    record: JsonObject = {
        "id": contact.id,
        "properties": dict.fromkeys(blanks) | shown,
        "createdAt": contact.created_at,
        "updatedAt": contact.updated_at,
        "archived": contact.archived,
    }
    if contact.archived:
        record["archivedAt"] = contact.updated_at
    return record


def _check_batch(inputs: Sequence[Input]) -> None:
    ids = [item.id.strip().lower() for item in inputs if item.id is not None]
    repeated = sorted(key for key, count in Counter(ids).items() if count > 1)
    if repeated:
        raise HubSpotError(400, f"Duplicate IDs found in batch input: {repeated}")


def _all_traced(inputs: Sequence[Input]) -> bool:
    traces = {item.trace_id for item in inputs if item.trace_id}
    return len(traces) == len(inputs)
