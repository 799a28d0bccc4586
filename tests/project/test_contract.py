"""The scripts beside the protos, run as `make lint` runs them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT

CONTACT = "protos/crmsync/v1/contact.proto"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the contract and of what was generated from it, released as v0.0.1."""
    for name in ("protos", "generated"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=Release")
    git(tmp_path, "tag", "v0.0.1")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, whoever this machine thinks we are."""
    someone = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *someone, *arguments], cwd=folder, check=True)


def run(root: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of protos/ with the interpreter, and so the tools, of this test."""
    command = [sys.executable, f"protos/{script}", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_generated_code_is_what_the_contract_compiles_to() -> None:
    """Nobody edits generated/, and nobody forgets to write it anew."""
    done = run(ROOT, "generate.py", "--check")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_stale_file_is_named(copy: Path) -> None:
    """A file that differs, and one that nothing generates, are both reported."""
    copy.joinpath("generated/crmsync/v1/contact_pb2.pyi").write_text("")
    copy.joinpath("generated/stray.py").write_text("")
    done = run(copy, "generate.py", "--check")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        "stale: generated/crmsync/v1/contact_pb2.pyi",
        "stale: generated/stray.py",
    ]


def test_the_contract_satisfies_its_own_linter(copy: Path) -> None:
    """Style, comments, layout and compatibility with the release are in order."""
    done = run(copy, "lint.py")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("string id = 1;", "int64 id = 1;", "changed type"),
        ("string id = 1;", "string ID = 1;", "should be lower_snake_case"),
        ("string id = 1;", "string id = 1;\n  string mute = 99;", "non-empty comment"),
        ("string id = 1;", "string    id = 1;", "-  string    id = 1;"),
    ],
    ids=["incompatible", "misnamed", "undocumented", "unformatted"],
)
def test_a_careless_change_is_refused(copy: Path, old: str, new: str, complaint: str) -> None:
    """Each of the four checks finds its own kind of mistake."""
    contact = copy / CONTACT
    contact.write_text(contact.read_text().replace(old, new, 1))
    done = run(copy, "lint.py")
    assert done.returncode == 1
    assert complaint in done.stdout
