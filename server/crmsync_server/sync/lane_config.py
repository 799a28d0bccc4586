"""What an organization has configured for one of its CRMs, as the engine needs it."""

from dataclasses import dataclass, field

from crmsync_server.crm.mapping import FieldMapping
from crmsync_server.store.merging import Merging


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """How a lane delivers; what nobody configured is as it is here.

    enabled: whether it delivers at all; what is queued waits otherwise.
    batch_size: records in a push; None, and whatever is more, means the adapter's max_batch.
    concurrency: pushes at a time over all workers of a process; None, and whatever is more, means
        the adapter's own.
    max_retries: of transient errors, before a record ends in ERROR; None means the server's.
    mapping: what the CRM is told; None means the contact's own fields.
    merging: how the CRM's changes are brought together with one's own.
    two_way: whether the CRM is read as well: then deliveries leave alone what has not changed here,
        and write down what they agree on.
    """

    enabled: bool = True
    batch_size: int | None = None
    concurrency: int | None = None
    max_retries: int | None = None
    mapping: FieldMapping | None = None
    merging: Merging = field(default_factory=Merging)
    two_way: bool = False
