"""Brevo, one contact at a time: mapping, identity, limits and refusals."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.brevo import build
from crmsync_server.crm.outcomes import (
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from tests.crm.brevo_script import body, brevo_crm
from tests.crm.support import NOW, Rations, ScriptedCrm, account, deliveries, delivery

CREATED = httpx.Response(201, json={"id": 12})
UPDATED = httpx.Response(204)
NOT_FOUND = httpx.Response(404, json={"code": "document_not_found", "message": "no such contact"})


async def push(crm: ScriptedCrm, *batch: Delivery, **options: str) -> list[Outcome]:
    """Push a batch to a scripted account."""
    return list(await build(account("brevo", **options), crm.tools()).push(batch))


async def sent(extra: Delivery) -> dict[str, object]:
    """Return what an upsert of one delivery sends."""
    crm = brevo_crm({"POST": CREATED})
    await push(crm, extra)
    return body(crm.requests[-1])


@pytest.mark.parametrize("answer", [CREATED, UPDATED])
async def test_created_and_updated_are_both_synced_under_the_address(
    answer: httpx.Response,
) -> None:
    """A 204 has no body, and needs none."""
    outcomes = await push(brevo_crm({"POST": answer}), delivery(1, email=" Ana@Example.com "))
    assert outcomes == [Synced("ana@example.com")]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>maintenance</html>"),
        httpx.Response(200, json={}),
        httpx.Response(201, json={}),
        httpx.Response(202, json={"id": 1}),
    ],
)
async def test_any_other_2xx_is_no_success(answer: httpx.Response) -> None:
    """Brevo documents 201 with an id and an empty 204."""
    (outcome,) = await push(brevo_crm({"POST": answer}), delivery(1))
    assert isinstance(outcome, Retry)
    assert outcome.code == "UNACCOUNTED"


async def test_only_attributes_that_the_account_has_are_sent_as_their_type() -> None:
    """What has no place is noted, not silently lost."""
    properties = {"score": "4.5", "vip": "yes", "total": "9", "shoe": "44", "email": "x@x.com"}
    extra = replace(delivery(1), properties=properties)
    content = await sent(extra)
    assert content["attributes"] == {
        "FIRSTNAME": "First1",
        "LASTNAME": "Last1",
        "COMPANY": "Company 1",
        "SMS": "+33199990001",
        "SCORE": 4.5,
        "VIP": True,
    }
    (outcome,) = await push(brevo_crm({"POST": CREATED}), extra)
    assert isinstance(outcome, Synced)
    assert outcome.note == "not sent, Brevo has no place for it: TOTAL, SHOE"


@pytest.mark.parametrize("score", ["nan", "-inf", "1e999"])
async def test_a_number_that_is_none_is_left_out(score: str) -> None:
    """No JSON holds it, and the rest of the batch must arrive."""
    odd = replace(delivery(1), properties={"score": score})
    outcomes = await push(brevo_crm({"POST": CREATED}), odd, delivery(2))
    assert [type(outcome) for outcome in outcomes] == [Synced, Synced]
    assert isinstance(outcomes[0], Synced)
    assert outcomes[0].note == "not sent, Brevo has no place for it: SCORE"


async def test_dates_and_choices_are_sent_as_brevo_takes_them() -> None:
    """The day alone, and the choices apart."""
    content = await sent(
        replace(delivery(1), properties={"born": "1999-12-31T23:00:00+02:00", "likes": "tea;; jam"})
    )
    attributes = content["attributes"]
    assert isinstance(attributes, dict)
    assert (attributes["BORN"], attributes["LIKES"]) == ("1999-12-31", ["tea", "jam"])


async def test_a_value_is_cleared_only_where_it_is_empty_and_named() -> None:
    """By our name or Brevo's, in either case; what identifies the contact never is."""
    blank = frozenset({"company", "LASTNAME", "phone", "score", "vip", "email", "ext_id", "tags"})
    cleared = replace(
        delivery(1),
        first_name="",
        last_name=" ",
        company="",
        phone="",
        properties={"vip": "yes"},
        blank=blank,
    )
    content = await sent(cleared)
    assert content["email"] == "person1@example.com"
    assert content["ext_id"] == str(delivery(1).contact_id)
    assert content["attributes"] == {
        "COMPANY": "",
        "LASTNAME": "",
        "SMS": "",
        "SCORE": "",
        "VIP": True,
    }


