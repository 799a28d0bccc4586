"""Showing how far sessions have come: bars on a terminal, lines elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crmsync.v1.session_pb2 import Session

Show = Callable[[Session], None]

_STEP = 10  # percent between two lines


@contextmanager
def display(console: Console, sessions: Mapping[str, Session]) -> Iterator[Show]:
    """Yield a function that shows a session's newest state, for these sessions by their CRM."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[outcomes]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {
            session.id: progress.add_task(crm, total=session.progress.total, outcomes="")
            for crm, session in sessions.items()
        }

        def show(session: Session) -> None:
            done = session.progress
            progress.update(
                tasks[session.id], completed=done.completed, outcomes=_outcomes(session)
            )

        yield show


class _Lines:
    """A line for every tenth of a session."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, int] = {}

    def show(self, session: Session) -> None:
        step = int(session.progress.percentage) // _STEP
        if self._shown.get(session.id) == step:
            return
        self._shown[session.id] = step
        done = session.progress
        share = f"{done.completed:>7,} of {done.total:,}"
        self._console.print(f"{session.crm:>8} {share}, {_outcomes(session)}")


def _outcomes(session: Session) -> str:
    done = session.progress
    return f"{done.synced:,} complete, {done.errors:,} error, {done.skipped:,} skipped"
