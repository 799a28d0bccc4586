"""Whatever HubSpot answers to a question, it is a page, an answer, or why there is none."""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from datetime import timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmsync_server.crm.adapter import Account, CredentialsRefusedError
from crmsync_server.crm.directory import FieldType, NewField
from crmsync_server.crm.hubspot import HubSpot, build
from crmsync_server.crm.outcomes import Postponed, Rejected, Retry
from crmsync_server.crm.source import Cursor, Page, Scope
from tests.crm.hubspot_script import APPLICATION
from tests.crm.support import NOW, SECRET, ScriptedCrm
from tests.crm.test_hostile import NAMES, replies, scalars

NEW = [NewField("tier", "Tier", FieldType.TEXT)]
SCOPES = [Scope(), Scope(NOW - timedelta(hours=1), frozenset({"tier"}))]
CURSORS: list[Cursor] = [
    {},
    {"stage": "list", "after": "7"},
    {"stage": "search", "last": "7", "until": "9" * 15, "total": None},
    {"stage": "archive", "after": "7", "again": True},
    {"stage": 7, "last": []},
]
ASKED = [
    *("active", "after", "archived", "archivedAt", "fieldType", "hs_merged_object_ids", "hub_id"),
    *("lastmodifieddate", "modificationMetadata", "next", "options", "paging", "readOnlyValue"),
    *("scopes", "total", "updatedAt"),
]
bodies = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, *ASKED]), inner, max_size=6)
    ),
    max_leaves=20,
)
answers = st.builds(
    lambda results, more: httpx.Response(200, content=json.dumps({**more, "results": results})),
    st.lists(st.dictionaries(st.sampled_from([*NAMES, *ASKED]), bodies, max_size=6), max_size=3),
    st.dictionaries(st.sampled_from(ASKED), bodies, max_size=4),
)


def questions(adapter: HubSpot) -> list[Awaitable[object]]:
    """Return all that can be asked of a portal."""
    directory, source = adapter.directory, adapter.source
    return [
        adapter.check(),
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


async def ask(adapter: HubSpot) -> None:
    """Ask everything; each page can be gone on from, or is the last."""
    for question in questions(adapter):
        try:
            found = await question
        except CredentialsRefusedError:
            continue
        if isinstance(found, Page):
            assert all(one.crm_contact_id for one in found.records)
        if isinstance(found, Postponed | Retry | Rejected):
            found.message.encode()
            assert SECRET not in found.message


@pytest.mark.parametrize("secrets", [{"token": SECRET}, APPLICATION])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(told=st.lists(replies | answers, min_size=1, max_size=6))
def test_no_reply_makes_a_question_raise(
    secrets: Mapping[str, str], told: list[httpx.Response]
) -> None:
    """But for a refusal of the credentials."""
    waiting = list(told)

    def respond(_: httpx.Request) -> httpx.Response:
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    account = Account("org-1", "hubspot", "https://crm.test", secrets, {})
    asyncio.run(ask(build(account, ScriptedCrm(respond).tools())))
