"""What it means that a CRM was only asked something, and did not answer."""

from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown

Trouble = Postponed | Retry | Rejected


def unanswered(why: Outcome) -> Trouble:
    """Return why there is no answer; where the answer was lost, asking again is safe."""
    if isinstance(why, Postponed | Retry | Rejected):
        return why
    message = why.message if isinstance(why, Unknown) else "the answer cannot be read"
    return Retry("NO_ANSWER", message)
