"""Bytes that are kept until a stream has ended: in memory while they are few, else in a file.

The file has no name: it is gone when it is closed, or its process ends.
"""

from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

_IN_MEMORY = 16 * 1024 * 1024


class Spool:
    """Pieces of bytes, each found again by its number."""

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        """Begin empty; in_memory: how many bytes are kept without a file."""
        self._file = SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - closed by close
        self._ends: list[int] = [0]

    def __enter__(self) -> Self:
        """Return the spool; leaving the block forgets it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget everything."""
        self._file.close()

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return len(self._ends) - 1

    def add(self, piece: bytes) -> None:
        """Keep a piece; its number is how many there were before. Not after the first `get`."""
        self._file.write(piece)
        self._ends.append(self._ends[-1] + len(piece))

    def get(self, number: int) -> bytes:
        """Return a piece."""
        start = self._ends[number]
        self._file.seek(start)
        return self._file.read(self._ends[number + 1] - start)
