"""What an adapter raises never tells what it was working with."""

from collections.abc import Sequence
from datetime import UTC, datetime
from traceback import format_exception
from uuid import uuid4

import pytest

from crmsync_server.crm.adapter import (
    CredentialsRefusedError,
    Delivery,
    QuotaExhaustedError,
    Standing,
)
from crmsync_server.crm.addresses import AddressRefusedError
from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Unknown
from crmsync_server.sync.discretion import Discreet
from crmsync_server.sync.redaction import AdapterFaultError
from tests.sync.adapters import Scripted, answering

CANARY = "canary-secret"


def leak() -> None:
    """Fail with the canary."""
    raise KeyError(CANARY)


class Raising(Scripted):
    """An adapter that fails."""

    error: Exception

    async def push(self, _batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Fail because of something."""
        try:
            leak()
        except KeyError as cause:
            raise self.error from cause
        return []

    async def check(self) -> Standing:
        """Fail while something else is handled."""
        try:
            leak()
        except KeyError:
            raise self.error  # noqa: B904 - as careless code does
        return Standing(valid=True, message="")


def raising(error: Exception) -> Discreet:
    """Return an adapter that raises this."""
    adapter = Raising()
    adapter.error = error
    return Discreet(adapter, [CANARY])


async def test_a_fault_tells_where_it_was_and_not_what_it_held() -> None:
    """Neither it nor what led to it, however the exception is printed."""
    for call in ("push", "check"):
        adapter = raising(RuntimeError(f"Authorization: {CANARY}"))
        with pytest.raises(AdapterFaultError) as raised:
            await (adapter.push([]) if call == "push" else adapter.check())
        printed = "".join(format_exception(raised.value))
        assert CANARY not in printed + repr(raised.value)
        assert "RuntimeError at\n" in printed
        assert f"in {call}" in printed
        assert raised.value.__context__ is None


@pytest.mark.parametrize("kind", [CredentialsRefusedError, AddressRefusedError])
async def test_a_refusal_stays_a_refusal(kind: type[CredentialsRefusedError]) -> None:
    """Of its own kind and in its own words, but for the secret."""
    with pytest.raises(kind, match=r"^the key \[hidden\] is wrong$") as raised:
        await raising(kind(f"the key {CANARY} is wrong")).push([])
    assert type(raised.value) is kind
    assert CANARY not in "".join(format_exception(raised.value))


class ParticularError(CredentialsRefusedError):
    """A refusal that is made of something else than a text."""

    def __init__(self, code: int, text: str) -> None:
        """Take two things."""
        super().__init__(f"{code}: {text}")


async def test_a_refusal_of_an_adapters_own_kind_tells_no_more() -> None:
    """However it is made."""
    with pytest.raises(CredentialsRefusedError, match=r"^401: \[hidden\]$") as raised:
        await raising(ParticularError(401, CANARY)).push([])
    assert CANARY not in "".join(format_exception(raised.value))


@pytest.mark.parametrize(
    "outcome",
    [
        Rejected("NO", f"not {CANARY}\0", CANARY),
        Postponed(datetime.now(UTC), "WAIT", f"not {CANARY}"),
        Retry(CANARY, f"not {CANARY}\ud800"),
        Unknown(f"not {CANARY}", CANARY),
    ],
)
async def test_what_an_adapter_answers_tells_no_secret(outcome: Outcome) -> None:
    """It is stored, logged and shown; so are the words of a check."""
    adapter = Discreet(Scripted(answers=[answering(lambda _: outcome)]), [CANARY])
    (answer,) = await adapter.push([Delivery(uuid4(), 1, None, "a@example.com")])
    assert type(answer) is type(outcome)
    assert CANARY not in repr(answer)
    repr(answer).encode()
    checked = Scripted(standings=[Standing(valid=False, message=f"not {CANARY}")])
    assert (await Discreet(checked, [CANARY]).check()).message == "not [hidden]"


async def test_a_used_up_quota_passes() -> None:
    """Nothing in it is anybody's."""
    exhausted = QuotaExhaustedError("daily", datetime.now(UTC))
    with pytest.raises(QuotaExhaustedError):
        await raising(exhausted).push([])


def test_an_adapter_is_shown_by_its_kind_alone() -> None:
    """Whatever its own repr says."""
    assert repr(raising(RuntimeError())) == "Discreet(Raising)"
