"""Brevo's imports: when is asked, and how every row is accounted for."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, Delivery
from crmsync_server.crm.brevo_import import Ticket
from crmsync_server.crm.outcomes import (
    Accepted,
    Outcome,
    Rejected,
    Retry,
    Synced,
    Unknown,
)
from tests.crm.brevo_script import Answer, adapter, brevo_crm
from tests.crm.support import NOW, SECRET, Rations, ScriptedCrm, deliveries, delivery

TICKET = Ticket("78", NOW - timedelta(seconds=10), timedelta(seconds=3)).encode()
REPORT = "https://files.test/reports/invalid.csv"


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


# --- asking -------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "in_process", "processing", "new_word"])
async def test_an_import_at_work_is_asked_after_once_and_later_again(status: str) -> None:
    """One question per settle, from the bucket of a hundred an hour, and twice the wait."""
    crm = brevo_crm({"GET": httpx.Response(200, json={"status": status})})
    quota = Rations()
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


async def test_a_line_that_is_too_long_hides_no_other() -> None:
    """Brevo repeats whatever a record holds; a record may hold a megabyte."""
    long = f"person1@example.com;{'x' * 1_000_000}\n"
    report = httpx.Response(200, text=f"EMAIL;COMPANY\n{long}person2@example.com;a\0b\n")
    answers = {"GET /processes/78": completed(invalid_emails=REPORT)}
    answers["GET /reports/invalid.csv"] = report
    first, second = await settle(answers, delivery(1), delivery(2))
    assert isinstance(first, Retry)
    assert isinstance(second, Rejected)
    assert "\0" not in second.message


@pytest.mark.parametrize("url", ["https://files.test/\0", "https://xn--a/", "http://1.2.3.256/"])
async def test_a_report_at_an_impossible_address_names_nobody(url: str) -> None:
    """The rows are looked for all the same."""
    answers = {"GET /processes/78": completed(invalid_emails=url)}
    (outcome,) = await settle(answers, delivery(1))
    assert isinstance(outcome, Retry)


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


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(302), httpx.Response(500)])
async def test_a_report_that_cannot_be_had_makes_no_row_a_success(answer: httpx.Response) -> None:
    """The rows it would have named are missing from the account instead."""
    answers = {
        "GET /processes/78": completed(invalid_emails=REPORT),
        "GET /reports/invalid.csv": answer,
        "GET /contacts": page({"email": "person1@example.com"}),
    }
    first, second = await settle(answers, *deliveries(2))
    assert isinstance(first, Synced)
    assert isinstance(second, Retry)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_attributes_that_cannot_be_read_leave_nothing_unknown(status: int) -> None:
    """Nothing was sent, whatever a gateway says."""

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status)

    outcomes = await adapter(ScriptedCrm(respond)).push(deliveries(2))
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry]


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


# --- looking up what the pages do not show ------------------------------------


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (httpx.Response(429, headers={"x-sib-ratelimit-reset": "900"}), 900),
        (httpx.Response(425), 5),
        (httpx.Response(500), 5),
        (httpx.Response(502), 5),
        (httpx.Response(200, text="<html>"), None),
    ],
)
async def test_rows_that_could_not_be_looked_up_stay_accepted(
    answer: httpx.Response, wait: int | None
) -> None:
    """They are in the account or not: pushing them again could undo what came later."""
    answers = {
        "GET /processes/78": completed(invalid_emails=REPORT),
        "GET /reports/invalid.csv": httpx.Response(200, content=b"EMAIL\nperson2@example.com\n"),
        "GET /contacts": page({"email": "person1@example.com"}),
        "GET": answer,
    }
    outcomes = await settle(answers, *deliveries(30))
    assert isinstance(outcomes[0], Synced)
    assert isinstance(outcomes[1], Rejected)
    if wait is None:
        assert {type(outcome) for outcome in outcomes[2:]} == {Retry}
        return
    (held,) = set(outcomes[2:])
    assert isinstance(held, Accepted)
    assert Ticket.decode(held.ticket).process_id == "78"
    assert held.check_time == NOW + timedelta(seconds=wait)


async def test_quota_that_runs_out_while_looking_up_settles_what_was_seen() -> None:
    """The rest stays accepted, under one ticket, until the allowance is back."""
    missing = httpx.Response(404, json={"code": "document_not_found"})
    crm = brevo_crm({"GET": missing, "GET /contacts": page(), "GET /processes/78": completed()})
    until = NOW + timedelta(minutes=5)
    # Two for the attributes, one for the process, two for the page, and three questions.
    outcomes = await adapter(crm, Rations(11, until)).settle(TICKET, deliveries(20))
    held = {outcome for outcome in outcomes if isinstance(outcome, Accepted)}
    assert {outcome.check_time for outcome in held} == {until}
    assert len(held) == 1
    assert {type(outcome) for outcome in outcomes} <= {Accepted, Retry}


async def test_a_key_refused_while_looking_up_keeps_the_ticket() -> None:
    """Nothing is recorded, so nothing is lost: the engine asks again with the new key."""
    answers = {
        "GET /processes/78": completed(),
        "GET /contacts": page({"email": "person1@example.com"}),
        "GET": httpx.Response(401, json={"message": "Key not found"}),
    }
    with pytest.raises(CredentialsRefusedError, match="Key not found"):
        await settle(answers, *deliveries(3))


async def test_a_row_without_a_phone_is_not_the_owner_of_empty_cells() -> None:
    """A contact whose phone is to be cleared has no phone that a report could name."""
    cleared = replace(delivery(1), phone="", blank=frozenset({"phone"}))
    answers = {
        "GET /processes/78": completed(invalid_emails=REPORT),
        "GET /reports/invalid.csv": httpx.Response(200, content=b"EMAIL;SMS\nx@y.com;\n"),
        "GET /contacts": page({"email": "person1@example.com"}),
    }
    assert await settle(answers, cleared) == [Synced("person1@example.com")]
