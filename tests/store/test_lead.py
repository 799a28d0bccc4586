"""Leads are kept, told of, counted and listed; a conversion counts once ever."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync_server.errors import LeadNotFoundError
from crmsync_server.store import lead, lead_schedule, lead_session, schedule, session_record
from crmsync_server.store.db import Database
from crmsync_server.store.invariants import violations
from crmsync_server.store.lead import Ending, Filter, Place, Window
from crmsync_server.store.schedule_action import SyncRecentLeadsAction, action_of
from crmsync_server.store.session_record import SessionRecord
from crmsync_server.store.states import LeadRegistration, RecordAction
from tests.store import leads
from tests.store.leads import CRM, LEASE, signup, told
from tests.store.people import ORG

_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def test_a_signup_is_kept_and_its_values_replaced(database: Database) -> None:
    """Counted once; what the CRM told of it stays."""
    await leads.register(database, "s-1")
    await leads.apply(database, told(code=3))
    async with database.org(ORG) as connection:
        row = await lead.keep(connection, ORG, signup(email="new@example.com", tag="spring"))
    assert (row.email, row.tag, row.status_code) == ("new@example.com", "spring", 3)
    assert (row.registration, row.held, row.elsewhere) == ("REGISTERED", False, False)
    async with database.org(ORG) as connection:
        totals = await lead.totals(connection, ORG, CRM)
    assert totals is not None
    assert (totals.leads, totals.synced) == (1, 1)
    await leads.sound(database)


async def test_a_lead_of_another_crm_stays_as_it_is(database: Database) -> None:
    """Its id belongs to one CRM for ever."""
    await leads.keep(database, "s-1")
    async with database.org(ORG) as connection:
        row = await lead.keep(connection, ORG, signup(crm="other", email="x@example.com"))
    assert row.elsewhere
    assert (row.crm, row.email) == (CRM, "s-1@example.com")


async def test_only_one_registers_a_lead_at_a_time(database: Database) -> None:
    """Whoever comes second sees that it is held, until the lease is over."""
    async with database.org(ORG) as connection:
        await lead.keep(connection, ORG, signup())
        taken = await lead.begin_registration(connection, ORG, "s-1", lease=LEASE)
    async with database.org(ORG) as connection:
        assert (await lead.keep(connection, ORG, signup())).held
    async with database.everyone() as connection:
        past = "UPDATE leads SET registration_until = now() - interval '1 second'"
        await connection.execute(sa.text(past))
    async with database.org(ORG) as connection:
        assert not (await lead.keep(connection, ORG, signup())).held
        again = await lead.begin_registration(connection, ORG, "s-1", lease=LEASE)
    assert again.registration_attempt == taken.registration_attempt + 1


async def test_one_that_comes_back_late_changes_nothing(database: Database) -> None:
    """Its attempt is not the newest any more."""
    async with database.org(ORG) as connection:
        await lead.keep(connection, ORG, signup())
        first = await lead.begin_registration(connection, ORG, "s-1", lease=LEASE)
        second = await lead.begin_registration(connection, ORG, "s-1", lease=LEASE)
        refused = Ending(LeadRegistration.REFUSED, code="HTTP_400", message="no")
        late = await lead.end_registration(
            connection, ORG, "s-1", first.registration_attempt, refused
        )
        assert late.registration == "REGISTERING"
        done = Ending(LeadRegistration.REGISTERED, "crm-1")
        row = await lead.end_registration(connection, ORG, "s-1", second.registration_attempt, done)
    assert (row.registration, row.crm_lead_id) == ("REGISTERED", "crm-1")
    assert (row.registration_error_code, row.registration_until) == (None, None)


async def test_what_a_crm_tells_is_taken_over_and_every_change_kept(database: Database) -> None:
    """The same again changes nothing."""
    await leads.keep(database, "s-1")
    (first,) = await leads.apply(database, told(code=1))
    (same,) = await leads.apply(database, told(code=1))
    (moved,) = await leads.apply(database, told(code=3))
    assert (first.updated, same.updated, moved.updated) == (True, False, True)
    changes = await leads.history(database)
    told_codes = [(one.sequence, one.previous_status_code, one.status_code) for one in changes]
    assert told_codes == [(2, 1, 3), (1, 0, 1)]
    row = await leads.get(database)
    assert (row.registration, row.crm_lead_id, row.changes) == ("REGISTERED", "crm-s-1", 2)
    await leads.sound(database)


@pytest.mark.parametrize(
    "change", [{"status_text": "Renamed"}, {"tp_account": "MT4-1"}, {"ftd": True}]
)
async def test_text_account_and_deposit_are_changes_too(
    database: Database, change: dict[str, Any]
) -> None:
    """Whatever of them differs."""
    await leads.keep(database, "s-1")
    await leads.apply(database, told())
    (moved,) = await leads.apply(database, told(**change))
    assert moved.updated
    assert len(await leads.history(database)) == 2


async def test_a_conversion_counts_once_ever(database: Database) -> None:
    """Although the deposit is taken back, and made again."""
    await leads.keep(database, "s-1")
    tellings = [told(code=9, ftd=True), told(code=1), told(code=9, ftd=True)]
    answers = [(await leads.apply(database, one))[0] for one in tellings]
    assert [(one.ftd_exists, one.converted) for one in answers] == [
        (True, True),
        (False, False),
        (True, False),
    ]
    changes = await leads.history(database)
    assert [one.conversion for one in changes] == [False, False, True]
    async with database.org(ORG) as connection:
        totals = await lead.totals(connection, ORG, CRM)
    assert totals is not None
    assert totals.conversions == 1
    await leads.sound(database)


async def test_an_answer_that_is_older_than_what_is_known_changes_nothing(
    database: Database,
) -> None:
    """By the CRM's own clock, of one and the same record."""
    await leads.keep(database, "s-1")
    await leads.apply(database, told(code=9, ftd=True, modify_time=_NOON))
    old = told(code=1, modify_time=_NOON - timedelta(hours=1))
    (late,) = await leads.apply(database, old)
    assert not late.updated
    # Its session counts the deposit that is known.
    assert late.ftd_exists
    assert (await leads.get(database)).status_code == 9
    (other,) = await leads.apply(database, old._replace(crm_lead_id="another"))
    assert other.updated
    await leads.sound(database)


