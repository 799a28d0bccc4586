"""Users with odd values: each fails alone, or is kept as it is."""

import pytest
from google.protobuf.struct_pb2 import Struct

from crmsync.v1 import user_pb2
from crmsync.v1 import user_service_pb2 as pb
from crmsync_client import CrmsyncClient

_UPSERT = pb.UserSyncOptions(mode=pb.USER_SYNC_MODE_UPSERT)
_RECONCILE = pb.USER_SYNC_MODE_FULL_RECONCILE


def _user(number: int, **more: object) -> user_pb2.User:
    given = {"external_id": f"u-{number}", "email": f"u{number}@example.com"} | more
    return user_pb2.User(**given)  # type: ignore[arg-type]  # its fields


async def _sync(
    client: CrmsyncClient, *users: user_pb2.User, options: pb.UserSyncOptions = _UPSERT
) -> pb.SyncUsersResponse:
    return await client.users.SyncUsers(pb.SyncUsersRequest(users=users, options=options))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
async def test_a_number_that_json_does_not_have_fails_its_user_alone(
    client: CrmsyncClient, number: float
) -> None:
    """Wherever it is in the metadata."""
    metadata = Struct()
    metadata.update({"ok": 1})
    metadata.fields["deep"].list_value.values.add().number_value = number
    found = await _sync(client, _user(1, metadata=metadata), _user(2))
    assert (found.summary.failed, found.summary.created) == (1, 1)
    assert found.results[0].violations[0].field == "metadata"


@pytest.mark.parametrize("email", ["JOSÉ@example.com", "İ@example.com", "ß@EXAMPLE.com"])
async def test_an_email_beyond_ascii_is_compared_alike_everywhere(
    client: CrmsyncClient, email: str
) -> None:
    """Here and by the database; or it is refused."""
    first = await _sync(client, _user(1, email=email))
    again = await _sync(client, _user(1, email=email.lower()))
    assert first.summary.created + first.summary.failed == 1
    assert again.summary.created == 0


async def test_exactly_the_share_that_may_be_deactivated_is(client: CrmsyncClient) -> None:
    """29 of 100 is 29 %, though floating point numbers say otherwise."""
    users = [_user(number) for number in range(100)]
    await _sync(client, *users)
    options = pb.UserSyncOptions(mode=_RECONCILE, max_deactivation_share=0.29)
    assert (await _sync(client, *users[29:], options=options)).summary.deactivated == 29
