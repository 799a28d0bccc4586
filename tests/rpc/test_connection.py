"""ConnectionService: what each call promises, over a real channel to scripted CRMs."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import uuid4

import grpc
import httpx
import pytest

from crmsync.v1 import connection_pb2
from crmsync.v1 import connection_service_pb2 as pb
from crmsync.v1.connection_pb2 import Connection, Credentials
from crmsync_server.crm.adapter import Account
from crmsync_server.store import connection, lane
from crmsync_server.store.db import Database
from crmsync_server.store.health import ConnectionHealth
from crmsync_server.store.lane import Fault
from tests.rpc.connections import ORG, House, connecting, creation
from tests.rpc.serving import failure_of
from tests.store import accounts

KEY = {"api_key": "xkeysib-canary"}
MAUTIC = "https://mautic.example.com"
REFUSAL = httpx.Response(401, json={"code": "unauthorized", "message": "Key not found"})


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Run a service without any account in its settings."""
    async with connecting(database) as running:
        yield running


async def pause(database: Database, code: str) -> None:
    """Close the lane to Brevo."""
    fault = Fault(code, "refused", accounts.HOUR, accounts.HOUR)
    async with database.org(ORG) as transaction:
        await lane.trip(transaction, ORG, "brevo", fault)


async def paused(database: Database) -> str | None:
    """Return why the lane to Brevo is closed."""
    async with database.org(ORG) as transaction:
        row = await transaction.execute(accounts.PAUSE, {"org_id": ORG, "crm": "brevo"})
        found: str | None = row.scalar_one_or_none()
        return found


async def test_a_connection_is_returned_as_it_was_given(house: House) -> None:
    """But for its credentials, of which only the names are ever told."""
    made = await house.create(
        "mautic",
        display_name="Ours",
        base_url=f"{MAUTIC}/",
        options={"batch_size": "20"},
        secrets={"username": "ada", "password": "canary"},
    )
    assert made == await house.get(made.id)
    assert (made.crm, made.display_name, made.base_url) == ("mautic", "Ours", MAUTIC)
    assert dict(made.options) == {"batch_size": "20"}
    assert list(made.credentials_set) == ["password", "username"]
    assert made.health == connection_pb2.CONNECTION_HEALTH_UNCHECKED
    assert (made.version, made.key_id) == (1, "one")
    assert not made.HasField("check_time")
    assert "canary" not in str(made)
    assert house.changed == house.queued == [(ORG, "mautic")]
    assert house.crm.requests == []


async def test_a_second_connection_to_a_crm_is_refused(house: House) -> None:
    """It names the first."""
    made = await house.create()
    refused = await failure_of(house.create())
    assert (refused.code, refused.info.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "CONNECTION_EXISTS",
    )
    assert refused.info.metadata == {"connection_id": made.id, "crm": "brevo"}


