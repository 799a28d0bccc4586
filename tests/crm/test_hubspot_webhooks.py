"""Webhooks of HubSpot: which are genuine, and what they tell."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from crmsync_server.crm.hubspot_webhooks import HubSpotWebhooks
from crmsync_server.crm.webhook import Inbound, Notice, NoticeKind, UnreadableError, webhooks_of
from tests.crm.hubspot_script import accepted, hubspot
from tests.crm.support import NOW, SECRET, ScriptedCrm

URL = "https://sync.example.com/webhooks/hubspot?org=acme"
STAMP = str(int(NOW.timestamp() * 1000))
EVENT = {
    "eventId": 100,
    "subscriptionType": "contact.propertyChange",
    "portalId": 4242,
    "objectId": 501,
    "occurredAt": 1_700_000_000_000,
    "propertyName": "firstname",
}


def signature(signed: bytes, secret: str = SECRET) -> str:
    """Return what HubSpot puts in its header for these bytes."""
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def inbound(body: bytes, *, url: str = URL, signed_url: str = "", stamp: str = STAMP) -> Inbound:
    """Return a webhook as HubSpot signs it."""
    signed = b"POST" + (signed_url or url).encode() + body + stamp.encode()
    headers = {
        "x-hubspot-signature-v3": signature(signed),
        "x-hubspot-request-timestamp": stamp,
    }
    return Inbound("POST", url, headers, body, NOW)


def events(*told: Mapping[str, object]) -> Inbound:
    """Return a webhook with these events."""
    return inbound(json.dumps(told).encode())


WEBHOOKS = HubSpotWebhooks(SECRET, "")
GENUINE = events(EVENT)


def test_webhooks_need_the_application_s_secret() -> None:
    """Without it nothing is genuine, not even what an empty key signs."""
    none = HubSpotWebhooks("", "")
    assert not none.configured
    signed = b"POST" + URL.encode() + STAMP.encode()
    headers = {**inbound(b"").headers, "x-hubspot-signature-v3": signature(signed, "")}
    assert not none.genuine(replace(inbound(b""), headers=headers))
    found = webhooks_of(hubspot(ScriptedCrm(accepted).tools()))
    assert found is not None
    assert not found.configured


def test_what_hubspot_signed_is_genuine() -> None:
    """Over the method, the address, the raw bytes and the time."""
    assert WEBHOOKS.configured
    assert WEBHOOKS.genuine(GENUINE)
    assert WEBHOOKS.genuine(inbound('[{"a": "é\\u00e9"}]'.encode()))
    assert WEBHOOKS.genuine(inbound(b"\xff\xfe no text"))


@pytest.mark.parametrize(
    "changed",
    [
        replace(GENUINE, method="PUT"),
        replace(GENUINE, url=URL + "2"),
        replace(GENUINE, url=URL.replace("https", "http")),
        replace(GENUINE, body=GENUINE.body + b" "),
        replace(GENUINE, headers={}),
        replace(GENUINE, headers={**GENUINE.headers, "x-hubspot-request-timestamp": STAMP + "0"}),
        replace(GENUINE, headers={**GENUINE.headers, "x-hubspot-request-timestamp": "soon"}),
        replace(GENUINE, headers={**GENUINE.headers, "x-hubspot-request-timestamp": "٣" * 13}),
        replace(GENUINE, headers={**GENUINE.headers, "x-hubspot-signature-v3": ""}),
        replace(GENUINE, headers={**GENUINE.headers, "x-hubspot-signature-v3": "é\ud800"}),
        replace(
            GENUINE,
            headers={
                **GENUINE.headers,
                "x-hubspot-signature-v3": GENUINE.headers["x-hubspot-signature-v3"].lower(),
            },
        ),
    ],
)
def test_what_was_changed_on_the_way_is_not_genuine(changed: Inbound) -> None:
    """Nor does it raise, whatever it is."""
    assert not WEBHOOKS.genuine(changed)


def test_a_webhook_that_is_too_old_is_not_genuine() -> None:
    """Five minutes, and as much for a clock that is slow."""
    for minutes, good in ((-5, True), (5, True), (5.1, False), (-5.1, False)):
        late = replace(GENUINE, receive_time=NOW + timedelta(minutes=minutes))
        assert WEBHOOKS.genuine(late) is good


def test_an_older_signature_counts_for_nothing() -> None:
    """Whoever saw one could send it again for ever."""
    body = GENUINE.body
    first = hashlib.sha256(SECRET.encode() + body).hexdigest()
    second = hashlib.sha256(SECRET.encode() + b"POST" + URL.encode() + body).hexdigest()
    for version, shown in (("v1", first), ("v2", second)):
        headers = {
            "x-hubspot-signature": shown,
            "x-hubspot-signature-version": version,
            "x-hubspot-request-timestamp": STAMP,
        }
        assert not WEBHOOKS.genuine(replace(GENUINE, headers=headers))
        beside = {**headers, "x-hubspot-signature-v3": shown}
        assert not WEBHOOKS.genuine(replace(GENUINE, headers=beside))


def test_the_address_is_signed_with_some_signs_spelt_out() -> None:
    """Those alone that HubSpot lists; a blank or a percent sign stays as it was sent."""
    sent = URL + "&a=x%3Ay%2fz%40b%21%24%27%28%29%2A%2C%3B%20%25%3D%26%2B%23"
    spelt = URL + "&a=x:y/z@b!$'()*,;%20%25%3D%26%2B%23"
    assert WEBHOOKS.genuine(inbound(b"[]", url=sent, signed_url=spelt))
    assert not WEBHOOKS.genuine(inbound(b"[]", url=sent, signed_url=sent))
    assert not WEBHOOKS.genuine(inbound(b"[]", url=sent, signed_url=spelt.replace("%20", " ")))


def told(*of: Mapping[str, object], portal_id: str = "") -> list[tuple[str, NoticeKind]]:
    """Return which contacts a webhook with these events is about, and what happened to them."""
    notices = HubSpotWebhooks(SECRET, portal_id).read(events(*of))
    return [(one.crm_contact_id, one.kind) for one in notices]


@pytest.mark.parametrize(
    ("kind", "notice"),
    [
        ("contact.creation", NoticeKind.CHANGED),
        ("contact.propertyChange", NoticeKind.CHANGED),
        ("contact.restore", NoticeKind.CHANGED),
        ("contact.deletion", NoticeKind.DELETED),
        ("contact.privacyDeletion", NoticeKind.DELETED),
    ],
)
def test_an_event_of_a_contact_is_a_notice(kind: str, notice: NoticeKind) -> None:
    """Also under the newer name that all objects share."""
    assert told({**EVENT, "subscriptionType": kind}) == [("501", notice)]
    newer = kind.replace("contact", "object")
    for object_type, found in (("0-1", [("501", notice)]), ("0-2", [])):
        event = {**EVENT, "subscriptionType": newer, "objectTypeId": object_type}
        assert told(event) == found


def test_a_merge_is_a_change_of_every_contact_that_has_part_in_it() -> None:
    """Of the winner, of those that went in, and of the one that came out."""
    event = {
        **EVENT,
        "subscriptionType": "contact.merge",
        "objectId": 9,
        "primaryObjectId": 1,
        "mergedObjectIds": [2, 3],
        "newObjectId": 9,
    }
    changed = NoticeKind.CHANGED
    assert told(event) == [("9", changed), ("1", changed), ("2", changed), ("3", changed)]
    del event["newObjectId"]
    merged = {**event, "objectId": 1}
    assert told(merged) == [("1", changed), ("2", changed), ("3", changed)]


def test_what_is_not_about_contacts_is_left_out() -> None:
    """Companies, associations, and another portal of the same application."""
    others: list[Mapping[str, object]] = [
        {**EVENT, "subscriptionType": "company.creation"},
        {**EVENT, "subscriptionType": "contact.associationChange"},
        {"subscriptionType": "app.uninstall"},
        {},
    ]
    assert told(*others) == []
    assert told({**EVENT, "portalId": 7}, portal_id="4242") == []
    assert told(EVENT, portal_id="4242") == [("501", NoticeKind.CHANGED)]
    assert told({**EVENT, "portalId": 7}) == [("501", NoticeKind.CHANGED)]


def test_a_notice_sent_again_has_the_same_key_and_no_other_has_it() -> None:
    """The ids of events are not unique."""

    def key(**changes: object) -> str:
        (notice,) = WEBHOOKS.read(events({**EVENT, **changes}))
        return notice.key

    assert key() == key(attemptNumber=3)
    others = [key(objectId=502), key(occurredAt=5), key(eventId=7)]
    others.append(key(subscriptionType="contact.deletion"))
    assert len({key(), *others}) == 5
    long = key(eventId="9" * 500)
    assert len(long) <= 200
    assert long == key(eventId="9" * 500) != key(eventId="8" * 500)


def test_the_same_event_twice_in_a_webhook_is_one_notice() -> None:
    """Two changes of one contact are two."""
    notices = WEBHOOKS.read(events(EVENT, EVENT, {**EVENT, "eventId": 101}))
    assert len(notices) == 2
    assert notices[0] == Notice(notices[0].key, NoticeKind.CHANGED, crm_contact_id="501")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        json.dumps([{**EVENT, "objectId": None}]).encode(),
        json.dumps([{**EVENT, "objectId": "../1"}]).encode(),
    ],
)
def test_a_body_that_makes_no_sense_is_said_to_be_so(body: bytes) -> None:
    """Without quoting it."""
    with pytest.raises(UnreadableError) as raised:
        WEBHOOKS.read(inbound(body))
    assert "../1" not in str(raised.value)
