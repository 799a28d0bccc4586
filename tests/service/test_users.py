"""UserService through a real channel: the examples of the provisioning document, and its rules."""

import asyncio
from collections.abc import Iterator

import grpc
from google.protobuf.struct_pb2 import Struct

from crmsync.v1 import user_pb2
from crmsync.v1 import user_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.store import user
from crmsync_server.store.db import Database
from tests.service.calls import failure, new_uuid

UPSERT = pb.USER_SYNC_MODE_UPSERT
RECONCILE = pb.USER_SYNC_MODE_FULL_RECONCILE
CREATED = pb.USER_SYNC_STATUS_CREATED
UPDATED = pb.USER_SYNC_STATUS_UPDATED
UNCHANGED = pb.USER_SYNC_STATUS_UNCHANGED
FAILED = pb.USER_SYNC_STATUS_FAILED


def person(external_id: str, email: str = "", **fields: object) -> user_pb2.User:
    """Return a user; without an email one that follows from the external id."""
    return user_pb2.User(
        external_id=external_id,
        email=email or f"{external_id}@example.com",
        **fields,  # type: ignore[arg-type]  # fields of User
    )


async def sync(
    client: CrmsyncClient,
    *users: user_pb2.User,
    mode: pb.UserSyncMode.ValueType = UPSERT,
    dry_run: bool = False,
    share: float | None = None,
) -> pb.SyncUsersResponse:
    """Take users in."""
    options = pb.UserSyncOptions(mode=mode, dry_run=dry_run, max_deactivation_share=share)
    return await client.users.SyncUsers(pb.SyncUsersRequest(options=options, users=users))


async def listed(client: CrmsyncClient) -> dict[str, user_pb2.User]:
    """Return every user by external id."""
    found = await client.users.ListUsers(pb.ListUsersRequest(page_size=1000))
    return {one.external_id: one for one in found.users}


async def test_the_documents_example_is_created_and_then_updated(client: CrmsyncClient) -> None:
    """With the same values, and metadata merged by key."""
    metadata = Struct()
    metadata.update({"department": "Engineering", "permissions": ["read", "write"]})
    john = user_pb2.User(
        external_id="user-123",
        email="user@example.com",
        first_name="John",
        last_name="Doe",
        role="admin",
        is_active=True,
        org_code="default",
        metadata=metadata,
    )
    first = await sync(client, john)
    assert (first.summary.total, first.summary.created, first.summary.failed) == (1, 1, 0)
    [result] = first.results
    assert (result.user_id, result.email, result.status) == (
        "user-123",
        "user@example.com",
        CREATED,
    )
    more = Struct()
    more.update({"department": None, "floor": 3})
    second = await sync(client, person("user-123", "User@Example.com", role="user", metadata=more))
    assert second.results[0].status == UPDATED
    assert second.results[0].crm_user_id == result.crm_user_id
    found = (await client.users.GetUser(pb.GetUserRequest(email="USER@EXAMPLE.COM"))).user
    assert (found.first_name, found.last_name, found.role) == ("John", "Doe", "user")
    assert dict(found.metadata) == {"permissions": found.metadata["permissions"], "floor": 3}
    third = await sync(client, person("user-123", "User@Example.com"))
    assert third.results[0].status == UNCHANGED


async def test_a_user_who_is_not_valid_fails_alone_and_says_why(client: CrmsyncClient) -> None:
    """Without an email, without an external id, with a wrong address; results stay in order."""
    answer = await sync(
        client,
        person("a"),
        user_pb2.User(external_id="b"),
        user_pb2.User(email="c@example.com"),
        person("d", "no address"),
        person("e"),
    )
    assert [one.status for one in answer.results] == [CREATED, FAILED, FAILED, FAILED, CREATED]
    assert [one.error_code for one in answer.results[1:4]] == ["INVALID"] * 3
    assert [one.violations[0].field for one in answer.results[1:4]] == [
        "email",
        "external_id",
        "email",
    ]
    assert (answer.summary.created, answer.summary.failed) == (2, 3)
    assert len(answer.summary.errors) == 3


async def test_entries_that_repeat_an_earlier_one_fail(client: CrmsyncClient) -> None:
    """By external id, and by email in any case."""
    answer = await sync(
        client, person("a"), person("a", "x@example.com"), person("b", "A@Example.com")
    )
    assert [one.status for one in answer.results] == [CREATED, FAILED, FAILED]
    assert {one.error_code for one in answer.results[1:]} == {"DUPLICATE"}


async def test_an_email_that_is_known_takes_its_new_external_id(client: CrmsyncClient) -> None:
    """And an external id that is known its new email."""
    first = await sync(client, person("old", "ada@example.com"))
    second = await sync(client, person("new", "ADA@example.com"))
    assert second.results[0].status == UPDATED
    assert second.results[0].crm_user_id == first.results[0].crm_user_id
    third = await sync(client, person("new", "countess@example.com"))
    assert third.results[0].crm_user_id == first.results[0].crm_user_id
    assert set(await listed(client)) == {"new"}


async def test_an_email_of_somebody_else_is_refused_unless_they_give_it_up(
    client: CrmsyncClient,
) -> None:
    """Two may exchange their emails in one call."""
    await sync(client, person("a", "a@example.com"), person("b", "b@example.com"))
    refused = await sync(client, person("a", "b@example.com"))
    assert refused.results[0].error_code == "EMAIL_TAKEN"
    assert "b" in refused.results[0].error
    swapped = await sync(client, person("a", "b@example.com"), person("b", "a@example.com"))
    assert [one.status for one in swapped.results] == [UPDATED, UPDATED]
    users = await listed(client)
    assert (users["a"].email, users["b"].email) == ("b@example.com", "a@example.com")


