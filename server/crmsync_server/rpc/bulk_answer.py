"""What BulkQueueContacts answers to each of its ids."""

from collections import Counter
from uuid import UUID

from crmsync.v1 import session_pb2
from crmsync.v1 import sync_service_pb2 as pb


def bulk_answer(
    request: pb.BulkQueueContactsRequest,
    queued: set[UUID],
    without_email: set[UUID],
    opened: session_pb2.Session,
) -> pb.BulkQueueContactsResponse:
    """Answer each id of the request, in its order; a repeated id is answered as such."""
    seen: set[UUID] = set()
    results = []
    for given in request.contact_ids:
        contact_id = UUID(given)
        outcome, reason, message = _bulk_outcome(contact_id, seen, queued, without_email)
        seen.add(contact_id)
        results.append(
            pb.BulkQueueResult(contact_id=given, outcome=outcome, reason=reason, message=message)
        )
    counted = Counter(result.outcome for result in results)
    return pb.BulkQueueContactsResponse(
        session=opened,
        queued=counted[pb.BULK_QUEUE_OUTCOME_QUEUED],
        skipped=counted[pb.BULK_QUEUE_OUTCOME_SKIPPED],
        errors=counted[pb.BULK_QUEUE_OUTCOME_ERROR],
        results=results,
    )


def _bulk_outcome(
    contact_id: UUID, seen: set[UUID], queued: set[UUID], without_email: set[UUID]
) -> tuple[pb.BulkQueueOutcome.ValueType, str, str]:
    if contact_id in seen:
        return pb.BULK_QUEUE_OUTCOME_SKIPPED, "DUPLICATE", "The id was given before."
    if contact_id in queued:
        return pb.BULK_QUEUE_OUTCOME_QUEUED, "", ""
    if contact_id in without_email:
        return pb.BULK_QUEUE_OUTCOME_SKIPPED, "NO_EMAIL", "The CRM needs an email address."
    return pb.BULK_QUEUE_OUTCOME_ERROR, "CONTACT_NOT_FOUND", "There is no such contact."