async def test_an_attribute_to_be_cleared_must_exist() -> None:
    """One that the account lacks is noted like any other."""
    cleared = replace(delivery(1), blank=frozenset({"shoe"}))
    (outcome,) = await push(brevo_crm({"POST": CREATED}), cleared)
    assert outcome == Synced(
        "person1@example.com", note="not sent, Brevo has no place for it: SHOE"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("score", "many"), ("vip", "maybe"), ("born", "once upon a time")]
)
async def test_a_value_of_the_wrong_type_is_noted(name: str, value: str) -> None:
    """Brevo would ignore it without a word."""
    extra = replace(delivery(1), properties={name: value})
    (outcome,) = await push(brevo_crm({"POST": CREATED}), extra)
    assert isinstance(outcome, Synced)
    assert name.upper() in outcome.note


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+33 (0)6-12.34 56/78", "+33612345678"),
        ("+33 6", None),
        ("+33 6 12 34 56 78", "+33612345678"),
        ("06 12 34 56 78", None),
        ("0033612345678", None),
        ("call me", None),
        ("", None),
    ],
)
async def test_a_phone_is_sent_in_international_form_or_not_at_all(
    phone: str, shown: str | None
) -> None:
    """A malformed one would fail the whole record."""
    content = await sent(replace(delivery(1), phone=phone))
    attributes = content["attributes"]
    assert isinstance(attributes, dict)
    assert attributes.get("SMS") == shown


async def test_consent_and_empty_values_are_never_sent() -> None:
    """Brevo keeps what a person decided there, and what we know nothing about."""
    content = await sent(Delivery(delivery(1).contact_id, 1, None, "a@example.com"))
    assert content == {
        "email": "a@example.com",
        "ext_id": str(delivery(1).contact_id),
        "updateEnabled": True,
        "attributes": {},
    }


async def test_a_changed_address_is_put_on_the_contact_that_has_our_id() -> None:
    """The new address goes among the attributes."""
    crm = brevo_crm({"PUT": UPDATED})
    moved = delivery(1, crm_contact_id="old@example.com", email="new@example.com")
    assert await push(crm, moved) == [Synced("new@example.com")]
    request = crm.requests[-1]
    assert request.url.path == f"/contacts/{moved.contact_id}"
    assert request.url.params["identifierType"] == "ext_id"
    attributes = body(request)["attributes"]
    assert isinstance(attributes, dict)
    assert attributes["EMAIL"] == "new@example.com"


async def test_a_contact_without_our_id_is_found_by_its_former_address() -> None:
    """The address is encoded, plus signs included."""
    crm = brevo_crm({f"PUT /contacts/{delivery(1).contact_id}": NOT_FOUND, "PUT": UPDATED})
    moved = delivery(1, crm_contact_id="old+1@example.com", email="new@example.com")
    assert await push(crm, moved) == [Synced("new@example.com")]
    assert crm.requests[-1].url.raw_path.startswith(b"/contacts/old%2B1%40example.com?")


async def test_a_contact_deleted_at_brevo_is_created_under_its_new_address() -> None:
    """Neither our id nor the former address is there any more."""
    crm = brevo_crm({"PUT": NOT_FOUND, "POST": CREATED})
    moved = delivery(1, crm_contact_id="old@example.com", email="new@example.com")
    assert await push(crm, moved) == [Synced("new@example.com")]


async def test_a_duplicate_names_the_identifiers_that_clash() -> None:
    """An operator reads which of them to change."""
    refusal = {
        "code": "duplicate_parameter",
        "message": "Unable to update contact",
        "metadata": {"duplicate_identifiers": ["SMS", "ext_id"]},
    }
    crm = brevo_crm({"POST": httpx.Response(400, json=refusal)})
    assert await push(crm, delivery(1)) == [
        Rejected(
            "DUPLICATE_PARAMETER", "Unable to update contact (duplicate identifiers: SMS, ext_id)"
        )
    ]


