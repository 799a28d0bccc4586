"""How a simulated Zoho takes records: each by itself, in the order given, each with its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from crmsync_server.sandbox.calls import CallLog
from crmsync_server.sandbox.faults import FaultDial
from crmsync_server.sandbox.wire import JsonObject
from crmsync_server.sandbox.zoho_channels import Channels
from crmsync_server.sandbox.zoho_errors import (
    ZohoError,
    invalid_data,
    mandatory,
    not_an_object,
    place,
)
from crmsync_server.sandbox.zoho_fields import COMPANY, EMAIL, LAST_NAME, problem_with
from crmsync_server.sandbox.zoho_organization import INTEGRATION, Organization
from crmsync_server.sandbox.zoho_table import Contact

Verb: TypeAlias = Literal["insert", "update", "upsert"]


@dataclass(slots=True)
class _Told:
    """What one call did, for those who watch: changed fields by contact."""

    inserted: dict[int, list[str]] = field(default_factory=dict)
    updated: dict[int, list[str]] = field(default_factory=dict)


class Writer:
    """Checks and applies what comes through the API."""

    def __init__(
        self, organization: Organization, channels: Channels, faults: FaultDial, calls: CallLog
    ) -> None:
        """Write to this organization; the dial decides which records are refused."""
        self._organization = organization
        self._channels = channels
        self._faults = faults
        self._calls = calls

    def write(
        self, verb: Verb, records: Sequence[object], check: Sequence[str] = ()
    ) -> list[JsonObject]:
        """Apply records one after the other, and return their results, likewise.

        Args:
            verb: what to do with each.
            records: fields by name; for an update, and where an upsert has one, with an `id`.
            check: for an upsert, by which fields to look for the contact that is meant.
        """
        told = _Told()
        results = []
        for number, record in enumerate(records):
            try:
                results.append(self._write(verb, record, check, f"$.data[{number}]", told))
            except ZohoError as error:
                results.append(error.as_json())
        self._channels.tell("insert", told.inserted)
        self._channels.tell("update", told.updated)
        return results

    def delete(self, ids: Sequence[str]) -> list[JsonObject]:
        """Put contacts into the recycle bin, and return their results in the order given."""
        results, gone = [], {}
        for number, contact_id in enumerate(ids):
            contact = self._find(contact_id)
            if contact is None:
                error = invalid_data(f"$.ids[{number}]", "id", "the id given is not known")
                results.append(error.as_json())
                continue
            self._organization.delete(contact, INTEGRATION)
            gone[contact.id] = list[str]()
            results.append(_success("record deleted", {"id": contact_id}))
        self._channels.tell("delete", gone)
        return results

    def _write(
        self, verb: Verb, record: object, check: Sequence[str], path: str, told: _Told
    ) -> JsonObject:
        if not isinstance(record, dict):
            raise not_an_object(path, "data")
        values = self._values(record, path)
        target, by = self._target(verb, record, check, path)
        self._check_mandatory(verb, values, path)
        self._check_free(target, values, path)
        self._check_accepted(target, values, path)
        if target is None:
            contact = self._organization.insert(values, INTEGRATION)
            told.inserted[contact.id] = list(values)
            self._calls.records_created += 1
        else:
            contact = self._organization.update(target, values, INTEGRATION)
            told.updated[contact.id] = list(values)
            self._calls.records_updated += 1
        result = _success(
            "record added" if target is None else "record updated", self._details(contact)
        )
        if verb == "upsert":
            action = "insert" if target is None else "update"
            result |= {"action": action, "duplicate_field": by}
        return result

    def _values(self, record: JsonObject, path: str) -> dict[str, object]:
        """Return the values that are to be written; what is not known is ignored, as by Zoho."""
        values: dict[str, object] = {}
        for name, value in record.items():
            field = self._organization.fields.get(name)
            if field is None or field.read_only:
                continue
            values[name] = None if value == "" else value
            problem = None if values[name] is None else problem_with(field, value)
            if problem is not None:
                raise invalid_data(path, name, "the value is not valid", **problem)
            if isinstance(value, dict) and name == COMPANY:
                self._check_account(value, path)
        return values

    def _check_account(self, value: JsonObject, path: str) -> None:
        if self._organization.accounts.get(value["id"]) is None:
            within = f"{path}.{COMPANY}"
            raise invalid_data(within, "id", "the id given is not known")

    def _target(
        self, verb: Verb, record: JsonObject, check: Sequence[str], path: str
    ) -> tuple[Contact | None, str | None]:
        """Return the contact that is meant, and the field that it was found by."""
        if verb == "insert":
            return None, None
        if verb == "update" or record.get("id") is not None:
            if record.get("id") is None:
                raise mandatory(path, "id")
            contact = self._find(record["id"])
            if contact is None:
                raise invalid_data(path, "id", "the id given is not known")
            return contact, "id"
        for name in check:
            value = record.get(name)
            found = self._organization.live.find(name, value) if value else []
            if found:
                return found[0], name
        return None, None

    def _check_mandatory(self, verb: Verb, values: Mapping[str, object], path: str) -> None:
        missing = values.get(LAST_NAME) is None
        if missing and (verb != "update" or LAST_NAME in values):
            raise mandatory(path, LAST_NAME)

    def _check_free(self, target: Contact | None, values: Mapping[str, object], path: str) -> None:
        for name in self._organization.unique_fields():
            value = values.get(name)
            holder = self._organization.holder(name, value, target) if value is not None else None
            if holder is not None:
                details = place(path, name) | {"id": str(holder.id)}
                raise ZohoError(400, "DUPLICATE_DATA", "another contact has this value", details)

    def _check_accepted(
        self, target: Contact | None, values: Mapping[str, object], path: str
    ) -> None:
        email = str(values.get(EMAIL) or (target.values.get(EMAIL) if target else "") or "")
        if self._faults.rejects(email):
            message = "the value is not valid"
            raise invalid_data(path, EMAIL, message, expected_data_type="email")
        if target is None:
            return
        if target.id in self._organization.locked or self._faults.locks(email):
            raise ZohoError(400, "RECORD_LOCKED", "the record is locked", {"id": str(target.id)})

    def _find(self, contact_id: object) -> Contact | None:
        text = str(contact_id)
        return self._organization.live.contacts.get(int(text)) if text.isdecimal() else None

    def _details(self, contact: Contact) -> JsonObject:
        stamp = self._organization.stamp
        return {
            "Modified_Time": stamp(contact.modified),
            "Modified_By": {"name": contact.modified_by.name, "id": contact.modified_by.id},
            "Created_Time": stamp(contact.created),
            "id": str(contact.id),
            "Created_By": {"name": contact.created_by.name, "id": contact.created_by.id},
        }


def _success(message: str, details: JsonObject) -> JsonObject:
    return {"code": "SUCCESS", "details": details, "message": message, "status": "success"}
