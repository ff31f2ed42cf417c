"""Puts ended runs back into the queue, as far as anything of them is left to do and nobody else is doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Ranges
from barfill.engine.findings import is_open
from barfill.engine.ledger import SeriesKey
from barfill.engine.planning import has_bars, in_flight_of
from barfill.store.database import Connection, Database
from barfill.store.gaps import list_gaps
from barfill.store.runs import SPLIT, RunState, retry_runs, run_states, unfinished_runs
from barfill.store.series import read_series
from barfill.store.symbols import find_symbols
from barfill.store.workers import planning_turn


@dataclass(frozen=True, slots=True)
class Retried:
    """The runs that wait again, and why each of the others stays as it is."""

    queued: tuple[int, ...]
    left: Mapping[int, str]


def retry(database: Database, run_ids: Sequence[int], *, patience_s: float) -> Retried:
    """
    Failed and cancelled runs go on where they stopped, with fresh attempts.

    One whose bars have come otherwise, or that another run is bringing, stays as it is: nothing is paid for twice.

    Raises:
        StoreError: The tables cannot be read or written.
    """
    with planning_turn(database):
        flying = in_flight_of(database.run(unfinished_runs, patience_s=patience_s))
        now = database.now()
        queued: list[int] = []
        left: dict[int, str] = {}
        for state in reversed(database.run(run_states, run_ids, patience_s=patience_s)):
            why = _why_not(state, database.run(_open_ranges, state, now), flying)
            if why:
                left[state.id] = why
                continue
            queued.append(state.id)
            for symbol_id in state.symbol_ids:
                key = (symbol_id, state.timeframe)
                flying[key] = flying.get(key, Ranges()) | state.range
        database.run(retry_runs, queued)
    return Retried(tuple(queued), left)


def _why_not(state: RunState, wanted: Mapping[SeriesKey, Ranges], flying: Mapping[SeriesKey, Ranges]) -> str:
    """Why a run is not to be tried again, as the end of a sentence; "" where it is."""
    if state.status not in {"failed", "cancelled"}:
        return "only failed and cancelled runs can be tried again"
    if state.is_live:
        return "it was to bring bars of a session that is over by now"
    if (state.reason or "").startswith(SPLIT):
        return "it went on in other runs"
    if not wanted:
        return "its bars have come otherwise"
    if any(flying.get(key, Ranges()) & ranges for key, ranges in wanted.items()):
        return "another run brings its bars"
    return ""


def _open_ranges(conn: Connection, state: RunState, now: datetime) -> dict[SeriesKey, Ranges]:
    """What of a run's range is neither covered nor settled, by series; all of what is read again."""
    if state.is_reread:
        return {(symbol_id, state.timeframe): Ranges([state.range]) for symbol_id in state.symbol_ids}
    symbols = {symbol.id: symbol for symbol in find_symbols(conn, state.symbols).values()}
    rows = read_series(conn, state.symbol_ids, [state.timeframe])
    gaps: dict[int, Ranges] = {}
    listed = list_gaps(conn, symbol_ids=state.symbol_ids, timeframes=[state.timeframe], within=state.range)
    for one in listed:
        if is_open(one):
            gaps[one.gap.symbol_id] = gaps.get(one.gap.symbol_id, Ranges()) | one.gap.range
    found: dict[SeriesKey, Ranges] = {}
    for symbol_id in state.symbol_ids:
        row = rows.get((symbol_id, state.timeframe))
        covered = row.covered if row is not None else Ranges()
        wanted = (Ranges([state.range]) - covered) | (gaps.get(symbol_id, Ranges()) & state.range)
        calendar = trading_calendar(symbols[symbol_id].calendar, now.year + 1) if symbol_id in symbols else None
        if calendar is not None and has_bars(wanted, calendar, state.timeframe):
            found[symbol_id, state.timeframe] = wanted
    return found
