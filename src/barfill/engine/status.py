"""How each symbol stands: how complete, how far behind, how its last run went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from barfill.core.timeframe import Timeframe
from barfill.engine.completeness import series_states
from barfill.engine.report import SeriesState, matrix_by_symbol
from barfill.errors import SymbolNotFound
from barfill.store.database import Database
from barfill.store.gaps import list_gaps
from barfill.store.status import StatusRow, read_status
from barfill.store.symbols import Symbol, find_symbols, read_active

SESSIONS_BEHIND_MAX = 1
"""A healthy symbol is at most so many sessions behind."""


@dataclass(frozen=True, slots=True)
class OpenGaps:
    """The gaps of a series that may still fill: how many, and where the oldest one begins."""

    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class SymbolStatus:
    """All that is known of one symbol."""

    symbol: Symbol
    states: Mapping[Timeframe, SeriesState]
    rows: Mapping[Timeframe, StatusRow]
    open_gaps: Mapping[Timeframe, OpenGaps]

    @property
    def gap_count(self) -> int:
        """Open gaps of all its series."""
        return sum(gaps.count for gaps in self.open_gaps.values())

    @property
    def worst(self) -> StatusRow | None:
        """
        The series that is farthest behind in sessions; None where nothing is stored.

        Of several the one with the newest bar: a week's bar is days old by its stamp although it lacks nothing.
        """
        stored = [row for row in self.rows.values() if row.sessions_behind is not None]
        return max(stored, key=lambda row: (row.sessions_behind or 0, -(row.days_behind or 0)), default=None)

    @property
    def sessions_behind(self) -> int | None:
        """Of the series that is farthest behind; None where nothing is stored."""
        return self.worst.sessions_behind if self.worst else None

    @property
    def days_behind(self) -> int | None:
        """Of the same series; None where nothing is stored."""
        return self.worst.days_behind if self.worst else None

    @property
    def failed(self) -> tuple[StatusRow, ...]:
        """Series whose last run failed."""
        return tuple(row for row in self.rows.values() if row.last_result == "fail")

    @property
    def last_run_at(self) -> datetime | None:
        """When anything of it was fetched last."""
        return max((row.last_run_at for row in self.rows.values() if row.last_run_at is not None), default=None)

    @property
    def is_healthy(self) -> bool:
        """Whether it is at most one session behind and nothing failed; a removed symbol always is."""
        if not self.symbol.is_active:
            return True
        behind = self.sessions_behind
        return behind is not None and behind <= SESSIONS_BEHIND_MAX and not self.failed

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, as `barfill status --json` and the HTTP API give them."""
        named = (self.rows, self.states, self.open_gaps)
        return {
            "symbol": self.symbol.ticker,
            "asset_type": self.symbol.asset_type,
            "healthy": self.is_healthy,
            "sessions_behind": self.sessions_behind,
            "days_behind": self.days_behind,
            "timeframes": {
                timeframe.label: _series_json(self, timeframe)
                for timeframe in Timeframe
                if any(timeframe in one for one in named)
            },
        }


def read_statuses(database: Database, wanted: Sequence[str]) -> list[SymbolStatus]:
    """
    The status of the *wanted* tickers, of all active symbols where none is named.

    Raises:
        SymbolNotFound: One is not on record.
    """
    if wanted:
        found = database.run(find_symbols, wanted)
        unknown = [ticker for ticker in wanted if ticker not in found]
        if unknown:
            raise SymbolNotFound(f"Symbol {unknown[0]!r} is not on record. See: barfill symbols list")
        symbols = list(found.values())
    else:
        symbols = database.run(read_active)
    ids = [symbol.id for symbol in symbols]
    rows: dict[int, dict[Timeframe, StatusRow]] = {}
    for row in database.run(read_status, ids):
        rows.setdefault(row.symbol_id, {})[row.timeframe] = row
    states = matrix_by_symbol(series_states(database, [symbol.ticker for symbol in symbols]))
    gaps: dict[int, dict[Timeframe, OpenGaps]] = {}
    for one in database.run(list_gaps, symbol_ids=ids, is_settled=False):
        of_symbol = gaps.setdefault(one.gap.symbol_id, {})
        before = of_symbol.get(one.timeframe, OpenGaps(0, one.gap.range.start))
        of_symbol[one.timeframe] = OpenGaps(before.count + 1, min(before.oldest, one.gap.range.start))
    return [
        SymbolStatus(symbol, states.get(symbol.ticker, {}), rows.get(symbol.id, {}), gaps.get(symbol.id, {}))
        for symbol in symbols
    ]


def _series_json(one: SymbolStatus, timeframe: Timeframe) -> dict[str, Any]:
    state, row = one.states.get(timeframe), one.rows.get(timeframe)
    known: dict[str, Any] = {}
    if state is not None:
        known |= {
            "complete": state.is_complete,
            "share": round(state.share, 6),
            "expected": state.expected,
            "present": state.present,
            "settled": state.settled,
            "settled_by_kind": dict(state.settled_by_kind),
        }
    if row is not None:
        names = ("oldest_ts", "newest_ts", "bar_count", "sessions_behind", "days_behind", "last_run_at", "last_result")
        known |= {name: getattr(row, name) for name in (*names, "last_error_code", "last_error")}
    known["open_gaps"] = one.open_gaps[timeframe].count if timeframe in one.open_gaps else 0
    return known