async def test_a_repeated_request_creates_once(house: House) -> None:
    """Whoever did not hear the answer asks again; with other secrets it is another request."""
    request = creation(request_id=str(uuid4()))
    first = await house.stub.CreateConnection(request)
    assert await house.stub.CreateConnection(request) == first
    request.credentials.secrets["api_key"] = "other"
    refused = await failure_of(house.stub.CreateConnection(request))
    assert refused.info.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("asked", "field", "why"),
    [
        ({"crm": ""}, "connection.crm", "must be set"),
        ({"secrets": {"apikey": "x"}}, 'credentials.secrets["apikey"]', "it takes api_key"),
        ({"secrets": {"api_key": "a b"}}, 'credentials.secrets["api_key"]', "illegal characters"),
        ({"options": {"lst": "1"}}, 'connection.options["lst"]', "it takes contacts_calls"),
        ({"options": {"list_id": "x"}}, 'connection.options["list_id"]', "whole number above 0"),
        (
            {"crm": "mautic", "secrets": {"username": "a", "password": "b"}},
            "connection.base_url",
            "missing",
        ),
        (
            {"crm": "mautic", "base_url": MAUTIC, "secrets": {"username": "a"}},
            'credentials.secrets["password"]',
            "missing",
        ),
        ({"base_url": "ftp://a.example.com"}, "connection.base_url", "must begin with https://"),
        ({"base_url": "https://u:p@a.example.com"}, "connection.base_url", "user name or password"),
        (
            {"base_url": "https://a.example.com/?x=1"},
            "connection.base_url",
            "must not have a query",
        ),
        ({"base_url": "https://a.example.com/#x"}, "connection.base_url", "fragment"),
        ({"base_url": "https://2130706433/"}, "connection.base_url", "written as 127.0.0.1"),
        ({"base_url": "no url"}, "connection.base_url", "valid URI"),
        ({"display_name": "x" * 101}, "connection.display_name", "100 characters"),
        ({"secrets": {"api_key": ""}}, 'credentials.secrets["api_key"]', "must not be empty"),
        ({"options": {str(n): "" for n in range(51)}}, "connection.options", "at most 50"),
    ],
)
async def test_bad_input_names_its_field_and_creates_nothing(
    house: House, asked: dict[str, Any], field: str, why: str
) -> None:
    """And says what would be right."""
    refused = await failure_of(house.create(**asked))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.info.reason == "INVALID_REQUEST"
    assert field in refused.violations, refused.violations
    assert why in refused.violations[field]
    listed = await house.stub.ListConnections(pb.ListConnectionsRequest())
    assert list(listed.connections) == []
    assert house.changed == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:80", "https://10.1.2.3/api", "http://[::1]/", "http://169.254.169.254"],
)
async def test_an_address_that_may_not_be_called_is_refused(house: House, url: str) -> None:
    """On creation, on change and when it is only tested."""
    made = await house.create("mautic", base_url=MAUTIC, secrets={"username": "a", "password": "b"})
    given = pb.GivenCredentials(
        crm="mautic", base_url=url, credentials=Credentials(secrets={"username": "a"})
    )
    calls: dict[str, list[Awaitable[object]]] = {
        "connection.base_url": [
            house.create("hubspot", base_url=url, secrets={"token": "x"}),
            house.update(Connection(id=made.id, base_url=url), secrets={"username": "a"}),
        ],
        "given.base_url": [house.stub.TestCredentials(pb.TestCredentialsRequest(given=given))],
    }
    for field, each in calls.items():
        for call in each:
            refused = await failure_of(call)
            assert refused.info.reason == "URL_NOT_ALLOWED"
            assert refused.info.metadata["field"] == field
            assert list(refused.violations) == [field]


async def test_an_unknown_crm_is_refused_with_the_known_ones(house: House) -> None:
    """By every call that takes one."""
    given = pb.GivenCredentials(crm="sap", credentials=Credentials(secrets=KEY))
    for call in (
        house.create("sap"),
        house.try_stored("sap"),
        house.stub.TestCredentials(pb.TestCredentialsRequest(given=given)),
        house.stub.ListConnections(pb.ListConnectionsRequest(crm="sap")),
    ):
        refused = await failure_of(call)
        assert refused.info.reason == "UNKNOWN_CRM"
        assert "hubspot" in refused.info.metadata["known"]


async def test_connections_are_listed_page_by_page(house: House) -> None:
    """By CRM; a token serves only its own list."""
    await house.create("hubspot", secrets={"token": "x"})
    await house.create("brevo")
    first = await house.stub.ListConnections(pb.ListConnectionsRequest(page_size=1))
    assert [one.crm for one in first.connections] == ["brevo"]
    more = pb.ListConnectionsRequest(page_size=1, page_token=first.next_page_token)
    rest = await house.stub.ListConnections(more)
    assert [one.crm for one in rest.connections] == ["hubspot"]
    assert not rest.next_page_token
    more.crm = "hubspot"
    refused = await failure_of(house.stub.ListConnections(more))
    assert refused.info.reason == "INVALID_PAGE_TOKEN"


async def test_the_fields_of_the_mask_are_changed(house: House) -> None:
    """Also to empty ones; a single option can be set or taken away."""
    made = await house.create(display_name="A", options={"list_id": "1", "other_calls": "5"})
    made.options["list_id"] = "2"
    changed = await house.update(
        Connection(id=made.id, options={"list_id": "2"}),
        "display_name",
        "options.list_id",
        "options.other_calls",
    )
    assert (changed.display_name, dict(changed.options)) == ("", {"list_id": "2"})
    assert changed.version == 2


