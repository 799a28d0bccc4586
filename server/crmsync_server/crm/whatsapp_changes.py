"""What a webhook of Meta's tells: messages that came, and how far those that went have come.

Facts this file stands on: entries, changes, messages and statuses are all arrays; a post with
statuses has no contacts; times are texts of seconds since 1970; types of messages become more; who
hides their number behind a name is told without it, by an id (`user_id`, `from_user_id`) that has
letters, and that is told besides the number of everybody else.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from crmsync_server.crm.hiding import keepable
from crmsync_server.crm.messaging import Change, Fault, Incoming, Sender, StatusTold
from crmsync_server.crm.replies import count, mapping, mappings, text
from crmsync_server.crm.webhook import UnreadableError
from crmsync_server.crm.whatsapp_errors import problem

Object = Mapping[str, object]
Clock = Callable[[], datetime]

_OBJECT = "whatsapp_business_account"
_MESSAGES = "messages"
_DEEPEST = 100
_TOO_DEEP = f"the body is nested more than {_DEEPEST} deep"
_LONGEST_ID = 200
# Two letters, a point, perhaps "ENT" and another one, and up to 128 signs.
_LONGEST_PERSON = 140
_LONGEST_WORD = 100
_LONGEST_NAME = 500
_NUMBER = re.compile(r"[0-9]{1,20}")
_PUNCTUATION = re.compile(r"[\s()+-]")
_TEXTS = ("body", "caption", "text", "emoji")
# What may become something that Postgres does not take; bytes that are not UTF-8 alone included.
_DOUBTFUL = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|[0-9][eE]|[\x00\xed\xfe\xff]")


def changes(body: bytes, clock: Clock) -> Sequence[Change]:
    """Return what a webhook tells; see crm.messaging. clock: for what tells no time.

    Raises UnreadableError.
    """
    told = mapping(_parsed(body))
    if told.get("object") != _OBJECT or not isinstance(told.get("entry"), list):
        msg = "the body is not about a WhatsApp Business account"
        raise UnreadableError(msg)
    return [
        _change(text(entry.get("id")), change, clock)
        for entry in mappings(told["entry"])
        for change in mappings(entry.get("changes"))
    ]


def _parsed(body: bytes) -> object:
    try:
        told = json.loads(body)
        # Most bodies are short and plain: going through them costs as much as reading them.
        plain = body.count(b"[") + body.count(b"{") <= _DEEPEST and not _DOUBTFUL.search(body)
        return told if plain else _clean(told, 0)
    except UnreadableError:
        raise
    except ValueError:
        msg = "the body is no JSON"
        raise UnreadableError(msg) from None
    except RecursionError:
        raise UnreadableError(_TOO_DEEP) from None


def _clean(value: object, depth: int) -> object:
    """Return JSON that Postgres takes: it knows no NUL, no half of a pair, and no infinity."""
    if depth > _DEEPEST:
        raise UnreadableError(_TOO_DEEP)
    match value:
        case str():
            return keepable(value)
        case float() if not math.isfinite(value):
            return None
        case list():
            return [_clean(item, depth + 1) for item in value]
        case dict():
            return {keepable(name): _clean(item, depth + 1) for name, item in value.items()}
    return value


def _change(waba_id: str, change: Object, clock: Clock) -> Change:
    value = mapping(change.get("value"))
    owner = mapping(value.get("waba_info"))
    # Other fields have things of these names, too, that are none.
    told = value if change.get("field") == _MESSAGES else {}
    contacts = [*_senders(told)]
    return Change(
        phone_number_id=_word(mapping(value.get("metadata")).get("phone_number_id")),
        waba_id=_word(owner.get("waba_id")) or _word(waba_id),
        contacts=contacts,
        messages=[*_incoming(told, contacts, clock)],
        statuses=[*_statuses(told, clock)],
        business_id=_word(owner.get("owner_business_id")),
    )


def _senders(told: Object) -> Iterator[Sender]:
    for contact in mappings(told.get("contacts")):
        number, user_id = _digits(contact.get("wa_id")), _person(contact.get("user_id"))
        if wa_id := number or user_id or _person(contact.get("wa_id")):
            profile = mapping(contact.get("profile"))
            name = text(profile.get("name")).strip() or text(profile.get("username")).strip()
            yield Sender(wa_id, name[:_LONGEST_NAME], user_id if user_id != wa_id else "")


def _incoming(told: Object, contacts: Sequence[Sender], clock: Clock) -> Iterator[Incoming]:
    for message in _objects(told.get("messages")):
        kind = _word(message.get("type")) or "unknown"
        time = _time(message.get("timestamp"), clock)
        sender = _sender(message, contacts)
        yield Incoming(_id(message), sender, kind, _text(kind, message), time, message)


def _objects(told: object) -> Iterator[Object]:
    """Yield messages; what is none of Meta's shape is one whose content nobody understands."""
    for one in told if isinstance(told, list) else []:
        yield one if isinstance(one, dict) else {"content": one}


def _sender(message: Object, contacts: Sequence[Sender]) -> str:
    """Return who sent a message: by number, or else by the id that stands for a hidden one."""
    if number := _digits(message.get("from")):
        return number
    told = _person(message.get("from_user_id")) or _person(message.get("from"))
    # Who sent it stands beside it too, perhaps with the number.
    named = (one.wa_id for one in contacts if told and told in {one.wa_id, one.user_id})
    only = contacts[0].wa_id if len(contacts) == 1 else ""
    return next(named, told) or only


def _statuses(told: Object, clock: Clock) -> Iterator[StatusTold]:
    for status in mappings(told.get("statuses")):
        yield StatusTold(
            _id(status),
            _word(status.get("status")),
            _time(status.get("timestamp"), clock),
            _digits(status.get("recipient_id")),
            [_fault(error) for error in mappings(status.get("errors"))],
            _word(status.get("biz_opaque_callback_data")),
        )


def _fault(error: Object) -> Fault:
    found = problem(error)
    return Fault(found.kind, found.code or 0, found.message)


def _text(kind: str, message: Object) -> str:
    """Return what somebody wrote or chose; the object of a message is named like its type."""
    content = mapping(message.get(kind))
    if found := next((text(content[name]) for name in _TEXTS if text(content.get(name))), ""):
        return found
    chosen = mapping(content.get(text(content.get("type"))))
    return text(chosen.get("title")) or text(chosen.get("body"))


def _time(value: object, clock: Clock) -> datetime:
    seconds = count(text(value))
    try:
        return clock() if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return clock()


def _digits(value: object) -> str:
    """Return a number of WhatsApp's; empty where it is none, such as the id of a hidden one."""
    found = _PUNCTUATION.sub("", text(value))
    return found if _NUMBER.fullmatch(found) else ""


def _person(value: object) -> str:
    """Return an id of somebody that is no number; empty where there is none that can be kept."""
    found = text(value).strip()
    return found if len(found) <= _LONGEST_PERSON else ""


def _id(told: Object) -> str:
    found = text(told.get("id")).strip()
    return found if len(found) <= _LONGEST_ID else ""


def _word(value: object) -> str:
    return text(value).strip()[:_LONGEST_WORD]
