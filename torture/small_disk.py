"""A disk that can be filled to its last byte and emptied again: a tmpfs, where mounting is allowed."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE_MB = 96
"""An empty database takes some ten of these."""
_BLOCKS = (1 << 20, 4096)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """The disk mounted at *place*."""

    place: Path

    def fill(self) -> None:
        """Leaves no block free."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in _BLOCKS:
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def relieve(self) -> None:
        """Gives all of it back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.place / "ballast"


@contextmanager
def small_disk() -> Iterator[SmallDisk | None]:
    """A small disk as long as the block; None where this process may not mount one."""
    with tempfile.TemporaryDirectory(prefix="bf-disk-") as place:
        Path(place).chmod(0o755)
        if not _is_done("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", place):
            yield None
            return
        try:
            yield SmallDisk(Path(place))
        finally:
            _is_done("umount", place)


def _is_done(*command: str) -> bool:
    if os.geteuid() != 0:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
