"""kill -9 of a server that hands messages over: each goes at most once, and says how it stands."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from crmsync.v1 import conversation_pb2
from crmsync.v1 import conversation_service_pb2 as pb
from crmsync_client import CrmsyncClient
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from tests.chaos.served import Served, served
from tests.eventually import eventually
from tests.service.chats import DELIVERED, QUEUED, SENT, UNKNOWN, VERIFY

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

_MESSAGES = "/v23.0/*/messages"

Messages = Sequence[conversation_pb2.Message]


@asynccontextmanager
async def _meta(
    folder: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[tuple[Served, CrmsyncClient]]:
    """Run a server that is connected to an account whose webhooks go nowhere."""
    async with (
        Sandbox() as sandbox,
        served(folder, sandbox, environment) as running,
        running.client() as client,
    ):
        settings = sandbox.whatsapp.settings
        request = pb.ConnectAccountRequest(
            access_token=settings.access_token,
            app_secret=settings.app_secret,
            verify_token=VERIFY,
            waba_id=settings.waba_id,
            base_url=sandbox.urls["whatsapp"],
        )
        await client.conversations.ConnectAccount(request)
        yield running, client


async def _put(client: CrmsyncClient, count: int) -> Sequence[str]:
    """Put a message for each of so many people into the outbox; return its ids."""
    template = pb.TemplateMessage(name="hello_world", language="en_US")
    ids = []
    for number in range(count):
        request = pb.SendMessageRequest(phone=f"+49151{number:08}", template=template)
        ids.append((await client.conversations.SendMessage(request)).message.id)
    return ids


async def _listed(client: CrmsyncClient) -> Messages:
    """Return every message, as conversations list them."""
    found: list[conversation_pb2.Message] = []
    request = pb.ListConversationsRequest(page_size=1000)
    for one in (await client.conversations.ListConversations(request)).conversations:
        asked = pb.GetConversationRequest(conversation_id=one.id, page_size=1000)
        found += (await client.conversations.GetConversation(asked)).messages
    return found


async def _settled(client: CrmsyncClient) -> Messages:
    """Return every message; AssertionError while one is still to be handed over."""
    found = await _listed(client)
    assert all(one.status != QUEUED for one in found)
    return found


def _taken(running: Served) -> Counter[str]:
    """Return how often Meta has taken each message, by our own id."""
    sent = running.sandbox.whatsapp.account.sent
    return Counter(str(one.body["biz_opaque_callback_data"]) for one in sent)


@pytest.mark.parametrize("taken", [True, False])
async def test_a_message_whose_server_is_killed_before_it_notes_the_answer_is_unknown(
    tmp_path: Path, *, taken: bool
) -> None:
    """Nobody can know whether it went: it is not sent again, and is listed with its reason."""
    async with _meta(tmp_path) as (running, client):
        faults = running.sandbox.whatsapp.faults
        faults.script(ScriptedFault(kind="hang", applied=taken, path=_MESSAGES))
        [message_id] = await _put(client, 1)

        def handed_over() -> None:
            assert not faults.scripted
            assert len(_taken(running)) == taken

        await eventually(handed_over)
        await running.restart()
        [found] = await eventually(lambda: _settled(client), within=30)
        assert (found.id, found.status) == (message_id, UNKNOWN)
        assert found.error.kind == "UNKNOWN_OUTCOME"
        assert _taken(running) == ({message_id: 1} if taken else {})
        assert await running.rows("SELECT 1 FROM message_outbox") == []


async def test_what_was_cut_off_is_known_again_once_a_webhook_tells(tmp_path: Path) -> None:
    """A status brings our own id back."""
    async with _meta(tmp_path) as (running, client):
        meta = running.sandbox.whatsapp
        meta.faults.script(ScriptedFault(kind="hang", applied=True, path=_MESSAGES))
        [message_id] = await _put(client, 1)

        def taken() -> None:
            assert _taken(running) == {message_id: 1}

        await eventually(taken)
        await running.restart()
        [found] = await eventually(lambda: _settled(client), within=30)
        assert found.status == UNKNOWN
        meta.subscribe(f"http://{running.http}/webhooks/whatsapp")
        for status in ("delivered", "sent"):
            meta.user.report(meta.account.sent[0], status)

        async def delivered() -> None:
            [found] = await _listed(client)
            assert (found.status, found.whatsapp_id) == (DELIVERED, meta.account.sent[0].wamid)

        await eventually(delivered)
        taken()


async def _go_on(running: Served) -> None:
    """Return once Meta has taken two more."""
    before = len(_taken(running))

    def taken() -> None:
        assert len(_taken(running)) > before + 1

    await eventually(taken, within=15)


async def test_kill_after_kill_what_was_not_handed_over_goes_out(tmp_path: Path) -> None:
    """Nothing stands still, nothing goes twice, and only what was under way is UNKNOWN."""
    count, kills, together = 48, 3, 4
    slow = {"CRMSYNC_WHATSAPP_MESSAGES_PER_SECOND": str(together)}
    async with _meta(tmp_path, slow) as (running, client):
        ids = await _put(client, count)
        for _ in range(kills):
            await _go_on(running)
            await running.server.kill()
            # So many wait that a kill cannot have met all of them under way.
            waiting = await running.rows("SELECT 1 FROM message_outbox")
            assert len(waiting) > together
            await running.start()

        async def empty() -> None:
            assert await running.rows("SELECT 1 FROM message_outbox LIMIT 1") == []

        await eventually(empty, within=30)
        found = await _settled(client)
        statuses = {one.id: one.status for one in found}
        assert sorted(statuses) == sorted(ids)
        assert set(statuses.values()) <= {SENT, UNKNOWN}
        assert set(_taken(running).values()) == {1}
        assert {one for one in ids if statuses[one] == SENT} <= set(_taken(running))
        unknown = [one for one in found if one.status == UNKNOWN]
        assert {one.error.kind for one in unknown} <= {"UNKNOWN_OUTCOME"}
        assert len(unknown) <= kills * together
