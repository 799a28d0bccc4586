"""How fast queued contact syncs are delivered and accounted for, beside other queues.

All on one PostgreSQL with the product's settings (fsync on), in one run, in turn.
"""

from importlib.metadata import version

from benchmarks import ours, peers
from benchmarks.figures import Bar, Figure, medians, say
from benchmarks.postgres import Postgres

COUNT = 100_000
_ROUNDS = 3
_LEAST = 1_000
_CONCURRENCIES = (2, 3, 4, 6, 8)
_BARE_WORKERS = 4
_PGQUEUER_BATCH = 500  # the fastest of 100, 500 and 1,000, each with 1, 2 and 5 managers
_PGQUEUER_MANAGERS = 2
_PROCRASTINATE_CONCURRENCY = 20
_PROCRASTINATE_SHARE = 50  # it is measured with one in so many of the jobs, or it takes minutes

_OURS = "drain, crmsync with full accounting"
_BARE = "bare SQL, claim and complete only"
_PGQUEUER = f"pgqueuer {version('pgqueuer')}"
_PROCRASTINATE = f"procrastinate {version('procrastinate')}"


async def measure(server: Postgres, scale: float) -> list[Figure]:
    """Drain 100,000 contact syncs of one session, and as many jobs by each of the others."""
    count = max(_LEAST, int(COUNT * scale))
    concurrency = await _fastest(server, max(_LEAST, count // 2))
    rates = await medians(
        {
            _OURS: lambda: ours.drain(server, count, concurrency),
            _BARE: lambda: peers.bare(server, count, ours.BATCH, _BARE_WORKERS),
            _PGQUEUER: lambda: peers.pgqueuer(server, count, _PGQUEUER_BATCH, _PGQUEUER_MANAGERS),
            _PROCRASTINATE: lambda: peers.procrastinate(
                server, max(_LEAST, count // _PROCRASTINATE_SHARE), _PROCRASTINATE_CONCURRENCY
            ),
        },
        _ROUNDS,
    )
    return _figures(rates, concurrency)


async def _fastest(server: Postgres, count: int) -> int:
    """Return how many pushes at once serve us best here."""
    rates = {tried: await ours.drain(server, count, tried) for tried in _CONCURRENCIES}
    say(f"  at once: {', '.join(f'{tried}: {rate:,.0f}/s' for tried, rate in rates.items())}")
    return max(rates, key=lambda tried: rates[tried])


def _figures(rates: dict[str, float], concurrency: int) -> list[Figure]:
    own = rates[_OURS]
    others = [
        Figure(name, rates[name], "records/s", ratio=f"{rates[name] / own:.2f} of crmsync")
        for name in (_BARE, _PGQUEUER, _PROCRASTINATE)
    ]
    at_once = f"{concurrency} batches of {ours.BATCH} at once"
    return [
        Figure(_OURS, own, "records/s", Bar(30_000), at_once),
        *others,
        Figure("drain, crmsync over pgqueuer", own / rates[_PGQUEUER], bar=Bar(1.2)),
    ]
