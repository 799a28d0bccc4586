"""The rows of document 004 about sessions, at each CRM that it is about, through a real channel."""

from dataclasses import replace

import pytest

from crmsync.v1 import session_pb2
from crmsync.v1 import session_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from tests.service import accounts
from tests.service.calls import failure, finished
from tests.service.pulls import SUCCEEDED, contacts
from tests.service.starting import BOTH, PULL, changes, done, full, items, manual, start

PLENTY = {
    "hubspot": {"burst_calls": "100000", "search_calls": "1000"},
    "zoho": {"burst_calls": "100000", "daily_credits": "100000"},
}
PEOPLE = {
    "hubspot": {"email": "ada@example.com", "firstname": "Ada"},
    "zoho": {"Email": "ada@example.com", "First_Name": "Ada", "Last_Name": "King"},
}
FIRST_NAME = {"hubspot": "firstname", "zoho": "First_Name"}
LISTS = {"hubspot": "/crm/v3/objects/contacts", "zoho": "/crm/v8/Contacts"}
RUNNING = session_pb2.SESSION_STATE_RUNNING


@pytest.fixture(params=["hubspot", "zoho"])
async def crm(request: pytest.FixtureRequest, client: CrmsyncClient, sandbox: Sandbox) -> str:
    """Connect to a CRM, and return its id."""
    name: str = request.param
    account = accounts.good(sandbox, name)
    await replace(account, options=PLENTY[name] | {"timeout_seconds": "5"}).connect(client)
    return name


def slowly(sandbox: Sandbox, crm: str) -> None:
    """Let the CRM take its time for the next page."""
    late = ScriptedFault(kind="delay", delay_seconds=0.7, path=LISTS[crm])
    sandbox.simulators[crm].faults.script(late)


async def state_of(client: CrmsyncClient, session_id: str) -> session_pb2.Session:
    """Return a session."""
    request = pb.GetSessionRequest(session_id=session_id)
    return (await client.sessions.GetSession(request)).session


@pytest.mark.parametrize("kind", ["full", "incremental", "manual"])
async def test_each_kind_of_session_is_started_and_says_how_far_it_is(
    client: CrmsyncClient, sandbox: Sandbox, crm: str, kind: str
) -> None:
    """Completed, total, percentage, rate; and the list of sessions has it first."""
    record = getattr(sandbox, crm).user.add(PEOPLE[crm])
    request = {
        "full": full(crm),
        "incremental": changes(crm),
        "manual": manual(crm=crm, direction=PULL, crm_contact_ids=(record,)),
    }[kind]
    ended = await done(client, request)
    told = await state_of(client, ended.id)
    progress = told.progress
    assert told.state == SUCCEEDED
    assert (progress.completed, progress.total, progress.percentage) == (1, 1, 100.0)
    assert progress.records_per_second > 0
    listed = await client.sessions.ListSessions(
        pb.ListSessionsRequest(crm=crm, kind=told.kind, states=[SUCCEEDED])
    )
    assert [one.id for one in listed.sessions] == [ended.id]
    assert [one.crm_contact_id for one in await items(client, ended.id)] == [record]


async def test_a_session_that_is_under_way_is_listed_and_no_other_begins(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """The one that runs is named; another kind may run beside it."""
    getattr(sandbox, crm).user.seed(5)
    slowly(sandbox, crm)
    running = await start(client, full(crm))
    failed = await failure(client.sessions.StartSession(full(crm)))
    assert (failed.reason, failed.metadata["session_id"]) == ("SESSION_ACTIVE", running.id)
    current = await client.sessions.ListSessions(pb.ListSessionsRequest(states=[RUNNING]))
    assert [one.id for one in current.sessions] == [running.id]
    assert (await done(client, changes(crm))).state == SUCCEEDED
    assert (await finished(client, running.id)).state == SUCCEEDED


async def test_a_session_is_paused_resumed_and_cancelled(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """A paused one goes on where it stood; a cancelled one keeps what was stored."""
    getattr(sandbox, crm).user.seed(600)
    slowly(sandbox, crm)
    session = await start(client, full(crm))
    paused = await client.sessions.PauseSession(pb.PauseSessionRequest(session_id=session.id))
    assert paused.session.state == session_pb2.SESSION_STATE_PAUSED
    await client.sessions.ResumeSession(pb.ResumeSessionRequest(session_id=session.id))
    ended = await finished(client, session.id)
    assert (ended.state, ended.pull.created) == (SUCCEEDED, 600)
    slowly(sandbox, crm)
    other = await start(client, full(crm))
    await client.sessions.CancelSession(pb.CancelSessionRequest(session_id=other.id))
    ended = await finished(client, other.id)
    assert ended.state == session_pb2.SESSION_STATE_CANCELLED
    assert len(await contacts(client)) == 600


async def test_a_plan_says_what_a_session_would_do_and_is_then_done_exactly(
    client: CrmsyncClient, sandbox: Sandbox, crm: str
) -> None:
    """Nothing is written by the dry run, on either side; a plan that drifted is refused."""
    user = getattr(sandbox, crm).user
    ada = user.add(PEOPLE[crm])
    request = full(crm, BOTH)
    request.dry_run = True
    planned = await done(client, request)
    assert (planned.plan.contacts_created, planned.plan.records_created) == (1, 0)
    assert not await contacts(client)
    apply = pb.StartSessionRequest(crm=crm, apply=pb.ApplyPlan(session_id=planned.id))
    applied = await done(client, apply)
    assert (applied.state, applied.pull.created) == (SUCCEEDED, 1), applied.error
    user.edit(ada, {FIRST_NAME[crm]: "Augusta"})
    second = await done(client, request)
    assert second.plan.contacts_updated == 1
    user.edit(ada, {FIRST_NAME[crm]: "Adelaide"})
    drifted = pb.StartSessionRequest(crm=crm, apply=pb.ApplyPlan(session_id=second.id))
    assert (await done(client, drifted)).error.code == "PLAN_DRIFTED"
    assert (await contacts(client))["ada@example.com"].first_name == "Ada"
    assert getattr(sandbox, crm).calls.as_json()["writes"] == 0
