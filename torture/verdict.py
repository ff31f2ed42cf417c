"""What is judged: the table against the exchange's own truth, the ledger against the table, and the requests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from barfill.store.queue import TASK

NYSE = trading_calendar("XNYS", 2027)
FETCHED = (Timeframe.M15, Timeframe.D1)
_DAY_US = 86_400_000_000
_PRICES = 4

Bar = tuple[int, float, float, float, float, float]
"""Start in microseconds UTC, open, high, low, close, volume."""


class Place(Protocol):
    """Where a scenario takes place, as far as it is judged."""

    @property
    def exchange(self) -> SimulatedExchange:
        """What the bars come from."""

    @property
    def database(self) -> Database:
        """Where they are."""

    @property
    def tickers(self) -> Sequence[str]:
        """What is defined."""

    @property
    def window_days(self) -> int:
        """Of the definitions."""

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement."""


@dataclass
class Verdict:
    """
    How a scenario came out: figures in the order in which they are told, and what does not hold.

    Attributes:
        not_run: Why it could not take place on this machine, where that is so; it then neither holds nor fails.
    """

    scenario: str
    figures: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    not_run: str = ""

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return "FAILS" if self.wrong else "not run" if self.not_run else "holds"

    def hold(self, is_so: bool, otherwise: str) -> None:
        """Keeps *otherwise* where it does not hold."""
        if not is_so:
            self.wrong.append(otherwise)


def judge_the_end(place: Place, verdict: Verdict, *, extra_requests_max: int | None = None) -> None:
    """
    Everything that must hold when nothing is left to do.

    Args:
        extra_requests_max: How many requests may have been sent twice; None for any number.
    """
    _as_the_source(place, verdict)
    _hours_as_their_quarters(place, verdict)
    _ledger_as_the_table(place, verdict)
    _runs_are_over(place, verdict)
    asked, repeated = requests_of(place)
    verdict.figures["requests"] = f"{asked:,}"
    verdict.figures["repeated"] = f"{repeated}" + (
        f" of {extra_requests_max}" if extra_requests_max is not None else ""
    )
    verdict.hold(
        extra_requests_max is None or repeated <= extra_requests_max,
        f"{repeated} requests were sent twice, at most {extra_requests_max} may be",
    )


def wrong_bars(place: Place) -> list[str]:
    """
    Where the table holds bars that the source has otherwise or not at all, or lacks bars that it says are covered.

    Bars that are absent and not covered are no wrong: they may still come.
    """
    told = []
    for ticker in place.tickers:
        for timeframe in FETCHED:
            stored, truth = _stored(place, ticker, timeframe), _truth(place, ticker, timeframe)
            covered = _covered(place, ticker, timeframe)
            known = {bar[0] for bar in stored}
            lost = [bar for bar in truth if bar[0] not in known and covered & _instant(bar)]
            for what, bars in (("wrong", sorted(set(stored) - set(truth))), ("covered and not there", lost)):
                if bars:
                    first = from_us(bars[0][0]).isoformat()
                    told.append(f"{ticker} {timeframe.label}: {len(bars)} {what}, first {first}")
    return told


def requests_of(place: Place) -> tuple[int, int]:
    """Requests for bars by the exchange's own log, and those of them for a page that had been asked for before."""
    asked = Counter(tuple(sorted(one.query.items())) for one in place.exchange.requests if one.endpoint == "bars")
    return asked.total(), asked.total() - len(asked)


def uncovered_beyond_doubt(
    covered: Ranges, timeframe: Timeframe, stored: Iterable[int], gaps: Sequence[Range]
) -> list[int]:
    """Starts of expected bars that are covered although they are neither stored nor on record as a gap."""
    there = set(stored)
    return [
        ts
        for one in covered
        for ts in NYSE.expected_starts(timeframe, one).tolist()
        if ts not in there and not any(gap.start <= from_us(ts) < gap.end for gap in gaps)
    ]


