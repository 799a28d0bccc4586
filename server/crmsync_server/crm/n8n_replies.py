"""What n8n's replies to a delivery mean.

n8n tells its own refusals apart by their texts. A workflow that was started may have done
anything: what is tried again then relies on the receiver to know what it has already taken.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.bisect import Refused
from crmsync_server.crm.guard import Faulted
from crmsync_server.crm.n8n_body import Record
from crmsync_server.crm.n8n_calls import Webhook
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced, Unknown
from crmsync_server.crm.replies import Reply, brief, mappings, retry_after, text

_STARTED = "Workflow was started"
_STARTING_UP = "n8n is starting up"
_NO_CREDENTIALS = "No authentication data defined on node"
_FAILED = "Error in workflow"
_RATE_WAIT = timedelta(seconds=10)
_CODE_LENGTH = 64
# Nothing of n8n's or of a proxy's making says with these that the call can be made again.
_WAITING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})

Answer = Sequence[Outcome] | Refused[Outcome] | Faulted[Outcome]


def judge(reply: Reply, records: Sequence[Record], webhook: Webhook) -> Answer:
    """Decide what a reply other than 404 means for the records of its call.

    Raises CredentialsRefusedError where the connection is at fault.
    """
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise CredentialsRefusedError(_refusal(reply))
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        until = retry_after(reply.headers, webhook.now()) or webhook.now() + _RATE_WAIT
        return Faulted(Postponed(until, "RATE_LIMIT", words(reply)))
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return _accepted(reply, records, webhook)
    if reply.status < HTTPStatus.BAD_REQUEST:
        msg = f"n8n's URL answers with a redirect ({reply.status}); give the URL it leads to"
        raise CredentialsRefusedError(msg)
    if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _refused(reply)
    return _failed(reply, records, webhook)


def words(reply: Reply) -> str:
    """Return n8n's message with its hint, or what the body holds instead."""
    parts = [text(reply.fields.get("message")), text(reply.fields.get("hint"))]
    return brief(" ".join(part for part in parts if part)) or reply.text


def perhaps(code: str, message: str, webhook: Webhook) -> Retry | Unknown:
    """Return what ends a call that may have started the workflow, without saying so."""
    if webhook.options.deduplicates:
        return Retry(code, brief(message))
    return Unknown(brief(message))


def _accepted(reply: Reply, records: Sequence[Record], webhook: Webhook) -> Answer:
    if reply.body is None and _STARTING_UP in reply.text:
        return Faulted(Retry("STARTING_UP", reply.text))
    if webhook.options.results:
        results = _Results(reply)
        return [results.outcome(record, webhook) for record in records]
    if text(reply.fields.get("message")) == _STARTED:
        return [Synced(record.delivery_id) for record in records]
    expected = f'n8n answered {reply.status}, but not "{_STARTED}": {reply.text}'
    return [perhaps("UNACCOUNTED", expected, webhook)] * len(records)


def _refused(reply: Reply) -> Answer:
    message = f"n8n answered {reply.status}: {words(reply)}"
    if reply.status in _WAITING:
        return Faulted(Retry("CRM_FAULT", brief(message)))
    code = "TOO_LARGE" if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else "REFUSED"
    return Refused(Rejected(code, brief(message)))


def _failed(reply: Reply, records: Sequence[Record], webhook: Webhook) -> Answer:
    told = words(reply)
    if _NO_CREDENTIALS in told:
        msg = f"the Webhook node asks for authentication and has no credential: {told}"
        raise CredentialsRefusedError(msg)
    message = f"n8n answered {reply.status}: {told}"
    if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return Faulted(Retry("CRM_FAULT", brief(message)))
    if reply.status != HTTPStatus.INTERNAL_SERVER_ERROR or _FAILED not in told:
        return Faulted(perhaps("CRM_FAULT", message, webhook))
    outcome = perhaps("WORKFLOW_FAILED", message, webhook)
    # Which of them it failed at is found by sending fewer, if they may be sent again at all.
    return Refused(outcome) if webhook.options.deduplicates else [outcome] * len(records)


def _refusal(reply: Reply) -> str:
    hint = ""
    if reply.status == HTTPStatus.FORBIDDEN:
        hint = "; the node may also have a list of allowed addresses, or ignore bots"
    return f"n8n refuses the credentials ({reply.status}): {words(reply)}{hint}"


class _Results:
    """What a workflow's reply says of each delivery, by its id."""

    def __init__(self, reply: Reply) -> None:
        found = reply.body if isinstance(reply.body, list) else reply.fields.get("results")
        entries = mappings(found) or [reply.fields]
        self._entries: dict[str, list[Mapping[str, object]]] = {}
        for entry in entries:
            self._entries.setdefault(text(entry.get("delivery_id")), []).append(entry)
        self._reply = reply

    def outcome(self, record: Record, webhook: Webhook) -> Outcome:
        entries = self._entries.get(record.delivery_id, [])
        entry = entries[0] if len(entries) == 1 else {}
        message = brief(text(entry.get("message")))
        code = text(entry.get("code")).upper()[:_CODE_LENGTH]
        execution = brief(text(entry.get("execution_id")))
        match text(entry.get("status")).lower():
            case "synced":
                return Synced(record.delivery_id, execution, message)
            case "rejected":
                return Rejected(code or "REJECTED", message or "no reason given", execution)
            case "retry":
                return Retry(code or "RETRY", message or "no reason given", request_id=execution)
        unaccounted = (
            f"the reply ({self._reply.status}) must hold one result for the delivery "
            f"{record.delivery_id}, with the status synced, rejected or retry: {self._reply.text}"
        )
        return perhaps("UNACCOUNTED", unaccounted, webhook)
