"""HubSpot's limits: what its headers tell the quota, what a 429 does, and when its day ends."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import Allowance
from crmsync_server.crm.hubspot_day import DETAILS
from crmsync_server.crm.outcomes import Postponed, Synced
from tests.crm.hubspot_script import UPSERT, accepted, hubspot, refusal
from tests.crm.support import NOW, Rations, ScriptedCrm, delivery

HEADERS = {
    "X-HubSpot-RateLimit-Max": "190",
    "X-HubSpot-RateLimit-Remaining": "189",
    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
    "X-HubSpot-RateLimit-Daily": "625000",
    "X-HubSpot-RateLimit-Daily-Remaining": "600000",
}
PARIS_MIDNIGHT = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)


def telling(**changes: str) -> ScriptedCrm:
    """Return a portal in Paris that accepts everything, with headers changed or left out by ""."""
    named = {f"X-HubSpot-RateLimit-{name.replace('_', '-')}": v for name, v in changes.items()}
    headers = {name: value for name, value in {**HEADERS, **named}.items() if value}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == DETAILS:
            return httpx.Response(200, json={"portalId": 1, "timeZone": "Europe/Paris"})
        reply = httpx.Response(200) if request.method == "GET" else accepted(request)
        reply.headers.update(headers)
        return reply

    return ScriptedCrm(respond)


async def told(crm: ScriptedCrm) -> list[Allowance]:
    """Return what a push has the quota learn."""
    quota = Rations()
    await hubspot(crm.tools(quota)).push([delivery(1)])
    return quota.told


async def test_both_allowances_are_learnt_from_a_reply() -> None:
    """The edition and its add-ons decide how many; the headers know."""
    assert await told(telling()) == [
        Allowance("burst", 190, 189),
        Allowance("daily", 625_000, 600_000),
    ]


@pytest.mark.parametrize(
    ("changes", "buckets"),
    [
        ({"Daily": "", "Daily_Remaining": ""}, {"burst"}),  # OAuth apps are told no day
        ({"Max": "", "Remaining": ""}, {"daily"}),
        ({"Interval_Milliseconds": "1000"}, {"daily"}),  # of one second, not of ten
        ({"Interval_Milliseconds": ""}, {"burst", "daily"}),
        ({"Max": "many", "Remaining": "-1", "Daily": "1e6", "Daily_Remaining": "1.5"}, set()),
        ({"Max": "9" * 500, "Remaining": "", "Daily": "", "Daily_Remaining": ""}, set()),
    ],
)
async def test_only_what_a_header_says_is_learnt(
    changes: dict[str, str], buckets: set[str]
) -> None:
    """A header that is missing, or no number, says nothing."""
    assert {one.bucket for one in await told(telling(**changes))} == buckets


async def test_once_the_zone_is_known_the_day_has_an_end() -> None:
    """The check reads the zone anyway."""
    quota = Rations()
    adapter = hubspot(telling().tools(quota))
    await adapter.check()
    await adapter.push([delivery(1)])
    assert Allowance("daily", 625_000, 600_000, PARIS_MIDNIGHT - NOW) in quota.told


async def test_the_zone_is_asked_for_while_the_day_still_has_calls() -> None:
    """Once the day is used up HubSpot refuses that question too."""
    crm = telling(Daily_Remaining="62499")
    adapter = hubspot(crm.tools())
    for _ in range(3):
        assert await adapter.push([delivery(1)]) == [Synced("501")]
    assert crm.paths == [UPSERT, DETAILS, UPSERT, UPSERT]


@pytest.mark.parametrize(
    ("policy", "bucket", "until"),
    [
        ("DAILY", "daily", PARIS_MIDNIGHT),
        ("TEN_SECONDLY_ROLLING", "burst", NOW + timedelta(seconds=10)),
        ("", "burst", NOW + timedelta(seconds=10)),
    ],
)
async def test_a_429_closes_the_bucket_of_its_policy(
    policy: str, bucket: str, until: datetime
) -> None:
    """The same time that the records are postponed until."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == DETAILS:
            return httpx.Response(200, json={"portalId": 1, "timeZone": "Europe/Paris"})
        return refusal(429, policyName=policy, message="no")

    quota = Rations()
    crm = ScriptedCrm(respond)
    (outcome,) = await hubspot(crm.tools(quota)).push([delivery(1)])
    assert isinstance(outcome, Postponed)
    assert outcome.until == until
    assert quota.refusals == [(bucket, until)]
    assert crm.paths.count(DETAILS) == (policy == "DAILY")


async def test_a_used_up_day_is_not_asked_for_its_zone_again_and_again() -> None:
    """The question would be refused like the rest."""
    crm = ScriptedCrm(lambda _: refusal(429, policyName="DAILY", message="no"))
    quota = Rations()
    adapter = hubspot(crm.tools(quota))
    for _ in range(3):
        await adapter.push([delivery(1)])
    assert crm.paths.count(DETAILS) == 1
    assert set(quota.refusals) == {("daily", datetime(2026, 11, 22, tzinfo=UTC))}


@pytest.mark.parametrize("status", [423, 477])
async def test_a_lock_or_a_migration_closes_no_bucket(status: int) -> None:
    """They are no matter of how many calls were made."""
    quota = Rations()
    await hubspot(ScriptedCrm(lambda _: refusal(status, message="no")).tools(quota)).push(
        [delivery(1)]
    )
    assert quota.refusals == []


@pytest.mark.parametrize(
    ("status", "reachable"),
    [(200, True), (302, True), (401, True), (403, True), (404, True)]
    + [(code, False) for code in (423, 429, 477, 500, 502, 503, 504, 521)],
)
async def test_a_check_tells_a_refusal_from_a_portal_that_cannot_say(
    status: int, *, reachable: bool
) -> None:
    """Only what HubSpot really said of the token is held against it."""
    adapter = hubspot(ScriptedCrm(lambda _: httpx.Response(status, json={})).tools())
    standing = await adapter.check()
    assert not standing.valid
    assert standing.reachable is reachable


async def test_a_check_without_quota_says_nothing_of_the_token() -> None:
    """It was not put to the test."""
    standing = await hubspot(telling().tools(Rations(0))).check()
    assert (standing.valid, standing.reachable) == (False, False)
