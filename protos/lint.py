"""Lint the contract with buf, offline: style, comments, layout and compatibility.

Compatibility is judged against the newest release tag; before the first release, against the
published main branch when this checkout has moved past it; else there is nothing to break.

Usage: python protos/lint.py
"""

import io
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

import compiler

ROOT = compiler.PROTOS.parent
BUF = Path(sysconfig.get_path("scripts"), "buf")


def buf(*arguments: str | Path) -> bool:
    """Run buf at the root of the tree; return whether it was content. It prints its findings."""
    return subprocess.run([BUF, *arguments], cwd=ROOT, check=False).returncode == 0


def git(*arguments: str) -> bytes | None:
    """Return what git prints, or None when it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None
    return done.stdout


def published_version() -> str | None:
    """Return the commit or tag whose callers must not break, or None."""
    if tag := git("describe", "--tags", "--abbrev=0", "--match=v*"):
        return tag.decode().strip()
    if git("diff", "--quiet", "origin/main", "--", "protos") is None:
        base = git("merge-base", "HEAD", "origin/main")
        return base.decode().strip() if base else None
    return None


def image_at(version: str, scratch: Path) -> Path | None:
    """Compile the contract as it was at `version`; None when that version had none."""
    archive = git("archive", "--format=tar", version, "protos")
    if archive is None:
        return None
    earlier = scratch / "earlier"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(earlier, filter="data")
    image = scratch / "earlier.binpb"
    image.write_bytes(compiler.build_image(earlier / "protos").SerializeToString())
    return image


def is_compatible(image: Path, scratch: Path) -> bool:
    """Return whether callers of the published version can go on calling this one."""
    version = published_version()
    earlier = image_at(version, scratch) if version else None
    if earlier is None:
        print("buf breaking: no earlier version to compare with")
        return True
    return buf("breaking", image, "--against", earlier)


def main() -> int:
    """Run every check, so that one run shows every finding; 0 when all are content."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        image = scratch / "image.binpb"
        image.write_bytes(compiler.build_image().SerializeToString())
        content = [
            buf("lint", image),
            buf("format", "--diff", "--exit-code"),
            is_compatible(image, scratch),
        ]
    return int(not all(content))


if __name__ == "__main__":
    sys.exit(main())
