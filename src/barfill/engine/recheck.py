"""
Judges stored bars again by the hard rules that they passed on the way in, without changing anything; compares the
ledger with the table, and derived bars with what their sources make.

What is found here was written past barfill, was damaged, or was stored before a rule was as strict as it is now. Bars
are read in parts of a bounded number, so that memory does not grow with the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barfill.core.audit import unaccounted, unproved
from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.judged import Judged
from barfill.core.page import RAW, BarsQuery, Page
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.reasons import Rule
from barfill.core.rules import judge
from barfill.core.timeframe import Timeframe
from barfill.engine.derive import Ledger, read_ledger, weeks_of_years
from barfill.engine.ledger import SeriesKey
from barfill.engine.recheck_derived import misderived
from barfill.engine.report import EXIT_COMPLETE, EXIT_GAPS_REMAIN
from barfill.store.database import Connection, Database
from barfill.store.events import known_splits
from barfill.store.quarantine import accepted_starts
from barfill.store.recheck import Survey, final_starts, flagged_starts, read_final, survey_series
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import Symbol, find_by_ids, read_all

BARS_AT_ONCE = 100_000
LEDGER = "ledger"
"""Stands where rule ids do: the series' own count or bounds of its bars are not what is stored."""
UNACCOUNTED = "unaccounted"
"""The same: a bar is covered and expected, not stored, and no gap is on record."""
UNPROVED = "uncovered"
"""The same: a final bar is stored outside of coverage."""
DERIVED = "derived"
"""The same: a derived bar is not what its source makes."""
WRONG_FEED = "Q17"

_DAYS_AT_ONCE_MAX = 3_650


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckRequest:
    """
    What is to be judged.

    Attributes:
        symbol_ids: None for all symbols on record.
        window: None for all that is stored.
        examples_max: How many bars are told one by one, of each rule and series.
    """

    symbol_ids: tuple[int, ...] | None
    timeframes: tuple[Timeframe, ...]
    window: Range | None = None
    examples_max: int = 10


@dataclass(frozen=True, slots=True)
class Breach:
    """A stored bar that breaks a rule."""

    rule: str
    ts: datetime
    reason: str


@dataclass(slots=True)
class SeriesRechecked:
    """
    Attributes:
        checked: Final bars that were judged.
        live: Bars that may still change, and are left alone.
        by_rule: How many bars break which rule.
        breaches: Some of them.
    """

    ticker: str
    timeframe: Timeframe
    checked: int = 0
    live: int = 0
    by_rule: dict[str, int] = field(default_factory=dict)
    breaches: list[Breach] = field(default_factory=list)

    def add(self, rule: str, count: int = 1) -> None:
        """So many bars more break a rule."""
        if count:
            self.by_rule[rule] = self.by_rule.get(rule, 0) + count

    def tell(self, breach: Breach, examples_max: int) -> None:
        """One bar that breaks a rule, kept as an example where there are not enough."""
        self.add(breach.rule)
        if self.by_rule[breach.rule] <= examples_max:
            self.breaches.append(breach)

    def to_json(self) -> dict[str, Any]:
        """By the names of the attributes."""
        return {
            "symbol": self.ticker,
            "timeframe": self.timeframe.label,
            "checked": self.checked,
            "live": self.live,
            "by_rule": self.by_rule,
            "breaches": [{"rule": one.rule, "ts": one.ts, "reason": one.reason} for one in self.breaches],
        }


@dataclass(slots=True)
class RecheckReport:
    """What became of all series; of those without a breach only their bars are counted."""

    series_count: int = 0
    checked: int = 0
    live: int = 0
    broken: list[SeriesRechecked] = field(default_factory=list)

    @property
    def by_rule(self) -> dict[str, int]:
        """How many bars of all series break which rule."""
        rules = sorted({rule for one in self.broken for rule in one.by_rule})
        return {rule: sum(one.by_rule.get(rule, 0) for one in self.broken) for rule in rules}

    @property
    def exit_code(self) -> int:
        """3 where anything breaks a rule."""
        return EXIT_GAPS_REMAIN if self.broken else EXIT_COMPLETE

    def to_json(self) -> dict[str, Any]:
        """The same, for programs."""
        summary = {"series": self.series_count, "checked": self.checked, "live": self.live, "by_rule": self.by_rule}
        return {"summary": summary, "series": [one.to_json() for one in self.broken]}