async def test_a_status_without_a_name_is_kept_and_counted(database: Database) -> None:
    """By its number."""
    await leads.keep(database, "s-1", "s-2")
    await leads.apply(database, told("s-1", 17), told("s-2", -4))
    async with database.org(ORG) as connection:
        assert await lead.counts(connection, ORG, CRM) == {-4: 1, 17: 1}
    await leads.sound(database)


async def test_leads_that_nobody_has_are_left_out(database: Database) -> None:
    """Also those of another CRM, and nothing at all."""
    await leads.keep(database, "s-1")
    assert await leads.apply(database) == []
    assert [row.id for row in await leads.apply(database, told("s-1"), told("s-9"))] == ["s-1"]
    async with database.org(ORG) as connection:
        assert await lead.apply(connection, ORG, "other", [told("s-1")]) == []
    with pytest.raises(LeadNotFoundError):
        await leads.get(database, "s-9")


async def test_counts_stay_true_whatever_is_told_at_the_same_time(database: Database) -> None:
    """Eight at once, of the same leads in any order."""
    ids = [f"s-{number}" for number in range(20)]
    await leads.keep(database, *ids)
    random = Random(7)  # noqa: S311 - repeatable, not secret

    async def tell(turn: int) -> None:
        chosen = random.sample(ids, 10)
        for number in range(5):
            codes = [(turn + number + place) % 14 for place in range(10)]
            tellings = [
                told(one, code, ftd=code == 9) for one, code in zip(chosen, codes, strict=True)
            ]
            await leads.apply(database, *tellings)

    await asyncio.gather(*(tell(turn) for turn in range(8)))
    await leads.sound(database)


async def test_a_session_notes_each_lead_once_and_tells_which_are_missing(
    database: Database,
) -> None:
    """Of those of its window alone."""
    await leads.keep(database, "s-1", "s-2", "s-3")
    async with database.everyone() as connection:
        old = "UPDATE leads SET create_time = now() - interval '9 days' WHERE id = 's-3'"
        await connection.execute(sa.text(old))
        now = await connection.scalar(sa.text("SELECT now()"))
    window = Window(CRM, now - timedelta(days=7), now)
    begin = Place(window.since)
    async with database.org(ORG) as connection:
        session_id = await lead_session.open(connection, ORG, CRM, days=7, creator="anna")
        found = await lead.recent(connection, ORG, window, begin, size=10)
        assert [place.id for place in found] == ["s-1", "s-2"]
        assert await lead.count_recent(connection, ORG, window) == 2
        rest = await lead.recent(connection, ORG, window, found[0], size=10)
        assert [place.id for place in rest] == ["s-2"]
        done = [SessionRecord("s-1", RecordAction.UNCHANGED)]
        await session_record.note(connection, ORG, session_id, done)
        missing = await lead.unseen(connection, ORG, window, begin, session_id=session_id, size=10)
        assert [place.id for place in missing] == ["s-2"]
        owners = await lead.owners(connection, ORG, CRM, ["s-1"], ["s-3@example.com"], session_id)
        assert [(row.id, row.noted) for row in owners] == [("s-3", False), ("s-1", True)]


