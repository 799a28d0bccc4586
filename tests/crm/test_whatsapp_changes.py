"""What Meta's webhooks tell of messages, whatever shape they come in."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from crmsync_server.crm.messaging import Change, Fault, FaultKind, Incoming, Sender, StatusTold
from crmsync_server.crm.webhook import UnreadableError
from tests.crm.support import NOW, ScriptedCrm
from tests.crm.whatsapp_script import ADA, NUMBER, OWNER, WABA, adapter, posted, value

TIME = datetime(2025, 6, 8, 17, 39, 43, tzinfo=UTC)
WAMID = "wamid.HBgLMTY1MDM4Nzk0MzkVAgAS="


def read(body: bytes) -> Sequence[Change]:
    """Read a body."""
    return adapter(ScriptedCrm(lambda _: pytest.fail("called")).tools()).messaging.read(body)


def said(kind: str = "text", **more: object) -> dict[str, object]:
    """Return a message of somebody's."""
    told: dict[str, object] = {"from": ADA, "id": WAMID, "timestamp": "1749404383", "type": kind}
    return told | ({"text": {"body": "Hello"}} if kind == "text" else {}) | more


def only(**told: object) -> Change:
    """Read a body with one change."""
    (found,) = read(posted(value(**told)))
    return found


def message(told: dict[str, object]) -> Incoming:
    """Read a body with one message."""
    (found,) = only(messages=[told]).messages
    return found


def test_a_text_is_told_with_who_sent_it_and_when() -> None:
    """And as it came, besides."""
    sender = {"profile": {"name": "Ada"}, "wa_id": ADA}
    assert only(contacts=[sender], messages=[said()]) == Change(
        phone_number_id=NUMBER,
        waba_id=WABA,
        contacts=[Sender(ADA, "Ada")],
        messages=[Incoming(WAMID, ADA, "text", "Hello", TIME, said())],
        statuses=[],
    )
    assert only(messages=[said()]).messages[0].payload == said()


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        ("image", {"caption": "Taj Mahal", "id": "1"}, "Taj Mahal"),
        ("video", {"id": "1"}, ""),
        ("document", {"caption": "the bill", "filename": "bill.pdf"}, "the bill"),
        ("audio", {"id": "1", "voice": True}, ""),
        ("location", {"latitude": 37.4, "name": "Coffee"}, ""),
        ("button", {"payload": "P", "text": "Unsubscribe"}, "Unsubscribe"),
        ("interactive", {"type": "list_reply", "list_reply": {"title": "Express"}}, "Express"),
        ("interactive", {"type": "button_reply", "button_reply": {"title": "Cancel"}}, "Cancel"),
        ("interactive", {"type": "nfm_reply", "nfm_reply": {"body": "Sent"}}, "Sent"),
        ("interactive", {"type": ["x"]}, ""),
        ("reaction", {"message_id": WAMID, "emoji": "👍"}, "👍"),
        ("order", {"text": "", "product_items": []}, ""),
        (
            "system",
            {"body": "Ada changed her number", "wa_id": "12195555358"},
            "Ada changed her number",
        ),
        ("contacts", [{"name": {"formatted_name": "Lucía"}}], ""),
        ("hologram", {"body": {"of": "something"}}, ""),
        ("text", "just so", ""),
    ],
)
def test_every_kind_is_kept_with_the_words_that_it_has(
    kind: str, content: object, text: str
) -> None:
    """Those that are not known yet, too."""
    found = message(said(kind, **{kind: content}))
    assert (found.type, found.text) == (kind, text)
    assert found.payload[kind] == content


def test_a_message_that_is_not_supported_is_kept_with_its_errors() -> None:
    """Somebody wrote something, even if nobody can read it; one without a kind is unknown."""
    errors = [{"code": 131051, "title": "Message type unknown"}]
    found = message(said("unsupported", errors=errors))
    assert (found.type, found.text, found.payload["errors"]) == ("unsupported", "", errors)
    bare: dict[str, object] = {"from": ADA, "id": WAMID, "timestamp": "1"}
    assert message(bare).type == "unknown"


