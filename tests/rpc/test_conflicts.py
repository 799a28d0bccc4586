"""Conflicts are listed newest first, and resolved all at once or not at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest

from crmsync.v1 import analytics_service_pb2 as pb
from crmsync.v1 import conflict_pb2
from crmsync.v1.analytics_service_pb2 import FieldResolution
from crmsync_server.crm.mapping import FieldMapping, Rule
from crmsync_server.crm.transforms import Date, Upper
from crmsync_server.store import contact, session
from crmsync_server.store.content import Content
from crmsync_server.store.db import Database
from tests.rpc.admins import OTHER, READER
from tests.rpc.conflicts import (
    COMPANY,
    CRM,
    PHONE,
    PLAN,
    TAGS,
    Desk,
    Where,
    base_of,
    found,
    open_desk,
    opened,
)
from tests.rpc.contacts import ORG
from tests.rpc.serving import failure_of
from tests.store import people
from tests.store.deliveries import finish

OURS = conflict_pb2.CONFLICT_CHOICE_OURS
THEIRS = conflict_pb2.CONFLICT_CHOICE_THEIRS
NEWEST = conflict_pb2.CONFLICT_CHOICE_NEWEST
OPEN = conflict_pb2.CONFLICT_STATE_OPEN
RESOLVED = conflict_pb2.CONFLICT_STATE_RESOLVED


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """Serve AnalyticsService."""
    async with open_desk(database) as desk:
        yield desk


async def listed(desk: Desk, metadata: Any = (), **asked: Any) -> pb.ListConflictsResponse:  # noqa: ANN401 - of a call
    """List conflicts."""
    return await desk.stub.ListConflicts(pb.ListConflictsRequest(**asked), metadata=metadata)


async def resolve(desk: Desk, conflict_id: UUID, **asked: Any) -> conflict_pb2.Conflict:  # noqa: ANN401 - fields of the request
    """Resolve a conflict."""
    request = pb.ResolveConflictRequest(conflict_id=str(conflict_id), **asked)
    return (await desk.stub.ResolveConflict(request)).conflict


async def content_of(database: Database, contact_id: UUID) -> Content:
    """Return what a contact says."""
    async with database.org(ORG) as connection:
        return Content.of(await contact.get(connection, ORG, contact_id))


async def queued(database: Database) -> list[UUID]:
    """Claim what waits for the CRM; return whom."""
    async with database.org(ORG) as connection:
        return [row.contact_id for row in await people.claim(connection)]


def results(told: conflict_pb2.Conflict) -> dict[str, str]:
    """Return what each field was resolved to."""
    return {one.field: one.result for one in told.fields}


async def test_conflicts_are_listed_newest_first_page_by_page(
    desk: Desk, database: Database
) -> None:
    """With how many are open, by CRM, on each page."""
    ids = [str(await opened(database)) for _ in range(3)]
    ids.append(str(await opened(database, crm="brevo")))
    first = await listed(desk, page_size=3)
    assert [one.id for one in first.conflicts] == ids[:0:-1]
    assert dict(first.open_counts) == {"brevo": 1, "hubspot": 3}
    second = await listed(desk, page_size=3, page_token=first.next_page_token)
    assert [one.id for one in second.conflicts] == ids[:1]
    assert not second.next_page_token
    assert second.open_counts == first.open_counts


async def test_a_conflict_tells_both_sides_and_what_they_agreed_on(
    desk: Desk, database: Database
) -> None:
    """A base that is not known is unset."""
    contact_id, conflict_id = await found(database, Where(), [COMPANY, TAGS])
    [told] = (await listed(desk)).conflicts
    assert (told.id, told.contact_id, told.crm) == (str(conflict_id), str(contact_id), CRM)
    assert told.state == OPEN
    company, tags = told.fields
    assert (company.base, company.ours, company.theirs) == ("Acme", "Acme Ltd", "Acme Inc")
    assert not tags.HasField("base")
    assert not tags.HasField("result")
    assert told.ours_time.seconds + 3600 == told.theirs_time.seconds
    assert not told.HasField("resolve_time")
    assert told.resume_token


async def test_a_list_is_narrowed_by_crm_state_and_contact(desk: Desk, database: Database) -> None:
    """The counts are not."""
    contact_id, first = await found(database, Where(), [COMPANY])
    second = await opened(database, crm="brevo")
    third = await opened(database)
    await resolve(desk, third, choice=THEIRS)
    for asked, expected in (
        ({"crm": "brevo"}, [second]),
        ({"state": OPEN}, [second, first]),
        ({"state": RESOLVED}, [third]),
        ({"contact_id": str(contact_id)}, [first]),
        ({"crm": "brevo", "state": RESOLVED}, []),
    ):
        told = await listed(desk, **asked)
        assert [one.id for one in told.conflicts] == [str(one) for one in expected]
        assert dict(told.open_counts) == {"brevo": 1, "hubspot": 1}


async def test_conflicts_of_another_organization_are_not_there(
    desk: Desk, database: Database
) -> None:
    """Neither to be listed nor to be resolved, and a page token is of no use."""
    ids = [await opened(database) for _ in range(2)]
    assert not (await listed(desk, OTHER)).conflicts
    request = pb.ResolveConflictRequest(conflict_id=str(ids[0]), choice=OURS)
    failure = await failure_of(desk.stub.ResolveConflict(request, metadata=OTHER))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "CONFLICT_NOT_FOUND")
    token = (await listed(desk, page_size=1)).next_page_token
    failure = await failure_of(listed(desk, OTHER, page_size=1, page_token=token))
    assert failure.info.reason == "INVALID_PAGE_TOKEN"


async def test_our_side_is_delivered_at_once_in_a_session(desk: Desk, database: Database) -> None:
    """The contact stays as it is, and what the CRM has is what both have seen."""
    contact_id, conflict_id = await found(database, Where(email="ada@example.com"), [COMPANY, TAGS])
    told = await resolve(desk, conflict_id, choice=OURS)
    assert (told.state, told.resolver) == (RESOLVED, "anna")
    assert results(told) == {"company": "Acme Ltd", "tags": "a;b"}
    assert told.HasField("resolve_time")
    known = await base_of(database, contact_id)
    assert known.version == 1
    assert known.fields == {"company": "Acme Inc", "tags": ["b", "c"]}
    assert known.conflicted == []
    session_id = UUID(told.resolve_session_id)
    async with database.org(ORG) as connection:
        opened_one = await session.get(connection, ORG, session_id)
        claimed = await people.claim(connection)
    assert (opened_one.kind, opened_one.total) == ("RESOLVE_CONFLICT", 1)
    assert [(row.contact_id, row.urgent) for row in claimed] == [(contact_id, True)]
    assert not claimed[0].unchanged
    assert desk.resolved == [(ORG, CRM, session_id)]


async def test_their_side_is_taken_and_not_delivered(desk: Desk, database: Database) -> None:
    """The CRM has it; other CRMs are told by the deliveries that wait for them."""
    contact_id, conflict_id = await found(database, Where(), [COMPANY, TAGS, PLAN])
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order("brevo"))
    told = await resolve(desk, conflict_id, choice=THEIRS)
    assert results(told) == {"company": "Acme Inc", "tags": "b;c", "properties.plan": "gold"}
    assert not told.resolve_session_id
    after = await content_of(database, contact_id)
    assert (after.company, after.tags, after.properties) == (
        "Acme Inc",
        ("b", "c"),
        {"plan": "gold"},
    )
    known = await base_of(database, contact_id)
    assert known.fields == {"company": "Acme Inc", "tags": ["b", "c"], "properties.plan": "gold"}
    assert await queued(database) == []
    async with database.org(ORG) as connection:
        [waiting] = await people.claim(connection, crm="brevo")
    assert (waiting.contact_id, waiting.company) == (contact_id, "Acme Inc")
    assert desk.resolved == [(ORG, CRM, None)]


async def test_each_field_may_take_another_side_or_a_value_of_its_own(
    desk: Desk, database: Database
) -> None:
    """And the choice is for all others."""
    contact_id, conflict_id = await found(
        database, Where(email="ada@example.com"), [COMPANY, PHONE, TAGS, PLAN]
    )
    fields = {
        "phone": FieldResolution(value="+49301234"),
        "tags": FieldResolution(value=" x ; y;x;"),
        "properties.plan": FieldResolution(choice=OURS),
    }
    told = await resolve(desk, conflict_id, choice=THEIRS, fields=fields)
    expected = {
        "company": "Acme Inc",
        "phone": "+49301234",
        "tags": "x;y",
        "properties.plan": "pro",
    }
    assert results(told) == expected
    after = await content_of(database, contact_id)
    assert (after.company, after.phone, after.tags) == ("Acme Inc", "+49301234", ("x", "y"))
    assert after.properties == {"plan": "pro"}
    assert await queued(database) == [contact_id]


async def test_a_value_that_both_differ_from_may_be_none(desk: Desk, database: Database) -> None:
    """A property that is emptied is gone."""
    contact_id, conflict_id = await found(database, Where(email="ada@example.com"), [PLAN])
    empty = {"properties.plan": FieldResolution(value="")}
    assert results(await resolve(desk, conflict_id, fields=empty)) == {"properties.plan": ""}
    assert (await content_of(database, contact_id)).properties == {}
    assert await queued(database) == [contact_id]


@pytest.mark.parametrize(("ours_later", "expected"), [(False, "Acme Inc"), (True, "Acme Ltd")])
async def test_the_newest_is_what_was_changed_later(
    desk: Desk, database: Database, *, ours_later: bool, expected: str
) -> None:
    """By the two times that the conflict tells."""
    where = Where(email="ada@example.com")
    if ours_later:
        where = Where(email="ada@example.com", theirs_time=where.theirs_time.replace(year=2025))  # type: ignore[union-attr]
    contact_id, conflict_id = await found(database, where, [COMPANY])
    await resolve(desk, conflict_id, choice=NEWEST)
    assert (await content_of(database, contact_id)).company == expected


async def test_the_newest_is_refused_where_the_crm_tells_no_time(
    desk: Desk, database: Database
) -> None:
    """For one field or for all."""
    conflict_id = await opened(database, theirs_time=None)
    for asked in ({"choice": NEWEST}, {"fields": {"company": FieldResolution(choice=NEWEST)}}):
        failure = await failure_of(resolve(desk, conflict_id, **asked))
        assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
        assert failure.info.reason == "NOT_SUPPORTED"
        assert failure.info.metadata["crm"] == CRM


async def test_fields_that_are_left_out_or_not_in_conflict_are_named(
    desk: Desk, database: Database
) -> None:
    """All of them, and nothing changes."""
    contact_id, conflict_id = await found(database, Where(), [COMPANY, PHONE, TAGS])
    fields = {"phone": FieldResolution(choice=THEIRS), "email": FieldResolution(choice=OURS)}
    failure = await failure_of(resolve(desk, conflict_id, fields=fields))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(failure.violations) == {'fields["email"]', 'fields["company"]', 'fields["tags"]'}
    assert "company, phone, tags" in failure.violations['fields["email"]']
    assert "in conflict" in failure.violations['fields["tags"]']
    [told] = (await listed(desk)).conflicts
    assert told.state == OPEN
    assert (await base_of(database, contact_id)).version == 1


@pytest.mark.parametrize(
    ("told", "value", "description"),
    [
        (("email", "a@b.cd", "b@b.cd", "c@b.cd"), "nobody", "valid email"),
        (COMPANY, "x" * 201, "200"),
        (("tags", None, "a", "b"), ";".join(f"t{n}" for n in range(51)), "50"),
        (PLAN, "x" * 4001, "4000"),
    ],
)
async def test_a_value_that_breaks_a_rule_of_contacts_is_named(
    desk: Desk,
    database: Database,
    told: tuple[str, str | None, str, str],
    value: str,
    description: str,
) -> None:
    """By its field, with what would be right."""
    contact_id, conflict_id = await found(database, Where(), [told])
    fields = {told[0]: FieldResolution(value=value)}
    failure = await failure_of(resolve(desk, conflict_id, fields=fields))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert description in failure.violations[f'fields["{told[0]}"].value']
    assert (await base_of(database, contact_id)).version == 1


async def test_what_the_record_has_is_held_to_the_same_rules(
    desk: Desk, database: Database
) -> None:
    """The field is named by how it was chosen."""
    conflict_id = await opened(database, ("company", None, "Acme", "x" * 300), PHONE)
    failure = await failure_of(resolve(desk, conflict_id, choice=THEIRS))
    assert list(failure.violations) == ["choice"]
    fields = {"company": FieldResolution(choice=THEIRS)}
    failure = await failure_of(resolve(desk, conflict_id, choice=OURS, fields=fields))
    assert list(failure.violations) == ['fields["company"].choice']


async def test_the_email_of_another_contact_is_refused(desk: Desk, database: Database) -> None:
    """With whose it is."""
    taken, _ = await found(database, Where(email="eve@example.com"), [COMPANY])
    conflict_id = await opened(database, ("email", None, "ada@example.com", "EVE@example.com"))
    failure = await failure_of(resolve(desk, conflict_id, choice=THEIRS))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN")
    assert str(taken) in str(failure.status)


async def test_a_contact_must_still_be_known_by_something(desk: Desk, database: Database) -> None:
    """A number that is taken away may be all there was."""
    conflict_id = await opened(database, PHONE, last_name="")
    fields = {"phone": FieldResolution(value=" ")}
    failure = await failure_of(resolve(desk, conflict_id, fields=fields))
    assert "at least one of email" in failure.violations["fields"]


async def test_what_has_ended_is_not_resolved_again(desk: Desk, database: Database) -> None:
    """The caller is told where it stands."""
    conflict_id = await opened(database)
    await resolve(desk, conflict_id, choice=THEIRS)
    failure = await failure_of(resolve(desk, conflict_id, choice=OURS))
    assert (failure.code, failure.info.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONFLICT_CLOSED",
    )
    assert failure.info.metadata["state"] == "RESOLVED"


async def test_of_some_who_resolve_at_once_one_does(desk: Desk, database: Database) -> None:
    """The others are told that it is closed, and the first result stays."""
    contact_id, conflict_id = await found(database, Where(email="ada@example.com"), [COMPANY])
    calls = [
        resolve(desk, conflict_id, fields={"company": FieldResolution(value=value)})
        for value in ("One", "Two", "Three")
    ]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    [won] = [one for one in ended if isinstance(one, conflict_pb2.Conflict)]
    assert {"company": (await content_of(database, contact_id)).company} == results(won)
    assert await queued(database) == [contact_id]


async def test_a_repeated_request_returns_the_first_answer(desk: Desk, database: Database) -> None:
    """It resolves nothing again."""
    conflict_id = await opened(database, email="ada@example.com")
    request_id = str(uuid4())
    first = await resolve(desk, conflict_id, choice=OURS, request_id=request_id)
    assert await resolve(desk, conflict_id, choice=OURS, request_id=request_id) == first
    failure = await failure_of(resolve(desk, conflict_id, choice=THEIRS, request_id=request_id))
    assert failure.info.reason == "REQUEST_ID_REUSED"


async def test_a_crm_that_takes_no_work_cannot_be_told_but_can_be_followed(
    desk: Desk, database: Database
) -> None:
    """What the CRM has needs no delivery."""
    conflict_id = await opened(database, email="ada@example.com")
    desk.off.add(CRM)
    failure = await failure_of(resolve(desk, conflict_id, choice=OURS))
    assert failure.info.reason == "CRM_DISABLED"
    assert (await resolve(desk, conflict_id, choice=THEIRS)).state == RESOLVED


async def test_a_contact_without_an_email_cannot_be_told_to_a_crm_that_needs_one(
    desk: Desk, database: Database
) -> None:
    """And nothing of the resolution is kept."""
    contact_id, conflict_id = await found(database, Where(), [PHONE])
    fields = {"phone": FieldResolution(value="14")}
    failure = await failure_of(resolve(desk, conflict_id, fields=fields))
    assert failure.info.reason == "EMAIL_REQUIRED"
    assert (await content_of(database, contact_id)).phone == "12"
    assert (await base_of(database, contact_id)).conflicted == ["phone"]


async def test_a_delivery_under_way_does_not_count_as_the_result(
    desk: Desk, database: Database
) -> None:
    """It left the fields in conflict out; the contact is delivered again, and not as unchanged."""
    contact_id, conflict_id = await found(database, Where(email="ada@example.com"), [COMPANY])
    async with database.org(ORG) as connection:
        await people.enqueue(connection, [contact_id], people.order())
        under_way = await people.claim(connection)
    await resolve(desk, conflict_id, choice=OURS)
    async with database.org(ORG, by_index=True) as connection:
        await finish(connection, under_way)
    async with database.org(ORG) as connection:
        again = await people.claim(connection)
    assert [(row.contact_id, row.unchanged) for row in again] == [(contact_id, False)]


async def test_the_contact_keeps_what_was_changed_here_since(
    desk: Desk, database: Database
) -> None:
    """Ours is what the contact has, not what it had when the conflict was found."""
    contact_id, conflict_id = await found(database, Where(email="ada@example.com"), [COMPANY])
    async with database.org(ORG) as connection:
        await contact.update(
            connection, ORG, contact_id, lambda before: before._replace(company="Acme AG")
        )
    assert results(await resolve(desk, conflict_id, choice=OURS)) == {"company": "Acme AG"}


async def test_a_mapping_is_read_back_and_told_by_slots(desk: Desk, database: Database) -> None:
    """The base keeps the CRM's form, the contact gets its own."""
    born = Rule("birthday", "properties.born", transforms=(Date("%d/%m/%Y", "%Y-%m-%d"),))
    desk.mapping = FieldMapping((born, Rule("company", "company", transforms=(Upper(),))))
    contact_id, conflict_id = await found(
        database,
        Where(),
        [
            ("properties.born", None, "17/03/1990", "1991-04-18"),
            ("company", None, "Acme", "ACME INC"),
        ],
    )
    told = await resolve(desk, conflict_id, choice=THEIRS)
    assert results(told) == {"properties.born": "18/04/1991", "company": "ACME INC"}
    assert not told.resolve_session_id
    fields = (await base_of(database, contact_id)).fields or {}
    assert fields["properties.birthday"] == "1991-04-18"
    assert fields["company"] == "ACME INC"


