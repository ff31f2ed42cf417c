"""What the calendar library told is kept between two commands, and nothing is believed of a file that is not whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import exchange_calendars
import numpy as np
import pytest

from barfill.core.library_sessions import LibrarySessions, library_sessions, use_kept_sessions
from barfill.wiring.sessions_on_disk import AGE_MAX_S, SessionsOnDisk
from tests.cli.conftest import Shell

NAME, YEAR = "XNYS", 2027


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """Where sessions are kept in this test."""
    use_kept_sessions(SessionsOnDisk(tmp_path / "cache" / "calendars"))
    yield tmp_path / "cache" / "calendars"
    use_kept_sessions(None)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calendars that the library has built."""
    names: list[str] = []
    build = exchange_calendars.get_calendar

    def noted(name: str, **bounds: Any) -> Any:
        names.append(name)
        return build(name, **bounds)

    monkeypatch.setattr(exchange_calendars, "get_calendar", noted)
    return names


def same(one: LibrarySessions, other: LibrarySessions) -> bool:
    return all(np.array_equal(getattr(one, column.name), getattr(other, column.name)) for column in fields(one))


def test_the_library_is_asked_once(kept: Path, builds: list[str]) -> None:
    """What comes from the file is what it told, lunch breaks too."""
    told = [library_sessions(name, YEAR) for name in (NAME, "XHKG")]

    again = [library_sessions(name, YEAR) for name in (NAME, "XHKG")]

    assert builds == [NAME, "XHKG"]
    assert all(same(*pair) for pair in zip(told, again, strict=True))
    assert len(list(kept.iterdir())) == len(told)


@pytest.mark.parametrize("harm", ["cut", "garbage", "empty", "other columns", "old"])
def test_a_file_that_is_not_whole_or_too_old_is_made_anew(harm: str, kept: Path, builds: list[str]) -> None:
    """Whoever killed a command or kept something else there."""
    told = library_sessions(NAME, YEAR)
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    if harm == "other columns":
        np.savez(path, labels=told.labels)
    elif harm == "old":
        before = time.time() - AGE_MAX_S - 60
        os.utime(path, (before, before))
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"PK" + os.urandom(99), "empty": b""}[harm])

    again = library_sessions(NAME, YEAR)

    assert builds == [NAME, NAME]
    assert same(told, again)
    assert same(told, library_sessions(NAME, YEAR))
    assert builds == [NAME, NAME]


def test_without_a_place_to_keep_them_the_library_is_asked_each_time(tmp_path: Path, builds: list[str]) -> None:
    """A home that cannot be written to."""
    (tmp_path / "file").touch()
    use_kept_sessions(SessionsOnDisk(tmp_path / "file" / "calendars"))
    try:
        assert same(library_sessions(NAME, YEAR), library_sessions(NAME, YEAR))
    finally:
        use_kept_sessions(None)
    assert builds == [NAME, NAME]


def test_a_name_is_no_path(tmp_path: Path) -> None:
    """Names come from tables that others write."""
    disk = SessionsOnDisk(tmp_path / "calendars")

    disk.keep("../outside", {"labels": np.zeros(1, np.int64)})

    assert disk.find("../outside") is None
    assert list(tmp_path.iterdir()) == []


def test_commands_keep_them_in_the_users_cache(shell: Shell, tmp_path: Path) -> None:
    """Linux: XDG_CACHE_HOME, else ~/.cache."""
    cache = tmp_path / "cache"

    done = shell("backfill", "AAPL", "--timeframe", "1d", "--days", "5", XDG_CACHE_HOME=str(cache))

    assert done.returncode == 0, done.stderr
    assert [path.name.partition("-")[0] for path in (cache / "barfill" / "calendars").iterdir()] == [NAME]
