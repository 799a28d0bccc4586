"""What an UpdateContact asks for: checked whole, then applied to the contact as it is."""

from collections.abc import Callable, Iterator

from google.protobuf.field_mask_pb2 import FieldMask

from crmsync.v1.contact_service_pb2 import UpdateContactRequest
from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc.contact_fields import content_of
from crmsync_server.rpc.contact_rules import is_uuid, without_identity
from crmsync_server.store.content import Content, overlaid

_PROPERTY = "properties."
_MAX_PROPERTIES = 100


def change_of(request: UpdateContactRequest) -> Callable[[Content], Content]:
    """Return what makes the new content of the present one.

    It raises InvalidRequestError when the result would break a rule.

    Raises:
        InvalidRequestError: the id is none, or the mask names what cannot be changed.
    """
    if broken := list(_broken(request)):
        raise InvalidRequestError(broken)
    given, paths = content_of(request.contact), list(request.update_mask.paths)

    def change(before: Content) -> Content:
        after = _masked(before, given, paths) if paths else overlaid(before, given)
        if broken := list(_broken_by(after)):
            raise InvalidRequestError(broken)
        return after

    return change


def _masked(before: Content, given: Content, paths: list[str]) -> Content:
    """Return the content with the named fields as given, empty ones too."""
    fields = [path for path in paths if not path.startswith(_PROPERTY)]
    after = before._replace(**{field: getattr(given, field) for field in fields})
    keys = {path.removeprefix(_PROPERTY) for path in paths if path.startswith(_PROPERTY)}
    if not keys:
        return after
    kept = {key: value for key, value in after.properties.items() if key not in keys}
    named = {key: value for key, value in given.properties.items() if key in keys}
    return after._replace(properties=kept | named)


def _broken(request: UpdateContactRequest) -> Iterator[Violation]:
    if not is_uuid(request.contact.id):
        yield Violation("contact.id", "string.uuid", "must be a valid UUID")
    yield from _unknown(request.update_mask)


def _unknown(mask: FieldMask) -> Iterator[Violation]:
    """Yield a violation for each path that no caller can write."""
    for place, path in enumerate(mask.paths):
        if path in Content._fields or path.removeprefix(_PROPERTY) not in {"", path}:
            continue
        field = f"update_mask.paths[{place}]"
        yield Violation(field, "field_mask.writable", f"'{path}' is no field that can be changed")


def _broken_by(after: Content) -> Iterator[Violation]:
    if len(after.properties) > _MAX_PROPERTIES:
        told = f"map must be at most {_MAX_PROPERTIES} entries, with those it has already"
        yield Violation("contact.properties", "map.max_pairs", told)
    yield from without_identity(after)
