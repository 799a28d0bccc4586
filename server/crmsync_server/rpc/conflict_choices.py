"""What a ResolveConflict asks for each field in conflict, and whether the contact may say it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from crmsync.v1 import analytics_service_pb2 as pb
from crmsync.v1 import conflict_pb2
from crmsync.v1.contact_pb2 import Contact
from crmsync_server.errors import InvalidRequestError, NotSupportedError, Violation
from crmsync_server.rpc.contact_update import broken_by
from crmsync_server.rpc.validation import violations
from crmsync_server.store.content import Content

_NEWEST = conflict_pb2.CONFLICT_CHOICE_NEWEST
_OURS = conflict_pb2.CONFLICT_CHOICE_OURS


class Sides(Protocol):
    """What the texts of a conflict are on either side; see sync.conflict_sides."""

    def ours(self, content: Content, field: str) -> str:
        """Return what the contact has."""

    def offered(self, field: str, theirs: str) -> str | None:
        """Return what the record has as the contact would have it; None where it could not."""

    def with_results(self, content: Content, results: Mapping[str, str]) -> Content:
        """Return what the contact says with these results."""

    def seen(self, theirs: Mapping[str, str]) -> Mapping[str, Any]:
        """Return what the record has, as bases keep it."""

    def lacks(self, content: Content, theirs: Mapping[str, str]) -> bool:
        """Tell whether the record lacks what the contact says in any of these fields."""


@dataclass(frozen=True, slots=True)
class Choices:
    """A request's choices for one open conflict."""

    request: pb.ResolveConflictRequest
    row: sa.Row[Any]
    sides: Sides

    @property
    def theirs(self) -> Mapping[str, str]:
        """What the record has, by field."""
        return {one["field"]: one["theirs"] for one in self.row.fields}

    def refuse_invalid(self) -> None:
        """Refuse what is no choice for this conflict.

        Raises:
            InvalidRequestError: a field is left out, or is not in conflict.
            NotSupportedError: the newest is asked for, and the CRM does not tell when.
        """
        if broken := [*self._unknown(), *self._missing()]:
            raise InvalidRequestError(broken)
        if self.row.theirs_time is None and _NEWEST in map(self._choice, self.theirs):
            raise NotSupportedError(self.row.crm, "CONFLICT_CHOICE_NEWEST")

    def changed(self, before: Content) -> Content:
        """Return what the contact says when it has taken the results.

        Raises:
            InvalidRequestError: one of them breaks a rule of contacts.
        """
        taken: dict[str, str] = {}
        broken: list[Violation] = []
        for field in self.theirs:
            if self._is_kept(field):
                continue
            text = self._told(field)
            if text is None:
                broken.append(self._unreadable(field))
            else:
                taken[field] = text
                broken += self._broken(field, text)
        after = self.sides.with_results(before, taken)
        if broken := broken or [_of_all(one) for one in broken_by(after)]:
            raise InvalidRequestError(broken)
        return after

    def results(self, after: Content) -> Mapping[str, str]:
        """Return what each field was resolved to, by what the contact says then."""
        return {field: self.sides.ours(after, field) for field in self.theirs}

    def _unknown(self) -> Iterator[Violation]:
        told = f"must be of a field in conflict: {', '.join(self.theirs)}"
        for field in sorted(self.request.fields):
            if field not in self.theirs:
                yield Violation(_path(field), "conflict.field", told)

    def _missing(self) -> Iterator[Violation]:
        if self.request.choice:
            return
        told = "must be set: the field is in conflict, and there is no choice for all others"
        for field in self.theirs:
            if field not in self.request.fields:
                yield Violation(_path(field), "conflict.complete", told)

    def _choice(self, field: str) -> int:
        """Return which side a field takes; 0 when it takes a value of its own."""
        if field in self.request.fields:
            return self.request.fields[field].choice
        return self.request.choice

    def _is_kept(self, field: str) -> bool:
        """Tell whether the contact keeps what it has."""
        choice = self._choice(field)
        if choice == _NEWEST:
            return bool(self.row.theirs_time <= self.row.ours_time)
        return choice == _OURS

    def _told(self, field: str) -> str | None:
        """Return the contact's new value; None where it cannot have the record's."""
        if self._choice(field):
            return self.sides.offered(field, self.theirs[field])
        return self.request.fields[field].value

    def _broken(self, field: str, text: str) -> Iterator[Violation]:
        content = self.sides.with_results(Content(), {field: text})
        contact = Contact(
            email=content.email or "",
            first_name=content.first_name,
            last_name=content.last_name,
            phone=content.phone,
            company=content.company,
            tags=content.tags,
            properties=content.properties,
        )
        for one in violations(contact):
            yield Violation(self._place(field), one.rule, one.description)

    def _unreadable(self, field: str) -> Violation:
        told = "must not be the record's: by the field mapping the contact cannot have that value"
        return Violation(self._place(field), "conflict.mapping", told)

    def _place(self, field: str) -> str:
        if field not in self.request.fields:
            return "choice"
        return f"{_path(field)}.{self.request.fields[field].WhichOneof('resolution')}"


def _path(field: str) -> str:
    return f"fields[{json.dumps(field, ensure_ascii=False)}]"


def _of_all(broken: Violation) -> Violation:
    return Violation("fields", broken.rule, broken.description)
