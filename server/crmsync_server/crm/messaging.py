"""What a system that carries messages offers: its account, sending, and reading its webhooks.

An adapter that can has an attribute `messaging`. There is no list of contacts to read, and no key
that makes sending twice harmless: whoever sends decides what to do about a lost answer.

Of WhatsApp the account's secrets are `access_token`, `app_secret` and `verify_token`, and its
option is `waba_id`, as ConnectAccount keeps them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from crmsync_server.crm.questions import Trouble
from crmsync_server.crm.webhook import Inbound

LONGEST_DETAIL = 500  # characters of what was said about a failure


@dataclass(frozen=True, slots=True)
class NumberFound:
    """A phone number of the account.

    id: the system's own. display_number: as people read it. quality: `green`, `yellow`, `red` or
    `unknown`. is_active: whether messages can be sent from it. verified: whether its name is.
    """

    id: str
    display_number: str
    verified_name: str = ""
    quality: str = "unknown"
    is_active: bool = True
    verified: bool = False


@dataclass(frozen=True, slots=True)
class AccountFound:
    """The account as the system tells of it; a text that it did not tell is empty."""

    name: str
    waba_id: str
    business_id: str
    numbers: Sequence[NumberFound]


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was approved, and what is put into its body, in order."""

    name: str
    language: str
    body_parameters: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be sent; either text or template is set.

    message_id: our own; the system gives it back with every status, as its opaque callback data.
    phone_number_id: whom it is sent from. to: digits of the international form, without a plus.
    """

    message_id: UUID
    phone_number_id: str
    to: str
    text: str = field(default="", repr=False)
    template: Template | None = None


class Scope(StrEnum):
    """For what somebody is to slow down."""

    RECIPIENT = "RECIPIENT"  # this number of ours to this recipient (131056)
    NUMBER = "NUMBER"  # this number of ours (130429, 131048)
    ACCOUNT = "ACCOUNT"  # the whole account or app (4, 80007), or a fault that may pass


class FaultKind(StrEnum):
    """What a failure is about."""

    SLOW_DOWN = "SLOW_DOWN"
    RECIPIENT = "RECIPIENT"
    ACCOUNT = "ACCOUNT"
    NEVER = "NEVER"


@dataclass(frozen=True, slots=True)
class Sent:
    """The system took the message. whatsapp_id: its id for it, never empty."""

    whatsapp_id: str


@dataclass(frozen=True, slots=True)
class SlowDown:
    """The message was certainly not taken, and may be sent again at a time."""

    until: datetime
    code: int
    message: str
    scope: Scope = Scope.NUMBER


@dataclass(frozen=True, slots=True)
class Refused:
    """The message was not taken, and would not be; kind is never SLOW_DOWN.

    trace_id: what the system's support asks for; empty where there is none.
    """

    kind: FaultKind
    code: int
    message: str
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """It was handed over and no answer that can be understood came: it may have been taken."""

    message: str


SendOutcome: TypeAlias = Sent | SlowDown | Refused | Unanswered


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a webhook is about.

    wa_id: digits without a plus; of who hides their number, the id that stands for it.
    name: of the profile; may be empty.
    user_id: the id that stays when the number is hidden, where it was told besides the number.
    """

    wa_id: str
    name: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One received message; what has no text or caption has an empty one.

    whatsapp_id: empty where none that can be used was told.
    from_: the sender's wa_id, or the id that stands for it; empty where neither was told.
    type: the system's word, kept where it is not known.
    payload: the message as it came, a JSON object.
    """

    whatsapp_id: str
    from_: str
    type: str
    text: str
    time: datetime
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a message failed, as a status tells it."""

    kind: FaultKind
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class StatusTold:
    """How far a sent message has come.

    whatsapp_id: empty where none that can be used was told.
    status: the system's word (`sent`, `delivered`, `read`, `failed`), kept where it is not known.
    callback_data: the message_id that it was sent with, as it came back; empty where it did not.
    """

    whatsapp_id: str
    status: str
    time: datetime
    recipient: str = ""
    errors: Sequence[Fault] = ()
    callback_data: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one entry of a webhook; those of the same body are in its order.

    phone_number_id: of the number that it is about; empty where it is about none.
    waba_id: of the account that it is about. business_id: of its owner, where the change tells it.
    """

    phone_number_id: str
    waba_id: str
    contacts: Sequence[Sender] = ()
    messages: Sequence[Incoming] = ()
    statuses: Sequence[StatusTold] = ()
    business_id: str = ""


class Messaging(Protocol):
    """The messages of one account."""

    async def account(self) -> AccountFound | Trouble:
        """Read the account and its phone numbers. Raises CredentialsRefusedError."""

    async def send(self, message: Outgoing) -> SendOutcome:
        """Send one message, by one call that is never repeated. Never raises.

        Where it certainly never left (no connection, refused by a limit), it is SlowDown.
        """

    def genuine(self, inbound: Inbound) -> bool:
        """Tell whether the system sent this, by X-Hub-Signature-256 over the raw bytes.

        In constant time; False without an app_secret. Never raises.
        """

    def challenge(self, params: Mapping[str, str]) -> str | None:
        """Return what answers the handshake of a GET, None where it is not to be answered."""

    def read(self, body: bytes) -> Sequence[Change]:
        """Return what a genuine webhook tells; parts that are not understood are left out.

        One for each change of each entry. What cannot be stored in Postgres (NUL, lone surrogates)
        is replaced. JSON that is broken, of another shape or nested beyond reason raises
        UnreadableError.
        """


def messaging_of(adapter: object) -> Messaging | None:
    """Return how an adapter's system carries messages, None where it does not."""
    found: Messaging | None = getattr(adapter, "messaging", None)
    return found
