"""People with telephones: they write to the business, and read what it writes to them."""

from collections.abc import Callable
from datetime import datetime

from crmsync_server.sandbox.whatsapp_account import Account, Outgoing
from crmsync_server.sandbox.whatsapp_errors import told
from crmsync_server.sandbox.wire import JsonObject

Tell = Callable[[JsonObject], None]


class WhatsAppUser:
    """Everybody whom the business knows, or does not know yet."""

    def __init__(self, account: Account, tell: Tell) -> None:
        """Write to this account; tell takes the value of each change."""
        self._account = account
        self._tell = tell

    def write(
        self,
        wa_id: str,
        text: str = "",
        *,
        name: str = "",
        number_id: str = "",
        at: datetime | None = None,
        content: JsonObject | None = None,
    ) -> str:
        """Write a message to the business and return its id.

        Args:
            wa_id: digits of the writer's number.
            text: what is written, where there is no other content.
            name: of the writer's profile; a number without one tells none.
            number_id: of the business's number; by default its first.
            at: when it was written; by default now.
            content: any other kind of message, such as `{"type": "image", "image": {…}}`.
        """
        number = self._account.numbers[number_id or next(iter(self._account.numbers))]
        time = at or self._account.clock()
        wamid = self._account.new_wamid()
        message: JsonObject = {
            "from": wa_id,
            "id": wamid,
            "timestamp": str(int(time.timestamp())),
            **(content or {"type": "text", "text": {"body": text}}),
        }
        contact: JsonObject = {"wa_id": wa_id}
        if name:
            contact["profile"] = {"name": name}
        key = (number.id, wa_id)
        self._account.heard[key] = max(time, self._account.heard.get(key, time))
        self._tell(self._value(number.id, contacts=[contact], messages=[message]))
        return wamid

    def report(
        self,
        sent: Outgoing,
        status: str,
        *,
        at: datetime | None = None,
        code: int | None = None,
    ) -> None:
        """Tell the business how far a message of its has come: a post without contacts.

        status: `sent`, `delivered`, `read` or `failed`; code: why it failed.
        """
        time = at or self._account.clock()
        said: JsonObject = {
            "id": sent.wamid,
            "status": status,
            "timestamp": str(int(time.timestamp())),
            "recipient_id": sent.to,
        }
        if data := sent.body.get("biz_opaque_callback_data"):
            said["biz_opaque_callback_data"] = data
        if code is not None:
            said["errors"] = [told(code)]
        self._tell(self._value(sent.number_id, statuses=[said]))

    def _value(self, number_id: str, **parts: list[JsonObject]) -> JsonObject:
        number = self._account.numbers[number_id]
        return {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": number.digits,
                "phone_number_id": number.id,
            },
            **parts,
        }
