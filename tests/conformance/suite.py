"""What every adapter promises, run against its CRM's simulator over real HTTP.

A subclass names its CRM and says how the simulator shows a contact. A promise that a CRM
cannot keep is listed in `lacks` with the reason, by the name of its test.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import httpx
import pytest
import pytest_asyncio
from httpx_aiohttp import AiohttpTransport

from crmsync_server.crm.adapter import (
    Account,
    Adapter,
    AdapterFactory,
    CredentialsRefusedError,
    Delivery,
    Tools,
)
from crmsync_server.crm.outcomes import (
    Accepted,
    Outcome,
    Postponed,
    Rejected,
    Retry,
    Skipped,
    Synced,
    Unknown,
)
from crmsync_server.sandbox.faults import FaultSettings, ScriptedFault
from crmsync_server.sandbox.server import Sandbox
from crmsync_server.sandbox.simulator import Simulator
from tests.crm.support import SECRET, Allowance, deliveries, delivery

_SETTLED_WITHIN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Held:
    """A contact as a CRM holds it."""

    email: str
    first_name: str
    last_name: str
    company: str


class Emptied(AiohttpTransport):
    """Lets every request through and empties the answers to those that write."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a write with 200 and an empty object, whatever the CRM answered."""
        response = await super().handle_async_request(request)
        if request.method == "GET":
            return response
        await response.aclose()
        return httpx.Response(200, json={}, request=request)


