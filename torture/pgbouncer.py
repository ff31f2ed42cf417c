"""PgBouncer between workers and database: transactions share a few connections, and a session means nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torture.server import Server

POOL_SIZE = 2
_PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_START_S = 10.0
_QUERY_WAIT_S = 20
"""A client that gets no connection for so long is cut off."""


def is_installed() -> bool:
    """Whether there is a pgbouncer to be started."""
    return _PROGRAM is not None


@contextmanager
def pgbouncer(server: Server) -> Iterator[int]:
    """A pooler before all databases of *server*, as long as the block; its port on 127.0.0.1."""
    assert _PROGRAM is not None
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bf-pooler-") as home:
        settings = Path(home) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={server.socket.parent} user=barfill\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {POOL_SIZE}\nquery_wait_timeout = {_QUERY_WAIT_S}\nmax_client_conn = 500\n"
            "unix_socket_dir =\nlogfile =\npidfile =\n"
        )
        for path in (Path(home), settings):
            path.chmod(0o755)
        command = [_PROGRAM, "-q", *_as_owner_of(server.socket), str(settings)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as pooler:
            try:
                _await(port)
                yield port
            finally:
                pooler.terminate()


def _await(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError("pgbouncer does not start.") from None
            time.sleep(0.05)
        else:
            return


def _as_owner_of(path: Path) -> list[str]:
    """It refuses to run as root, and must come to the server's socket."""
    return ["-u", pwd.getpwuid(path.stat().st_uid).pw_name] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
