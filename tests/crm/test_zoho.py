"""Delivery to Zoho: what is sent, and how each record of a reply is read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError
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
from tests.crm.support import NOW, Rations, deliveries, delivery
from tests.crm.zoho_script import (
    ACCOUNTS,
    CONTACTS,
    COQL,
    FIELDS,
    TOKEN,
    UPSERT,
    adapter,
    answering,
    body,
    error,
    failure,
    field,
    kept,
    organization,
    push,
    records,
    success,
    written,
)


async def test_a_new_contact_is_upserted_by_email_and_sets_nothing_off() -> None:
    """Its company is made a record of its own first."""
    crm = organization()
    (outcome,) = await push(crm, delivery(1))
    assert outcome == Synced("501", modified_time=datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert crm.paths == [TOKEN, FIELDS, ACCOUNTS, UPSERT]
    assert body(crm.requests[-1]) == {
        "data": [
            {
                "First_Name": "First1",
                "Last_Name": "Last1",
                "Phone": "+33199990001",
                "Account_Name": {"id": "501"},
                "Email": "person1@example.com",
            }
        ],
        "trigger": [],
        "duplicate_check_fields": ["Email"],
    }
    assert crm.requests[-1].headers["authorization"] == "Zoho-oauthtoken t-1"


async def test_a_known_record_is_updated_by_its_id() -> None:
    """So that a changed address stays with it."""
    crm = organization()
    (outcome,) = await push(crm, delivery(1, crm_contact_id="77", email="new@example.com"))
    assert isinstance(outcome, Synced)
    assert outcome.crm_contact_id == "77"
    request = crm.requests[-1]
    assert (request.method, request.url.path) == ("PUT", CONTACTS)
    assert records(request)[0]["id"] == "77"
    assert "duplicate_check_fields" not in body(request)


async def test_options_choose_automations_check_fields_and_the_field_of_the_company() -> None:
    """All automations means to say nothing of them."""
    crm = organization(kept, field("Company", "text"), field("Ref", unique={"casesensitive": ""}))
    await push(
        crm,
        replace(delivery(1), properties={"ref": "x"}),
        trigger="all",
        duplicate_check_fields="Ref, Email",
        company_field="Company",
    )
    sent = body(crm.requests[-1])
    assert "trigger" not in sent
    assert sent["duplicate_check_fields"] == ["Ref", "Email"]
    assert records(crm.requests[-1])[0]["Company"] == "Company 1"
    assert ACCOUNTS not in crm.paths


async def test_a_contact_without_any_check_field_is_not_sent() -> None:
    """Zoho would make another record of it each time."""
    crm = organization(kept, field("Ref"))
    (outcome,) = await push(crm, delivery(1), duplicate_check_fields="Ref")
    assert isinstance(outcome, Rejected)
    assert outcome.code == "NO_CHECK_FIELD"
    assert UPSERT not in crm.paths


@pytest.mark.parametrize("status", [200, 201, 202, 207, 400])
async def test_each_record_is_judged_by_its_own_entry(status: int) -> None:
    """Whatever the HTTP status says of all of them."""
    reply = written(
        success(1),
        failure("INVALID_DATA", "Email", "invalid data"),
        failure("MANDATORY_NOT_FOUND", "Last_Name"),
        failure("DUPLICATE_DATA", "Ref"),
        failure("RECORD_LOCKED"),
        failure("INTERNAL_ERROR"),
        {},
        status=status,
    )
    outcomes = await push(organization(lambda _: reply), *deliveries(8))
    assert [type(one) for one in outcomes] == [
        Synced,
        Rejected,
        Rejected,
        Rejected,
        Postponed,
        Retry,
        Retry,
        Retry,
    ]
    assert outcomes[1] == Rejected("INVALID_DATA", "INVALID_DATA: invalid data: Email")
    locked = outcomes[4]
    assert isinstance(locked, Postponed)
    assert not locked.lane
    assert locked.until > NOW
    assert [getattr(one, "code", "") for one in outcomes[6:]] == ["UNACCOUNTED", "UNACCOUNTED"]


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, text="<html>"),
        httpx.Response(204),
        httpx.Response(200, json={"data": []}),
        httpx.Response(200, json={"data": "none"}),
        httpx.Response(200, json={"data": [{"code": "SUCCESS", "status": "success"}]}),
        written(success(1), success(2), success(3)),
    ],
)
async def test_what_a_reply_does_not_account_for_is_no_success(reply: httpx.Response) -> None:
    """Although the status says 200."""
    outcomes = await push(organization(lambda _: reply), *deliveries(2))
    assert [getattr(one, "code", "") for one in outcomes] == ["UNACCOUNTED", "UNACCOUNTED"]


async def test_another_record_in_the_place_of_an_update_is_unknown() -> None:
    """Replies have no other key than the place: this one contradicts itself."""
    crm = organization(lambda _: written(success(88, "update")))
    (outcome,) = await push(crm, delivery(1, crm_contact_id="77"))
    assert isinstance(outcome, Unknown)


async def test_a_record_that_is_gone_is_made_again() -> None:
    """Deleted in Zoho, or merged there."""
    gone = written(failure("INVALID_DATA", "id", "the id given seems to be invalid"), status=207)
    replies = answering({f"PUT {CONTACTS}": [gone], f"POST {UPSERT}": [written(success(5))]})
    (outcome,) = await push(organization(replies), delivery(1, crm_contact_id="77"))
    assert isinstance(outcome, Synced)
    assert outcome.crm_contact_id == "5"


async def test_an_address_that_becomes_free_in_the_same_batch_is_taken_over() -> None:
    """The one that waited for it is tried once more, by its id."""
    first = written(failure("DUPLICATE_DATA", "Email"), success(2, "update"))
    again = written(success(1, "update"))
    crm = organization(answering({f"PUT {CONTACTS}": [first, again]}))
    batch = [
        delivery(1, crm_contact_id="1", email="person2@example.com"),
        delivery(2, crm_contact_id="2", email="person3@example.com"),
    ]
    outcomes = await push(crm, *batch)
    assert [one.crm_contact_id for one in outcomes if isinstance(one, Synced)] == ["1", "2"]


async def test_an_address_that_stays_taken_is_written_to_its_holder() -> None:
    """Nothing is merged, and no second contact is made."""
    taken = [written(failure("DUPLICATE_DATA", "Email")) for _ in range(2)]
    replies = answering({f"PUT {CONTACTS}": taken, f"POST {UPSERT}": [written(success(9))]})
    (outcome,) = await push(organization(replies), delivery(1, crm_contact_id="1"))
    assert isinstance(outcome, Synced)
    assert outcome.crm_contact_id == "9"


async def test_two_deliveries_of_one_address_are_one_record() -> None:
    """The later values win, and both end in the same outcome."""
    crm = organization()
    batch = [delivery(1), delivery(2, email=" PERSON1@example.com "), delivery(3, email=" ")]
    first, second, third = await push(crm, *batch)
    assert isinstance(first, Synced)
    assert first == second
    assert third == Skipped(SkipReason.NO_EMAIL)
    (record,) = records(crm.requests[-1])
    assert (record["Email"], record["First_Name"]) == ("person1@example.com", "First2")


async def test_contacts_that_shared_a_record_part_when_their_addresses_do() -> None:
    """One keeps the record, and the other gets its own."""
    crm = organization()
    batch = [delivery(number, crm_contact_id="77") for number in (1, 2)]
    outcomes = await push(crm, *batch)
    assert [one.crm_contact_id for one in outcomes if isinstance(one, Synced)] == ["77", "501"]


def coql(*found: Mapping[str, object]) -> httpx.Response:
    """Answer a query; 204 where it finds nothing."""
    if not found:
        return httpx.Response(204)
    return httpx.Response(200, json={"data": list(found), "info": {"more_records": False}})


async def test_a_contact_without_a_last_name_gets_a_stand_in_only_where_it_is_new() -> None:
    """Zoho refuses a new one without; one that is there keeps its own."""
    there = {"id": "7", "Email": "Person2@example.com"}
    replies = answering(
        {
            f"POST {COQL}": [coql(there)],
            f"PUT {CONTACTS}": [written(success(7, "update"))],
            f"POST {UPSERT}": [written(success(8))],
        }
    )
    crm = organization(replies)
    batch = [replace(one, last_name=" ", company="") for one in deliveries(2)]
    new, old = await push(crm, *batch)
    assert isinstance(new, Synced)
    assert isinstance(old, Synced)
    assert "person1 stands in" in new.note
    assert (old.crm_contact_id, old.note) == ("7", "")
    sent = {request.url.path: records(request)[0] for request in crm.requests[-2:]}
    assert "Last_Name" not in sent[CONTACTS]
    assert sent[UPSERT]["Last_Name"] == "person1"


async def test_a_known_record_needs_no_last_name_and_keeps_it_when_it_is_to_be_blank() -> None:
    """Zoho would refuse to clear it."""
    crm = organization()
    cleared = replace(
        delivery(1, crm_contact_id="77"),
        first_name="",
        last_name="",
        company="",
        blank=frozenset({"first_name", "last_name", "company"}),
    )
    (outcome,) = await push(crm, cleared)
    assert isinstance(outcome, Synced)
    (record,) = records(crm.requests[-1])
    assert record == {
        "id": "77",
        "Email": "person1@example.com",
        "First_Name": None,
        "Account_Name": None,
        "Phone": "+33199990001",
    }


async def test_properties_are_sent_as_their_fields_take_them() -> None:
    """Under the names that Zoho has for them; what it has no place for is noted."""
    crm = organization(
        kept,
        field("Score", "integer"),
        field("Rate", "double"),
        field("Active", "boolean"),
        field("Topics", "multiselectpicklist"),
        field("Owner_2", "ownerlookup"),
        field("Plan", "picklist"),
        field("Created_Time", "datetime", read_only=True),
    )
    properties = {
        "score": "5",
        "Rate": "0.5",
        "Active": "TRUE",
        "Topics": "a; b",
        "Owner_2": "4876876000000300001",
        "Plan": "",
        "Created_Time": "2026-01-01",
        "Nowhere": "x",
        "Email": "evil@example.com",
    }
    one = replace(
        delivery(1), company="", properties=properties, blank=frozenset({"Plan"}), tags=["vip"]
    )
    (outcome,) = await push(crm, one)
    assert isinstance(outcome, Synced)
    assert outcome.note == (
        "not sent, Zoho has no place for it: Created_Time, Nowhere, Email, tags"
    )
    (record,) = records(crm.requests[-1])
    assert {name: record[name] for name in record if name not in {"First_Name", "Last_Name"}} == {
        "Email": "person1@example.com",
        "Phone": "+33199990001",
        "Score": 5,
        "Rate": 0.5,
        "Active": True,
        "Topics": ["a", "b"],
        "Owner_2": {"id": "4876876000000300001"},
        "Plan": None,
    }


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "many"),
        ("integer", "0.5"),
        ("integer", "9" * 5_000),
        ("double", "9" * 400),
        ("double", "nan"),
        ("double", "1e400"),
        ("boolean", "perhaps"),
        ("lookup", "Acme"),
        ("lookup", "²"),
    ],
)
async def test_a_value_that_does_not_fit_is_left_to_zoho_to_refuse(kind: str, value: str) -> None:
    """It knows best, and says so for this record alone."""
    crm = organization(kept, field("Score", kind))
    await push(crm, replace(delivery(1), company="", properties={"Score": value}))
    assert records(crm.requests[-1])[0]["Score"] == value


async def test_fields_are_read_once_for_a_while_and_companies_too() -> None:
    """Three pushes are three more calls."""
    crm = organization()
    zoho = adapter(crm.tools())
    for _ in range(3):
        await zoho.push([delivery(1)])
    assert crm.paths == [TOKEN, FIELDS, ACCOUNTS, UPSERT, UPSERT, UPSERT]


async def test_fields_that_may_not_be_read_are_all_taken_for_some() -> None:
    """Contacts may be open to the token all the same."""
    crm = organization(instead={FIELDS: error(401, "OAUTH_SCOPE_MISMATCH")})
    zoho = adapter(crm.tools())
    (outcome,) = await zoho.push([replace(delivery(1), properties={"Any": "x"})])
    assert isinstance(outcome, Synced)
    assert records(crm.requests[-1])[0]["Any"] == "x"


@pytest.mark.parametrize("reply", [error(401, "OAUTH_SCOPE_MISMATCH"), error(403, "NO_PERMISSION")])
async def test_companies_that_may_not_be_made_are_left_out_and_noted(
    reply: httpx.Response,
) -> None:
    """The contact itself is delivered."""
    crm = organization(instead={ACCOUNTS: reply})
    (outcome,) = await adapter(crm.tools()).push([delivery(1)])
    assert isinstance(outcome, Synced)
    assert outcome.note.startswith("not sent: Account_Name (")
    assert "Account_Name" not in records(crm.requests[-1])[0]


async def test_a_culprit_that_is_not_named_is_found() -> None:
    """Zoho refuses the whole call for it."""

    def respond(request: httpx.Request) -> httpx.Response:
        if any(one["Email"] == "person3@example.com" for one in records(request)):
            return error(400, "INVALID_DATA", "body")
        return kept(request)

    outcomes = await push(organization(respond), *deliveries(5))
    assert [type(one) for one in outcomes] == [Synced, Synced, Rejected, Synced, Synced]


@pytest.mark.parametrize(
    ("reply", "outcome", "code"),
    [
        (error(429, "TOO_MANY_REQUESTS"), Postponed, "TOO_MANY_REQUESTS"),
        (error(400, "INVALID_MODULE"), Postponed, "INVALID_MODULE"),
        (error(404, "INVALID_URL_PATTERN"), Postponed, "INVALID_URL_PATTERN"),
        (httpx.Response(302, headers={"location": "https://x.test"}), Postponed, "NO_API"),
        (error(500, "INTERNAL_ERROR"), Retry, "CRM_FAULT"),
        (httpx.Response(503, text="busy"), Retry, "CRM_FAULT"),
        (httpx.Response(403, text="<html>"), Retry, "CRM_FAULT"),
        (httpx.Response(502, text="bad"), Unknown, ""),
    ],
)
async def test_an_error_of_the_whole_call_blames_no_record(
    reply: httpx.Response, outcome: type[Outcome], code: str
) -> None:
    """It is the same for all of them."""
    outcomes = await push(organization(lambda _: reply), *deliveries(3))
    assert {type(one) for one in outcomes} == {outcome}
    assert {getattr(one, "code", "") for one in outcomes} == {code}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error(401, "OAUTH_SCOPE_MISMATCH"), "lacks a scope"),
        (error(403, "NO_PERMISSION"), "does not allow its user"),
        (error(401, "INVALID_TOKEN"), "refuses the credentials"),
    ],
)
async def test_what_the_credentials_do_not_allow_raises(reply: httpx.Response, words: str) -> None:
    """The lane pauses, and is told why."""
    with pytest.raises(CredentialsRefusedError, match=words):
        await push(organization(lambda _: reply), delivery(1))


@pytest.mark.parametrize(
    ("headers", "bucket", "wait"),
    [
        ({}, "burst", timedelta(seconds=10)),
        ({"x-api-credits-remaining": "4000"}, "burst", timedelta(seconds=10)),
        ({"x-api-credits-remaining": "0"}, "credits", timedelta(minutes=30)),
        ({"retry-after": "7"}, "burst", timedelta(seconds=7)),
    ],
)
async def test_a_429_is_about_credits_only_where_they_are_used_up(
    headers: dict[str, str], bucket: str, wait: timedelta
) -> None:
    """Otherwise too many calls were under way at once."""
    body = {"code": "TOO_MANY_REQUESTS", "status": "error", "message": "no", "details": {}}
    quota = Rations()
    crm = organization(lambda _: httpx.Response(429, json=body, headers=headers))
    zoho = adapter(crm.tools(quota))
    (outcome,) = await zoho.push([delivery(1)])
    assert isinstance(outcome, Postponed)
    assert outcome.until == NOW + wait
    assert quota.refusals == [(bucket, NOW + wait)]


async def test_a_write_costs_a_credit_for_ten_records() -> None:
    """Fields and companies are calls of their own."""
    quota = Rations()
    crm = organization()
    batch = [replace(one, company="") for one in deliveries(25)]
    await adapter(crm.tools(quota)).push(batch)
    assert quota.taken == ["credits", "burst", "credits", "credits", "credits", "burst"]


async def test_what_is_left_of_the_credits_is_learned() -> None:
    """Zoho tells once half of them are used."""
    quota = Rations()
    reply = written(success(1))
    reply.headers["x-api-credits-remaining"] = "1234"
    await adapter(organization(lambda _: reply).tools(quota)).push([delivery(1)])
    (told,) = quota.told
    assert (told.bucket, told.calls, told.remaining) == ("credits", None, 1234)


async def test_without_quota_nothing_is_sent() -> None:
    """And the outcome says until when."""
    crm = organization()
    outcomes = await adapter(crm.tools(Rations(1, NOW + timedelta(hours=1)))).push(deliveries(2))
    assert {type(one) for one in outcomes} == {Postponed}
    assert UPSERT not in crm.paths


async def test_reading_back_compares_every_value() -> None:
    """By id where it is known, else by address; an apostrophe is doubled in the query."""
    shown = {
        "id": "7",
        "Email": "O'Hara@example.com",
        "First_Name": "First1",
        "Last_Name": "Last1",
        "Phone": "+33199990001",
        "Account_Name": {"name": "Company 1", "id": "12"},
        "Modified_Time": "2026-11-21T13:00:00+01:00",
    }
    other = {**shown, "id": "8", "First_Name": "Ann", "Email": "person2@example.com"}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == COQL:
            assert "'o''hara@example.com'" in str(body(request)["select_query"])
            return coql({"id": "7", "Email": shown["Email"]})
        ids = request.url.params["ids"].split(",")
        return httpx.Response(200, json={"data": [s for s in (shown, other) if s["id"] in ids]})

    crm = organization(respond)
    batch = [delivery(1, email="o'hara@example.com"), delivery(2, crm_contact_id="8")]
    found = await adapter(crm.tools()).read_back(batch)
    assert found == [Synced("7", modified_time=datetime(2026, 11, 21, 12, tzinfo=UTC)), None]


async def test_no_ticket_is_known() -> None:
    """An upsert applies at once."""
    (outcome,) = await adapter(organization().tools()).settle("x", [delivery(1)])
    assert isinstance(outcome, Unknown)
