"""Many series are counted at once, by the ledger, and come out as if each were counted alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.completeness import KnownGap, completeness
from barfill.core.gaps import GapKind
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.completeness import series_states
from barfill.store.database import Connection, Database
from barfill.store.symbols import NewSymbol, add_symbols
from tests.core.samples import at

TICKERS = {"AAPL": "XNYS", "0700.HK": "XHKG", "BTC/USD": "24/7", "ES": "CMES", "RELI": "XBOM"}


@pytest.mark.parametrize("seed", range(3))
def test_series_are_counted_at_once_as_each_alone(database: Database, seed: int) -> None:
    """
    Over random coverage and gaps of five calendars, expected, present and settled bars are those of each series alone.
    """
    random = Random(seed)
    symbols = database.run(add_symbols, [NewSymbol(ticker, calendar=name) for ticker, name in TICKERS.items()])
    alone: dict[tuple[str, Timeframe], tuple[int, int, int]] = {}
    for ticker, symbol in symbols.items():
        calendar = trading_calendar(symbol.calendar, 2027)
        for timeframe in Timeframe:
            covered, gaps = _ledger(random, symbol.calendar, timeframe)
            database.run(_write, symbol.id, timeframe, covered, gaps)
            parts = [
                completeness(part, covered, gaps, calendar, timeframe)
                for part in covered | Ranges(gap.range for gap in gaps)
            ]
            settled = sum(sum(part.settled.values()) for part in parts)
            alone[ticker, timeframe] = (
                sum(part.expected for part in parts),
                sum(part.present for part in parts),
                settled,
            )

    states = series_states(database, None)

    assert {(one.ticker, one.timeframe): (one.expected, one.present, one.settled) for one in states} == alone
    assert [(one.ticker, one.timeframe) for one in states] == [
        (ticker, timeframe) for ticker in sorted(TICKERS) for timeframe in Timeframe
    ]


def test_symbols_without_a_series_have_no_state(database: Database) -> None:
    """
    Nothing on record, nothing to count; a ticker that nobody knows is no error.
    """
    database.run(add_symbols, [NewSymbol("AAPL")])

    assert series_states(database, None) == ()
    assert series_states(database, ["NOPE"]) == ()


def _ledger(random: Random, calendar: str, timeframe: Timeframe) -> tuple[Ranges, list[KnownGap]]:
    """Some days covered, and gaps that lie within or beside them, as pages leave them."""
    trading = trading_calendar(calendar, 2027)
    bounds = sorted(random.sample(range(400), 6))
    ranges = [_days(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]
    gaps: list[KnownGap] = []
    for one in ranges:
        count = trading.expected_count(timeframe, one)
        if count:
            kind = random.choice([GapKind.NO_TRADE, GapKind.HALTED])
            gaps.append(KnownGap(one, random.randrange(1, count + 1), kind, kind.is_settled))
    beside = [_days(first, first + random.randrange(1, 9)) for first in (420, 440)]
    for one, kind in zip(beside, random.sample(list(GapKind), 2), strict=True):
        count = trading.expected_count(timeframe, one)
        if count:
            gaps.append(KnownGap(one, count, kind, kind.is_settled))
    return Ranges(ranges), gaps


def _days(first: int, end: int) -> Range:
    start: datetime = at("2024-01-01")
    return Range(start + timedelta(days=first), start + timedelta(days=end))


def _write(conn: Connection, symbol_id: int, timeframe: Timeframe, covered: Ranges, gaps: list[KnownGap]) -> None:
    conn.execute(
        "insert into series (symbol_id, timeframe, feed, covered) values (%s, %s, 'sip', %s)",
        (symbol_id, timeframe.value, covered),
    )
    for gap in gaps:
        conn.execute(
            "insert into series_gaps (symbol_id, timeframe, gap_from, gap_to, expected_bars, kind) "
            "values (%s, %s, %s, %s, %s, %s)",
            (symbol_id, timeframe.value, gap.range.start, gap.range.end, gap.expected_bars, gap.kind.value),
        )
