"""What an UpdateContact asks for, applied to the contact as it is."""

from collections.abc import Callable, Iterator, Sequence

from crmsync.v1.contact_service_pb2 import UpdateContactRequest
from crmsync_server.errors import InvalidRequestError, Violation
from crmsync_server.rpc.contact_fields import content_of
from crmsync_server.rpc.contact_rules import PROPERTY, without_identity
from crmsync_server.store.content import Content, overlaid

_MAX_PROPERTIES = 100


def change_of(request: UpdateContactRequest) -> Callable[[Content], Content]:
    """Return what makes the new content of the present one, for a valid request.

    It raises InvalidRequestError when the result would break a rule.
    """
    given, paths = content_of(request.contact), list(request.update_mask.paths)
    return lambda before: changed(before, given, paths)


def changed(before: Content, given: Content, paths: Sequence[str]) -> Content:
    """Return the content with the given fields of the paths; without paths, with what is not empty.

    Raises InvalidRequestError when the result would break a rule.
    """
    after = _masked(before, given, paths) if paths else overlaid(before, given)
    if broken := list(broken_by(after)):
        raise InvalidRequestError(broken)
    return after


def _masked(before: Content, given: Content, paths: Sequence[str]) -> Content:
    """Return the content with the named fields as given, empty ones too."""
    fields = [path for path in paths if not path.startswith(PROPERTY)]
    after = before._replace(**{field: getattr(given, field) for field in fields})
    keys = {path.removeprefix(PROPERTY) for path in paths if path.startswith(PROPERTY)}
    if not keys:
        return after
    kept = {key: value for key, value in after.properties.items() if key not in keys}
    named = {key: value for key, value in given.properties.items() if key in keys}
    return after._replace(properties=kept | named)


def broken_by(after: Content) -> Iterator[Violation]:
    """Yield what is wrong with a contact as a change has left it."""
    if len(after.properties) > _MAX_PROPERTIES:
        told = f"must hold at most {_MAX_PROPERTIES} entries, with those it has already"
        yield Violation("contact.properties", "map.max_pairs", told)
    yield from without_identity(after)
