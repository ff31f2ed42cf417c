"""Coarser bars made of what is stored, on demand: nothing is asked of a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from barfill.core.calendar import trading_calendar
from barfill.core.library_sessions import FIRST_YEAR
from barfill.core.plan import Derivation, Resampling, made_of
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.derive import Ledger, Wish, derive, read_ledger, to_derive
from barfill.engine.ledger import SeriesKey
from barfill.errors import InvalidInput, SeriesConflict
from barfill.store.database import Connection, Database
from barfill.store.derived import SourceRanges, read_derived
from barfill.store.symbols import Symbol, find_by_ids, read_all
from barfill.store.writes import PageOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleRequest:
    """
    Attributes:
        symbol_ids: None for all symbols on record.
        timeframes: What is to be made; empty for all that the settings let be derived.
        is_rebuild: Whether what was derived before is made anew.
        is_known_only: Only timeframes of which something was derived before, of each symbol; so is a rebuild that names
            none.
    """

    symbol_ids: tuple[int, ...] | None
    timeframes: tuple[Timeframe, ...] = ()
    is_rebuild: bool = False
    is_known_only: bool = False


@dataclass(slots=True)
class SeriesMade:
    """
    Attributes:
        sources: What it was made of, finest first.
        bars: How many were made, or would be.
        new, changed, removed: What became of them; `removed` were there, and nothing of their source is left.
    """

    ticker: str
    timeframe: Timeframe
    sources: list[Timeframe] = field(default_factory=list)
    bars: int = 0
    new: int = 0
    changed: int = 0
    removed: int = 0

    def add(self, source: Timeframe, outcome: PageOutcome) -> None:
        """Counts what one write came to."""
        if source not in self.sources:
            self.sources.append(source)
        self.bars += outcome.inserted + outcome.changed + outcome.unchanged
        self.new += outcome.inserted
        self.changed += outcome.changed
        self.removed += outcome.removed


@dataclass(slots=True)
class ResampleReport:
    """
    Attributes:
        series: Those of which something was made, or would be.
        left_alone: Why nothing is made of some series, a sentence each.
    """

    series: list[SeriesMade] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)

    def total(self, name: str) -> int:
        """The sum of a count of all series."""
        return sum(getattr(one, name) for one in self.series)

    def to_json(self) -> dict[str, Any]:
        """The same, for programs."""
        counts = ("bars", "new", "changed", "removed")
        return {
            "summary": {"series": len(self.series)} | {name: self.total(name) for name in counts},
            "series": [
                {"symbol": one.ticker, "timeframe": one.timeframe.label, "from": [part.label for part in one.sources]}
                | {name: asdict(one)[name] for name in counts}
                for one in self.series
            ],
            "left_alone": self.left_alone,
        }


def resample_stored(
    database: Database,
    request: ResampleRequest,
    resampling: Resampling,
    *,
    is_dry_run: bool = False,
    on_symbol: Callable[[int, int], None] = lambda _done, _all: None,
) -> ResampleReport:
    """
    Makes the coarser bars of *request*, where the finer ones cover them whole; what was fetched stays.

    Args:
        resampling: What the settings let be derived.
        is_dry_run: Only tells what would be made.
        on_symbol: Called after each symbol with how many are done, of how many.

    Raises:
        InvalidInput: A timeframe that is never derived.
        StoreError: The bars cannot be read or written.
    """
    never = [one.label for one in request.timeframes if not made_of(one)]
    if never:
        raise InvalidInput(
            f"Bars of {' and '.join(never)} are fetched, never derived. Name coarser ones: 5m to 4h, 1w."
        )
    now = database.now()
    symbols = database.run(_wanted, request)
    report = ResampleReport()
    for done, symbol in enumerate(symbols, 1):
        wish = _wish(symbol, request, resampling, database.run(read_derived, [symbol.id], list(Timeframe)), now)
        ledger = database.run(read_ledger, wish.symbols, wish.timeframes)
        report.left_alone += _left_alone(wish, symbol, ledger)
        made = (
            _foretold(wish, symbol, ledger, request)
            if is_dry_run
            else _made(database, wish, symbol, request, now, report)
        )
        report.series += [made[key] for key in sorted(made, key=lambda one: one.length)]
        on_symbol(done, len(symbols))
    return report


def _wanted(conn: Connection, request: ResampleRequest) -> Sequence[Symbol]:
    if request.symbol_ids is None:
        return read_all(conn)
    return sorted(find_by_ids(conn, request.symbol_ids).values(), key=lambda one: one.ticker.encode())


def _wish(
    symbol: Symbol,
    request: ResampleRequest,
    resampling: Resampling,
    derived: Mapping[SeriesKey, SourceRanges],
    now: datetime,
) -> Wish:
    targets = request.timeframes or tuple(one for one in Timeframe if resampling.allows(one))
    if request.is_known_only or (request.is_rebuild and not request.timeframes):
        targets = tuple(one for one in targets if derived.get((symbol.id, one)))
    everything = Range(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), now)
    steps = tuple(Derivation(one, everything, resampling.sources_of(one)) for one in targets)
    return Wish(trading_calendar(symbol.calendar, now.year + 1), (symbol,), steps)


def _foretold(wish: Wish, symbol: Symbol, ledger: Ledger, request: ResampleRequest) -> dict[Timeframe, SeriesMade]:
    made: dict[Timeframe, SeriesMade] = {}
    for (_, target), by_source in to_derive(wish, ledger, is_full=request.is_rebuild).items():
        one = made.setdefault(target, SeriesMade(symbol.ticker, target))
        for source, ranges in by_source.items():
            one.sources.append(source)
            one.bars += sum(wish.calendar.expected_count(target, part) for part in ranges)
    return made


def _made(
    database: Database, wish: Wish, symbol: Symbol, request: ResampleRequest, now: datetime, report: ResampleReport
) -> dict[Timeframe, SeriesMade]:
    made: dict[Timeframe, SeriesMade] = {}

    def count(key: SeriesKey, source: Timeframe, outcome: PageOutcome) -> None:
        made.setdefault(key[1], SeriesMade(symbol.ticker, key[1])).add(source, outcome)

    try:
        derive(database, wish, now, is_full=request.is_rebuild, on_outcome=count)
    except SeriesConflict as error:  # somebody was quicker
        report.left_alone.append(str(error))
    return made


def _left_alone(wish: Wish, symbol: Symbol, ledger: Ledger) -> Sequence[str]:
    """Series that hold bars of another feed or basis than all that they could be made of."""
    told = []
    for step in wish.derive:
        target = ledger.rows.get((symbol.id, step.target))
        finer = [
            row for one in step.candidates if (row := ledger.rows.get((symbol.id, one))) is not None and row.covered
        ]
        if target is not None and finer and not any(wish.fits(one, target) for one in finer):
            told.append(
                f"{symbol.ticker} {step.target.label} holds {target.basis} bars of feed {target.feed!r}, "
                f"{finer[0].timeframe.label} {finer[0].basis} bars of feed {finer[0].feed!r}: they are not mixed."
            )
    return told
