"""The leads of an adapter come through, and tell no secret either."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError
from crmsync_server.crm.leads import LeadPage, Leads, Registered, Signup, leads_of
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry, Unknown
from crmsync_server.sync.discretion import Discreet
from crmsync_server.sync.redaction import AdapterFaultError
from crmsync_server.sync.tokens import StaleCredentialsError
from tests.sync.adapters import Scripted

CANARY = "canary-secret"
NOW = datetime.now(UTC)

Ask = Callable[[Leads], Awaitable[object]]


class Keeping:
    """Leads of which every method answers, or raises, the same."""

    def __init__(self, answer: object) -> None:
        """Answer this; an exception is raised."""
        self._answer = answer

    async def _now(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - whatever is scripted
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    register = by_ids = by_email = recent = _now

    def portions(self, ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """Part them one by one."""
        return [[one] for one in ids]


METHODS: list[Ask] = [
    lambda leads: leads.register(Signup("s-1", "a@example.com")),
    lambda leads: leads.by_ids(["s-1"]),
    lambda leads: leads.by_email("a@example.com"),
    lambda leads: leads.recent(date(2026, 11, 1), {}),
]


def discreet(answer: object) -> Leads:
    """Return leads that answer this, told without the canary."""
    adapter: Any = Scripted()
    adapter.leads = Keeping(answer)
    found = leads_of(Discreet(adapter, [CANARY]))
    assert found is not None
    return found


def test_an_adapter_without_leads_has_none() -> None:
    """Nor has what stands before it."""
    assert leads_of(Discreet(Scripted(), [CANARY])) is None


@pytest.mark.parametrize("ask", METHODS)
@pytest.mark.parametrize("answer", [[], LeadPage([]), Registered("7", created=True)])
async def test_answers_come_through_as_they_are(ask: Ask, answer: object) -> None:
    """And ids are parted as the adapter parts them."""
    assert await ask(discreet(answer)) is answer
    assert discreet(answer).portions(["a", "b"]) == [["a"], ["b"]]


@pytest.mark.parametrize("ask", METHODS)
@pytest.mark.parametrize(
    "answer",
    [Rejected("NO", f"not {CANARY}"), Unknown(f"lost {CANARY}"), Retry("LATE", f"{CANARY}?")],
)
async def test_troubles_are_told_without_secrets(
    ask: Ask, answer: Rejected | Unknown | Retry
) -> None:
    """In their words they might be."""
    told = await ask(discreet(answer))
    assert type(told) is type(answer)
    assert CANARY not in str(told)
    assert "[hidden]" in str(told)


@pytest.mark.parametrize("ask", METHODS)
async def test_what_is_raised_is_told_without_secrets(ask: Ask) -> None:
    """A fault by its kind, refused credentials by their words, a used-up quota as an answer."""
    with pytest.raises(AdapterFaultError) as fault:
        await ask(discreet(RuntimeError(CANARY)))
    assert CANARY not in str(fault.value)
    with pytest.raises(CredentialsRefusedError, match=r"not \[hidden\]"):
        await ask(discreet(CredentialsRefusedError(f"not {CANARY}")))
    told = await ask(discreet(QuotaExhaustedError("calls", NOW)))
    assert isinstance(told, Postponed)
    assert (told.until, told.code) == (NOW, "calls")
    told = await ask(discreet(StaleCredentialsError()))
    assert isinstance(told, Retry)
    assert told.code == "CONNECTION_CHANGED"
