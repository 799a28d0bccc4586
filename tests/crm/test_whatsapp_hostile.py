"""Whatever Meta answers or posts, there is one outcome, and nothing is raised but what is told."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.messaging import LONGEST_DETAIL, AccountFound, Messaging, SendOutcome
from crmsync_server.crm.webhook import UnreadableError
from tests.crm.support import SECRET, ScriptedCrm
from tests.crm.whatsapp_script import ADA, MESSAGE, NUMBER, WABA, adapter

NAMES = (
    *("messages", "contacts", "statuses", "id", "error", "code", "message", "error_data"),
    *("details", "is_transient", "fbtrace_id", "data", "paging", "cursors", "after", "next"),
    *("name", "owner_business_info", "status", "quality_rating", "from", "timestamp", "type"),
    *("text", "body", "image", "interactive", "title", "errors", "metadata", "phone_number_id"),
    *("profile", "wa_id", "waba_info", "owner_business_id", "biz_opaque_callback_data", "k\0ey"),
)
CODES = (0, 1, 2, 4, 10, 100, 190, 299, 368, 80007, 130429, 131000, 131026, 131056, 132001, 7)
NUMBERS = (-1, 1.5, 10**30, float("inf"), float("nan"), "²", "9" * 15, "9" * 5_000, "190")
TEXTS = ("", "\0", "\ud800", "text", "sent", "wamid.1", SECRET, WABA, NUMBER, ADA, "a" * 600)
HEADERS = ("retry-after", "x-business-use-case-usage", "x-fb-trace-id", "location")
USAGES = ("", "nan", "-1", "9" * 400, "{", '{"1":[{"estimated_time_to_regain_access":1e308}]}')

scalars = st.sampled_from([None, True, False, *CODES, *NUMBERS, *TEXTS])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=20,
)
broken = st.sampled_from([b"", b"<html>", b"\xff\0", b"[" * 10_000, b'{"id": NaN}', b"7"])
errors = st.dictionaries(st.sampled_from(NAMES), values, max_size=4).map(
    lambda told: {"error": {"code": 1} | told}
)
bodies = (values | errors).map(lambda told: json.dumps(told).encode()) | broken
replies = st.builds(
    httpx.Response,
    st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 502, 503]),
    headers=st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(USAGES), max_size=3),
    content=bodies,
)
ids = st.sampled_from(["wamid.1", "w\0\ud800", "w" * 501, 7, None])
said = st.fixed_dictionaries({"id": ids, "status": scalars, "type": scalars, "timestamp": scalars})
things = st.lists(said | st.builds(dict.__or__, said, st.dictionaries(st.text(), values)) | values)
told_value = st.fixed_dictionaries(
    {"metadata": values, "contacts": things, "messages": things, "statuses": things}
)
changes = st.fixed_dictionaries(
    {"field": st.sampled_from(["messages", "calls", None]), "value": told_value | values}
)
entries = st.fixed_dictionaries({"id": scalars, "changes": st.lists(changes) | values})
webhooks = (
    st.lists(entries | values)
    .map(lambda told: {"object": "whatsapp_business_account", "entry": told})
    .map(lambda told: json.dumps(told).encode())
    | bodies
)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def answers(messaging: Messaging) -> tuple[SendOutcome, object]:
    """Ask for everything that calls Meta."""
    outcome = await messaging.send(MESSAGE)
    try:
        return outcome, await messaging.account()
    except CredentialsRefusedError as refused:
        return outcome, str(refused)


@many
@given(told=st.lists(replies, min_size=1, max_size=4))
def test_no_reply_makes_the_adapter_raise(told: list[httpx.Response]) -> None:
    """And what it says can be stored, sent on, and shown."""
    waiting = list(told)

    def respond(_: httpx.Request) -> httpx.Response:
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    owner = adapter(ScriptedCrm(respond).tools())
    outcome, account = asyncio.run(answers(owner.messaging))
    standing = asyncio.run(owner.check())
    assert standing.valid or standing.message
    for text in [*texts(outcome), *texts(account), *texts(standing)]:
        check(text)
        assert SECRET not in text
    assert len(getattr(outcome, "message", "")) <= LONGEST_DETAIL
    if isinstance(account, AccountFound):
        assert all(number.id for number in account.numbers)


@many
@given(body=webhooks)
def test_no_body_makes_reading_raise_but_that_it_is_unreadable(body: bytes) -> None:
    """What it tells can be written down as it is."""
    try:
        found = adapter(ScriptedCrm(lambda _: httpx.Response(500)).tools()).messaging.read(body)
    except UnreadableError:
        return
    for change in found:
        for text in texts(change):
            check(text)
        for message in change.messages:
            json.dumps(message.payload, allow_nan=False).encode()
            assert message.time.tzinfo is not None
        told = [one.whatsapp_id for one in change.messages]
        told += [one.whatsapp_id for one in change.statuses]
        assert all(len(one) <= 500 for one in told)


def texts(found: object) -> Iterator[str]:
    """Yield every text within what was answered."""
    match found:
        case str():
            yield found
        case dict():
            for name, one in found.items():
                yield from (*texts(name), *texts(one))
        case list() | tuple():
            for one in found:
                yield from texts(one)
        case _ if is_dataclass(found):
            for one in fields(found):
                yield from texts(getattr(found, one.name))


def check(text: str) -> None:
    """Hold that Postgres and protobuf take a text."""
    assert "\0" not in text
    text.encode()