def test_statuses_come_without_contacts_and_with_our_own_id() -> None:
    """And with what a failure is about."""
    failed = {
        "id": WAMID,
        "status": "failed",
        "timestamp": "1749404383",
        "recipient_id": ADA,
        "biz_opaque_callback_data": "our-id",
        "errors": [
            {"code": 131026, "title": "Undeliverable", "error_data": {"details": "old version"}},
            {"code": 130429, "title": "Rate limit hit"},
            {"title": "no number"},
        ],
    }
    faults = [
        Fault(FaultKind.RECIPIENT, 131026, "Undeliverable: old version"),
        Fault(FaultKind.SLOW_DOWN, 130429, "Rate limit hit"),
        Fault(FaultKind.NEVER, 0, "no number"),
    ]
    plain = {"id": WAMID, "status": "played", "timestamp": 1749404383}
    assert only(statuses=[failed, plain]) == Change(
        phone_number_id=NUMBER,
        waba_id=WABA,
        contacts=[],
        messages=[],
        statuses=[
            StatusTold(WAMID, "failed", TIME, ADA, faults, "our-id"),
            StatusTold(WAMID, "played", TIME, errors=[]),
        ],
    )


def test_everything_is_an_array_and_keeps_its_order() -> None:
    """Entries, changes, messages and statuses."""
    first, second = said(id="1"), said(id="2")
    changes = [
        {"field": "messages", "value": value(messages=[first, second])},
        {"field": "messages", "value": value(statuses=[{"id": "3", "status": "sent"}])},
    ]
    entries = [{"id": "7", "changes": changes}, {"id": "8", "changes": changes[:1]}]
    found = read(json.dumps({"object": "whatsapp_business_account", "entry": entries}).encode())
    assert [one.waba_id for one in found] == ["7", "7", "8"]
    assert [[each.whatsapp_id for each in one.messages] for one in found] == [
        ["1", "2"],
        [],
        ["1", "2"],
    ]
    assert [each.whatsapp_id for each in found[1].statuses] == ["3"]


def test_a_change_of_the_account_tells_its_owner() -> None:
    """Where it names another account than the entry, that one is meant."""
    told = {"event": "PARTNER_ADDED", "waba_info": {"waba_id": "77", "owner_business_id": OWNER}}
    (found,) = read(posted(told, field="account_update"))
    assert found == Change("", "77", [], [], [], OWNER)


@pytest.mark.parametrize("field", ["calls", "smb_message_echoes", "history", "", "standby"])
def test_other_fields_are_about_no_messages_of_ours(field: str) -> None:
    """Though what they hold goes by the same names."""
    told = value(messages=[said()], statuses=[{"id": "wacid.1", "status": "RINGING"}])
    (found,) = read(posted(told, field=field))
    assert (found.messages, found.statuses, found.phone_number_id) == ([], [], NUMBER)


HIDDEN = "US.13491208655302741918"


def test_who_hides_their_number_is_told_by_the_id_that_stands_for_it() -> None:
    """However it comes: it is no number, though it has digits."""
    hidden = {"profile": {"name": "", "username": "ada"}, "user_id": HIDDEN}
    nameless: dict[str, object] = {"id": WAMID, "timestamp": "1", "type": "text"}
    for told in (nameless | {"from_user_id": HIDDEN}, nameless | {"from": HIDDEN}, nameless):
        found = only(contacts=[hidden], messages=[told])
        assert found.contacts == [Sender(HIDDEN, "ada")]
        assert [one.from_ for one in found.messages] == [HIDDEN]
    assert message(nameless | {"from_user_id": HIDDEN}).from_ == HIDDEN


def test_who_shows_their_number_is_told_by_it_with_the_other_id_besides() -> None:
    """Also where the message names the other id alone."""
    told = {"id": WAMID, "timestamp": "1", "type": "text", "from_user_id": HIDDEN}
    shown = {"profile": {"name": "Ada"}, "user_id": HIDDEN, "wa_id": ADA}
    found = only(contacts=[shown, {"wa_id": "447000000002"}], messages=[said(), told])
    assert found.contacts[0] == Sender(ADA, "Ada", HIDDEN)
    assert [one.from_ for one in found.messages] == [ADA, ADA]


@pytest.mark.parametrize("given", [None, "", [], {}, True, "x" * 141])
def test_a_message_that_names_nobody_is_told_all_the_same(given: object) -> None:
    """Nobody is made up for it."""
    assert message(said() | {"from": given}).from_ == ""


def test_a_sender_who_stands_beside_the_message_is_its_sender() -> None:
    """Where there is but one."""
    told = {"id": WAMID, "timestamp": "1", "type": "text"}
    one, other = {"wa_id": ADA}, {"wa_id": "447000000002"}
    assert only(contacts=[one], messages=[told]).messages[0].from_ == ADA
    assert only(contacts=[one, other], messages=[told]).messages[0].from_ == ""


