"""Streams of records: each is looked at as it comes, all are taken when the stream has ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from crmsync.v1 import bulk_record_pb2 as pb
from crmsync_server.errors import InvalidRequestError, TooManyItemsError, Violation
from crmsync_server.rpc import bulk_messages, bulk_records
from crmsync_server.rpc.bulk_records import Names, Said
from crmsync_server.rpc.spool import Spool
from crmsync_server.store.bulk import Code, Finding, Head, Operation, Records

_FIELD = "records"
_MOST = 50_000
_MOST_IN_MESSAGE = 1_000
_FINGERPRINT_BYTES = 16
_LENGTH_BYTES = 4


@dataclass(slots=True)
class Stream:
    """The records of a stream, as far as it has come.

    removes: whether the CRM's records can be removed. heads: of those without a finding.
    """

    spool: Spool
    removes: bool
    heads: list[Head] = field(default_factory=list)
    findings: dict[int, Finding] = field(default_factory=dict)
    _names: Names = field(default_factory=Names)
    _hash: blake2b = field(default_factory=lambda: blake2b(digest_size=_FINGERPRINT_BYTES))

    @property
    def received(self) -> int:
        """How many records have come."""
        return len(self.spool)

    @property
    def records(self) -> Records:
        """Those without a finding."""
        return Records(self.heads, self._load)

    def fingerprint(self, options: bytes) -> bytes:
        """Return a hash of the records and the options that came with them."""
        whole = self._hash.copy()
        whole.update(options)
        return whole.digest()

    def add(self, records: Iterable[pb.BulkRecord]) -> Sequence[Head]:
        """Look at the records of a message; return what the good ones name.

        Raises TooManyItemsError.
        """
        good = len(self.heads)
        for record in records:
            index = self.received
            if index == _MOST:
                raise TooManyItemsError(_FIELD, _MOST, _MOST + 1)
            bulk_records.tidy(record)
            piece = record.SerializeToString(deterministic=True)
            # With its length: where a record ends is part of what it says.
            self._hash.update(len(piece).to_bytes(_LENGTH_BYTES) + piece)
            self.spool.add(piece)
            if finding := self._judged(index, record, piece):
                self.findings[index] = finding
        return self.heads[good:]

    def _judged(self, index: int, record: pb.BulkRecord, piece: bytes) -> Finding | None:
        if broken := bulk_records.broken(record, raw=piece):
            told = bulk_messages.summary(broken)
            return Finding(index, Code.INVALID, told, broken)
        head = bulk_records.head(index, record)
        if head.operation is Operation.DELETE and not self.removes:
            told = "the CRM's adapter does not offer to remove records"
            return Finding(index, Code.NOT_SUPPORTED, told)
        if (first := self._names.first(head)) is not None:
            return bulk_records.duplicate(head, first)
        self.heads.append(head)
        return None

    def _load(self, index: int) -> Said:
        return Said(pb.BulkRecord.FromString(self.spool.get(index)))


def refuse_excess(count: int) -> None:
    """Refuse a message with too many records; raises TooManyItemsError."""
    if count > _MOST_IN_MESSAGE:
        raise TooManyItemsError(_FIELD, _MOST_IN_MESSAGE, count)


def refuse_nothing(received: int) -> None:
    """Refuse a stream without records; raises InvalidRequestError."""
    if not received:
        raise InvalidRequestError([Violation(_FIELD, "repeated.min_items", "must not be empty")])
