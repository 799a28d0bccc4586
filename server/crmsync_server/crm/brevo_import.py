"""Starts Brevo's asynchronous imports, and the tickets by which they are found again."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.brevo_calls import Brevo, judge
from crmsync_server.crm.brevo_rows import Row
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.outcomes import Accepted, Outcome, Rejected
from crmsync_server.crm.replies import Reply, mapping, text

# Brevo takes 10 MB and recommends to stay below 8; the rest of the body is small.
MAX_BODY_BYTES = 8_000_000 - 4_096

# How long an import is expected to take: the first question should already find it completed.
_SHORTEST = timedelta(seconds=3)
_ROWS_PER_SECOND = 500
# 36 seconds apart is 100 an hour, all that the account has for such questions.
_SUSTAINED = timedelta(seconds=36)
_LONGEST = timedelta(minutes=10)
_EARLY_QUESTIONS = 3
_GIVEN_UP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Ticket:
    """An import under way.

    since: just before it started, by Brevo's clock; what it writes is modified after that.
    wait: from one question about it to the next; questions: how many were asked.
    """

    process_id: str
    since: datetime
    wait: timedelta
    questions: int = 0

    def encode(self) -> str:
        """Return the ticket as text, to be kept with the records."""
        return json.dumps(
            {
                "process": self.process_id,
                "since": self.since.isoformat(),
                "wait": self.wait.total_seconds(),
                "questions": self.questions,
            },
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, encoded: str) -> "Ticket":
        """Read a ticket; raises ValueError when it is none."""
        found = mapping(json.loads(encoded))
        return cls(
            text(found.get("process")),
            datetime.fromisoformat(text(found.get("since"))),
            timedelta(seconds=float(text(found.get("wait")))),
            int(text(found.get("questions"))),
        )

    def asked(self, *, answered: bool) -> "Ticket":
        """Return the ticket after one more question, sparse when questions are sustained.

        answered: the import is still at work, so the wait doubles; a question that met a fault
            is put again after the same wait.
        """
        questions = self.questions + 1
        least = _SUSTAINED if questions >= _EARLY_QUESTIONS else timedelta(0)
        wait = min(2 * self.wait, _LONGEST) if answered else self.wait
        return replace(self, wait=max(least, wait), questions=questions)

    def accepted(self, now: datetime) -> Accepted:
        """Return the outcome that has the engine ask after the ticket's wait."""
        return Accepted(self.encode(), now + self.wait)

    def is_given_up(self, now: datetime) -> bool:
        """Tell whether the import has taken longer than any import does."""
        return now - self.since > _GIVEN_UP


def entry(row: Row) -> dict[str, object]:
    """Return a row as an import carries it."""
    return {"email": row.email, "ext_id": row.ext_id, "attributes": row.attributes}


def portions(rows: Sequence[Row], max_bytes: int = MAX_BODY_BYTES) -> Iterator[list[Row]]:
    """Divide rows into imports whose bodies stay below a size; order is kept."""
    portion: list[Row] = []
    size = 0
    for row in rows:
        length = len(json.dumps(entry(row), ensure_ascii=False).encode()) + 1
        if portion and size + length > max_bytes:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += length
    if portion:
        yield portion


async def start(
    brevo: Brevo, rows: Sequence[Row]
) -> Sequence[Outcome] | Refused[Outcome] | Faulted[Outcome]:
    """Start one import; Accepted for each of its rows. Raises CredentialsRefusedError."""
    reply = await brevo.contacts("POST", "/import", json=_body(brevo, rows))
    if not isinstance(reply, Reply):
        return Faulted(reply)
    process_id = text(reply.fields.get("processId"))
    if reply.status == HTTPStatus.ACCEPTED and process_id:
        wait = max(_SHORTEST, timedelta(seconds=len(rows) / _ROWS_PER_SECOND))
        ticket = Ticket(process_id, brevo.server_time(reply), wait)
        return [ticket.accepted(brevo.now())] * len(rows)
    verdict = judge(reply, brevo)
    if isinstance(verdict, Faulted):
        return verdict
    return Refused(verdict) if isinstance(verdict, Rejected) else [verdict] * len(rows)


def _body(brevo: Brevo, rows: Sequence[Row]) -> dict[str, object]:
    notify_url = brevo.caller.account.options.get("notify_url", "")
    return {
        "jsonBody": [entry(row) for row in rows],
        "listIds": [brevo.list_id],
        "updateExistingContacts": True,
        "emptyContactsAttributes": False,
        # Otherwise the account's owner is mailed about each import.
        "disableNotification": True,
        **({"notifyUrl": notify_url} if notify_url else {}),
    }