@pytest.mark.parametrize("given", ["+44 7000 000001", ADA, 447000000001, "+44 (7000) 000-001"])
def test_a_number_is_told_in_digits_alone(given: object) -> None:
    """However it came."""
    assert message(said() | {"from": given}).from_ == ADA


@pytest.mark.parametrize(
    "given", [None, "", "soon", "-5", "9" * 15, "1e9", [], True, "²", "1749404383.5"]
)
def test_what_tells_no_time_came_now(given: object) -> None:
    """It is not left out for that."""
    assert message(said(timestamp=given)).time == NOW


def test_a_message_without_an_id_is_told_without_one() -> None:
    """Whoever keeps it decides what it is known by; what is no message at all is its content."""
    unnamed = [said(id=""), said(id=None), said(id="w" * 501), said(id=[1]), 7, None, [said()]]
    found = only(messages=[*unnamed, said()])
    assert [one.whatsapp_id for one in found.messages] == [*[""] * 7, WAMID]
    assert [one.payload for one in found.messages[4:6]] == [{"content": 7}, {"content": None}]


def test_a_status_that_names_no_message_or_no_state_is_told_without_it() -> None:
    """So that it can be counted."""
    found = only(statuses=[{"id": "1"}, {"status": "sent"}, "x"])
    assert [(one.whatsapp_id, one.status) for one in found.statuses] == [("1", ""), ("", "sent")]


@pytest.mark.parametrize("given", [None, 7, "x", [], {}, {"metadata": 7, "messages": "x"}])
def test_a_change_of_an_odd_shape_is_about_the_account_alone(given: object) -> None:
    """It is counted all the same."""
    assert read(posted(given)) == [Change("", WABA, [], [], [])]


def test_what_postgres_cannot_store_is_replaced_wherever_it_is() -> None:
    """In texts, in names of fields, in ids; a number without an end is nothing."""
    odd = {"od\0d": {"body": "x\0", "k\0ey": ["\udfff", float("inf"), float("nan")]}}
    told = said("od\0d", text={"body": "a\0b\ud800c"}) | odd
    found = only(
        contacts=[{"wa_id": ADA, "profile": {"name": "A\0da"}}], messages=[told | {"id": "w\0"}]
    )
    (one,) = found.messages
    assert (one.whatsapp_id, one.type, one.text) == ("w\ufffd", "od\ufffdd", "x\ufffd")
    assert found.contacts[0].name == "A\ufffdda"
    stored = json.dumps(one.payload, allow_nan=False)
    assert "\\u0000" not in stored
    assert "\\ud8" not in stored
    assert one.payload["od\ufffdd"]["k\ufffdey"] == ["\ufffd", None, None]


def test_signs_in_two_halves_are_one() -> None:
    """Meta escapes whatever is not ASCII."""
    body = posted(value(messages=[said(text={"body": "Zoë 😀"})]))
    assert b"\\ud83d\\ude00" in body
    assert read(body)[0].messages[0].text == "Zoë 😀"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b'{"object":', "no JSON"),
        (b"\xff\xfe\xfa", "no JSON"),
        (b"9" * 5_000, "no JSON"),
        (b"[]", "not about"),
        (b"7", "not about"),
        (b"null", "not about"),
        (b"{}", "not about"),
        (b'{"object":"page","entry":[]}', "not about"),
        (b'{"object":"whatsapp_business_account"}', "not about"),
        (b'{"object":"whatsapp_business_account","entry":{}}', "not about"),
        (b"[" * 10_000, "(no JSON|nested)"),
        (b"[" * 10_000 + b"]" * 10_000, "nested"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
        (b"[" * 200 + b"]" * 200, "nested"),
    ],
)
def test_what_makes_no_sense_is_unreadable_and_not_quoted(body: bytes, why: str) -> None:
    """At whatever depth."""
    with pytest.raises(UnreadableError, match=f"^the body is .*{why}"):
        read(body)


def test_an_empty_webhook_tells_nothing() -> None:
    """It is genuine, after all."""
    assert read(b'{"object":"whatsapp_business_account","entry":[]}') == []
    assert read(b'{"object":"whatsapp_business_account","entry":[7,{"changes":7}]}') == []
