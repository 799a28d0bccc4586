"""Mautic: what is sent, and what its replies say of every record."""

from collections.abc import Mapping
from dataclasses import replace

import httpx
import pytest

from crmsync_server.crm.adapter import Delivery
from crmsync_server.crm.outcomes import (
    Outcome,
    Rejected,
    Retry,
    Skipped,
    SkipReason,
    Synced,
    Unknown,
)
from tests.crm.mautic_script import (
    BATCH,
    CONTACTS,
    answered,
    contact,
    error,
    instance,
    kept,
    push,
    records,
)
from tests.crm.support import ScriptedCrm, deliveries, delivery

FIRST, SECOND = "person1@example.com", "person2@example.com"


async def sent(*batch: Delivery) -> list[dict[str, object]]:
    """Return the records that a batch sends."""
    crm = ScriptedCrm(kept)
    await push(crm, *batch)
    assert crm.paths == [BATCH]
    return records(crm.requests[0])


async def test_a_record_is_flat_and_keyed_by_alias() -> None:
    """Empty values are left out; they would be skipped anyway."""
    one = replace(
        delivery(1, email=" Ana@Example.com "),
        company="",
        tags=["vip", " vip ", ""],
        properties={"Plan": "pro", "size": " "},
    )
    assert await sent(one) == [
        {
            "email": "ana@example.com",
            "firstname": "First1",
            "lastname": "Last1",
            "phone": "+33199990001",
            "plan": "pro",
            "tags": ["vip"],
        }
    ]


async def test_what_is_to_be_blank_is_sent_empty_with_leave_to_overwrite() -> None:
    """Only what is empty and named; a value that is there is sent."""
    one = replace(
        delivery(1), company="", blank=frozenset({"company", "first_name", "plan", "email"})
    )
    (record,) = await sent(one)
    assert (record["company"], record["plan"], record["firstname"]) == ("", "", "First1")
    assert record["email"] == FIRST
    assert record["overwriteWithBlank"] is True


async def test_what_steers_a_write_is_no_property() -> None:
    """It is left out and named, and so is a tag that would take one away."""
    steering = {"overwriteWithBlank": "1", "ID": "3", "email": "x@x.com", "plan": "pro"}
    one = replace(delivery(1), properties=steering, tags=["-vip", "lead"])
    (record,) = await sent(one)
    assert record["tags"] == ["lead"]
    assert record.keys() & {"overwriteWithBlank", "overwritewithblank", "id"} == set()
    (outcome,) = await push(ScriptedCrm(kept), one)
    assert isinstance(outcome, Synced)
    assert outcome.note.endswith(": overwritewithblank, id, email, -vip")


async def test_one_address_is_sent_once_and_every_delivery_of_it_gets_the_outcome() -> None:
    """With what the later one says in place of the earlier."""
    later = replace(delivery(3, email="PERSON1@example.com"), company="", tags=["b"])
    batch = [replace(delivery(1), tags=["a"]), delivery(2), later, delivery(4, email=" ")]
    crm = ScriptedCrm(kept)
    outcomes = await push(crm, *batch)
    first, second = records(crm.requests[0])
    assert (first["email"], second["email"]) == (FIRST, SECOND)
    assert (first["firstname"], first["company"]) == ("First3", "Company 1")
    assert first["tags"] == ["a", "b"]
    skipped = Skipped(SkipReason.NO_EMAIL)
    assert outcomes == [Synced("501"), Synced("502"), Synced("501"), skipped]


