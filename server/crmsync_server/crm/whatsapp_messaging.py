"""The messages of one WhatsApp Business account; see crm.messaging."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from crmsync_server.crm.messaging import AccountFound, Change, Outgoing, SendOutcome
from crmsync_server.crm.questions import Trouble
from crmsync_server.crm.webhook import Inbound
from crmsync_server.crm.whatsapp_account import WhatsAppAccount
from crmsync_server.crm.whatsapp_changes import changes
from crmsync_server.crm.whatsapp_sending import Sending
from crmsync_server.crm.whatsapp_webhooks import Signatures


class WhatsAppMessaging:
    """Reads the account, sends messages, and reads what webhooks tell of them."""

    def __init__(
        self,
        owner: WhatsAppAccount,
        sending: Sending,
        signatures: Signatures,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the account, what sends, what vouches for webhooks, and a clock."""
        self._owner = owner
        self._sending = sending
        self._signatures = signatures
        self._clock = clock

    async def account(self) -> AccountFound | Trouble:
        """Read the account and its phone numbers. Raises CredentialsRefusedError."""
        return await self._owner.whole()

    async def send(self, message: Outgoing) -> SendOutcome:
        """Send one message, by one call that is never repeated. Never raises."""
        return await self._sending.send(message)

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether Meta sent this; False without an app_secret."""
        return self._signatures.genuine(inbound)

    def challenge(self, params: Mapping[str, str]) -> str | None:
        """Return what answers the handshake of a GET, None without the verify_token in it."""
        return self._signatures.challenge(params)

    def read(self, body: bytes) -> Sequence[Change]:
        """Return what a genuine webhook tells; raises UnreadableError."""
        return changes(body, self._clock)