async def test_a_record_that_cannot_be_read_back_is_no_choice(
    desk: Desk, database: Database
) -> None:
    """The caller is told why."""
    born = Rule("birthday", "properties.born", transforms=(Date("%d/%m/%Y", "%Y-%m-%d"),))
    desk.mapping = FieldMapping((born,))
    conflict_id = await opened(database, ("properties.born", None, "17/03/1990", "soon"))
    failure = await failure_of(resolve(desk, conflict_id, choice=THEIRS))
    assert "field mapping" in failure.violations["choice"]


async def test_a_deleted_contact_has_no_conflict_left(desk: Desk, database: Database) -> None:
    """Its conflicts are settled with it."""
    contact_id, conflict_id = await found(database, Where(), [COMPANY])
    async with database.org(ORG) as connection:
        await contact.delete(connection, ORG, contact_id)
    failure = await failure_of(resolve(desk, conflict_id, choice=OURS))
    assert failure.info.metadata["state"] == "SETTLED"


async def test_readers_list_and_writers_resolve(desk: Desk, database: Database) -> None:
    """Nobody else."""
    conflict_id = await opened(database)
    assert (await listed(desk, READER)).conflicts
    request = pb.ResolveConflictRequest(conflict_id=str(conflict_id), choice=OURS)
    failure = await failure_of(desk.stub.ResolveConflict(request, metadata=READER))
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED
    assert failure.info.metadata["required_role"] == "writer"


async def test_an_unknown_crm_is_told_with_those_there_are(desk: Desk) -> None:
    """By listing and by watching."""
    watched = desk.stub.WatchConflicts(pb.WatchConflictsRequest(crm="siebel"))
    for call in (listed(desk, crm="siebel"), watched.read()):
        failure = await failure_of(call)
        assert failure.info.reason == "UNKNOWN_CRM"
        assert failure.info.metadata["known"] == "brevo,hubspot"