@pytest.mark.parametrize(
    "body",
    [
        {"contacts": [contact(7, FIRST), contact(8, SECOND)], "statusCodes": [200, 201]},
        {"contacts": {"1": contact(8, SECOND), "0": contact(7, FIRST)}},
        {
            "contacts": {"0": contact(7, FIRST), "1": contact(8, SECOND)},
            "statusCodes": {"0": 200, "1": "201"},
            "errors": [],
        },
    ],
)
async def test_lists_and_objects_are_read_alike(body: Mapping[str, object]) -> None:
    """PHP prints one as the other."""
    bare = [
        replace(one, first_name="", last_name="", company="", phone="") for one in deliveries(2)
    ]
    assert await answered(httpx.Response(201, json=body), bare) == [Synced("7"), Synced("8")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"contacts": {"1": contact(8, SECOND)}, "errors": {"0": {"code": 400, "message": "x"}}},
            Rejected("HTTP_400", "x"),
        ),
        (
            {
                "contacts": {"1": contact(8, SECOND)},
                "statusCodes": {"0": 400, "1": 201},
                "errors": {"0": {"message": "bad", "details": {"phone": ["too long"]}}},
            },
            Rejected("HTTP_400", "bad; phone: too long"),
        ),
        (
            {"contacts": {"1": contact(8, SECOND)}, "statusCodes": {"0": 403}},
            Rejected("HTTP_403", "Mautic gave no reason"),
        ),
        (
            {"contacts": {"1": contact(8, SECOND)}, "statusCodes": {"0": 409}},
            Retry("HTTP_409", "Mautic gave no reason"),
        ),
        (
            {"contacts": {"1": contact(8, SECOND)}, "statusCodes": {"0": 500}},
            Retry("HTTP_500", "Mautic gave no reason"),
        ),
    ],
)
async def test_a_record_gets_the_error_of_its_place(
    body: Mapping[str, object], expected: Outcome
) -> None:
    """Although the answer is 201; the other record is delivered."""
    outcomes = await answered(httpx.Response(201, json=body), deliveries(2))
    assert outcomes[0] == expected
    assert isinstance(outcomes[1], Synced)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"contacts": [contact(7, "somebody@else.example")], "statusCodes": [200]}, Unknown),
        ({"contacts": [{"id": 7}], "statusCodes": [200]}, Unknown),
        ({"contacts": [], "statusCodes": [201]}, Retry),
        ({"contacts": [{"fields": {"all": {"email": FIRST}}}]}, Retry),
        ({"contacts": "none"}, Retry),
        ({}, Retry),
    ],
)
async def test_what_a_reply_does_not_account_for_is_not_synced(
    body: Mapping[str, object], kind: type[Outcome]
) -> None:
    """A record under another's address is neither delivered nor surely not."""
    (outcome,) = await answered(httpx.Response(201, json=body), [delivery(1)])
    assert isinstance(outcome, kind)
    assert "somebody" not in repr(outcome)


@pytest.mark.parametrize("status", [200, 201])
async def test_an_error_of_a_whole_call_blames_no_record(status: int) -> None:
    """It comes as a list too, and its first entry is not the first record's."""
    reply = httpx.Response(status, json={"errors": [{"code": 400, "message": "bad request"}]})
    for outcome in await answered(reply, deliveries(2)):
        assert isinstance(outcome, Retry)
        assert "bad request" in outcome.message


async def test_a_record_that_is_said_to_be_written_is_blamed_for_no_error() -> None:
    """Errors that lost their places are for those whose status says so."""
    body = {
        "contacts": {"0": contact(1, "person1@example.com")},
        "statusCodes": {"0": 200, "1": 400},
        "errors": [{"code": 400, "message": "of the second"}],
    }
    first, second = await answered(httpx.Response(201, json=body), deliveries(2))
    assert isinstance(first, Synced)
    assert isinstance(second, Rejected)


async def test_fields_without_the_flat_ones_are_read_from_their_groups() -> None:
    """As older versions show them; what comes back empty was not kept."""
    groups = {"core": {"email": {"value": FIRST}, "plan": {"value": None}}, "social": []}
    reply = httpx.Response(201, json={"contacts": [{"id": 7, "fields": groups}]})
    one = Delivery(delivery(1).contact_id, 1, None, FIRST, properties={"plan": "0", "shoe": "44"})
    (outcome,) = await answered(reply, [one])
    assert outcome == Synced("7", note="not kept, Mautic has no place for it: plan, shoe")