async def test_leads_are_listed_newest_first_by_every_filter(database: Database) -> None:
    """Page by page."""
    for number in range(4):
        await leads.keep(database, f"s-{number}")
    await leads.apply(database, told("s-1", 9, ftd=True), told("s-2", 3))
    async with database.org(ORG) as connection:

        async def ids(chosen: Filter, before: Place | None = None) -> list[str]:
            rows = await lead.list(connection, ORG, chosen, size=3, before=before)
            return [row.id for row in rows]

        rows = await lead.list(connection, ORG, Filter(), size=3)
        assert [row.id for row in rows] == ["s-3", "s-2", "s-1"]
        assert await ids(Filter(), Place(rows[-1].create_time, rows[-1].id)) == ["s-0"]
        assert await ids(Filter(status_codes=[9, 3])) == ["s-2", "s-1"]
        assert await ids(Filter(ftd_exists=True)) == ["s-1"]
        assert await ids(Filter(email_key="s-3@example.com")) == ["s-3"]
        assert await ids(Filter(registration=LeadRegistration.PENDING)) == ["s-3", "s-0"]
        assert await ids(Filter(crm="other")) == []


async def test_the_hourly_schedule_is_made_once_and_does_not_come_back(
    database: Database,
) -> None:
    """Whoever deleted it meant it."""
    async with database.org(ORG) as connection:
        assert await lead_schedule.make(connection, ORG, CRM)
        assert not await lead_schedule.make(connection, ORG, CRM)
        (row,) = await schedule.list(connection, ORG, size=10)
        assert action_of(row.action) == SyncRecentLeadsAction(days=30)
        assert (row.crm, row.enabled, row.creator) == (CRM, True, "crmsync")
        assert timedelta(0) < row.next_run_time - row.create_time <= timedelta(hours=1)
        await schedule.delete(connection, ORG, row.id)
        assert not await lead_schedule.make(connection, ORG, CRM)
        assert await schedule.count(connection, ORG) == 0
    await leads.sound(database)


async def test_leads_of_others_are_nobodys(database: Database) -> None:
    """The same id is another lead elsewhere."""
    await leads.keep(database, "s-1")
    async with database.org("globex") as connection:
        with pytest.raises(LeadNotFoundError):
            await lead.get(connection, "globex", "s-1")
        row = await lead.keep(connection, "globex", signup(email="g@example.com"))
    assert row.email == "g@example.com"
    assert (await leads.get(database)).email == "s-1@example.com"


@pytest.mark.parametrize(
    ("damage", "promise"),
    [
        (
            "UPDATE lead_totals SET conversions = conversions + 1",
            "the kept totals of leads are the true ones",
        ),
        (
            "UPDATE lead_counts SET leads = leads - 1",
            "the kept counts of a status are the true ones",
        ),
        ("DELETE FROM lead_history", "every change of a lead is in its history, once"),
        ("UPDATE leads SET conversion_time = NULL", "a conversion is counted once"),
    ],
)
async def test_a_count_that_is_wrong_is_found(
    database: Database, damage: str, promise: str
) -> None:
    """By the query that everything else here trusts."""
    await leads.keep(database, "s-1")
    await leads.apply(database, told(code=9, ftd=True))
    async with database.everyone() as connection:
        await connection.execute(sa.text(damage))
        assert promise in {row.promise for row in await violations(connection)}


async def test_no_lead_converts_twice_whatever_writes_it(database: Database) -> None:
    """The schema itself refuses a second conversion."""
    await leads.keep(database, "s-1")
    await leads.apply(database, told(code=9, ftd=True))
    second = (
        "INSERT INTO lead_history SELECT org_id, lead_id, sequence + 1, 9, 9, '', true, '', true"
        " FROM lead_history"
    )
    with pytest.raises(sa.exc.IntegrityError, match="lead_history_conversion_key"):
        async with database.org(ORG) as connection:
            await connection.execute(sa.text(second))
