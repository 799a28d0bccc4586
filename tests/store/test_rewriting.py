"""Columns that are not sent: contacts are written as if every one were."""

from uuid import UUID

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crmsync_server.store import bulk, contact
from crmsync_server.store.contact_columns import Rewriting
from crmsync_server.store.content import Content, content_hash
from crmsync_server.store.db import Database
from crmsync_server.store.ids import new_ids
from tests.store.people import ORG

TEXTS = st.sampled_from(["", "a", 'q"\\{}', "é"])
CONTENTS = st.builds(
    Content,
    email=st.sampled_from([None, "own", "new"]),
    name=TEXTS,
    first_name=TEXTS,
    last_name=TEXTS,
    phone=TEXTS,
    company=TEXTS,
    tags=st.lists(st.sampled_from(["t", "u,v"]), unique=True).map(tuple),
    notes=TEXTS,
    avatar=TEXTS,
    domain_id=st.sampled_from([None, UUID(int=7)]),
    properties=st.dictionaries(st.sampled_from(["k", "l"]), TEXTS, max_size=2),
)
FULL = Content("own", "n", "f", "l", "1", "c", ("t",), "notes", "avatar", UUID(int=7), {"k": "v"})


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(CONTENTS, CONTENTS), min_size=1, max_size=4))
@example([(FULL, Content())])
@example([(FULL, FULL._replace(company=""))])
@example([(FULL, FULL._replace(tags=())), (FULL, FULL)])
@example([(FULL, FULL._replace(domain_id=None, properties={})), (Content(), FULL)])
async def test_what_is_known_to_stay_is_written_as_what_is_not(
    database: Database, pairs: list[tuple[Content, Content]]
) -> None:
    """Whatever some or all of the contacts change, or lose."""
    ids = new_ids(len(pairs))
    befores = [addressed(one, before) for one, (before, _) in zip(ids, pairs, strict=True)]
    drafts = [(one, addressed(one, after)) for one, (_, after) in zip(ids, pairs, strict=True)]
    async with database.org(ORG) as connection:
        await contact.insert(connection, ORG, list(zip(ids, befores, strict=True)))
        before = await bulk.lock(connection, ORG, ids)
        assert [one.content for one in before] == befores
        what = Rewriting.of(drafts, [one.content for one in before])
        await contact.rewrite(connection, ORG, what)
        written = await bulk.read(connection, ORG, ids)
        rows = [await contact.get(connection, ORG, one) for one in ids]
    assert [(one.contact_id, one.content) for one in written] == drafts
    assert [one.version for one in rows] == [2] * len(ids)
    assert [one.content_hash for one in rows] == [content_hash(after) for _, after in drafts]


def addressed(contact_id: UUID, content: Content) -> Content:
    """Return the content with an email that no other contact has, if any."""
    email = content.email and f"{content.email}-{contact_id}@example.com"
    return content._replace(email=email)


def test_only_what_changes_is_sent() -> None:
    """And everything where it is not known what the contacts say."""
    drafts = [(one, FULL._replace(company="new")) for one in new_ids(3)]
    sent = {name for name, values in Rewriting.of(drafts, [FULL] * 3).columns.items() if values}
    assert sent == {"companies", "content_hashes"}
    assert None not in Rewriting.of(drafts).columns.values()
