"""Sending a message: one call, which is never repeated, and what its answer means.

Facts this file stands on: nothing tells a repetition apart; a success names the id of the message
and says only that it was taken; an error says by its number whether it may be sent again.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError
from crmsync_server.crm.hiding import keepable
from crmsync_server.crm.http import Caller, Fault
from crmsync_server.crm.messaging import (
    FaultKind,
    Outgoing,
    Refused,
    Scope,
    SendOutcome,
    Sent,
    SlowDown,
    Template,
    Unanswered,
)
from crmsync_server.crm.outcomes import Unknown
from crmsync_server.crm.replies import Reply, brief, mappings, retry_after, text
from crmsync_server.crm.whatsapp_errors import PASSING_WAIT, Problem, denied, problem_of, until

MESSAGES = "messages"
"""The bucket that every message is taken from."""

OURS = 0
"""The number of a failure that Meta did not tell."""

_ID = re.compile(r"[0-9]{1,64}")
_LONGEST_ID = 500
_NOT_ALLOWED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Sending:
    """Sends the messages of one account."""

    def __init__(self, caller: Caller) -> None:
        """Take the account's calls."""
        self._caller = caller

    async def send(self, message: Outgoing) -> SendOutcome:
        """Send one message by one call; never raises."""
        if not _ID.fullmatch(message.phone_number_id):
            words = "the id of the phone number to send from is none of Meta's: it has digits only"
            return Refused(FaultKind.NEVER, OURS, words)
        waits = await self._taken()
        return await self._sent(message) if waits is None else waits

    async def _taken(self) -> SlowDown | None:
        """Take a message from the allowance; nothing has left as yet."""
        try:
            await self._caller.tools.quota.take(MESSAGES)
        except QuotaExhaustedError as used_up:
            return SlowDown(used_up.until, OURS, str(used_up), Scope.ACCOUNT)
        except Exception as fault:  # noqa: BLE001 - whatever kept the allowance away, nothing left
            words = f"the allowance of messages could not be asked ({type(fault).__name__})"
            return self._later(words)
        return None

    async def _sent(self, message: Outgoing) -> SendOutcome:
        path = f"/{message.phone_number_id}/messages"
        try:
            told = await self._caller.call("POST", path, buckets=(), json=body(message))
        except CredentialsRefusedError as refused:  # where it may not be called at all
            return Refused(FaultKind.ACCOUNT, OURS, brief(str(refused)))
        except Exception as fault:  # noqa: BLE001 - it may have left: whatever it was, nobody knows
            return Unanswered(f"sending the message failed ({type(fault).__name__})")
        if not isinstance(told, Reply):
            return self._lost(told)
        outcome = outcome_of(told, self._caller.tools.clock())
        if isinstance(outcome, SlowDown) and problem_of(told).is_of_pace:
            self._caller.tools.quota.refused(MESSAGES, outcome.until)
        return outcome

    def _lost(self, fault: Fault) -> SendOutcome:
        if isinstance(fault, Unknown):
            return Unanswered(fault.message)
        return self._later(fault.message)

    def _later(self, words: str) -> SlowDown:
        moment = self._caller.tools.clock() + PASSING_WAIT
        return SlowDown(moment, OURS, words, Scope.ACCOUNT)


def body(message: Outgoing) -> Mapping[str, object]:
    """Return what is sent."""
    told = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": keepable(message.to),
        "biz_opaque_callback_data": str(message.message_id),
    }
    if message.template is None:
        return told | {"type": "text", "text": {"body": keepable(message.text)}}
    return told | {"type": "template", "template": _template(message.template)}


def _template(template: Template) -> Mapping[str, object]:
    told: dict[str, object] = {
        "name": keepable(template.name),
        "language": {"code": keepable(template.language)},
    }
    if template.body_parameters:
        given = [{"type": "text", "text": keepable(one)} for one in template.body_parameters]
        told["components"] = [{"type": "body", "parameters": given}]
    return told


def outcome_of(reply: Reply, now: datetime) -> SendOutcome:
    """Decide what an answer means."""
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        taken = [text(one.get("id")).strip() for one in mappings(reply.fields.get("messages"))]
        if taken and 0 < len(taken[0]) <= _LONGEST_ID:
            return Sent(taken[0])
    found = problem_of(reply)
    if found.code is None:
        return _by_status(reply, found, now)
    if found.leaves_open(reply.status):
        return Unanswered(brief(f"{found.message} ({found.code})"))
    if found.slow is not None:
        return SlowDown(until(found.slow, reply, now), found.code, found.message, found.slow.scope)
    return Refused(found.kind, found.code, found.message, found.trace_id)


def _by_status(reply: Reply, found: Problem, now: datetime) -> SendOutcome:
    """Decide without a number: that is no answer of the Graph API's, but what stands before it."""
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        moment = retry_after(reply.headers, now) or now + PASSING_WAIT
        return SlowDown(moment, OURS, found.message, Scope.ACCOUNT)
    if denied(reply):
        kind = FaultKind.ACCOUNT if reply.status in _NOT_ALLOWED else FaultKind.NEVER
        return Refused(kind, OURS, found.message, found.trace_id)
    return Unanswered(found.message)
