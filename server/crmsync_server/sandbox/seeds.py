"""When contacts were made that a test puts into a simulated CRM by the hundred thousand."""

from collections.abc import Iterator
from datetime import datetime, timedelta


def instants(now: datetime, count: int, over: timedelta) -> Iterator[datetime]:
    """Yield `count` instants, ascending and evenly over a time that ends now; all now without."""
    if not over:
        yield from (now for _ in range(count))
        return
    step = over / count
    yield from (now - step * (count - number) for number in range(1, count + 1))
