"""Whatever Zoho answers, it is an outcome, a page, an answer, or why there is none."""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import astuple, replace
from datetime import timedelta

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmsync_server.crm.adapter import CredentialsRefusedError
from crmsync_server.crm.directory import FieldType, NewField
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Cursor, Page, Scope
from crmsync_server.crm.zoho import ZohoAdapter
from tests.crm.support import NOW, SECRET, ScriptedCrm, delivery
from tests.crm.test_hostile import NAMES, replies, scalars
from tests.crm.zoho_script import TOKEN, adapter, token

NEW = [NewField("tier", "Tier", FieldType.TEXT)]
SCOPES = [Scope(), Scope(NOW - timedelta(hours=1), frozenset({"tier"}))]
CURSORS: list[Cursor] = [
    {},
    {"at": "list", "token": "7", "last": "x", "began": "never", "read": 10**9},
    {"at": "query", "last": "9" * 400, "read": None},
    {"at": "deleted", "page": "2"},
    {"at": "bulk", "job": "5", "made": NOW.isoformat()},
    {"at": "bulk", "job": "5", "offset": 10**9, "next": {"page": 2}},
    {"at": 7, "last": []},
]
ASKED = [
    *("data", "info", "fields", "org", "modules", "api_name", "data_type", "details", "count"),
    *("more_records", "next_page_token", "Email", "Last_Name", "Modified_Time", "Tag", "state"),
    *("result", "deleted_time", "license_details", "pick_list_values", "error", "api_domain"),
]
SIGNS = ["SUCCESS", "INVALID_DATA", "DUPLICATE_DATA", "RECORD_LOCKED", "COMPLETED", "success"]
bodies = st.recursive(
    scalars | st.sampled_from(SIGNS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, *ASKED]), inner, max_size=6)
    ),
    max_leaves=20,
)
lists = st.lists(st.dictionaries(st.sampled_from([*NAMES, *ASKED]), bodies, max_size=6), max_size=3)
answers = st.builds(
    lambda status, name, found, more: httpx.Response(
        status, content=json.dumps({**more, name: found})
    ),
    st.sampled_from([200, 201, 202, 207]),
    st.sampled_from(["data", "fields", "org", "modules"]),
    lists,
    st.dictionaries(st.sampled_from(ASKED), bodies, max_size=4),
)
BATCH = [
    replace(delivery(1), properties={"plan": "x"}),
    delivery(2, crm_contact_id="2"),
    replace(delivery(3, email="PERSON1@example.com"), last_name="", crm_contact_id="old"),
    replace(delivery(4), last_name=""),
]


def questions(zoho: ZohoAdapter) -> list[Awaitable[object]]:
    """Return all that can be asked of an organization."""
    directory, source = zoho.directory, zoho.source
    return [
        zoho.check(),
        zoho.read_back(BATCH),
        directory.fields(),
        directory.create_fields(NEW),
        directory.permissions(),
        directory.organization(),
        directory.modules(),
        directory.refresh_token(),
        source.fetch(["1", "2", "x"], None),
        source.find(["person1@example.com", "x"], None),
        *(source.page(scope, cursor) for scope in SCOPES for cursor in CURSORS),
    ]


async def ask(zoho: ZohoAdapter) -> None:
    """Ask everything; each page can be gone on from, or is the last."""
    for question in questions(zoho):
        try:
            found = await question
        except CredentialsRefusedError:
            continue
        if isinstance(found, Page):
            assert all(one.crm_contact_id for one in found.records)
            json.dumps(found.cursor)
        if isinstance(found, Postponed | Retry | Rejected):
            found.message.encode()
            assert SECRET not in found.message


async def deliver(zoho: ZohoAdapter) -> None:
    """Push a batch; what is said of each delivery can be stored and sent on."""
    try:
        outcomes = await zoho.push(BATCH)
    except CredentialsRefusedError:
        return
    assert len(outcomes) == len(BATCH)
    for text in (part for outcome in outcomes for part in astuple(outcome)):
        if isinstance(text, str):
            assert "\0" not in text
            text.encode()


def hostile(told: list[httpx.Response], *, grants: bool) -> ZohoAdapter:
    """Return the adapter of an organization that answers so; grants: whether it gives tokens."""
    waiting = list(told)

    def respond(request: httpx.Request) -> httpx.Response:
        if grants and request.url.path == TOKEN:
            return token()
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    return adapter(ScriptedCrm(respond).tools())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.lists(replies | answers, min_size=1, max_size=6), grants=st.booleans())
def test_no_reply_makes_a_question_raise(told: list[httpx.Response], *, grants: bool) -> None:
    """But for a refusal of the credentials."""
    asyncio.run(ask(hostile(told, grants=grants)))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.lists(replies | answers, min_size=1, max_size=6), grants=st.booleans())
def test_no_reply_makes_a_push_raise(told: list[httpx.Response], *, grants: bool) -> None:
    """But for a refusal of the credentials."""
    asyncio.run(deliver(hostile(told, grants=grants)))
