"""The rounds: every contestant once a round, on a database of its own, so that all meet the same weather."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from barfill.core.bars import BarColumns
from barfill.store.database import Database
from bench import alpaca_py, baseline
from bench.ingest import ingest
from bench.machinery import fresh_database
from bench.work import Work

FILL, AGAIN, ALL_HOURS = "first fill", "the same again, --full", "first fill, extended hours kept"
COPY, PLAIN = "COPY straight into the table", "COPY into a table with the key alone"
UPSERT, UPSERT_AGAIN = "COPY to staging, upsert", "the same again"
CLIENT, CLIENT_AGAIN = "alpaca-py .df, COPY, upsert", "alpaca-py, the same again"


@dataclass(frozen=True, slots=True)
class Timing:
    """What one contestant did in one round: `bars` stored or found, `rows` on the vendor's pages (0: no pages)."""

    seconds: float
    bars: int
    rows: int = 0

    @property
    def bars_per_s(self) -> float:
        """Bars a second."""
        return self.bars / self.seconds


@dataclass(frozen=True, slots=True)
class Results:
    """
    Attributes:
        rounds: Timings by contestant.
        reports: Of the first fill and of the fill by one chain, whose phases add up; the last round's.
    """

    rounds: list[dict[str, Timing]]
    fill: dict[str, Any]
    one_chain: dict[str, Any]
    peak_mb: float

    def middle(self, name: str) -> float:
        """Median bars/s."""
        return median(one[name].bars_per_s for one in self.rounds)

    def ratio(self, name: str, other: str) -> float:
        """Median of the ratios of bars/s within each round."""
        return median(one[name].bars_per_s / one[other].bars_per_s for one in self.rounds)


def measure(exchange_url: str, server_url: str, work: Work, small: Work, tell: Callable[[str], None]) -> Results:
    """
    All rounds of *work*; the vendor's client loads *small*.

    A first pass that does not count makes the exchange keep its pages.
    """
    tell("warming the exchange's pages")
    with fresh_database(server_url) as database:
        ingest(exchange_url, database, work)
        alpaca_py.load(exchange_url, database, small)
    rounds: list[dict[str, Timing]] = []
    peaks: list[float] = []
    for number in range(1, work.rounds + 1):
        tell(f"round {number} of {work.rounds}")
        timings: dict[str, Timing] = {}
        with fresh_database(server_url) as database:
            fill = ingest(exchange_url, database, work)
            again = ingest(exchange_url, database, work, is_full=True)
            rows = baseline.stored_bars(database, work)
        with fresh_database(server_url) as database:
            all_hours = ingest(exchange_url, database, work, extended_hours=True)
        with fresh_database(server_url) as database:
            one_chain = ingest(exchange_url, database, work, chains=1, with_phases=True)
        timings[FILL], timings[AGAIN], timings[ALL_HOURS] = map(_timing, (fill, again, all_hours))
        timings |= _baselines(server_url, rows)
        timings |= _client(exchange_url, server_url, small)
        rounds.append(timings)
        peaks += [one["peak_mb"] for one in (fill, again, all_hours, one_chain)]
    return Results(rounds, fill, one_chain, max(peaks))


def _timing(report: dict[str, Any]) -> Timing:
    bars = report["bars_written"] + report["bars_unchanged"]
    return Timing(report["seconds"], bars, report["rows_received"])


def _baselines(server_url: str, rows: BarColumns) -> dict[str, Timing]:
    def timed(load: Callable[[Database, BarColumns], float], database: Database) -> Timing:
        return Timing(load(database, rows), len(rows))

    with fresh_database(server_url) as database:
        found = {COPY: timed(baseline.copy_straight, database)}
    with fresh_database(server_url) as database:
        found[PLAIN] = timed(baseline.copy_plain, database)
    with fresh_database(server_url) as database:
        found[UPSERT] = timed(baseline.upsert, database)
        found[UPSERT_AGAIN] = timed(baseline.upsert, database)
    return found


def _client(exchange_url: str, server_url: str, small: Work) -> dict[str, Timing]:
    with fresh_database(server_url) as database:
        reports = [alpaca_py.load(exchange_url, database, small) for _ in range(2)]
    first, again = (Timing(one["seconds"], one["rows"], one["rows"]) for one in reports)
    return {CLIENT: first, CLIENT_AGAIN: again}
