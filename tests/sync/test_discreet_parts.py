"""What an adapter offers beyond delivering comes through, and tells no secret either."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

import pytest

from crmsync_server.crm.adapter import CredentialsRefusedError, QuotaExhaustedError
from crmsync_server.crm.directory import Directory, FieldResult, FieldStatus, directory_of
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Scope, source_of
from crmsync_server.crm.webhook import Inbound, UnreadableError, webhooks_of
from crmsync_server.sync.discretion import Discreet
from crmsync_server.sync.redaction import AdapterFaultError
from crmsync_server.sync.tokens import StaleCredentialsError
from tests.sync.adapters import Scripted

CANARY = "canary-secret"
NOW = datetime.now(UTC)
INBOUND = Inbound("POST", "https://crmsync.example.com/hook", {}, b"", NOW)
REJECTED = Rejected("NO", f"not {CANARY}", CANARY)


class Part:
    """A source, a directory and webhooks at once: every method answers, or raises, the same."""

    configured = True
    traits = "the source's own"

    def __init__(self, answer: object) -> None:
        """Answer this; an exception is raised."""
        self._answer = answer

    def _now(self, *_: object) -> object:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def _later(self, *_: object) -> object:
        return self._now()

    page = fetch = find = _later
    fields = create_fields = permissions = organization = modules = refresh_token = _later
    genuine = read = _now


class Whole(Scripted):
    """An adapter that has all parts."""

    source: Part
    directory: Part
    webhooks: Part


def discreet(answer: object) -> Discreet:
    """Return an adapter whose parts answer, or raise, this."""
    adapter = Whole()
    adapter.source = adapter.directory = adapter.webhooks = Part(answer)
    return Discreet(adapter, [CANARY])


ASKED: dict[str, Callable[[Discreet], Awaitable[Any]]] = {
    "page": lambda adapter: adapter.source.page(Scope(), {}),
    "fetch": lambda adapter: adapter.source.fetch(["1"], None),
    "find": lambda adapter: adapter.source.find(["a@example.com"], None),
    "fields": lambda adapter: adapter.directory.fields(),
    "create_fields": lambda adapter: adapter.directory.create_fields([]),
    "permissions": lambda adapter: adapter.directory.permissions(),
    "organization": lambda adapter: adapter.directory.organization(),
    "modules": lambda adapter: adapter.directory.modules(),
    "refresh_token": lambda adapter: adapter.directory.refresh_token(),
}
TOLD: dict[str, Callable[[Discreet], object]] = {
    "genuine": lambda adapter: adapter.webhooks.genuine(INBOUND),
    "read": lambda adapter: adapter.webhooks.read(INBOUND),
}


def test_what_an_adapter_has_not_is_not_there() -> None:
    """Its absence is how a CRM says that it cannot."""
    adapter = Discreet(Scripted(), [CANARY])
    assert [of(adapter) for of in (source_of, directory_of, webhooks_of)] == [None, None, None]
    assert not hasattr(adapter, "source")


def test_what_an_adapter_has_is_there() -> None:
    """Also what its parts say of themselves."""
    adapter = discreet(None)
    assert all(of(adapter) is not None for of in (source_of, directory_of, webhooks_of))
    assert adapter.webhooks.configured
    assert str(adapter.source.traits) == "the source's own"


@pytest.mark.parametrize("name", ASKED)
async def test_an_answer_passes_and_its_words_tell_no_secret(name: str) -> None:
    """A refusal names what was refused, but for the secret."""
    something = object()
    assert await ASKED[name](discreet(something)) is something
    assert await ASKED[name](discreet(REJECTED)) == Rejected("NO", "not [hidden]", "[hidden]")


async def test_each_result_of_a_field_tells_no_secret() -> None:
    """They are shown to the caller one by one."""
    results = [FieldResult("a", FieldStatus.FAILED, "NO", f"not {CANARY}")]
    (told,) = await ASKED["create_fields"](discreet(results))
    assert told == FieldResult("a", FieldStatus.FAILED, "NO", "not [hidden]")


def leaking(error: Exception) -> Exception:
    """Return an exception that was raised because of one with the canary."""
    error.__cause__ = KeyError(CANARY)
    return error


@pytest.mark.parametrize("name", [*ASKED, *TOLD])
async def test_a_fault_tells_where_it_was_and_not_what_it_held(name: str) -> None:
    """Neither it nor what led to it."""
    adapter = discreet(leaking(RuntimeError(CANARY)))
    with pytest.raises(AdapterFaultError) as raised:
        await _call(name, adapter)
    printed = "".join(format_exception(raised.value))
    assert CANARY not in printed + repr(raised.value)
    assert "RuntimeError at\n" in printed
    assert raised.value.__context__ is None


@pytest.mark.parametrize("name", ASKED)
async def test_refused_credentials_stay_so(name: str) -> None:
    """In the CRM's words, but for the secret."""
    refusal = leaking(CredentialsRefusedError(f"the key {CANARY} is wrong"))
    with pytest.raises(CredentialsRefusedError, match=r"^the key \[hidden\] is wrong$") as raised:
        await _call(name, discreet(refusal))
    assert CANARY not in "".join(format_exception(raised.value))


def test_an_unreadable_webhook_stays_so() -> None:
    """Whoever received it answers the CRM by that."""
    with pytest.raises(UnreadableError, match=r"^no \[hidden\]$") as raised:
        TOLD["read"](discreet(leaking(UnreadableError(f"no {CANARY}"))))
    assert CANARY not in "".join(format_exception(raised.value))


async def test_a_directory_answers_whatever_keeps_it_from_asking() -> None:
    """A used-up allowance asks to wait, a connection that has changed to ask again."""
    directory: Directory = discreet(QuotaExhaustedError("daily", NOW)).directory
    answer = await directory.fields()
    assert isinstance(answer, Postponed)
    assert (answer.until, answer.code) == (NOW, "daily")
    changed = await discreet(StaleCredentialsError()).directory.refresh_token()
    assert isinstance(changed, Retry)
    assert changed.code == "CONNECTION_CHANGED"


async def test_a_source_passes_on_what_its_lane_waits_for() -> None:
    """The engine parks the lane by it, and drops an adapter that is no longer the connection's."""
    for error in (QuotaExhaustedError("daily", NOW), StaleCredentialsError()):
        with pytest.raises(type(error)):
            await ASKED["page"](discreet(error))


async def _call(name: str, adapter: Discreet) -> object:
    return TOLD[name](adapter) if name in TOLD else await ASKED[name](adapter)