def _as_the_source(place: Place, verdict: Verdict) -> None:
    """SHA-256 over the ordered bars of each series, here and there."""
    equal, bars = 0, 0
    for ticker in place.tickers:
        for timeframe in FETCHED:
            stored, truth = _stored(place, ticker, timeframe), _truth(place, ticker, timeframe)
            bars += len(stored)
            equal += _digest(stored) == _digest(truth)
            if stored != truth:
                told = _gaps_of(place, ticker, timeframe)
                verdict.wrong.append(f"{ticker} {timeframe.label}: {_difference(stored, truth)}; gaps {told}")
    series = len(place.tickers) * len(FETCHED)
    verdict.figures["bars"] = f"{bars:,}"
    verdict.figures["series equal"] = f"{equal} of {series}"


def _hours_as_their_quarters(place: Place, verdict: Verdict) -> None:
    """Each derived hour is what its quarters are, and none is missing."""
    for ticker in place.tickers:
        quarters = np.array(_stored(place, ticker, Timeframe.M15))
        hours = _stored(place, ticker, Timeframe.H1)
        starts = NYSE.expected_starts(Timeframe.H1, _wanted(place)).tolist()
        missing = sorted(set(starts) - {bar[0] for bar in hours})
        first = from_us(missing[0]).isoformat() if missing else ""
        verdict.hold(not missing, f"{ticker} 1h: {len(missing)} hours were not derived, first {first}")
        wrong = [bar[0] for bar in hours if not _is_made_of(bar, quarters)]
        verdict.hold(not wrong, f"{ticker} 1h: {len(wrong)} hours are not what their quarters are")


def _is_made_of(hour: Bar, quarters: NDArray[np.float64]) -> bool:
    inside = quarters[(quarters[:, 0] >= hour[0]) & (quarters[:, 0] < hour[0] + Timeframe.H1.length_us)]
    if len(inside) == 0:
        return False
    made = (inside[0, 1], inside[:, 2].max(), inside[:, 3].min(), inside[-1, 4], inside[:, 5].sum())
    return bool(np.allclose(made, hour[1:], rtol=1e-12))


def _ledger_as_the_table(place: Place, verdict: Verdict) -> None:
    counted = place.rows(
        "select symbol_id, timeframe, count(*), min(ts), max(ts) from ohlc_bars group by 1, 2 order by 1, 2"
    )
    told = place.rows(
        "select symbol_id, timeframe, bar_count, oldest_ts, newest_ts from series where bar_count > 0 order by 1, 2"
    )
    verdict.hold(counted == told, "the counters of the series are not those of their bars")
    doubled = place.rows("select 1 from ohlc_bars group by symbol_id, timeframe, ts having count(*) > 1")
    verdict.hold(not doubled, f"{len(doubled)} bars are there twice")
    for symbol_id, timeframe, covered in place.rows("select symbol_id, timeframe, covered::text from series"):
        if Timeframe(timeframe) in FETCHED:
            lost = missing_in(place, symbol_id, Timeframe(timeframe))
            verdict.hold(not lost, f"series {symbol_id} {timeframe}: {len(lost)} bars covered in {covered}, not there")


def missing_in(place: Place, symbol_id: int, timeframe: Timeframe) -> list[int]:
    """As `uncovered_beyond_doubt`, of one series as it stands."""
    with place.database.connection() as conn, conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        row = conn.execute(
            "select covered from series where symbol_id = %s and timeframe = %s",
            (symbol_id, timeframe.value),
            binary=True,
        ).fetchone()
        stored = conn.execute(
            "select ts from ohlc_bars where symbol_id = %s and timeframe = %s", (symbol_id, timeframe.value)
        ).fetchall()
        gaps = conn.execute(
            "select gap_from, gap_to from series_gaps where symbol_id = %s and timeframe = %s",
            (symbol_id, timeframe.value),
        ).fetchall()
    covered: Ranges = row[0] if row is not None else Ranges()
    return uncovered_beyond_doubt(
        covered, timeframe, (to_us(ts) for (ts,) in stored), [Range(start, end) for start, end in gaps]
    )


