"""Write generated/ from protos/, or with --check say whether it is fresh.

Usage: python protos/generate.py [--check]
"""

import argparse
import filecmp
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import compiler

GENERATED = compiler.PROTOS.parent / "generated"
SCRIPTS = Path(sysconfig.get_path("scripts"))

# protoc writes modules; these make packages of them, marked as typed.
PACKAGE_FILES = {
    "crmsync/__init__.py": '"""The crmsync contract, generated from protos/."""\n',
    "crmsync/py.typed": "",
    "crmsync/v1/__init__.py": '"""Version 1 of the contract."""\n',
    "buf/validate/__init__.py": '"""protovalidate\'s field rules, which the contract imports."""\n',
    "buf/validate/py.typed": "",
}


def generate(target: Path) -> None:
    """Write the Python modules, their types and the async stubs below `target`, an empty folder."""
    own = compiler.own_files()
    plugins = [
        f"--plugin={name}={SCRIPTS / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    messages = [f"--python_out={target}", f"--mypy_out=quiet:{target}"]
    compiler.run([*plugins, *messages, *own, compiler.VALIDATE])
    services = [name for name in own if name.endswith("_service.proto")]
    stubs = [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet,only_async:{target}"]
    if services:
        compiler.run([*plugins, *stubs, *services])
    for name, content in PACKAGE_FILES.items():
        target.joinpath(name).write_text(content)


def stale_files(fresh: Path, committed: Path) -> list[str]:
    """Return the paths, sorted, that exist on one side only or differ."""
    names = _files_below(fresh) | _files_below(committed)
    _, different, missing = filecmp.cmpfiles(fresh, committed, names, shallow=False)
    return sorted(different + missing)


def _files_below(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix() for path in files}


def main() -> int:
    """Run the command; 0 when generated/ is fresh, 1 when --check finds it stale."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; 1 when stale")
    check = arguments.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch, "generated")
        fresh.mkdir()
        generate(fresh)
        stale = stale_files(fresh, GENERATED)
        if not check:
            shutil.rmtree(GENERATED, ignore_errors=True)
            shutil.copytree(fresh, GENERATED)
    for name in stale:
        print(f"{'stale' if check else 'changed'}: generated/{name}")
    if check and stale:
        print("generated/ differs from protos/: run `make protos` and commit the result.")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
