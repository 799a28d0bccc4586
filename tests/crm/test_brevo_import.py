"""Brevo's imports: what is sent, when is asked, and how every row is accounted for."""

import json
from collections.abc import Mapping
from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.brevo import BrevoAdapter, build
from crmsync_server.crm.brevo_import import Ticket, portions
from crmsync_server.crm.brevo_rows import Row
from crmsync_server.crm.outcomes import (
    Accepted,
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Synced,
    Unknown,
)
from tests.crm.brevo_script import Answer, body, brevo_crm
from tests.crm.support import NOW, SECRET, Allowance, ScriptedCrm, account, deliveries, delivery

STARTED = httpx.Response(202, json={"processId": 78})
TICKET = Ticket("78", NOW - timedelta(seconds=10), timedelta(seconds=3)).encode()
REPORT = "https://files.test/reports/invalid.csv"


def adapter(crm: ScriptedCrm, quota: Allowance | None = None, **options: str) -> BrevoAdapter:
    """Return the adapter of an account with a list."""
    return build(account("brevo", list_id="7", **options), crm.tools(quota))


def completed(**reports: str) -> httpx.Response:
    """Answer a question after a process that is completed."""
    return httpx.Response(200, json={"status": "completed", "info": {"import": reports}})


def page(*contacts: Mapping[str, object]) -> httpx.Response:
    """Answer with a page of contacts."""
    return httpx.Response(200, json={"contacts": contacts, "count": len(contacts)})


async def settle(answers: Mapping[str, Answer], *batch: Delivery) -> list[Outcome]:
    """Settle an import of these deliveries."""
    missing = httpx.Response(404, json={"code": "document_not_found"})
    crm = brevo_crm({"GET": missing, "GET /contacts": page(), **answers})
    return list(await adapter(crm).settle(TICKET, batch))


# --- starting -----------------------------------------------------------------


async def test_many_contacts_go_by_import_and_are_accepted() -> None:
    """Accepted, not synced: the 202 says that nothing is written yet."""
    crm = brevo_crm({"POST /contacts/import": STARTED})
    outcomes = await adapter(crm, notify_url="https://us.test/hook").push(deliveries(50))
    assert len(outcomes) == 50
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    sent = body(crm.requests[-1])
    rows = sent.pop("jsonBody")
    assert isinstance(rows, list)
    assert [row["ext_id"] for row in rows] == [str(one.contact_id) for one in deliveries(50)]
    assert sent == {
        "listIds": [7],
        "updateExistingContacts": True,
        "emptyContactsAttributes": False,
        "disableNotification": True,
        "notifyUrl": "https://us.test/hook",
    }


async def test_few_contacts_go_one_by_one() -> None:
    """They are delivered at once, and join the same list."""
    crm = brevo_crm({"POST /contacts": httpx.Response(204)})
    outcomes = await adapter(crm).push(deliveries(49))
    assert all(isinstance(outcome, Synced) for outcome in outcomes)
    assert body(crm.requests[-1])["listIds"] == [7]


async def test_changed_addresses_go_one_by_one_beside_the_import() -> None:
    """An import would take them for new contacts."""
    crm = brevo_crm({"POST /contacts/import": STARTED, "PUT": httpx.Response(204)})
    moved = delivery(51, crm_contact_id="former@example.com")
    outcomes = await adapter(crm).push([*deliveries(50), moved])
    assert outcomes[50] == Synced("person51@example.com")
    assert isinstance(outcomes[0], Accepted)


async def test_a_repeated_address_waits_for_the_import() -> None:
    """Two rows for one contact could be applied in any order."""
    crm = brevo_crm({"POST /contacts/import": STARTED})
    outcomes = await adapter(crm).push([*deliveries(50), delivery(51, email="PERSON1@example.com")])
    assert isinstance(outcomes[0], Accepted)
    assert isinstance(outcomes[50], Postponed)
    assert not outcomes[50].lane


async def test_a_row_that_brevo_refuses_does_not_sink_its_import() -> None:
    """The import is halved until the culprit stands alone."""

    def respond(request: httpx.Request) -> httpx.Response:
        if b"person37@" in request.content:
            return httpx.Response(400, json={"code": "invalid_parameter", "message": "bad row"})
        return STARTED

    outcomes = await adapter(brevo_crm({"POST": respond})).push(deliveries(60))
    assert outcomes[36] == Rejected("INVALID_PARAMETER", "bad row")
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 59


