"""Records of bulk operations, as they come: what is wrong with them, and what they name and say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from crmsync.v1 import bulk_record_pb2 as pb
from crmsync.v1.contact_pb2 import Contact
from crmsync_server.errors import Violation
from crmsync_server.rpc.contact_fields import content_of
from crmsync_server.rpc.contact_rules import PROPERTY, trim, without_identity
from crmsync_server.rpc.contact_update import changed
from crmsync_server.rpc.validation import violations
from crmsync_server.store.bulk import Code, Finding, Head, Operation
from crmsync_server.store.content import Content, email_key

_OPERATIONS = {
    pb.BULK_OPERATION_CREATE: Operation.CREATE,
    pb.BULK_OPERATION_UPDATE: Operation.UPDATE,
    pb.BULK_OPERATION_UPSERT: Operation.UPSERT,
    pb.BULK_OPERATION_DELETE: Operation.DELETE,
}
_CHANGES = frozenset({pb.BULK_OPERATION_UPDATE, pb.BULK_OPERATION_UPSERT})
_NOTHING = Contact()


@dataclass(frozen=True, slots=True)
class Said:
    """What a record says of a contact; see store.bulk.Given."""

    record: pb.BulkRecord

    @property
    def content(self) -> Content:
        """What a new contact is to say."""
        content = content_of(self.record.contact)
        if content.email is None and self.record.operation == pb.BULK_OPERATION_UPSERT:
            return content._replace(email=self.record.email or None)
        return content

    def change(self, before: Content) -> Content:
        """Return what a contact is to say; raises InvalidRequestError where that breaks a rule."""
        return changed(before, self.content, self.record.update_mask.paths)


def tidy(record: pb.BulkRecord) -> None:
    """Drop the space around emails."""
    if record.HasField("contact"):
        trim(record.contact)
    if record.HasField("email") and record.email != (trimmed := record.email.strip()):
        record.email = trimmed


def broken(record: pb.BulkRecord, prefix: str = "", raw: bytes | None = None) -> list[Violation]:
    """Return the rules that a tidy record breaks, whatever else is in its operation.

    prefix, raw: see `violations`.
    """
    path = f"{prefix}." if prefix else ""
    rules = [replace(one, field=path + one.field) for one in _rules(record)]
    return violations(record, prefix, raw) + rules


def _rules(record: pb.BulkRecord) -> Iterator[Violation]:
    operation = record.operation
    if operation not in _OPERATIONS:
        return
    says = record.HasField("contact")
    contact = record.contact if says else _NOTHING
    if contact.id:
        yield Violation("contact.id", "contact.id", "must be unset: contact_id says who is meant")
    key = record.WhichOneof("key")
    if operation == pb.BULK_OPERATION_CREATE:
        if key:
            yield Violation(key, "key.create", "must be unset for a CREATE")
        yield from without_identity(contact)
    elif not (key or contact.email):
        told = "must name the contact: contact_id, email, crm_contact_id or contact.email"
        yield Violation("key", "key.required", told)
    if operation == pb.BULK_OPERATION_DELETE:
        if contact != Contact(email=contact.email):
            yield Violation("contact", "contact.delete", "must hold an email alone for a DELETE")
    elif not says:
        yield Violation("contact", "required", "must be set")
    yield from _of_options(record, key or "", contact)


def _of_options(record: pb.BulkRecord, key: str, contact: Contact) -> Iterator[Violation]:
    operation, paths = record.operation, _mask(record)
    if paths and operation not in _CHANGES:
        yield Violation(
            "update_mask", "update_mask.change", "must be unset but for UPDATE and UPSERT"
        )
    for place, path in enumerate(paths):
        if path not in Content._fields and path.removeprefix(PROPERTY) in {"", path}:
            told = f"must be one of {', '.join(Content._fields)} and {PROPERTY}key"
            yield Violation(f"update_mask.paths[{place}]", "field_mask.writable", told)
    if record.delete_contact and operation != pb.BULK_OPERATION_DELETE:
        yield Violation("delete_contact", "delete_contact", "must be false but for a DELETE")
    moves = key == "email" and contact.email and email_key(contact.email) != email_key(record.email)
    if moves and operation == pb.BULK_OPERATION_UPSERT:
        told = "must be the email of the key: an UPDATE moves a contact to another one"
        yield Violation("contact.email", "contact.email.key", told)


def head(index: int, record: pb.BulkRecord) -> Head:
    """Return what a valid record names."""
    operation = _OPERATIONS[record.operation]
    key = record.WhichOneof("key")
    new_key = email_key(record.contact.email or None)
    found_by = email_key(record.email) if key == "email" else None
    if key is None and operation is not Operation.CREATE:
        found_by = new_key
    if operation is Operation.UPSERT:
        new_key = new_key or found_by
    paths = _mask(record)
    says_email = not paths or "email" in paths or operation is Operation.CREATE
    return Head(
        index,
        operation,
        UUID(record.contact_id) if key == "contact_id" else None,
        found_by,
        record.crm_contact_id if key == "crm_contact_id" else None,
        new_key if says_email or operation is Operation.UPSERT else None,
        record.delete_contact,
    )


def _mask(record: pb.BulkRecord) -> Sequence[str]:
    # An unset message is made to be asked for its paths.
    return record.update_mask.paths if record.HasField("update_mask") else ()


@dataclass(slots=True)
class Names:
    """Which contacts and emails the records so far have named, and where: nobody is named twice."""

    _places: dict[object, int] = field(default_factory=dict)

    def first(self, one: Head) -> int | None:
        """Return the place of an earlier record that names the same; note this one otherwise."""
        told = (
            one.contact_id,
            one.email_key,
            one.new_key,
            one.crm_contact_id and (one.crm_contact_id,),
        )
        named = [name for name in told if name is not None]
        for name in named:
            if (place := self._places.get(name)) is not None:
                return place
        for name in named:
            self._places[name] = one.place
        return None


def duplicate(one: Head, first: int) -> Finding:
    """Return the finding of a record that names what an earlier one does."""
    told = f"names the same contact or email as records[{first}]"
    return Finding(one.place, Code.DUPLICATE, told, other_place=first)