async def test_without_a_mask_what_is_given_is_changed(house: House) -> None:
    """And the rest stays."""
    made = await house.create(display_name="A", options={"list_id": "1"})
    changed = await house.update(Connection(id=made.id, display_name="B"))
    assert (changed.display_name, dict(changed.options)) == ("B", {"list_id": "1"})


@pytest.mark.parametrize("path", ["crm", "health", "options.", "credentials", "optionsx"])
async def test_a_mask_that_names_anything_else_is_refused(house: House, path: str) -> None:
    """It says which fields there are."""
    made = await house.create()
    refused = await failure_of(house.update(Connection(id=made.id), "display_name", path))
    assert "display_name, base_url, options" in refused.violations["update_mask.paths[1]"]


async def test_a_change_that_no_adapter_can_be_built_for_is_refused(house: House) -> None:
    """With the stored credentials, or with new ones; it changes nothing."""
    made = await house.create()
    wrong = await failure_of(house.update(Connection(id=made.id, options={"list_id": "x"})))
    assert list(wrong.violations) == ['connection.options["list_id"]']
    missing = await failure_of(house.update(Connection(id=made.id), secrets={"token": "x"}))
    assert list(missing.violations) == ['credentials.secrets["token"]']
    assert await house.get(made.id) == made


async def test_a_new_address_needs_the_credentials_again(house: House) -> None:
    """Else whoever may change it could have those that are kept sent to himself."""
    secrets = {"username": "a", "password": "b"}
    made = await house.create("mautic", base_url=MAUTIC, secrets=secrets)
    moved = Connection(id=made.id, base_url="https://evil.example.com")
    refused = await failure_of(house.update(moved))
    assert "must come with credentials" in refused.violations["connection.base_url"]
    assert (await house.update(moved, secrets=secrets)).base_url == moved.base_url


async def test_another_version_is_refused(house: House) -> None:
    """ABORTED, with the present one."""
    made = await house.create()
    refused = await failure_of(house.update(Connection(id=made.id, version=7, display_name="B")))
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    assert refused.info.metadata == {"version": "1"}


async def test_an_unknown_connection_is_not_found(house: House) -> None:
    """For reading, changing and deleting, before and after it was there."""
    made = await house.create()
    await house.stub.DeleteConnection(pb.DeleteConnectionRequest(connection_id=made.id))
    for call in (
        house.get(made.id),
        house.update(Connection(id=made.id, display_name="B")),
        house.stub.DeleteConnection(pb.DeleteConnectionRequest(connection_id=made.id)),
    ):
        refused = await failure_of(call)
        assert (refused.code, refused.info.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "CONNECTION_NOT_FOUND",
        )
    assert (await failure_of(house.update(Connection()))).violations == {
        "connection.id": "must be set"
    }


async def test_good_credentials_are_valid_and_make_the_connection_healthy(house: House) -> None:
    """With the account's id, where the CRM tells one; nothing is written there."""
    made = await house.create("hubspot", secrets={"token": "canary"})
    told = await house.try_stored("hubspot")
    assert (told.status, told.account_id) == (pb.CREDENTIALS_STATUS_VALID, "17")
    assert (told.error, told.error_code) == ("", "")
    assert {request.method for request in house.crm.requests} == {"GET"}
    after = await house.get(made.id)
    assert after.health == connection_pb2.CONNECTION_HEALTH_HEALTHY
    assert (after.account_id, after.version) == ("17", 1)
    assert after.HasField("check_time")


async def test_refused_credentials_are_invalid(house: House) -> None:
    """An answer, not an error; the connection says so too."""
    made = await house.create()
    house.crm.reply = REFUSAL
    told = await house.try_stored()
    assert told.status == pb.CREDENTIALS_STATUS_INVALID
    assert told.error_code == "CREDENTIALS_REFUSED"
    assert "Key not found" in told.error
    after = await house.get(made.id)
    assert after.health == connection_pb2.CONNECTION_HEALTH_UNHEALTHY
    assert after.health_reason == told.message


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (httpx.ConnectError("no route"), "UNREACHABLE"),
        (httpx.ReadTimeout("silence"), "TIMEOUT"),
        (httpx.Response(503, text="down"), "UNREACHABLE"),
    ],
)
async def test_a_crm_that_gives_no_answer_is_unreachable(
    house: House, reply: httpx.Response | Exception, code: str
) -> None:
    """Which is told apart from a refusal: the credentials may be good."""
    made = await house.create()
    house.crm.reply = reply
    told = await house.try_stored()
    assert (told.status, told.error_code) == (pb.CREDENTIALS_STATUS_UNREACHABLE, code)
    after = await house.get(made.id)
    assert after.health == connection_pb2.CONNECTION_HEALTH_UNREACHABLE


