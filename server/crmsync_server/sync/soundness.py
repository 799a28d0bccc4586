"""Whether what an adapter answered can be kept: an adapter may be anybody's code."""

from dataclasses import fields
from datetime import datetime

from crmsync_server.crm.outcomes import Accepted, Outcome, Synced
from crmsync_server.sync.storable import storable

_TEXTS = ("crm_contact_id", "code", "message", "request_id", "ticket")


def is_sound(outcome: object) -> bool:
    """Tell whether this is an outcome whose parts are of their types."""
    if type(outcome) is Synced:  # nearly all are; what follows costs ten times as much
        return type(outcome.crm_contact_id) is str and type(outcome.request_id) is str
    if not isinstance(outcome, Outcome):
        return False
    parts = [getattr(outcome, field.name) for field in fields(outcome)]
    texts = all(isinstance(getattr(outcome, name, ""), str) for name in _TEXTS)
    if texts and isinstance(outcome, Accepted) and storable(outcome.ticket) != outcome.ticket:
        return False  # it could not be asked about by another name
    return texts and all(part.tzinfo is not None for part in parts if isinstance(part, datetime))
