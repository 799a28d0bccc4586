"""Measure crmsync beside its peers and print one table: `python -m benchmarks`.

Exits with 0 whether or not a bar is met; a missed one says MISSED.
"""

import argparse
import logging

import structlog
import uvloop

from benchmarks import (
    bulk,
    drain,
    export,
    intake,
    pull,
    quota,
    search,
    stats,
    status,
    urgent,
    users,
    webhooks,
)
from benchmarks.figures import Bar, Figure, machine, say, table
from benchmarks.postgres import Postgres, running
from benchmarks.service import echoing, serving, serving_on

_PARTS = (
    "drain",
    "intake",
    "status",
    "stats",
    "quota",
    "urgent",
    "pull",
    "users",
    "bulk",
    "webhooks",
    "search",
    "export",
)


def main() -> None:
    """Run what was asked for: progress goes to stderr, the table to stdout."""
    asked = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with running() as server:
        found = uvloop.run(_measure(server, asked.only or _PARTS, asked.scale))
    print(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=_PARTS, help="may be given repeatedly")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 is a tenth of everything")
    return parser.parse_args()


async def _measure(server: Postgres, parts: tuple[str, ...], scale: float) -> str:
    facts = machine(await server.version())
    say(facts)
    figures: list[Figure] = []
    if "drain" in parts:
        say("drain")
        figures += await drain.measure(server, scale)
    if "intake" in parts or "status" in parts:
        figures += await _through_a_channel(server, parts, scale)
    if "stats" in parts:
        say("stats")
        async with serving(server) as service:
            figures += await stats.measure(service, scale)
    for name, part in (("quota", quota), ("urgent", urgent), ("pull", pull)):
        if name in parts:
            say(name)
            figures += await part.measure(server, scale)
    if "users" in parts:
        say("users")
        async with serving(server) as service:
            figures += await users.measure(service, scale)
    if "bulk" in parts:
        say("bulk")
        figures += await bulk.measure(server, scale)
    if "webhooks" in parts:
        say("webhooks")
        figures += await webhooks.measure(server, scale)
    if "search" in parts or "export" in parts:
        figures += await _searched(server, parts, scale)
    scaled = "" if scale == 1 else f", sizes times {scale:g}"
    return f"{table(figures)}\n\n{facts}{scaled}"


async def _searched(server: Postgres, parts: tuple[str, ...], scale: float) -> list[Figure]:
    figures: list[Figure] = []
    async with server.database() as place:
        for name, part in (("search", search), ("export", export)):
            if name in parts:
                say(name)
                # A process of its own: what it grows by is not below another part's peak.
                async with serving_on(server, place) as service:
                    figures += await part.measure(service, scale)
    return figures


async def _through_a_channel(
    server: Postgres, parts: tuple[str, ...], scale: float
) -> list[Figure]:
    figures: list[Figure] = []
    async with serving(server) as service, echoing() as echo:
        say("intake")
        taken_in = await intake.measure(service, scale)
        if "intake" in parts:
            figures += taken_in
        if "status" in parts:
            say("status")
            figures += await status.measure(service, echo, scale)
        peak = service.peak_megabytes()
        say(f"  the server ends with {service.megabytes():,.0f} MB")
    return [
        *figures,
        Figure("server memory, most through all of it", peak, "MB", Bar(250, most=True)),
    ]


if __name__ == "__main__":
    main()
