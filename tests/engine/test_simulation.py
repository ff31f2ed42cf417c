"""The seeded simulation: it repeats, a sound engine comes out sound, and one that is not is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from procrastinate.manager import JobManager
from psycopg.conninfo import make_conninfo

from barfill.engine.chain import ChainFollower
from barfill.errors import StoreError
from barfill.store import pages
from tests.store.fixtures import server_url, short_directory
from torture.simulation.one import simulated
from torture.simulation.store import TEMPLATE, make_template

__all__ = ["server_url"]

OVERTAKEN = 79
"""A seed in which workers stand still with a wrong answer on its way, and others store the right one."""

OTHERS = range(150)
"""Where another such seed is found once a change of the engine has given that one another history."""


@pytest.fixture(scope="module")
def clocks(server_url: str) -> Iterator[Path]:
    """Where PostgreSQL can read the virtual time; the template of the simulations is on the session's server."""
    with short_directory() as directory:
        directory.chmod(0o755)  # the server may be another user's
        make_template(server_url, directory / "template-clock")
        yield directory


def test_the_same_seed_gives_the_same_history(server_url: str, clocks: Path) -> None:
    """Requests, states and instants are the same to the microsecond; nothing is left undone and all bars are there."""
    first, second = (simulated(OVERTAKEN, server_url, clocks) for _ in range(2))

    assert first.wrong == ()
    assert first.lines == second.lines
    assert first.digest == second.digest


def test_an_engine_without_its_fence_is_found_out(
    server_url: str, clocks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thawed worker overwrites what was stored since, once nothing is left of the fence.

    It is in the statement, in the table's guard, and in the sign of life that tells a worker what is still its own.
    """
    fence = b"and epoch = %(epoch)s\nand page_no = %(page_no)s\nand status = 'running'"
    unfenced = pages.SQL["advance_run"].replace(fence, b"")
    assert unfenced != pages.SQL["advance_run"]
    monkeypatch.setattr(pages, "SQL", {**pages.SQL, "advance_run": unfenced})
    monkeypatch.setattr(ChainFollower, "lose", lambda *_: None)
    # Nor does the queue, which has given its entry to another one, end all that the worker has in hand.
    finish_job = JobManager.finish_job

    async def finish_at_best(self: JobManager, *args: Any, **kwargs: Any) -> None:
        with suppress(StoreError):
            await finish_job(self, *args, **kwargs)

    monkeypatch.setattr(JobManager, "finish_job", finish_at_best)
    with psycopg.connect(make_conninfo(server_url, dbname=TEMPLATE), autocommit=True) as template:
        template.execute("alter table job_runs disable trigger guard_run")

    assert any(_has_wrong_bars(seed, server_url, clocks) for seed in (OVERTAKEN, *OTHERS))


def _has_wrong_bars(seed: int, server_url: str, clocks: Path) -> bool:
    return any("wrong" in told for told in simulated(seed, server_url, clocks).wrong)