def recheck(
    database: Database, request: RecheckRequest, *, on_series: Callable[[int, int], None] = lambda _done, _all: None
) -> RecheckReport:
    """
    Judges the stored bars of *request*.

    Args:
        on_series: Called after each series with how many are done, of how many.

    Raises:
        StoreError: They cannot be read.
    """
    now = database.now()
    rows = database.run(_wanted, request)
    report = RecheckReport()
    ledgers: dict[int, Ledger] = {}
    for done, (symbol, row) in enumerate(rows, 1):
        calendar = trading_calendar(symbol.calendar, now.year + 1)
        if symbol.id not in ledgers:
            ledgers = {symbol.id: database.run(read_ledger, [symbol], tuple(Timeframe))}
        found = database.run(_rechecked, request, symbol, row, calendar, now)
        database.run(_compare_ledger, request, found, ledgers[symbol.id], (symbol.id, row.timeframe), calendar)
        report.series_count += 1
        report.checked += found.checked
        report.live += found.live
        if found.by_rule:
            report.broken.append(found)
        on_series(done, len(rows))
    return report


def _wanted(conn: Connection, request: RecheckRequest) -> list[tuple[Symbol, SeriesRow]]:
    """The series that may hold bars, by ticker, finest first."""
    ids = request.symbol_ids
    symbols = read_all(conn) if ids is None else list(find_by_ids(conn, ids).values())
    by_key = read_series(conn, None if ids is None else ids, request.timeframes)
    ordered = sorted(symbols, key=lambda one: one.ticker.encode())
    found = ((symbol, by_key.get((symbol.id, timeframe))) for symbol in ordered for timeframe in request.timeframes)
    return [(symbol, row) for symbol, row in found if row is not None]


def _rechecked(
    conn: Connection,
    request: RecheckRequest,
    symbol: Symbol,
    row: SeriesRow,
    calendar: TradingCalendar,
    now: datetime,
) -> SeriesRechecked:
    found = SeriesRechecked(symbol.ticker, row.timeframe)
    survey = survey_series(conn, symbol.id, row.timeframe, row.feed, request.window, known=calendar.known)
    found.live = survey.live
    found.add(Rule.Q01.name, survey.unplaced)
    found.add(WRONG_FEED, survey.strange)
    if request.window is None:
        _compare_counts(found, row, survey)
    splits = known_splits(conn, [symbol.id]).get(symbol.id, ()) if row.basis == RAW else ()
    by_a_person = accepted_starts(conn, symbol.id, row.timeframe)
    last_close = np.nan
    for wanted, rows, next_close in _parts(conn, symbol, row, survey, calendar):
        query = BarsQuery((symbol.ticker,), row.timeframe, wanted, row.feed, row.basis)
        page = Page((symbol.ticker,), rows, (), None, row.feed, row.basis, now)
        judged = judge(
            page,
            query,
            calendar,
            now=now,
            grace=timedelta(),
            extended_hours=True,
            last_closes=np.array([last_close]),
            later_closes=np.array([next_close]),
            known_splits={0: splits},
        )
        found.checked += len(rows)
        _note(found, judged, by_a_person, request.examples_max)
        if row.timeframe.is_intraday:
            flagged = flagged_starts(conn, symbol.id, row.timeframe, wanted)
            found.add(Rule.Q15.name, _misflagged(judged, calendar, flagged))
        if len(judged.accepted):
            last_close = float(judged.accepted.close[-1])
    return found


def _compare_counts(found: SeriesRechecked, row: SeriesRow, survey: Survey) -> None:
    """What `backfill_status` says with what is stored; bars that no calendar can place tell nothing of the bounds."""
    if survey.count != row.bar_count:
        found.add(LEDGER, abs(survey.count - row.bar_count))
    elif not survey.unplaced and (survey.first, survey.last) != (row.oldest_ts, row.newest_ts):
        bounds = (
            f"the ledger has bars from {row.oldest_ts} to {row.newest_ts}, stored are {survey.first} to {survey.last}"
        )
        at = row.oldest_ts or survey.first
        assert at is not None, "where both hold nothing they agree"
        found.tell(Breach(LEDGER, at, bounds), 1)


