"""WhatsApp's adapter against a simulated Meta, over loopback."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm import whatsapp
from crmsync_server.crm.adapter import Account, CredentialsRefusedError, Tools
from crmsync_server.crm.messaging import (
    AccountFound,
    Change,
    FaultKind,
    NumberFound,
    Outgoing,
    Refused,
    Scope,
    SendOutcome,
    Sent,
    SlowDown,
    Template,
    Unanswered,
)
from crmsync_server.crm.webhook import Inbound
from crmsync_server.crm.whatsapp import WhatsAppAdapter
from crmsync_server.sandbox.faults import ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.whatsapp import WhatsApp, WhatsAppSettings
from tests.crm.support import SECRET, Purse, Rations
from tests.sandbox.receiver import Receiver, receiving

ADA, BOB = "447000000001", "447000000002"
NUMBER = WhatsAppSettings().numbers[0].id


@dataclass(frozen=True, slots=True)
class World:
    """A simulated Meta, an account's adapter, and who receives the webhooks."""

    meta: WhatsApp
    adapter: WhatsAppAdapter
    receiver: Receiver

    async def send(self, number: int = 7, to: str = ADA, template: str = "") -> SendOutcome:
        """Send a text, or a template."""
        content = Template(template, "en_US", ("Ada",)) if template else None
        text = "" if template else "Grüße"
        message = Outgoing(UUID(int=number), NUMBER, to, text=text, template=content)
        return await self.adapter.messaging.send(message)

    async def told(self) -> Sequence[Change]:
        """Return what the webhooks so far tell; all of them are genuine."""
        await self.meta.webhooks.flushed()
        found: list[Change] = []
        for post in self.receiver.posts:
            inbound = Inbound("POST", self.receiver.url, post.headers, post.body, _now())
            assert self.adapter.messaging.genuine(inbound)
            assert not self.adapter.messaging.genuine(replace(inbound, body=post.body + b" "))
            found += self.adapter.messaging.read(post.body)
        return found

    @property
    def held(self) -> int:
        """How many messages Meta took."""
        return len(self.meta.account.sent)


@asynccontextmanager
async def world(options: dict[str, str] | None = None, **told: Any) -> AsyncIterator[World]:  # noqa: ANN401 - settings
    """Run a simulated Meta, to which somebody has just written."""
    settings = WhatsAppSettings(access_token=SECRET, **told)
    async with (
        Sandbox(whatsapp=settings) as sandbox,
        httpx.AsyncClient(transport=AiohttpTransport()) as client,
        receiving() as receiver,
    ):
        secrets = {"access_token": SECRET, "app_secret": settings.app_secret}
        given = {"waba_id": settings.waba_id} | (options or {})
        account = Account("org-1", "whatsapp", sandbox.urls["whatsapp"], secrets, given)
        tools = Tools(client, _now, Rations(), Purse(_now))
        sandbox.whatsapp.user.write(ADA, "Hi")
        sandbox.whatsapp.subscribe(receiver.url)
        yield World(sandbox.whatsapp, whatsapp.build(account, tools), receiver)


def _now() -> datetime:
    return datetime.now(UTC)


async def test_the_account_is_found_with_what_it_sends_from() -> None:
    """And its check reads and writes nothing."""
    async with world() as here:
        settings = here.meta.settings
        number = NumberFound(NUMBER, "+91 80871 31777", "Enromatics", "green", verified=True)
        assert await here.adapter.messaging.account() == AccountFound(
            settings.name, settings.waba_id, settings.business_id, [number]
        )
        standing = await here.adapter.check()
        assert (standing.valid, standing.account_id) == (True, settings.waba_id)
        assert here.held == 0


async def test_a_message_is_taken_once_and_told_of_under_our_own_id() -> None:
    """Sent, then delivered."""
    async with world() as here:
        outcome = await here.send()
        assert isinstance(outcome, Sent)
        statuses = [one for change in await here.told() for one in change.statuses]
        assert [one.status for one in statuses] == ["sent", "delivered"]
        assert {one.whatsapp_id for one in statuses} == {outcome.whatsapp_id}
        assert {one.callback_data for one in statuses} == {str(UUID(int=7))}
        assert {one.recipient for one in statuses} == {ADA}
        assert here.held == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop", "applied": True},
        {"kind": "drop", "applied": False},
        {"kind": "status", "status": 500, "applied": True},
        {"kind": "status", "status": 502, "applied": False},
        {"kind": "hang"},
    ],
)
async def test_an_answer_that_is_lost_is_told_as_lost_and_nothing_is_repeated(
    fault: dict[str, Any],
) -> None:
    """Whether or not the message was taken."""
    async with world({"timeout_seconds": "1"}) as here:
        here.meta.faults.script(ScriptedFault.model_validate(fault))
        assert isinstance(await here.send(), Unanswered)
        assert here.held == int(bool(fault.get("applied")))
        assert here.meta.calls.as_json()["total"] == 1