def test_an_import_stays_below_its_size() -> None:
    """Sizes are counted in bytes, not in letters; no row is lost."""
    rows = [Row(n, f"p{n}@example.com", "x", {"FIRSTNAME": "é" * 40}) for n in range(100)]
    divided = list(portions(rows, max_bytes=1_000))
    assert [row for portion in divided for row in portion] == rows
    for portion in divided:
        entries = [
            {"email": row.email, "ext_id": row.ext_id, "attributes": row.attributes}
            for row in portion
        ]
        assert len(json.dumps(entries, ensure_ascii=False).encode()) <= 1_002


# --- asking -------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "in_process", "processing", "new_word"])
async def test_an_import_at_work_is_asked_after_once_and_later_again(status: str) -> None:
    """One question per settle, from the bucket of a hundred an hour, and twice the wait."""
    crm = brevo_crm({"GET": httpx.Response(200, json={"status": status})})
    quota = Allowance()
    (outcome,) = await adapter(crm, quota).settle(TICKET, [delivery(1)])
    assert isinstance(outcome, Accepted)
    assert outcome.check_time == NOW + timedelta(seconds=6)
    assert quota.taken.count("other") == 1
    assert crm.paths.count("/processes/78") == 1


def test_questions_become_sparse_enough_for_the_hundred_an_hour() -> None:
    """They start early, double, and are at least 36 seconds apart when sustained."""
    ticket = Ticket("78", NOW, timedelta(seconds=3))
    waits = []
    for _ in range(12):
        waits.append(ticket.wait.total_seconds())
        ticket = ticket.asked(answered=True)
    assert waits[:3] == [3, 6, 12]
    assert all(wait >= 36 for wait in waits[3:])
    assert max(waits) == 600


async def test_a_question_that_met_a_fault_is_put_again_after_the_same_wait() -> None:
    """It says nothing about how long the import takes; but it counts among the hundred."""
    (outcome,) = await settle({"GET /processes/78": httpx.Response(503)}, delivery(1))
    assert isinstance(outcome, Accepted)
    assert outcome.check_time == NOW + timedelta(seconds=3)
    assert Ticket.decode(outcome.ticket).questions == 1


def test_a_ticket_survives_being_stored() -> None:
    """It is kept as text with each record."""
    ticket = Ticket("78", NOW, timedelta(seconds=3.5), 4)
    assert Ticket.decode(ticket.encode()) == ticket


@pytest.mark.parametrize("ticket", ["", "{}", "[]", "78", '{"process":"1","since":"x"}'])
async def test_an_unreadable_ticket_is_unknown(ticket: str) -> None:
    """Nothing can be found out by it, and nothing is asked."""
    crm = brevo_crm({})
    (outcome,) = await adapter(crm).settle(ticket, [delivery(1)])
    assert isinstance(outcome, Unknown)
    assert crm.requests == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(404, json={"code": "document_not_found"}), Unknown),
        (httpx.Response(200, json={"status": "failed"}), Retry),
        (httpx.Response(200, json={"status": "cancelled"}), Retry),
        (httpx.Response(200, text="<html>"), Accepted),
        (httpx.Response(503), Accepted),
        (httpx.Response(429, headers={"x-sib-ratelimit-reset": "900"}), Accepted),
    ],
)
async def test_an_answer_about_a_process_decides_for_all_its_rows(
    answer: httpx.Response, kind: type[Outcome]
) -> None:
    """A fault forgets nothing: the ticket is asked after again."""
    outcomes = await settle({"GET /processes/78": answer}, *deliveries(3))
    assert [type(outcome) for outcome in outcomes] == [kind] * 3


async def test_a_rate_limit_moves_the_next_question() -> None:
    """Asking earlier would only be refused again."""
    busy = httpx.Response(429, headers={"x-sib-ratelimit-reset": "900"})
    (outcome,) = await settle({"GET /processes/78": busy}, delivery(1))
    assert isinstance(outcome, Accepted)
    assert outcome.check_time == NOW + timedelta(seconds=900)


async def test_an_import_older_than_a_day_is_unknown() -> None:
    """It is not asked after for ever."""
    old = Ticket("78", NOW - timedelta(hours=25), timedelta(minutes=10)).encode()
    crm = brevo_crm({"GET": httpx.Response(200, json={"status": "processing"})})
    (outcome,) = await adapter(crm).settle(old, [delivery(1)])
    assert isinstance(outcome, Unknown)


