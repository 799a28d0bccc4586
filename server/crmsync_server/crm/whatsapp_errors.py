"""What Meta's errors mean. They are told by number; HTTP's status and the words decide nothing.

Facts this file stands on: an error is an object with a code, words, perhaps details, and
`is_transient`; titles and subcodes are going away. Webhooks tell the same numbers as replies.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import httpx

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.messaging import LONGEST_DETAIL, FaultKind, Scope
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.questions import Trouble
from crmsync_server.crm.replies import Reply, brief, mapping, mappings, retry_after, text

INVALID_PARAMETER = 100
PASSING_WAIT = timedelta(seconds=10)
"""How long to wait after a fault that may pass, where nobody says."""

_LARGEST_CODE = 2**31 - 1
_LONGEST_WAIT = timedelta(days=1)
_LONGEST_TRACE = 100
_CREDENTIALS = frozenset({0, 102, 190})
_PERMISSIONS = frozenset({3, 10, *range(200, 300), 131005})
# Restricted for a violation, locked, not paid for.
_ACCOUNT = _CREDENTIALS | _PERMISSIONS | {368, 131031, 131042}
# Ourselves, not reached, not on a test account's list, and what Meta keeps from somebody.
_RECIPIENT = frozenset({130472, 130497, 131021, 131026, 131030, 131049, 131050})
_UNKNOWN = 1
# "Something went wrong", which one message may do again and again: others do not wait for it.
_VAGUE = frozenset({_UNKNOWN, 131000})
# The request, the number's own standing, the 24 hours that are over, a kind of message, templates.
_NEVER = frozenset(
    {33, INVALID_PARAMETER, 131008, 131009, 131037, 131043, 131045, 131047, 131051, 131052, 131053}
    | {133010, *range(132_000, 133_000)}
)
# What all messages are sent too fast for; one recipient, or complaints, are another matter.
_PACE = frozenset({4, 613, 80007, 80008, 130429})
_KNOWN = _ACCOUNT | _RECIPIENT | _NEVER


@dataclass(frozen=True, slots=True)
class Slow:
    """For what to slow down, and for how long where nobody says.

    limit: whether a limit was met; else it is a fault that may pass.
    """

    scope: Scope
    wait: timedelta
    limit: bool = True


_SLOW: Mapping[int, Slow] = {
    4: Slow(Scope.ACCOUNT, timedelta(minutes=1)),
    613: Slow(Scope.ACCOUNT, timedelta(minutes=1)),
    80007: Slow(Scope.ACCOUNT, timedelta(minutes=1)),
    80008: Slow(Scope.ACCOUNT, timedelta(minutes=1)),
    130429: Slow(Scope.NUMBER, timedelta(seconds=5)),
    131048: Slow(Scope.NUMBER, timedelta(hours=1)),
    131057: Slow(Scope.NUMBER, timedelta(minutes=10), limit=False),
    # One message in six seconds is what Meta takes for one recipient, without what it lends.
    131056: Slow(Scope.RECIPIENT, timedelta(seconds=6)),
    2: Slow(Scope.ACCOUNT, PASSING_WAIT, limit=False),
    131016: Slow(Scope.ACCOUNT, PASSING_WAIT, limit=False),
    133004: Slow(Scope.ACCOUNT, PASSING_WAIT, limit=False),
    **{code: Slow(Scope.RECIPIENT, PASSING_WAIT, limit=False) for code in _VAGUE},
}
_PASSING = Slow(Scope.ACCOUNT, PASSING_WAIT, limit=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as Meta told it.

    code: None where it told none. passes: what it said of whether it does; None where nothing.
    trace_id: what its support asks for.
    """

    code: int | None
    message: str
    trace_id: str = ""
    passes: bool | None = None

    @property
    def kind(self) -> FaultKind:
        """What it is about; a number that is not known will not do another time either."""
        if self.slow is not None:
            return FaultKind.SLOW_DOWN
        if self.code in _ACCOUNT:
            return FaultKind.ACCOUNT
        return FaultKind.RECIPIENT if self.code in _RECIPIENT else FaultKind.NEVER

    @property
    def slow(self) -> Slow | None:
        """How to slow down; None where that does not help."""
        if self.code is None or (self.code in _VAGUE and self.passes is False):
            return None
        return _SLOW.get(self.code, _PASSING if self.passes and self.code not in _KNOWN else None)

    def leaves_open(self, status: int) -> bool:
        """Tell whether nobody knows, after this, if what was asked for was done.

        A server's failure that it has no word for, and does not call a passing one, may come after.
        """
        if status < HTTPStatus.INTERNAL_SERVER_ERROR or self.passes:
            return False
        return self.code == _UNKNOWN or self.code not in _KNOWN | _SLOW.keys()

    @property
    def is_of_pace(self) -> bool:
        """Whether all messages are sent too fast."""
        return self.code in _PACE


