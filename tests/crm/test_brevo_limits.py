"""Brevo's limits: what its headers tell the quota, and which of them a 429 means."""

from datetime import timedelta

import httpx
import pytest

from crmsync_server.crm.adapter import Allowance
from crmsync_server.crm.outcomes import Accepted, Postponed
from tests.crm.brevo_script import adapter, brevo_crm
from tests.crm.support import NOW, Rations, delivery
from tests.crm.test_brevo_settle import TICKET


def headers(limit: object, remaining: object, reset: object) -> dict[str, str]:
    """Return Brevo's headers, without those that are empty."""
    found = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-sib-ratelimit-{name}": str(v) for name, v in found.items() if v != ""}


async def pushed(quota: Rations, answer: httpx.Response) -> object:
    """Push one delivery that is answered so, and return its outcome."""
    (outcome,) = await adapter(brevo_crm({"POST": answer}), quota).push([delivery(1)])
    return outcome


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "bucket"),
    [
        (10, 9, 1, "contacts"),
        (10, 9, 0, "contacts"),
        (20, 19, 1, "contacts"),  # the Advanced plan
        (60, 59, 1, "contacts"),  # the Extended one
        (36_000, 35_000, 1_800, "contacts_hourly"),
        (36_000, 35_000, 1, "contacts_hourly"),  # the last second of the hour
        (216_000, 1, 3_599, "contacts_hourly"),
        (10, 9, "", "contacts"),
        (36_000, 35_000, "", "contacts_hourly"),
        ("", 9, 1, "contacts"),
        ("", 9, 600, "contacts_hourly"),
    ],
)
async def test_headers_are_learnt_for_the_limit_they_probably_mean(
    limit: object, remaining: int, reset: object, bucket: str
) -> None:
    """Brevo says how many and for how long, and not of which of the two."""
    quota = Rations()
    await pushed(quota, httpx.Response(204, headers=headers(limit, remaining, reset)))
    left = timedelta(seconds=int(str(reset))) if reset != "" else None
    calls = int(str(limit)) if limit != "" else None
    assert quota.told == [Allowance(bucket, calls, remaining, left)]


@pytest.mark.parametrize(("limit", "remaining"), [("", ""), ("x", "y"), (0, "")])
async def test_headers_that_say_nothing_teach_nothing(limit: object, remaining: object) -> None:
    """Missing, or no numbers."""
    quota = Rations()
    await pushed(quota, httpx.Response(204, headers=headers(limit, remaining, 1)))
    assert quota.told == []


@pytest.mark.parametrize(
    ("limit", "reset", "bucket", "wait"),
    [
        (10, 1, "contacts", 1),
        (10, 0, "contacts", 1),
        (36_000, 1_200, "contacts_hourly", 1_200),
        ("", 1_200, "contacts_hourly", 1_200),
        ("", "", "contacts", 10),
    ],
)
async def test_a_429_closes_the_limit_it_probably_means(
    limit: object, reset: object, bucket: str, wait: int
) -> None:
    """Until the same time that the records are postponed to."""
    quota = Rations()
    outcome = await pushed(quota, httpx.Response(429, headers=headers(limit, 0, reset), json={}))
    until = NOW + timedelta(seconds=wait)
    assert isinstance(outcome, Postponed)
    assert outcome.until == until
    assert quota.refusals == [(bucket, until)]


async def test_a_429_about_a_process_closes_the_hundred_and_not_the_contacts() -> None:
    """The two classes of calls are counted apart."""
    quota = Rations()
    answer = httpx.Response(429, headers=headers(100, 0, 900), json={})
    (outcome,) = await adapter(brevo_crm({"GET": answer}), quota).settle(TICKET, [delivery(1)])
    assert isinstance(outcome, Accepted)
    assert quota.refusals == [("other", NOW + timedelta(seconds=900))]
    assert quota.told == [Allowance("other", 100, 0, timedelta(seconds=900))]


@pytest.mark.parametrize(
    ("status", "reachable"),
    [(200, True), (302, True), (401, True), (403, True), (404, True)]
    + [(code, False) for code in (429, 500, 502, 503, 504)],
)
async def test_a_check_tells_a_refusal_from_an_account_that_cannot_say(
    status: int, *, reachable: bool
) -> None:
    """Only what Brevo really said of the key is held against it."""
    standing = await adapter(brevo_crm({"GET": httpx.Response(status, json={})})).check()
    assert not standing.valid
    assert standing.reachable is reachable


async def test_a_check_without_quota_says_nothing_of_the_key() -> None:
    """It was not put to the test."""
    standing = await adapter(brevo_crm({}), Rations(0)).check()
    assert (standing.valid, standing.reachable) == (False, False)