@pytest.mark.asyncio(loop_scope="module")
class AdapterConformance:
    """The promises; a subclass is collected, this class is not."""

    __test__ = False

    crm: ClassVar[str]
    build: ClassVar[AdapterFactory]
    options: ClassVar[Mapping[str, str]] = {}
    container: ClassVar[str]
    names: ClassVar[tuple[str, str, str]]
    """How the simulator calls first name, last name and company, inside `container`."""
    lacks: ClassVar[Mapping[str, str]] = {}

    sandbox: Sandbox
    client: httpx.AsyncClient

    def __init_subclass__(cls) -> None:
        """Leave out the promises the CRM lacks; raises AttributeError for an unknown one."""
        cls.__test__ = True
        for promise in cls.lacks:
            getattr(cls, promise)
            setattr(cls, promise, None)

    @pytest_asyncio.fixture(autouse=True, loop_scope="module")
    async def _client(self, sandbox: Sandbox) -> AsyncIterator[None]:
        self.sandbox = sandbox
        self.simulator.reset()
        self.simulator.calls.clear()
        self.simulator.faults.clear_script()
        self.turn()
        async with httpx.AsyncClient(transport=AiohttpTransport()) as self.client:
            yield

    @property
    def simulator(self) -> Simulator:
        """The simulated CRM of this class."""
        simulator: Simulator = getattr(self.sandbox, self.crm)
        return simulator

    def adapter(self, client: httpx.AsyncClient | None = None, *, base_url: str = "") -> Adapter:
        """Build the adapter for the simulator, with a time-out that tests can wait for."""
        options = {"timeout_seconds": "1", **self.options}
        url = base_url or self.sandbox.urls[self.crm]
        secrets = {"token": SECRET, "api_key": SECRET}
        tools = Tools(client or self.client, lambda: datetime.now(UTC), Allowance())
        return type(self).build(Account("org-1", self.crm, url, secrets, options), tools)

    def held(self) -> dict[str, Held]:
        """Return what the CRM holds, by address."""
        first, last, company = self.names
        held = {}
        for contact in self.simulator.contacts():
            values = contact[self.container]
            shown = [str(values.get(name) or "") for name in (first, last, company)]
            held[contact["email"]] = Held(contact["email"], *shown)
        return held

    def turn(self, **settings: object) -> None:
        """Turn the fault dial of the simulator."""
        self.simulator.faults.settings = FaultSettings.model_validate(settings)

    def fail_write(self, **fault: object) -> None:
        """Let the next request that writes meet a fault."""
        method = {"method": "POST"}
        self.simulator.faults.script(ScriptedFault.model_validate({**method, **fault}))

    async def deliver(self, adapter: Adapter, batch: Sequence[Delivery]) -> list[Outcome]:
        """Push a batch and ask after what was accepted until all of it is settled."""
        outcomes = list(await adapter.push(batch))
        async with asyncio.timeout(_SETTLED_WITHIN_SECONDS):
            while tickets := {o.ticket for o in outcomes if isinstance(o, Accepted)}:
                await asyncio.gather(*(self._settle(adapter, batch, outcomes, t) for t in tickets))
        return outcomes

    @staticmethod
    async def _settle(
        adapter: Adapter, batch: Sequence[Delivery], outcomes: list[Outcome], ticket: str
    ) -> None:
        at = [n for n, o in enumerate(outcomes) if isinstance(o, Accepted) and o.ticket == ticket]
        settled = await adapter.settle(ticket, [batch[n] for n in at])
        for n, outcome in zip(at, settled, strict=True):
            outcomes[n] = outcome

    # --- what arrives ---------------------------------------------------------

    async def test_one_contact_arrives(self) -> None:
        """The CRM holds every field, and the outcome carries an id to find it by."""
        (outcome,) = await self.deliver(self.adapter(), [delivery(1)])
        assert isinstance(outcome, Synced)
        assert outcome.crm_contact_id
        assert list(self.held().values()) == [
            Held("person1@example.com", "First1", "Last1", "Company 1")
        ]

    async def test_a_full_batch_arrives(self) -> None:
        """As many as the adapter says it takes."""
        adapter = self.adapter()
        batch = deliveries(adapter.capabilities.max_batch)
        outcomes = await self.deliver(adapter, batch)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        assert self.held().keys() == {one.email for one in batch}

    async def test_text_arrives_exactly(self) -> None:
        """Accents, emoji, apostrophes, quotes, other scripts and plus-addresses survive."""
        people = [
            ("zoë+news@example.com".replace("ë", "e"), "Zoë", "O'Brien-Ñandú"),
            ("emoji@example.com", "👩‍🚀 Ada", '"Lady" <Lovelace> & Sons'),
            ("o'hara%1@example.com", "Иван", "日本; 山田, \\太郎"),
        ]
        batch = [
            replace(delivery(n), email=email, first_name=first, last_name=last)
            for n, (email, first, last) in enumerate(people, 1)
        ]
        outcomes = await self.deliver(self.adapter(), batch)
        assert {type(outcome) for outcome in outcomes} == {Synced}
        held = self.held()
        assert [(e, held[e].first_name, held[e].last_name) for e, _, _ in people] == people

    async def test_a_second_delivery_updates(self) -> None:
        """Once by the id the CRM gave, once without it: never a second contact."""
        adapter = self.adapter()
        (first,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(first, Synced)
        for known, name in ((first.crm_contact_id, "Ann"), (None, "Bea")):
            changed = replace(delivery(1, crm_contact_id=known), attempt=2, first_name=name)
            (outcome,) = await self.deliver(adapter, [changed])
            assert isinstance(outcome, Synced)
            assert [one.first_name for one in self.held().values()] == [name]

    async def test_a_changed_address_changes_the_same_contact(self) -> None:
        """The contact moves; nothing stays behind under the former address."""
        adapter = self.adapter()
        (first,) = await self.deliver(adapter, [delivery(1, email="old+1@example.com")])
        assert isinstance(first, Synced)
        moved = delivery(1, crm_contact_id=first.crm_contact_id, email="new+1@example.com")
        (outcome,) = await self.deliver(adapter, [moved])
        assert isinstance(outcome, Synced)
        assert list(self.held()) == ["new+1@example.com"]

    async def test_empty_values_keep_the_crms(self) -> None:
        """A contact without a company does not erase the one the CRM has."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2, company="")])
        assert isinstance(outcome, Synced)
        assert [one.company for one in self.held().values()] == ["Company 1"]

    async def test_empty_values_clear_what_we_own(self) -> None:
        """A company removed from our contact is removed from the CRM's."""
        adapter = self.adapter()
        await self.deliver(adapter, [delivery(1)])
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2, company="")])
        assert isinstance(outcome, Synced)
        assert [one.company for one in self.held().values()] == [""]

    # --- what does not --------------------------------------------------------

    async def test_every_delivery_has_one_outcome_in_its_place(self) -> None:
        """Contacts without an address and repeated addresses included."""
        batch = [
            delivery(1),
            delivery(2, email=" "),
            delivery(3),
            delivery(4, email="PERSON1@example.com"),
        ]
        outcomes = await self.deliver(self.adapter(), batch)
        assert [isinstance(outcome, Skipped) for outcome in outcomes] == [False, True, False, False]
        assert isinstance(outcomes[0], Synced)
        assert isinstance(outcomes[3], Synced | Postponed)

    async def test_rejected_records_do_not_sink_their_batch(self) -> None:
        """Exactly the records the CRM finds invalid are rejected."""
        self.turn(reject_share=0.08)
        await self._rejects_exactly_the_invalid()

    async def test_unnamed_culprits_do_not_sink_their_batch(self) -> None:
        """Also when the CRM refuses all of it and says nothing about whom it means."""
        self.turn(reject_share=0.08, unnamed_culprits=True)
        await self._rejects_exactly_the_invalid()

    async def _rejects_exactly_the_invalid(self) -> None:
        batch = deliveries(100)
        outcomes = await self.deliver(self.adapter(), batch)
        invalid = {one.email for one in batch if self.simulator.faults.rejects(one.email)}
        refused = zip(batch, outcomes, strict=True)
        assert invalid
        assert {one.email for one, o in refused if isinstance(o, Rejected)} == invalid
        assert sum(isinstance(outcome, Synced) for outcome in outcomes) == 100 - len(invalid)
        assert self.held().keys() == {one.email for one in batch} - invalid

    async def test_a_rate_limit_postpones(self) -> None:
        """Nothing is applied, and the outcome says until when to wait."""
        self.turn(throttle_rate=1)
        outcomes = await self.adapter().push(deliveries(3))
        assert {type(outcome) for outcome in outcomes} == {Postponed}
        now = datetime.now(UTC)
        waits = [outcome.until - now for outcome in outcomes if isinstance(outcome, Postponed)]
        assert all(timedelta(0) < wait <= timedelta(days=1) for wait in waits)
        assert self.held() == {}

    async def test_a_fault_of_the_crm_is_tried_again(self) -> None:
        """A 503 applied nothing; the next push delivers."""
        adapter = self.adapter()
        self.fail_write(kind="status", status=503, times=1)
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Retry)
        assert self.held() == {}
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Synced)

    @pytest.mark.parametrize("kind", ["hang", "drop"])
    async def test_an_applied_but_unanswered_push_is_unknown(self, kind: str) -> None:
        """And delivering again makes no second contact."""
        adapter = self.adapter()
        self.fail_write(kind=kind, applied=True)
        (outcome,) = await self.deliver(adapter, [delivery(1)])
        assert isinstance(outcome, Unknown)
        (outcome,) = await self.deliver(adapter, [replace(delivery(1), attempt=2)])
        assert isinstance(outcome, Synced)
        assert list(self.held()) == ["person1@example.com"]
        assert len(list(self.simulator.contacts())) == 1

    async def test_a_dropped_connection_is_unknown(self) -> None:
        """Nobody can tell that it was dropped before the CRM applied anything."""
        self.fail_write(kind="drop")
        (outcome,) = await self.deliver(self.adapter(), [delivery(1)])
        assert isinstance(outcome, Unknown)

    async def test_an_unreachable_crm_is_tried_again(self) -> None:
        """Nothing was sent, so nothing is unknown."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        adapter = self.adapter(base_url=f"http://127.0.0.1:{port}")
        (outcome,) = await adapter.push([delivery(1)])
        assert isinstance(outcome, Retry)

    async def test_an_empty_answer_is_no_success(self) -> None:
        """What a reply does not account for is a failure, although the status says 200."""
        async with httpx.AsyncClient(transport=Emptied()) as client:
            outcomes = await self.adapter(client).push(deliveries(2))
        assert [type(outcome) for outcome in outcomes] == [Retry, Retry]

    # --- credentials ----------------------------------------------------------

    async def test_refused_credentials_raise_and_hide_the_secret(self) -> None:
        """The engine pauses the lane; no text repeats the secret."""
        self.turn(token_expired=True)
        adapter = self.adapter()
        with pytest.raises(CredentialsRefusedError) as raised:
            await adapter.push([delivery(1)])
        assert SECRET not in f"{raised.value!r} {adapter!r}"

    async def test_a_check_tells_good_credentials_from_bad_without_writing(self) -> None:
        """The simulator counts no write."""
        adapter = self.adapter()
        assert (await adapter.check()).valid
        self.turn(token_expired=True)
        standing = await adapter.check()
        assert not standing.valid
        assert SECRET not in repr(standing)
        assert self.simulator.calls.as_json()["writes"] == 0