def problem(error: Mapping[str, object], headers: httpx.Headers | None = None) -> Problem:
    """Return an error of a reply or of a webhook; headers: of the reply."""
    words = text(error.get("message")) or text(error.get("title"))
    details = text(mapping(error.get("error_data")).get("details"))
    if details and details not in words:
        words = f"{words}: {details}" if words else details
    trace = text(error.get("fbtrace_id"))
    if not trace and headers is not None:
        trace = headers.get("x-fb-trace-id", "")
    passes = error.get("is_transient")
    return Problem(
        code(error.get("code")),
        brief(words)[:LONGEST_DETAIL],
        brief(trace)[:_LONGEST_TRACE],
        passes if isinstance(passes, bool) else None,
    )


def problem_of(reply: Reply) -> Problem:
    """Return the error of a reply that was no success; without one, what else it said."""
    found = problem(mapping(reply.fields.get("error")), reply.headers)
    if found.message:
        return found
    words = brief(f"WhatsApp answered {reply.status}: {reply.text}")[:LONGEST_DETAIL]
    return Problem(found.code, words, found.trace_id, found.passes)


def code(value: object) -> int | None:
    """Return an error's number, which may come as a text; None where there is none."""
    words = text(value).strip()
    if not (words.isascii() and words.isdecimal()) or len(words) > len(str(_LARGEST_CODE)):
        return None
    return int(words) if int(words) <= _LARGEST_CODE else None


def until(slow: Slow, reply: Reply, now: datetime) -> datetime:
    """Return until when to wait: as the reply says, or else as is usual."""
    return retry_after(reply.headers, now) or _regained(reply.headers, now) or now + slow.wait


def trouble(reply: Reply, now: datetime) -> Trouble:
    """Decide what it means that a question was not answered; raises CredentialsRefusedError."""
    found = problem_of(reply)
    if found.code in _CREDENTIALS or (
        found.code is None and reply.status == HTTPStatus.UNAUTHORIZED
    ):
        msg = f"WhatsApp refuses the access token: {found.message}"
        raise CredentialsRefusedError(brief(msg))
    shown = "CRM_FAULT" if found.code is None else str(found.code)
    if found.slow is not None:
        moment = until(found.slow, reply, now)
        if found.slow.limit:
            return Postponed(moment, shown, found.message)
        return Retry(shown, found.message, moment, found.trace_id)
    if found.code in _PERMISSIONS:
        return Rejected("NO_PERMISSION", found.message, found.trace_id)
    if found.code is None and reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Postponed(until(_PASSING, reply, now), "RATE_LIMIT", found.message)
    if found.code is None and not denied(reply):
        return Retry(shown, found.message, retry_after(reply.headers, now), found.trace_id)
    return Rejected("NO_API" if found.code is None else shown, found.message, found.trace_id)


def denied(reply: Reply) -> bool:
    """Tell whether a status alone says that a request was not, and will not be, done."""
    clear = HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return clear and reply.status not in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


def _regained(headers: httpx.Headers, now: datetime) -> datetime | None:
    """Return when Meta foresees that a limit has passed; it tells minutes for each account."""
    try:
        usage = mapping(json.loads(headers.get("x-business-use-case-usage", "")))
    except (ValueError, RecursionError):
        return None
    told = [
        one.get("estimated_time_to_regain_access")
        for uses in usage.values()
        for one in mappings(uses)
    ]
    minutes = [
        float(one) for one in told if isinstance(one, int | float) and 0 < one < _LARGEST_CODE
    ]
    return now + min(timedelta(minutes=max(minutes)), _LONGEST_WAIT) if minutes else None