def _compare_ledger(
    conn: Connection,
    request: RecheckRequest,
    found: SeriesRechecked,
    ledger: Ledger,
    key: SeriesKey,
    calendar: TradingCalendar,
) -> None:
    """Coverage and gaps with what is stored, and derived bars with their sources."""
    symbol_id, timeframe = key
    row = ledger.rows.get(key)
    if row is None:  # taken off meanwhile
        return
    gaps = Ranges(one.gap.range for one in ledger.gaps.get(key, ()))
    stored = [Range(row.oldest_ts, row.newest_ts + timeframe.length)] if row.oldest_ts and row.newest_ts else []
    looked_at = row.covered | Ranges(stored)
    if request.window is not None:
        looked_at = looked_at & request.window
    for chunk in weeks_of_years(looked_at & calendar.known):
        expected = calendar.expected_starts(timeframe, chunk)
        starts = final_starts(conn, symbol_id, timeframe, chunk)
        for ts in unaccounted(expected, starts, row.covered, gaps).tolist():
            found.tell(
                Breach(UNACCOUNTED, from_us(ts), "covered, not stored, and no gap on record"), request.examples_max
            )
        for ts in unproved(expected, starts, row.covered).tolist():
            found.tell(Breach(UNPROVED, from_us(ts), "stored, and not in coverage"), request.examples_max)
    for one in misderived(conn, symbol_id, timeframe, ledger, calendar, request.window):
        found.tell(Breach(DERIVED, from_us(one.ts), one.reason), request.examples_max)


def _parts(
    conn: Connection, symbol: Symbol, row: SeriesRow, survey: Survey, calendar: TradingCalendar
) -> Iterator[tuple[Range, BarColumns, float]]:
    """The final bars in parts that are not empty, each with the close that follows it (NaN behind the last)."""
    before: tuple[Range, BarColumns] | None = None
    for wanted in _stretches(row.timeframe, survey, calendar):
        rows = read_final(conn, symbol.id, row.timeframe, wanted)
        if len(rows) == 0:
            continue
        if before is not None:
            yield *before, float(rows.close[0])
        before = wanted, rows
    if before is not None:
        yield *before, np.nan


def _stretches(timeframe: Timeframe, survey: Survey, calendar: TradingCalendar) -> Iterator[Range]:
    """What is stored, cut at midnight UTC into as many days as hold about BARS_AT_ONCE bars."""
    if survey.first is None or survey.last is None:
        return
    days = min(BARS_AT_ONCE // calendar.regular_bars_per_session(timeframe), _DAYS_AT_ONCE_MAX)
    start, end = survey.first, survey.last + timedelta(microseconds=1)
    while start < end:
        midnight = (start + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        yield Range(start, min(midnight, end))
        start = midnight


def _note(found: SeriesRechecked, judged: Judged, by_a_person: AbstractSet[int], examples_max: int) -> None:
    """
    What the rules say of a part, but for the bars that a person has accepted, by their starts.

    A level that is not known to last yet (Q20, held) is no breach: the bar was stored by what was known when it came.
    """
    breaches = [
        *((one.rule, one.ts, one.reason) for one in judged.quarantined),
        *((one.rule, one.ts, one.reason) for one in judged.held if one.rule != Rule.Q20.name),
    ]
    for rule, ts, reason in breaches:
        if ts in by_a_person:
            continue
        found.add(rule)
        if ts is not None and found.by_rule[rule] <= examples_max:
            found.breaches.append(Breach(rule, from_us(ts), reason))


def _misflagged(judged: Judged, calendar: TradingCalendar, flagged: NDArray[np.int64]) -> int:
    """How many bars lie outside of regular hours and are not flagged so, or are flagged and lie within."""
    starts = judged.accepted.ts
    return int(np.count_nonzero(calendar.is_outside(starts) != np.isin(starts, flagged)))