async def test_the_reset_header_counts_seconds_and_stops_the_push() -> None:
    """It is no moment in time; and after a 429 no further call is made."""
    busy = httpx.Response(429, headers={"x-sib-ratelimit-reset": "17"}, json={"message": "slow"})
    crm = brevo_crm({"POST": busy})
    outcomes = await push(crm, *deliveries(40))
    assert {outcome for outcome in outcomes if isinstance(outcome, Postponed)} == {
        Postponed(NOW + timedelta(seconds=17), "RATE_LIMIT", "slow")
    }
    assert len(outcomes) == 40
    assert len(crm.requests) < 20


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (425, {"code": "too_early", "message": "wait"}, Retry),
        (408, {"message": "timed out"}, Retry),
        (400, {"code": "account_in_process", "message": "wait"}, Retry),
        (500, {}, Retry),
        (503, {}, Retry),
        (502, {}, Unknown),
        (504, {}, Unknown),
        (400, {"code": "invalid_parameter", "message": "Invalid phone number"}, Rejected),
        (405, {"code": "method_not_allowed", "message": "no"}, Rejected),
    ],
)
async def test_a_refusal_is_judged_by_status_and_code(
    status: int, fields: dict[str, str], kind: type[Outcome]
) -> None:
    """What may pass is tried again, what concerns the record is rejected."""
    crm = brevo_crm({"POST": httpx.Response(status, json=fields)})
    (outcome,) = await push(crm, delivery(1))
    assert isinstance(outcome, kind)


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refused_account_raises_in_brevos_words(status: int) -> None:
    """A blocked address looks like a wrong key; only the message tells them apart."""
    message = "We have detected you are using an unrecognised IP address"
    fields = {"code": "unauthorized", "message": message}
    crm = brevo_crm({"POST": httpx.Response(status, json=fields)})
    with pytest.raises(CredentialsRefusedError, match="unrecognised IP address"):
        await push(crm, delivery(1))


@pytest.mark.parametrize("code", ["account_under_validation", "not_enough_credits"])
async def test_what_is_wrong_with_the_account_blames_no_contact(code: str) -> None:
    """Although it comes with a status that is a contact's as a rule."""
    fields = {"code": code, "message": "Your account is not ready"}
    crm = brevo_crm({"POST": httpx.Response(400, json=fields)})
    with pytest.raises(CredentialsRefusedError, match="is not ready"):
        await push(crm, delivery(1))


async def test_a_list_that_is_not_there_pauses_the_account() -> None:
    """Ten thousand contacts must not be rejected for one wrong setting."""
    fields = {"code": "invalid_parameter", "message": "List ID 7 does not exist"}
    crm = brevo_crm({"POST": httpx.Response(400, json=fields)})
    with pytest.raises(CredentialsRefusedError, match="the list 7"):
        await push(crm, delivery(1), list_id="7")


async def test_invented_addresses_are_never_sent_out() -> None:
    """Brevo makes them up for contacts that only have a phone."""
    crm = brevo_crm({"POST": CREATED})
    outcomes = await push(crm, delivery(1, email="33612345678@mailin-sms.com"))
    assert outcomes == [Skipped(SkipReason.NO_EMAIL)]
    assert crm.requests == []


async def test_one_address_twice_is_delivered_in_order() -> None:
    """The second waits for the first."""
    crm = brevo_crm({"POST": CREATED})
    await push(crm, delivery(1), delivery(2, email="person1@example.com"), delivery(3))
    ext_ids = [body(request)["ext_id"] for request in crm.requests[1:]]
    assert ext_ids.index(str(delivery(2).contact_id)) == 2


async def test_quota_that_runs_out_halfway_postpones_the_rest() -> None:
    """What was delivered before counts."""
    crm = brevo_crm({"POST": CREATED})
    quota = Rations(calls=8, until=NOW + timedelta(minutes=1))
    adapter = build(account("brevo"), crm.tools(quota))
    outcomes = await adapter.push(deliveries(10))
    assert sum(isinstance(outcome, Synced) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, Postponed) for outcome in outcomes) == 7


async def test_a_check_spends_nothing_of_the_hundred_calls() -> None:
    """It reads a contact instead of the account."""
    quota = Rations()
    crm = brevo_crm({"GET": httpx.Response(200, json={"contacts": [], "count": 0})})
    assert (await build(account("brevo"), crm.tools(quota)).check()).valid
    assert quota.taken == ["contacts_hourly", "contacts"]


@pytest.mark.parametrize("list_id", ["x", "0", "-1", "1.5"])
def test_an_impossible_list_is_refused_at_once(list_id: str) -> None:
    """The setting is named."""
    with pytest.raises(ValueError, match="list_id"):
        build(account("brevo", list_id=list_id), brevo_crm({}).tools())
