"""What bulk operations find and do, as messages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from crmsync.v1 import bulk_record_pb2 as pb
from crmsync.v1.contact_service_pb2 import FieldViolation
from crmsync_server.errors import Violation
from crmsync_server.rpc.contact_rejection import clipped, fitting
from crmsync_server.store.bulk import Became, Finding, Taken

_FINDINGS_TOLD = 1_000


def findings(found: Mapping[int, Finding]) -> list[pb.BulkFinding]:
    """Tell the first of the findings, by the records' places."""
    return [_finding(found[index]) for index in sorted(found)[:_FINDINGS_TOLD]]


def violations_of(found: Mapping[int, Finding]) -> list[Violation]:
    """Tell findings as the violations of a request, by the records' places."""
    told: list[Violation] = []
    for index in sorted(found)[:_FINDINGS_TOLD]:
        one, path = found[index], f"records[{index}]"
        if one.violations:
            told += [
                Violation(f"{path}.{broken.field}", broken.rule, broken.description)
                for broken in one.violations
            ]
        else:
            told.append(Violation(path, f"record.{one.code.lower()}", one.message))
    return told


def changes(taken: Iterable[Taken]) -> pb.BulkChanges:
    """Count what became of contacts."""
    count = Counter(one.became for one in taken)
    return pb.BulkChanges(
        created=count[Became.CREATED],
        updated=count[Became.UPDATED],
        unchanged=count[Became.UNCHANGED],
        removed=count[Became.REMOVED] + count[Became.DELETED],
        deleted=count[Became.DELETED],
    )


def summary(broken: Sequence[Violation]) -> str:
    """Say in words which rules a record breaks: the first three."""
    return "; ".join(f"{clipped(one.field)} {one.description}".strip() for one in broken[:3])


def _finding(one: Finding) -> pb.BulkFinding:
    told = pb.BulkFinding(
        index=one.place,
        code=pb.BulkFindingCode.Value(f"BULK_FINDING_CODE_{one.code}"),
        message=one.message,
        violations=[FieldViolation(**broken) for broken in fitting(one.violations)],
        contact_id=str(one.contact_id or ""),
    )
    if one.other_place is not None:
        told.other_index = one.other_place
    return told
