"""
The private PostgreSQL, shared by all processes that use one directory.

Each user holds a shared lock on `users.lock`, which the kernel releases however the process ends. Start and stop
happen under `startup.lock`. A user that goes and can turn its lock into an exclusive one was the last, and stops
the server. A server left behind by a killed last user is adopted by the next one, and stopped with it.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from barfill.errors import StoreError, StoreUnavailable
from barfill.store.cluster import Cluster
from barfill.store.failures import from_os


class EmbeddedServer:
    """
    This process's hold on the private server of *directory*; it runs while anyone holds it.

    Raises:
        StoreUnavailable, StoreFull, StoreReadOnly: The directory or the server cannot be used; the text says why.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.expanduser().absolute()
        with _explained(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._cluster = Cluster(self._directory)
            self._users = _LockFile(self._directory / "users.lock")
            try:
                with self._alone():
                    self._users.share()
                    self._cluster.ensure_initialised()
                    self._cluster.ensure_running()
            except BaseException:
                self._users.close()
                raise
        self.url = self._cluster.url

    def revive(self) -> None:
        """Starts the server again if it was killed."""
        with self._alone():
            self._cluster.ensure_running()

    def release(self) -> None:
        """Lets go; the last user stops the server. Letting go twice, or in a forked child, does nothing."""
        if self._users.is_closed:
            return
        try:
            with self._alone():
                if self._users.try_alone():
                    with suppress(StoreError):  # what does not stop now is adopted by the next user
                        self._cluster.stop()
        finally:
            self._users.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = _LockFile(self._directory / "startup.lock")
        try:
            lock.wait_alone()
            yield
        finally:
            lock.close()


@contextmanager
def embedded_server(directory: Path) -> Iterator[EmbeddedServer]:
    """The private server of *directory*, for as long as the block lasts."""
    server = EmbeddedServer(directory)
    try:
        yield server
    finally:
        server.release()


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise StoreUnavailable(f"{directory} is a file. Move it away, or set BARFILL_HOME to a directory.") from error
    except NotADirectoryError as error:
        raise StoreUnavailable(f"A part of {directory} is a file. Set BARFILL_HOME to a directory.") from error
    except OSError as error:
        raise from_os(error, directory.parent) from error


class _LockFile:
    """A file that is locked as a whole; the lock ends with this process and does not reach its children."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _open_locks.add(self)

    @property
    def is_closed(self) -> bool:
        return self._fd < 0

    def share(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def wait_alone(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def try_alone(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def close(self) -> None:
        _open_locks.discard(self)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_open_locks: weakref.WeakSet[_LockFile] = weakref.WeakSet()


def _close_locks_in_child() -> None:
    # A forked child shares the parent's open file, and would keep its lock alive.
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_close_locks_in_child)