async def test_a_refused_key_keeps_the_ticket() -> None:
    """The engine asks again once the credentials are replaced."""
    crm = brevo_crm({"GET": httpx.Response(401, json={"message": "Key not found"})})
    with pytest.raises(CredentialsRefusedError, match="Key not found"):
        await adapter(crm).settle(TICKET, [delivery(1)])


# --- reconciling --------------------------------------------------------------


@pytest.mark.parametrize(
    "report",
    [
        "EMAIL;ERROR\nPerson2@example.com;invalid syntax\n",
        'ext_id,reason\n00000000-0000-0000-0000-000000000002,"bad, really"\n',
        "\ufeffSMS;WHY\r\n33199990002;phone taken\r\n",
        "anything;00000000-0000-0000-0000-000000000002;person1@example.com\n",
    ],
)
async def test_a_row_named_in_a_report_is_rejected_and_no_other(report: str) -> None:
    """However the file is separated, and whatever its columns are called."""
    answers = {
        "GET /processes/78": completed(invalid_emails=REPORT),
        "GET /reports/invalid.csv": httpx.Response(200, content=report.encode()),
        "GET /contacts": page({"email": "person1@example.com"}, {"email": "Person2@example.com"}),
    }
    first, second = await settle(answers, *deliveries(2))
    assert first == Synced("person1@example.com")
    assert isinstance(second, Rejected)
    assert second.code == "INVALID_EMAILS"
    assert second.message.startswith("Brevo's report invalid_emails: ")


async def test_the_report_store_never_sees_the_key() -> None:
    """Reports lie outside the API."""
    crm = brevo_crm(
        {
            "GET /processes/78": completed(invalid_emails=REPORT),
            "GET /reports/invalid.csv": httpx.Response(200, content=b""),
            "GET": page({"email": "person1@example.com"}),
        }
    )
    await adapter(crm).settle(TICKET, [delivery(1)])
    (download,) = [request for request in crm.requests if request.url.host == "files.test"]
    assert SECRET not in repr(download.headers.raw)


async def test_a_completed_import_alone_is_no_success() -> None:
    """A row that neither a report nor the account shows is tried again."""
    outcomes = await settle({"GET /processes/78": completed()}, *deliveries(2))
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry]


async def test_a_contact_as_it_was_before_the_import_is_no_success() -> None:
    """Found is not enough; it must hold the row, or have changed since."""
    stale = {
        "email": "person1@example.com",
        "attributes": {"FIRSTNAME": "Other"},
        "modifiedAt": "2026-11-20T00:00:00.000Z",
    }
    first = f"GET /contacts/{delivery(1).contact_id}"
    answers: dict[str, Answer] = {
        "GET /processes/78": completed(),
        first: httpx.Response(200, json=stale),
        "GET": httpx.Response(200, json=stale),
    }
    (outcome,) = await settle(answers, delivery(1))
    assert isinstance(outcome, Retry)
    fresh = {**stale, "modifiedAt": NOW.isoformat()}
    answers[first] = httpx.Response(200, json=fresh)
    assert await settle(answers, delivery(1)) == [Synced("person1@example.com")]


async def test_an_unchanged_contact_that_holds_the_row_is_a_success() -> None:
    """Brevo may not count it as modified when an import changes nothing."""
    same = {
        "email": "person1@example.com",
        "attributes": {
            "FIRSTNAME": "First1",
            "LASTNAME": "Last1",
            "COMPANY": "Company 1",
            "SMS": "33199990001",
        },
        "modifiedAt": "2026-11-20T00:00:00.000Z",
    }
    answers = {"GET /processes/78": completed(), "GET": httpx.Response(200, json=same)}
    assert await settle(answers, delivery(1)) == [Synced("person1@example.com")]


async def test_reading_back_continues_past_a_full_page() -> None:
    """Other contacts may fill the first one."""
    full = [{"email": f"other{n}@example.com"} for n in range(1_000)]

    def respond(request: httpx.Request) -> httpx.Response:
        params = request.url.params
        assert params["modifiedSince"] == "2026-11-21T11:59:50.000Z"
        return page(*full) if params["offset"] == "0" else page({"email": "person1@example.com"})

    answers: dict[str, Answer] = {"GET /processes/78": completed(), "GET /contacts": respond}
    assert await settle(answers, delivery(1)) == [Synced("person1@example.com")]


async def test_a_fault_while_reading_back_asks_again_later() -> None:
    """What was imported is not pushed again for it."""
    answers = {"GET /processes/78": completed(), "GET /contacts": httpx.Response(503)}
    (outcome,) = await settle(answers, delivery(1))
    assert isinstance(outcome, Accepted)
