"""Keeps the sessions of calendars in a file each between two commands, so that the library need not be loaded."""

from __future__ import annotations

import re
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from barfill.core.library_sessions import Columns

AGE_MAX_S = 30 * 86_400
"""Then the library is asked again: its hours in UTC also follow what the machine knows of daylight saving time."""
_KEY = re.compile(r"[\w.-]+")


class SessionsOnDisk:
    """`KeptSessions` in *directory*, which is made when it is needed; whatever goes wrong there, nothing is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, key: str) -> Columns | None:
        """What was kept under *key* in the last 30 days."""
        path = self._path(key)
        if path is None:
            return None
        try:
            if time.time() - path.stat().st_mtime > AGE_MAX_S:
                return None
            with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
                return dict(columns)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, key: str, columns: Columns) -> None:
        """Keeps *columns*; readers see the old file or the new one."""
        path = self._path(key)
        if path is None:
            return
        with suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".new", delete=False) as file:
                try:
                    np.savez(file, allow_pickle=False, **columns)
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink()
                    raise

    def _path(self, key: str) -> Path | None:
        return self._directory / f"{key}.npz" if _KEY.fullmatch(key) else None
