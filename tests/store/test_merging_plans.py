"""The plans of what takes in records: by the indexes made for them, analyzed or not."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_id, new_ids
from crmsync_server.store.statements import statement
from tests.store.people import CRM, ORG

_CONTACTS = 100_000
_BATCH = 500
_BIG = {"contacts", "contact_syncs", "sync_bases", "session_records"}
_NOW = datetime(2026, 1, 1, tzinfo=UTC)

Plan = Mapping[str, Any]


class Linked:
    """A hundred thousand contacts that are linked to records, half of them read in a session."""

    def __init__(self, database: Database) -> None:
        """Fill this database."""
        self.database = database
        self.session_id = new_id()
        self.ids = new_ids(_CONTACTS)

    async def fill(self) -> None:
        """Add them, with nothing known of how many they are."""
        parameters = {"org": ORG, "crm": CRM, "ids": self.ids, "session": self.session_id}
        async with self.database.org(ORG) as connection:
            for table in _BIG:
                # Autovacuum must not analyze halfway through a test.
                await connection.execute(
                    sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
                )
            for text in _FILLING:
                await connection.execute(sa.text(text), parameters)

    @property
    def keys(self) -> list[str]:
        """Return the records of a batch."""
        return [f"r{number}" for number in range(1, _BATCH + 1)]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return what any statement may want to know of a batch."""
        ids = list(self.ids[:_BATCH])
        return {
            "org_id": ORG,
            "crm": CRM,
            "slot": 0,
            "gone": True,
            "session_id": self.session_id,
            "ids": new_ids(_BATCH),
            "keys": self.keys,
            "actions": ["UPDATED"] * _BATCH,
            "contact_ids": ids,
            "contact_versions": [None] * _BATCH,
            "fingerprints": [None] * _BATCH,
            "fields": ["[]"] * _BATCH,
            "error_codes": [None] * _BATCH,
            "error_messages": [None] * _BATCH,
            "crm_contact_ids": self.keys,
            "email_keys": [f"{one}@example.com" for one in self.ids[_BATCH : 2 * _BATCH]],
            "synced_hashes": [b"a"] * _BATCH,
            "crm_modified_times": [_NOW] * _BATCH,
            "conflicted": ["{}"] * _BATCH,
            "ours_times": [_NOW] * _BATCH,
            "theirs_times": [_NOW] * _BATCH,
            "attempts": [0] * _BATCH,
            "synced_befores": [_NOW] * _BATCH,
            "modified_times": [_NOW] * _BATCH,
            "echoes_before": [None] * _BATCH,
            "echoes": [b"a"] * _BATCH,
            "hashes": [None] * _BATCH,
            "checks": [False] * _BATCH,
            "doubts": [False] * _BATCH,
            "unsettled": None,
        }


_FILLING = (
    """
    INSERT INTO contacts (org_id, id, email, content_hash)
    SELECT :org, i.id, i.id || '@example.com', 'a' FROM unnest(CAST(:ids AS uuid [])) AS i (id)
    """,
    """
    INSERT INTO contact_syncs (
      org_id, contact_id, crm, sync_status, processing_status, crm_contact_id, synced_time,
      synced_hash
    )
    SELECT :org, i.id, :crm, 'COMPLETE', 'COMPLETE', 'r' || i.n, now(), 'a'
    FROM unnest(CAST(:ids AS uuid [])) WITH ORDINALITY AS i (id, n)
    """,
    """
    INSERT INTO sync_bases (org_id, contact_id, crm, crm_contact_id, fields, synced_time)
    SELECT :org, cs.contact_id, :crm, cs.crm_contact_id, '{}', cs.synced_time
    FROM contact_syncs AS cs
    """,
    """
    INSERT INTO session_records (org_id, session_id, direction, key, action)
    SELECT :org, :session, 'PULL', b.crm_contact_id, 'UNCHANGED' FROM sync_bases AS b
    """,
    """
    INSERT INTO conflicts (
      org_id, id, contact_id, crm, crm_contact_id, state, fields, ours_time, transaction
    )
    SELECT :org, b.contact_id, b.contact_id, :crm, b.crm_contact_id, 'OPEN', '[]', now(), 1
    FROM sync_bases AS b
    LIMIT 1000
    """,
)


@pytest.fixture(params=["never analyzed", "analyzed"])
async def linked(database: Database, request: pytest.FixtureRequest) -> Linked:
    """Fill a database."""
    linked = Linked(database)
    await linked.fill()
    if request.param == "analyzed":
        async with database.everyone() as connection:
            await connection.execute(sa.text("ANALYZE"))
    return linked


async def test_a_batch_of_records_is_taken_in_by_index(linked: Linked) -> None:
    """Whatever statement of it, however many contacts there are."""
    for name in (
        "base/find",
        "base/free",
        "base/stand",
        "base/write",
        "base/unlink",
        "conflict/write",
        "conflict/settle",
        "contact/delete",
        "session_record/note",
    ):
        await _assert_reads_little(linked, name)


@pytest.mark.parametrize("name", ["base/read", "base/delivered", "base/unanswered"])
async def test_a_two_way_lane_finds_what_was_agreed_on_by_index(linked: Linked, name: str) -> None:
    """Before a delivery and after it."""
    await _assert_reads_little(linked, name, by_index=name != "base/read")


async def _assert_reads_little(linked: Linked, name: str, *, by_index: bool = False) -> None:
    text = statement(name)
    wanted = {bind: linked.parameters[bind] for bind in text.compile().params}
    if name != "session_record/note" and "fields" in wanted:
        wanted["fields"] = ['{"a": "b"}'] * _BATCH if name.startswith("base") else wanted["fields"]
    explained = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {text.text}")
    async with linked.database.org(ORG, by_index=by_index) as connection:
        answer = await connection.scalar(explained, wanted)
    for node in _nodes(answer[0]["Plan"]):
        if node.get("Relation Name") in _BIG and node["Node Type"] != "ModifyTable":
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            assert read * node["Actual Loops"] <= 3 * _BATCH, (name, node["Node Type"])


def _nodes(plan: Plan) -> list[Plan]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]