async def test_too_much_for_one_recipient_is_told_from_too_much_for_the_number() -> None:
    """The others may go on, or may not."""
    async with world(pair_messages=1, messages_per_second=2) as here:
        here.meta.user.write(BOB, "Hi")
        assert isinstance(await here.send(1), Sent)
        pair = await here.send(2)
        assert isinstance(pair, SlowDown)
        assert (pair.code, pair.scope) == (131056, Scope.RECIPIENT)
        here.meta.settings = replace(here.meta.settings, messages_per_second=1)
        pace = await here.send(3, BOB)
        assert isinstance(pace, SlowDown)
        assert (pace.code, pace.scope) == (130429, Scope.NUMBER)
        assert here.held == 1


async def test_what_is_refused_says_what_it_is_about() -> None:
    """A template that is not there, and a text that comes too late."""
    async with world(window_told_late=False) as here:
        assert isinstance(await here.send(template="hello_world"), Sent)
        missing = await here.send(template="unknown")
        late = await here.send(to=BOB)
    assert isinstance(missing, Refused)
    assert isinstance(late, Refused)
    assert (missing.kind, missing.code) == (FaultKind.NEVER, 132001)
    assert (late.kind, late.code) == (FaultKind.NEVER, 131047)
    assert late.trace_id


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        ({"unreachable": frozenset({ADA})}, FaultKind.RECIPIENT, 131026),
        ({}, FaultKind.NEVER, 131047),
    ],
)
async def test_what_fails_later_is_told_by_a_webhook(
    told: dict[str, Any], kind: FaultKind, code: int
) -> None:
    """It was taken, all the same."""
    async with world(**told) as here:
        assert isinstance(await here.send(to=ADA if told else BOB), Sent)
        (status,) = [one for change in await here.told() for one in change.statuses]
        assert status.status == "failed"
        assert [(one.kind, one.code) for one in status.errors] == [(kind, code)]


async def test_a_token_that_has_expired_is_refused_everywhere() -> None:
    """The check says so, reading raises it, and a message is not taken."""
    async with world() as here:
        expired = here.meta.faults.settings.model_copy(update={"token_expired": True})
        here.meta.faults.settings = expired
        standing = await here.adapter.check()
        assert (standing.valid, standing.reachable) == (False, True)
        with pytest.raises(CredentialsRefusedError):
            await here.adapter.messaging.account()
        outcome = await here.send()
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.code) == (FaultKind.ACCOUNT, 190)


async def test_another_account_is_not_found() -> None:
    """The token opens no other one."""
    async with world({"waba_id": "404"}) as here:
        standing = await here.adapter.check()
        assert (standing.valid, standing.code) == (False, "100")


async def test_what_is_written_is_read_from_posts_of_several_changes() -> None:
    """In whatever order they come, and each kind as it is."""
    async with world(changes_each=2, entries_each=2) as here:
        image = {"type": "image", "image": {"id": "1", "caption": "a/b 🎉"}}
        ids = [
            here.meta.user.write(ADA, "Grüße", name="Ada"),
            here.meta.user.write(BOB, content=image),
            here.meta.user.write(BOB, content={"type": "hologram", "hologram": {}}),
        ]
        found = await here.told()
        messages = [one for change in found for one in change.messages]
        assert sorted(one.whatsapp_id for one in messages) == sorted(ids)
        said = {one.whatsapp_id: (one.from_, one.type, one.text) for one in messages}
        assert [said[one] for one in ids] == [
            (ADA, "text", "Grüße"),
            (BOB, "image", "a/b 🎉"),
            (BOB, "hologram", ""),
        ]
        assert {change.phone_number_id for change in found} == {NUMBER}
        assert {one.name for change in found for one in change.contacts} == {"Ada", ""}


async def test_where_nobody_listens_nothing_was_sent() -> None:
    """So it may be sent again."""
    message = Outgoing(UUID(int=7), NUMBER, ADA, text="Hello")
    async with httpx.AsyncClient(transport=AiohttpTransport()) as client:
        account = Account("org-1", "whatsapp", "http://127.0.0.1:9/v23.0", {"access_token": SECRET})
        tools = Tools(client, _now, Rations(), Purse(_now))
        outcome = await whatsapp.build(account, tools).messaging.send(message)
    assert isinstance(outcome, SlowDown)
    assert outcome.scope is Scope.ACCOUNT
