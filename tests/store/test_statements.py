"""The SQL files: one statement each, placed and named like the function that runs it."""

import ast
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from crmsync_server import store
from crmsync_server.store.statements import statement

STORE = Path(store.__file__).parent
NAMES = sorted(
    path.relative_to(STORE / "sql").with_suffix("").as_posix()
    for path in (STORE / "sql").glob("**/*.sql")
)
IGNORED = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)


def bare(name: str) -> str:
    """Return a statement without comments and quoted text."""
    return IGNORED.sub("", (STORE / "sql" / f"{name}.sql").read_text())


def functions(module: Path) -> set[str]:
    """Return the functions that a module defines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, kinds)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_exactly_one_statement(name: str) -> None:
    """The driver prepares it, and it prepares one at a time."""
    statements = [part for part in bare(name).split(";") if part.strip()]
    assert len(statements) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_named_like_the_function_that_runs_it(name: str) -> None:
    """Whoever reads the function knows the file, and the other way around."""
    folder, _, file = name.partition("/")
    assert file in functions(STORE / f"{folder}.py")


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_hides_behind_a_cast(name: str) -> None:
    """SQLAlchemy sees no parameter in `:ids::uuid[]`; CAST(:ids AS uuid[]) is the way."""
    assert not re.search(r":\w+::", bare(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_found(name: str) -> None:
    """What looks like a parameter is one to SQLAlchemy too."""
    written = set(re.findall(r"(?<![:\w]):([a-z]\w*)", bare(name)))
    assert set(statement(name).compile().params) == written


def test_a_statement_is_read_once() -> None:
    """Every later call returns the same object, so that its compiled form is found again."""
    name = NAMES[0]
    assert statement(name) is statement(name)
    assert isinstance(statement(name), sa.TextClause)


def test_an_unknown_statement_is_an_error() -> None:
    """A slip in a name shows as the path that is missing."""
    with pytest.raises(FileNotFoundError):
        statement("queue/no_such_statement")