async def test_given_credentials_are_tested_and_kept_nowhere(house: House) -> None:
    """They are the ones that are sent, and what is stored stays as it is."""
    made = await house.create()
    house.crm.reply = REFUSAL
    given = pb.GivenCredentials(crm="brevo", credentials=Credentials(secrets={"api_key": "other"}))
    told = await house.stub.TestCredentials(pb.TestCredentialsRequest(given=given))
    assert told.status == pb.CREDENTIALS_STATUS_INVALID
    assert [request.headers["api-key"] for request in house.crm.requests] == ["other"]
    assert await house.get(made.id) == made


async def test_given_credentials_that_do_not_fit_name_their_field(house: House) -> None:
    """As on creation, below `given`."""
    given = pb.GivenCredentials(crm="brevo", credentials=Credentials(secrets={"token": "x"}))
    refused = await failure_of(house.stub.TestCredentials(pb.TestCredentialsRequest(given=given)))
    assert list(refused.violations) == ['given.credentials.secrets["token"]']


async def test_credentials_that_there_are_not_cannot_be_tested(house: House) -> None:
    """FAILED_PRECONDITION, for it takes a connection first."""
    refused = await failure_of(house.try_stored())
    assert (refused.code, refused.info.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CRM_DISABLED",
    )


async def test_without_a_connection_the_settings_account_is_tested(database: Database) -> None:
    """And with one it is not: an organization's own comes first."""
    shared = Account("", "brevo", "https://brevo.test/v3", {"api_key": "shared"})
    async with connecting(database, {"brevo": shared}) as house:
        assert (await house.try_stored()).status == pb.CREDENTIALS_STATUS_VALID
        made = await house.create()
        await house.try_stored()
        await house.stub.DeleteConnection(pb.DeleteConnectionRequest(connection_id=made.id))
        await house.try_stored()
        keys = [request.headers["api-key"] for request in house.crm.requests]
    assert keys == ["shared", "xkeysib-canary", "shared"]


@pytest.mark.parametrize("code", ["CREDENTIALS_REFUSED", "MISCONFIGURED", "CIRCUIT_OPEN"])
async def test_a_lane_that_was_closed_goes_on_when_the_cause_is_gone(
    house: House, database: Database, code: str
) -> None:
    """After new credentials, and after a test that found the old ones good again."""
    made = await house.create()
    for cure in (
        house.update(Connection(id=made.id), secrets=KEY),
        house.try_stored(),
    ):
        await pause(database, code)
        assert await paused(database) == code
        house.queued.clear()
        await cure
        assert await paused(database) is None
        assert house.queued == [(ORG, "brevo")]


async def test_a_lane_that_somebody_paused_stays_paused(house: House, database: Database) -> None:
    """A test or new credentials are no wish to deliver."""
    made = await house.create()
    await pause(database, "PAUSED")
    await house.update(Connection(id=made.id), secrets=KEY)
    await house.try_stored()
    assert await paused(database) == "PAUSED"


async def test_a_refusal_of_credentials_that_were_replaced_is_not_kept(
    house: House, database: Database
) -> None:
    """What a late answer says is about the old ones."""
    made = await house.create()
    stored = await house.adapters.stored(ORG, "brevo")
    assert stored is not None
    after = await house.update(Connection(id=made.id), secrets=KEY)
    assert after.health == connection_pb2.CONNECTION_HEALTH_UNCHECKED
    async with database.org(ORG) as transaction:
        late = connection.Found(
            ConnectionHealth.UNHEALTHY,
            "refused",
            credentials_version=stored.credentials_version,
        )
        assert not await connection.record_health(transaction, ORG, "brevo", late)