def _runs_are_over(place: Place, verdict: Verdict) -> None:
    states = dict(place.rows("select status, count(*) from job_runs group by 1"))
    verdict.figures["runs"] = ", ".join(f"{count:,} {status}" for status, count in sorted(states.items()))
    verdict.hold(not {"queued", "running"} & states.keys(), f"runs are not over: {states}")
    entries = place.rows("select 1 from procrastinate_jobs where task_name = %s", TASK)
    verdict.hold(not entries, f"{len(entries)} entries are left in the queue")


def _wanted(place: Place) -> Range:
    """What must be there: from the start of the window to the midnight before now."""
    today = datetime.combine(place.database.now().date(), time(), UTC)
    return Range(today - timedelta(days=place.window_days), today)


def _stored(place: Place, ticker: str, timeframe: Timeframe) -> list[Bar]:
    wanted = _wanted(place)
    rows = place.rows(
        "select ts, open, high, low, close, volume from ohlc_bars join symbols on symbols.id = symbol_id "
        "where ticker = %s and timeframe = %s and ts >= %s and ts < %s order by ts",
        ticker,
        timeframe.value,
        wanted.start,
        wanted.end,
    )
    return [(to_us(ts), *values) for ts, *values in rows]


def _truth(place: Place, ticker: str, timeframe: Timeframe) -> list[Bar]:
    """What the exchange holds in regular hours, by barfill's stamps."""
    wanted = _wanted(place)
    frame = place.exchange.truth(ticker, timeframe.value, wanted.start - timedelta(days=2), wanted.end)
    starts = frame["ts"].dt.epoch("us").to_numpy().astype(np.int64)
    if timeframe is Timeframe.D1:
        starts = starts // _DAY_US * _DAY_US
    expected = set(NYSE.expected_starts(timeframe, wanted).tolist())
    columns = [frame[name].to_list() for name in ("open", "high", "low", "close", "volume")]
    bars = zip(starts.tolist(), *columns, strict=True)
    return [(start, *map(float, values)) for start, *values in bars if start in expected]


def _covered(place: Place, ticker: str, timeframe: Timeframe) -> Ranges:
    with place.database.connection() as conn:
        row = conn.execute(
            "select covered from series join symbols on symbols.id = symbol_id where ticker = %s and timeframe = %s",
            (ticker, timeframe.value),
            binary=True,
        ).fetchone()
    return row[0] if row is not None else Ranges()


def _instant(bar: Bar) -> Range:
    return Range(from_us(bar[0]), from_us(bar[0] + 1))


def _gaps_of(place: Place, ticker: str, timeframe: Timeframe) -> str:
    """What is on record about a series' gaps, to find out why something is not there."""
    rows = place.rows(
        "select kind, attempts, gap_from, gap_to, next_check_at, reason from series_gaps "
        "join symbols on symbols.id = symbol_id where ticker = %s and timeframe = %s order by gap_from",
        ticker,
        timeframe.value,
    )
    return "; ".join(
        f"{kind} x {attempts}, {start:%m-%dT%H:%M} to {end:%m-%dT%H:%M}, again at {again} ({why[:60]})"
        for kind, attempts, start, end, again, why in rows
    )


def _digest(bars: Sequence[Bar]) -> str:
    return hashlib.sha256(repr(list(bars)).encode()).hexdigest()


def _difference(stored: Sequence[Bar], truth: Sequence[Bar]) -> str:
    there, here = {bar[0]: bar for bar in truth}, {bar[0]: bar for bar in stored}
    absent, invented = sorted(there.keys() - here.keys()), sorted(here.keys() - there.keys())
    other = sorted(ts for ts in there.keys() & here.keys() if there[ts] != here[ts])
    first = [from_us(one[0]).isoformat() for one in (absent, invented, other) if one]
    return f"{len(absent)} absent, {len(invented)} invented, {len(other)} with other values, first {', '.join(first)}"
