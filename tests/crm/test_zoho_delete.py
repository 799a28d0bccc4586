"""What Zoho says of removals, record by record."""

import httpx

from crmsync_server.crm.outcomes import Outcome, Postponed, Rejected, Retry, Synced
from tests.crm.support import NOW, SECRET, ScriptedCrm, delivery
from tests.crm.zoho_script import CONTACTS, TOKEN, adapter, token

NOT_DELETED = {
    "code": "INVALID_DATA",
    "details": {"id": "2"},
    "message": "record not deleted",
    "status": "error",
}
DELETED = {"code": "SUCCESS", "details": {"id": "1"}, "message": "record deleted"}


def organization(*said: object, there: tuple[str, ...] = ()) -> ScriptedCrm:
    """Return a Zoho that says this of removals, and shows these contacts."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN:
            return token()
        assert request.url.path == CONTACTS
        if request.method == "DELETE":
            return httpx.Response(207, json={"data": list(said)})
        shown = [{"id": one} for one in there]
        return httpx.Response(200, json={"data": shown}) if shown else httpx.Response(204)

    return ScriptedCrm(respond)


async def removed(crm: ScriptedCrm, *ids: str) -> list[Outcome]:
    """Remove these records."""
    batch = [delivery(number, crm_contact_id=one) for number, one in enumerate(ids, 1)]
    return list(await adapter(crm.tools()).delete(batch))


async def test_a_record_that_is_gone_counts_as_removed_whatever_zoho_calls_it() -> None:
    """It is looked for, since the same code may mean that it is kept."""
    crm = organization(DELETED, NOT_DELETED)
    assert await removed(crm, "1", "2") == [Synced("1"), Synced("2")]


async def test_a_record_that_zoho_keeps_is_refused_with_its_words() -> None:
    """It is still there."""
    crm = organization(DELETED, NOT_DELETED, there=("2",))
    first, second = await removed(crm, "1", "2")
    assert first == Synced("1")
    assert isinstance(second, Rejected)
    assert (second.code, "record not deleted" in second.message) == ("INVALID_DATA", True)


async def test_a_removal_that_the_reply_does_not_mention_is_tried_again() -> None:
    """Nor does a reply with too many entries say anything."""
    (_, missing) = await removed(organization(DELETED), "1", "2")
    assert isinstance(missing, Retry)
    (only,) = await removed(organization(DELETED, DELETED), "1")
    assert isinstance(only, Retry)


async def test_a_locked_record_waits_alone() -> None:
    """The lane goes on."""
    locked = {"code": "RECORD_LOCKED", "details": {}, "message": "locked", "status": "error"}
    first, second = await removed(organization(locked, DELETED), "1", "2")
    assert isinstance(first, Postponed)
    assert not first.lane
    assert first.until > NOW
    assert second == Synced("2")


async def test_removals_set_off_no_workflow_unless_deliveries_do() -> None:
    """As the connection's option says, and no secret is in the URL."""
    crm = organization(DELETED)
    await removed(crm, "1")
    (call,) = [one for one in crm.requests if one.method == "DELETE"]
    assert call.url.params["wf_trigger"] == "false"
    assert SECRET not in str(call.url)
