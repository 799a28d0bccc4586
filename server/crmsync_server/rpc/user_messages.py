"""Users as messages, and messages as the entries of a synchronization."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct

from crmsync.v1 import user_pb2
from crmsync.v1 import user_service_pb2 as pb
from crmsync.v1.contact_service_pb2 import FieldViolation
from crmsync_server.errors import OrganizationMismatchError, Violation
from crmsync_server.rpc.convert import timestamp
from crmsync_server.rpc.validation import violations
from crmsync_server.store.user_sync import Became, Entry, Mention, Outcome, Result

_MOST_METADATA = 100
_LONGEST_METADATA = 16 * 1024
_ERRORS_TOLD = 100
_DEACTIVATED_TOLD = 1_000
_MOST_RESULTS = 10_000
_LONGEST_TEXT = 254
_NO_JSON = (Violation("metadata", "metadata.json", "must hold finite numbers alone"),)


@dataclass(slots=True)
class Given:
    """Users as they came: what each said of themselves, valid or not.

    said: external id and email of every entry, by its place. broken: of those that are not valid.
    """

    entries: list[Entry] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    broken: dict[int, Sequence[Violation]] = field(default_factory=dict)

    def add(self, users: Iterable[user_pb2.User], org_id: str) -> None:
        """Take users in their order; raises OrganizationMismatchError."""
        for one in users:
            index = len(self.said)
            if one.org_code not in {"", org_id}:
                raise OrganizationMismatchError(index, one.org_code)
            external_id, email = one.external_id.strip(), one.email.strip()
            one.email = email
            self.said.append((_clipped(external_id), _clipped(email)))
            metadata = _metadata(one)
            wrong = _NO_JSON if metadata is None else _of_metadata(metadata)
            found = [*violations(one), *_missing(external_id, email), *wrong]
            if found:
                self.broken[index] = found
                self.mentions.append(Mention(_kept(external_id), _kept(email)))
            else:
                self.entries.append(_entry(index, one, external_id, metadata or {}))


def _metadata(one: user_pb2.User) -> dict[str, Any] | None:
    """Return metadata as JSON; None where it holds what JSON does not have."""
    try:
        return MessageToDict(one.metadata) if one.HasField("metadata") else {}
    except ValueError:
        return None


def _entry(index: int, one: user_pb2.User, external_id: str, metadata: dict[str, Any]) -> Entry:
    return Entry(
        index,
        external_id,
        one.email,
        one.first_name,
        one.last_name,
        one.role,
        one.is_active if one.HasField("is_active") else None,
        metadata,
    )


def _missing(external_id: str, email: str) -> Iterable[Violation]:
    for name, value in (("external_id", external_id), ("email", email)):
        if not value:
            yield Violation(name, "required", "must be set")


def _of_metadata(metadata: dict[str, Any]) -> Iterable[Violation]:
    if len(metadata) > _MOST_METADATA:
        yield Violation("metadata", "map.max_pairs", f"must hold at most {_MOST_METADATA} names")
    spelled = json.dumps(metadata, ensure_ascii=False)
    if len(spelled.encode("utf-8", "replace")) > _LONGEST_METADATA:
        told = f"must take at most {_LONGEST_METADATA} bytes as JSON"
        yield Violation("metadata", "metadata.max_bytes", told)
    if "\\u0000" in json.dumps(metadata):
        yield Violation("metadata", "string.nul", "must not hold a zero byte")


def summary(given: Given, outcome: Outcome) -> pb.UserSyncSummary:
    """Count what became of the users."""
    count = dict.fromkeys(Became, 0)
    for one in outcome.results:
        count[one.became] += 1
    failed = count[Became.FAILED] + len(given.broken)
    return pb.UserSyncSummary(
        total=len(given.said),
        created=count[Became.CREATED],
        updated=count[Became.UPDATED],
        unchanged=count[Became.UNCHANGED],
        failed=failed,
        deactivated=len(outcome.deactivated),
        errors=[
            f"{one.email or one.user_id}: {one.error}"
            for one in results(given, outcome, only_failed=True)[:_ERRORS_TOLD]
        ],
    )


def results(
    given: Given, outcome: Outcome, *, only_failed: bool = False
) -> list[pb.UserSyncResult]:
    """Tell what became of each user, in their order: at most the first 10,000."""
    by_index = {one.index: one for one in outcome.results}
    wanted = [
        index
        for index in range(len(given.said))
        if not only_failed or index in given.broken or by_index[index].became is Became.FAILED
    ]
    return [_result(given, index, by_index.get(index)) for index in wanted[:_MOST_RESULTS]]


def fitting_results(given: Given, outcome: Outcome) -> list[pb.UserSyncResult]:
    """Tell the same, of many users only of those who failed."""
    return results(given, outcome, only_failed=len(given.said) > _MOST_RESULTS)


def _result(given: Given, index: int, one: Result | None) -> pb.UserSyncResult:
    external_id, email = given.said[index]
    if one is None:
        broken = given.broken[index]
        return pb.UserSyncResult(
            index=index,
            user_id=external_id,
            email=email,
            status=pb.USER_SYNC_STATUS_FAILED,
            error="; ".join(f"{told.field} {told.description}".strip() for told in broken[:3]),
            error_code="INVALID",
            violations=[
                FieldViolation(
                    field=_clipped(told.field), rule=told.rule, description=told.description
                )
                for told in broken[:10]
            ],
        )
    return pb.UserSyncResult(
        index=index,
        user_id=external_id,
        email=email,
        status=pb.UserSyncStatus.Value(f"USER_SYNC_STATUS_{one.became}"),
        crm_user_id=str(one.user_id or ""),
        error=one.message,
        error_code=one.code,
    )


def deactivated(outcome: Outcome) -> list[pb.DeactivatedUser]:
    """Tell who was deactivated, by email: at most the first 1,000."""
    rows = sorted(outcome.deactivated, key=lambda row: row.email)[:_DEACTIVATED_TOLD]
    return [
        pb.DeactivatedUser(id=str(row.id), external_id=row.external_id, email=row.email)
        for row in rows
    ]


def message_of(row: sa.Row[Any]) -> user_pb2.User:
    """Turn a row of users into its message."""
    return user_pb2.User(
        id=str(row.id),
        external_id=row.external_id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        role=row.role,
        is_active=row.is_active,
        org_code=row.org_id,
        metadata=ParseDict(row.metadata, Struct()),
        version=row.version,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _kept(text: str) -> str:
    # Nobody known has one that Postgres cannot hold.
    return "" if "\0" in text else text
