"""Waiting for something to become true: the only place in the tests that sleeps."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

Found = TypeVar("Found")

_PAUSE = 0.01  # seconds


@overload
async def eventually(
    assertion: Callable[[], Coroutine[Any, Any, Found]], within: float = ...
) -> Found: ...
@overload
async def eventually(assertion: Callable[[], Found], within: float = ...) -> Found: ...
async def eventually(assertion: Callable[[], Any], within: float = 5.0) -> Any:
    """Call this until it raises no AssertionError, and return what it returns.

    Args:
        assertion: a function, plain or async.
        within: seconds; the last AssertionError is raised when they are over.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within
    while True:
        try:
            found = assertion()
            return await found if inspect.isawaitable(found) else found
        except AssertionError:
            if loop.time() > give_up:
                raise
        await asyncio.sleep(_PAUSE)
