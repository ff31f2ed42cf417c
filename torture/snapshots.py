"""Looks at random moments of the chaos, each in one snapshot: what the ledger claims must be true at every instant."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import psycopg

from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import StoreError
from torture.verdict import FETCHED, Verdict, uncovered_beyond_doubt
from torture.yard import Yard

SERIES_PER_LOOK = 4
_PROGRESS_MAX = 100


class Snapshots(threading.Thread):
    """
    Looks until it is stopped.

    Attributes:
        looks: How many snapshots were judged.
        polls: How often a run's progress was read.
        outside: The most `final` bars that lay outside coverage in any snapshot.
        wrong: What did not hold.
    """

    def __init__(self, yard: Yard) -> None:
        super().__init__(name="snapshots", daemon=True)
        self.looks = 0
        self.polls = 0
        self.outside = 0
        self.wrong: list[str] = []
        self._yard = yard
        self._chance = Random(yard.chance.random())
        self._stopping = threading.Event()
        self._progress: dict[int, float] = {}

    def stop(self) -> None:
        """Ends it and waits for its end."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Looks at random moments; a database that is away is passed over."""
        try:
            while not self._stopping.wait(self._chance.uniform(0.05, 0.5)):
                with suppress(StoreError, psycopg.Error):
                    self._look()
        except Exception as error:
            self.wrong.append(f"the snapshots broke off: {type(error).__name__}: {error}")

    def _look(self) -> None:
        with self._yard.database.connection() as conn, conn.transaction():
            conn.execute("set transaction isolation level repeatable read, read only")
            series = conn.execute(
                "select symbol_id, timeframe, covered from series order by 1, 2", binary=True
            ).fetchall()
            fetched = [one for one in series if Timeframe(one[1]) in FETCHED]
            for symbol_id, timeframe, covered in self._chance.sample(fetched, min(SERIES_PER_LOOK, len(fetched))):
                self._judge(conn, symbol_id, Timeframe(timeframe), covered)
            progress = conn.execute("select id, progress_percent from job_runs").fetchall()
        for run_id, percent in progress:
            self.polls += 1
            before = self._progress.get(run_id, 0.0)
            if not before <= percent <= _PROGRESS_MAX:
                self.wrong.append(f"run {run_id} fell from {before} to {percent} %")
            self._progress[run_id] = percent
        self.looks += 1

    def _judge(
        self, conn: psycopg.Connection[tuple[object, ...]], symbol_id: int, timeframe: Timeframe, covered: Ranges
    ) -> None:
        key = (symbol_id, timeframe.value)
        found = conn.execute("select ts, data_status from ohlc_bars where symbol_id = %s and timeframe = %s", key)
        bars = [(to_us(ts), status) for ts, status in found]  # type: ignore[arg-type]  # columns of the table
        gaps = conn.execute("select gap_from, gap_to from series_gaps where symbol_id = %s and timeframe = %s", key)
        held = [Range(start, end) for start, end in gaps]  # type: ignore[arg-type]
        lost = uncovered_beyond_doubt(covered, timeframe, (ts for ts, _ in bars), held)
        if lost:
            self.wrong.append(
                f"series {key}: {len(lost)} bars covered and neither stored nor a gap, first {from_us(lost[0])}"
            )
        outside = [ts for ts, status in bars if status == "final" and from_us(ts) not in covered]
        self.outside = max(self.outside, len(outside))


@contextmanager
def looking(yard: Yard, verdict: Verdict, *, at_least: int = 0) -> Iterator[Snapshots]:
    """Snapshots as long as the block lasts; what did not hold, or that there were fewer, goes into the verdict."""
    snapshots = Snapshots(yard)
    snapshots.start()
    try:
        yield snapshots
    finally:
        snapshots.stop()
        verdict.wrong += sorted(set(snapshots.wrong))
        verdict.hold(snapshots.looks >= at_least, f"only {snapshots.looks} of {at_least} snapshots came about")
        verdict.figures["snapshots"] = f"{snapshots.looks:,}"
        verdict.figures["progress polls"] = f"{snapshots.polls:,}"
        verdict.figures["final outside coverage"] = f"{snapshots.outside:,}"