async def test_a_user_of_another_organization_stops_the_whole_call(client: CrmsyncClient) -> None:
    """And nothing is changed."""
    wrong = person("b", org_code="evil")
    failed = await failure(sync(client, person("a"), wrong))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "ORGANIZATION_MISMATCH",
    )
    assert failed.metadata == {"index": "1", "org_code": "evil"}
    assert not await listed(client)


async def test_a_reconcile_deactivates_who_is_not_named_and_nobody_else(
    client: CrmsyncClient,
) -> None:
    """Whoever is named stays, in whatever case, and even where the entry is not valid."""
    await sync(client, *(person(f"user-{number}") for number in range(10)))
    kept = [person(f"user-{number}", f"USER-{number}@example.com") for number in range(8)]
    broken = user_pb2.User(external_id="user-8")
    answer = await sync(client, *kept, broken, mode=RECONCILE)
    assert [one.external_id for one in answer.deactivated] == ["user-9"]
    assert answer.summary.deactivated == 1
    users = await listed(client)
    assert not users["user-9"].is_active
    assert all(users[f"user-{number}"].is_active for number in range(9))


async def test_a_reconcile_stops_before_it_deactivates_too_many(client: CrmsyncClient) -> None:
    """Unless it is told to; a dry run says what it would do."""
    await sync(client, *(person(f"user-{number}") for number in range(10)))
    few = [person(f"user-{number}") for number in range(7)]
    failed = await failure(sync(client, *few, person("new"), mode=RECONCILE))
    assert (failed.reason, failed.metadata["deactivations"]) == ("TOO_MANY_DEACTIVATIONS", "3")
    assert len(await listed(client)) == 10
    planned = await sync(client, *few, mode=RECONCILE, share=0.5, dry_run=True)
    assert (planned.dry_run, planned.summary.deactivated) == (True, 3)
    assert all(one.is_active for one in (await listed(client)).values())
    done = await sync(client, *few, mode=RECONCILE, share=0.5)
    assert done.summary.deactivated == 3


async def test_a_reconcile_with_an_empty_list_is_refused(client: CrmsyncClient) -> None:
    """In a call and in a stream."""
    failed = await failure(sync(client, mode=RECONCILE))
    assert [one.field for one in failed.violations] == ["users"]
    failed = await failure(client.users.SyncUserStream(stream([], RECONCILE)))
    assert [one.field for one in failed.violations] == ["users"]


def stream(
    users: list[user_pb2.User], mode: pb.UserSyncMode.ValueType, size: int = 1000
) -> Iterator[pb.SyncUserStreamRequest]:
    """Yield the messages of a stream."""
    yield pb.SyncUserStreamRequest(options=pb.UserSyncOptions(mode=mode))
    for start in range(0, len(users), size):
        yield pb.SyncUserStreamRequest(users=users[start : start + size])


async def test_a_stream_is_taken_in_whole_or_not_at_all(client: CrmsyncClient) -> None:
    """A message that is wrong keeps everything before it out."""
    users = [person(f"user-{number}") for number in range(2500)]
    done = await client.users.SyncUserStream(stream(users, UPSERT))
    assert done.summary.created == 2500
    assert [one.index for one in done.results] == list(range(2500))

    def broken() -> Iterator[pb.SyncUserStreamRequest]:
        yield from stream([person("late")], UPSERT)
        yield pb.SyncUserStreamRequest(options=pb.UserSyncOptions(mode=UPSERT))

    failed = await failure(client.users.SyncUserStream(broken()))
    assert failed.violations[0].field == "options"
    assert (await failure(client.users.GetUser(pb.GetUserRequest(external_id="late")))).reason == (
        "USER_NOT_FOUND"
    )


async def test_a_second_reconcile_at_once_is_refused(
    client: CrmsyncClient, database: Database
) -> None:
    """And goes well when the first has ended."""
    await sync(client, person("a"))
    async with database.org("default") as connection:
        assert await user.reserve(connection, "default")
        failed = await failure(sync(client, person("a"), mode=RECONCILE))
        assert (failed.code, failed.reason) == (grpc.StatusCode.ABORTED, "RECONCILE_RUNNING")
        waiting = asyncio.ensure_future(sync(client, person("b")))
    assert (await waiting).results[0].status == CREATED
    assert (await sync(client, person("a"), person("b"), mode=RECONCILE)).summary.unchanged == 2


async def test_the_same_request_id_is_answered_as_before(client: CrmsyncClient) -> None:
    """Nothing is done twice."""
    request = pb.SyncUsersRequest(
        options=pb.UserSyncOptions(mode=UPSERT), users=[person("a")], request_id=new_uuid()
    )
    first = await client.users.SyncUsers(request)
    assert await client.users.SyncUsers(request) == first


async def test_users_are_listed_newest_first_by_what_they_are(client: CrmsyncClient) -> None:
    """Pages join without a gap."""
    await sync(client, *(person(f"u{number}", role="admin") for number in range(3)))
    await sync(client, person("off", is_active=False))
    request = pb.ListUsersRequest(page_size=2, is_active=True, role="admin")
    found: list[str] = []
    while True:
        page = await client.users.ListUsers(request)
        found += [one.external_id for one in page.users]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(found) == ["u0", "u1", "u2"]
    inactive = await client.users.ListUsers(pb.ListUsersRequest(is_active=False))
    assert [one.external_id for one in inactive.users] == ["off"]