async def test_a_whole_refusal_is_divided_until_the_culprit_stands_alone() -> None:
    """The others are delivered."""

    def respond(request: httpx.Request) -> httpx.Response:
        guilty = any(record["email"] == SECOND for record in records(request))
        return error(400, "invalid data") if guilty else kept(request)

    outcomes = await push(ScriptedCrm(respond), *deliveries(8))
    assert [type(outcome) for outcome in outcomes] == [Synced, Rejected, *[Synced] * 6]


async def test_a_known_record_whose_address_is_the_same_goes_with_the_batch() -> None:
    """One look at all of them, no call for each."""
    known = [replace(one, crm_contact_id=str(at)) for at, one in enumerate(deliveries(3), 7)]

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return kept(request)
        shown = {str(at): contact(at, one.email.upper()) for at, one in enumerate(known, 7)}
        return httpx.Response(200, json={"total": "3", "contacts": shown})

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, *known)
    assert {type(outcome) for outcome in outcomes} == {Synced}
    assert crm.paths == [CONTACTS, BATCH]
    query = crm.requests[0].url.params
    assert (query["where[0][col]"], query["where[0][val]"]) == ("id", "7,8,9")


async def test_a_moved_record_is_changed_by_itself_and_checked() -> None:
    """Its own error is its own; the batch goes on."""
    moved = replace(delivery(1), crm_contact_id="7")

    def respond(request: httpx.Request) -> httpx.Response:
        match request.method:
            case "PATCH":
                return error(400, "email: taken")
            case "POST":
                return kept(request)
            case _ if request.url.params["where[0][col]"] == "id":
                return httpx.Response(200, json={"contacts": {"7": contact(7, "old@x.com")}})
            case _:
                return httpx.Response(200, json={"contacts": []})

    crm = ScriptedCrm(respond)
    outcomes = await push(crm, moved, delivery(2))
    assert outcomes == [Rejected("HTTP_400", "email: taken"), Synced("501")]
    assert crm.paths == [CONTACTS, CONTACTS, "/api/contacts/7/edit", BATCH]


async def test_records_that_cannot_be_looked_up_wait_and_the_others_go() -> None:
    """Nothing is sent blindly: it might add a second contact."""
    known = replace(delivery(1), crm_contact_id="7")
    crm = ScriptedCrm(lambda r: kept(r) if r.method == "POST" else error(503))
    outcomes = await push(crm, known, delivery(2))
    assert isinstance(outcomes[0], Retry)
    assert outcomes[0].code == "CONTACTS_UNKNOWN"
    assert outcomes[1] == Synced("501")


async def test_reading_back_asks_fifty_addresses_at_a_time() -> None:
    """As a list that Mautic reads; of several contacts with one address the newest counts."""
    batch = [*deliveries(60), delivery(61, email='"a,b"@example.com'), delivery(62, email=" ")]

    def respond(_: httpx.Request) -> httpx.Response:
        blank = contact(9, FIRST, firstname="First1", lastname="Last1")
        full = contact(8, FIRST, firstname="First1", lastname="Last1", phone="other")
        return httpx.Response(200, json={"contacts": [blank, full]})

    crm = ScriptedCrm(respond)
    found = await instance(crm.tools()).read_back(batch)
    assert [synced for synced in found if synced] == [
        Synced("9", note="not kept, Mautic has no place for it: phone, company")
    ]
    first, second = (request.url.params["where[0][val]"] for request in crm.requests)
    assert first.count(",") == 49
    assert second.endswith('"""a,b""@example.com"')


async def test_no_ticket_is_known() -> None:
    """Mautic applies at once."""
    (outcome,) = await instance(ScriptedCrm(kept).tools()).settle("t-1", [delivery(1)])
    assert isinstance(outcome, Unknown)
