"""The messages of an adapter, told without secrets as the adapter itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crmsync_server.crm.messaging import (
    AccountFound,
    Change,
    Messaging,
    Outgoing,
    Refused,
    SendOutcome,
    SlowDown,
    Unanswered,
)
from crmsync_server.crm.questions import Trouble
from crmsync_server.crm.webhook import Inbound
from crmsync_server.sync.redaction import Redaction


class DiscreetMessaging:
    """Passes everything on, but for what exceptions and messages repeat."""

    def __init__(self, messaging: Messaging, redaction: Redaction) -> None:
        """Take the messages of an adapter, and what takes secrets out."""
        self._messaging = messaging
        self._redaction = redaction

    async def account(self) -> AccountFound | Trouble:
        """Read the account; see crm.messaging."""
        return self._redaction.cleaned(await self._redaction.kept(self._messaging.account()))

    async def send(self, message: Outgoing) -> SendOutcome:
        """Send a message; see crm.messaging."""
        outcome = await self._redaction.kept(self._messaging.send(message))
        if isinstance(outcome, SlowDown | Refused | Unanswered):
            return replace(outcome, message=self._redaction.text(outcome.message))
        return outcome

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether a webhook is genuine; see crm.messaging."""
        try:
            return self._messaging.genuine(inbound)
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = self._redaction.fault(error)
        raise fault

    def challenge(self, params: Mapping[str, str]) -> str | None:
        """Answer a handshake; see crm.messaging."""
        try:
            return self._messaging.challenge(params)
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = self._redaction.fault(error)
        raise fault

    def read(self, body: bytes) -> Sequence[Change]:
        """Return what a webhook tells; see crm.messaging."""
        try:
            return self._messaging.read(body)
        except Exception as error:  # noqa: BLE001 - any fault is told in its own way
            fault = self._redaction.fault(error)
        raise fault
