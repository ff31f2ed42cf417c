"""How long it takes to see what is missing: many symbols at all eight timeframes, from the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass

from barfill.core.timeframe import Timeframe
from barfill.engine.completeness import series_states
from barfill.store.database import Connection, Database
from bench.machinery import fresh_database

SYMBOLS, SYMBOLS_SMOKE = 5_000, 200
_GAPS_PER_SERIES = 25

_SYMBOLS = "insert into symbols (ticker) select 'S' || number from generate_series(1, %s) as number"
# Two years to the last but one weekend, with a hole of a day for each 100 days: eight ranges.
_SERIES = """
insert into series (symbol_id, timeframe, feed, covered, bar_count, oldest_ts, newest_ts, density, last_result)
select
    id, timeframe, 'sip',
    tstzmultirange(tstzrange(until - interval '730 days', until))
        - (
            select range_agg(tstzrange(until - number * interval '100 days', until - number * interval '99 days'))
            from generate_series(1, 7) as number
        ),
    1, until, until, 1, 'ok'
from symbols
cross join unnest(%s::text[]) as timeframe
cross join (select date_trunc('week', now() - interval '7 days') as until) as last_week
"""
# The seven holes, as missing; the others are minutes without a trade within coverage.
_GAPS = """
insert into series_gaps (symbol_id, timeframe, gap_from, gap_to, expected_bars, kind)
select
    symbol_id, timeframe,
    newest_ts - number * interval '100 days',
    newest_ts - number * interval '99 days',
    1, 'missing'
from series
cross join generate_series(1, 7) as number
union all
select
    symbol_id, timeframe,
    newest_ts - number * interval '20 days' - interval '4 days',
    newest_ts - number * interval '20 days' - interval '3 days',
    1, 'no_trade'
from series
cross join generate_series(1, %s) as number
"""


@dataclass(frozen=True, slots=True)
class Detection:
    """
    Attributes:
        series, gaps: How many there are on record.
        expected: Bars that the calendar lets one expect of all series.
        missing: Those of them that were found to be neither there nor accounted for.
        seconds: From the call to a state of each series.
    """

    series: int
    gaps: int
    expected: int
    missing: int
    seconds: float


def measure_detection(server_url: str, symbols: int) -> Detection:
    """
    What is missing of that many symbols, two years at each timeframe, with 25 gaps a series on record.

    Raises:
        RuntimeError: It was not all found, so that it is no measure.
    """
    with fresh_database(server_url) as database:
        gaps = database.run(_fill, symbols)
        series_states(database, ["S1"])  # loads the calendar, half a second in each process
        begun = time.perf_counter()
        states = series_states(database, None)
        seconds = time.perf_counter() - begun
        _check(database, len(states), symbols)
    missing = sum(state.expected - state.present for state in states)
    if missing <= 0:
        raise RuntimeError("The holes were not found.")
    return Detection(len(states), gaps, sum(state.expected for state in states), missing, seconds)


def rendered_detection(found: Detection) -> str:
    """The figures in words."""
    return (
        f"What is missing of {found.expected:,} expected bars in {found.series:,} series, by the ledger with "
        f"{found.gaps:,} gaps:\n{found.seconds:.1f} s (to reach with {SYMBOLS:,} symbols x {len(Timeframe)} "
        f"timeframes x 2 years: <= 60 s); {found.missing:,} bars found missing."
    )


def _fill(conn: Connection, symbols: int) -> int:
    with conn.transaction():
        conn.execute(_SYMBOLS, (symbols,))
        conn.execute(_SERIES, ([timeframe.value for timeframe in Timeframe],))
        gaps = conn.execute(_GAPS, (_GAPS_PER_SERIES - 7,)).rowcount
    conn.execute("analyze")
    return gaps


def _check(database: Database, states: int, symbols: int) -> None:
    if states != symbols * len(Timeframe):
        raise RuntimeError(f"{states} states of {symbols} symbols at {len(Timeframe)} timeframes.")
