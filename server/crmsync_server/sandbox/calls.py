"""What was asked of a simulated CRM, counted."""

from collections import Counter

from crmsync_server.sandbox.wire import JsonObject


class CallLog:
    """Counts requests by method, path template and outcome, and the records they wrote."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._calls: Counter[tuple[str, str, str, bool]] = Counter()
        self.records_created = 0
        self.records_updated = 0

    def record(self, method: str, path: str, outcome: str, *, write: bool) -> None:
        """Count a request; `outcome` is its status, or the fault that left it unanswered."""
        self._calls[method, path, outcome, write] += 1

    def clear(self) -> None:
        """Forget everything counted."""
        self._calls.clear()
        self.records_created = 0
        self.records_updated = 0

    def as_json(self) -> JsonObject:
        """Return the counts.

        `{calls: [{method, path, status, write, count}], total, reads, writes, records_created,
        records_updated}`; `status` is a string such as "200" or "drop_after_applying", `writes`
        counts requests, and `records_*` the records they changed.
        """
        calls = [
            {"method": method, "path": path, "status": outcome, "write": write, "count": count}
            for (method, path, outcome, write), count in sorted(self._calls.items())
        ]
        writes = sum(count for (*_, write), count in self._calls.items() if write)
        return {
            "calls": calls,
            "total": self._calls.total(),
            "reads": self._calls.total() - writes,
            "writes": writes,
            "records_created": self.records_created,
            "records_updated": self.records_updated,
        }
