"""Many seeds: in several processes, on one server without fsync, and some of them again to see that nothing differs."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from barfill.store.embedded import embedded_server
from torture.simulation.one import Outcome, simulated
from torture.simulation.store import make_template

PROCESSES = 2
_MEMORY = Path("/dev/shm")  # as a disk it is many times as fast, where there is enough of it
_MEMORY_BYTES_MIN = 2 << 30


class Sweep:
    """
    Runs seeds in processes of their own.

    Args:
        pool: Of these processes.
        url: The server, whose template is made.
        home: Where each process keeps its clock.
    """

    def __init__(self, pool: ProcessPoolExecutor, url: str, home: Path) -> None:
        self._pool = pool
        self._run = partial(_simulated, url=url, home=home)

    def outcomes(self, seeds: Sequence[int]) -> Iterator[Outcome]:
        """What came of each of *seeds*, in their order."""
        return self._pool.map(self._run, seeds)


@contextmanager
def sweeping(processes: int = PROCESSES) -> Iterator[Sweep]:
    """A sweep with a server of its own, as long as the block."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN
    with tempfile.TemporaryDirectory(prefix="bf-simulation-", dir=_MEMORY if has_room else None) as directory:
        home = Path(directory)
        with embedded_server(home / "postgres") as server:
            make_template(server.url, home / "template-clock")
            with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
                yield Sweep(pool, server.url, home)


def _simulated(seed: int, *, url: str, home: Path) -> Outcome:
    directory = home / f"process-{os.getpid()}"
    directory.mkdir(exist_ok=True)
    return simulated(seed, url, directory)
