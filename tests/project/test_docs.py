"""What the documentation says about the code, held against the code."""

import re
from pathlib import Path

import pytest

from crmsync_server.store.states import LEGAL_MOVES, PROCESSING_STATUS_OF
from tests.project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
STATES = ROOT / "docs/explanation/states.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_tree_leads_somewhere(page: Path) -> None:
    """A reader who follows a relative link finds a file."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not page.parent.joinpath(target).exists()] == []


def test_the_table_of_moves_is_the_code_s() -> None:
    """The page lists every legal move, and no other."""
    section = STATES.read_text().split("| From | To | When |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (none|[A-Z]+) \| ([A-Z]+) \|", section, re.MULTILINE)
    assert set(rows) == _moves("none")


def test_the_diagram_of_moves_is_the_code_s() -> None:
    """The diagram draws every legal move, and no other."""
    diagram = STATES.read_text().split("```mermaid")[1].split("```")[0]
    arrows = re.findall(r"^  (\S+) --> (\S+):", diagram, re.MULTILINE)
    assert set(arrows) == _moves("[*]")


def test_the_table_of_statuses_is_the_code_s() -> None:
    """Each sync status goes with the processing status that the schema allows."""
    section = STATES.read_text().split("## The moves of a contact sync")[0]
    rows = re.findall(r"^\| ([A-Z]+) \| (none|[A-Z]+) \|", section, re.MULTILINE)
    assert dict(rows) == {
        sync.value: processing.value if processing else "none"
        for sync, processing in PROCESSING_STATUS_OF.items()
    }


def _moves(beginning: str) -> set[tuple[str, str]]:
    """Return the legal moves as pairs of names, `beginning` standing for no status yet."""
    return {
        (before.value if before else beginning, after.value)
        for before, afters in LEGAL_MOVES.items()
        for after in afters
    }
