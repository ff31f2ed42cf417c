"""
What to ask another provider so that stored bars can be compared with its own: decided from the ledger, nothing is done.

Compared is what was fetched here: covered ranges, and gaps that an answer left. What the other provider cannot have is
left out and counted. Symbols are taken in units that fit into memory, whatever the number of symbols.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.capabilities import Capabilities
from barfill.core.comparison import Tolerance, expected_in
from barfill.core.corporate import EventKind
from barfill.core.plan import Need, Slice, cut_slices, derivable_from, expected_rows, page_share
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.tenures import Tenures
from barfill.core.timeframe import Timeframe
from barfill.store.database import Connection
from barfill.store.events import read_bearers, read_events, read_renames
from barfill.store.gaps import list_gaps
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import Symbol, find_by_ids

UNIT_BARS_MAX = 2_000_000
"""Of symbols that are fetched and compared together: some 150 MB."""
BRIDGED = timedelta(days=7)
"""A hole in what is to be compared is asked for too where it is shorter: a request costs more than its rows."""
SPLITS_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """
    What is to be compared.

    Attributes:
        timeframes: Finest first.
        is_chosen: Whether the timeframes were named, so that one of which nothing is stored is told.
        price_tolerance, volume_tolerance: Shares; None for the usual of a symbol's kind.
        calls_max: No more requests than so many; None for any number.
        worst_max: How many differences of each kind and series are told one by one.

    Raises:
        InvalidInput: A tolerance is no share.
    """

    symbol_ids: tuple[int, ...]
    timeframes: tuple[Timeframe, ...]
    window: Range
    is_chosen: bool = False
    price_tolerance: float | None = None
    volume_tolerance: float | None = None
    calls_max: int | None = None
    worst_max: int = 10

    def __post_init__(self) -> None:
        self.tolerance("stock")

    def tolerance(self, asset_type: str, *, has_volume: bool = True) -> Tolerance:
        """What counts as equal for symbols of a kind."""
        return Tolerance.of(asset_type, price=self.price_tolerance, volume=self.volume_tolerance, has_volume=has_volume)


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A series, or all of a symbol where there is no timeframe, that cannot be compared, with the reason."""

    ticker: str
    timeframe: Timeframe | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    A series that can be compared.

    Attributes:
        source: What is asked for; finer than `timeframe` where that is resampled from it.
        scope: Where it is compared: fetched here, and within the other's reach.
        asked: Ranges of `source` that hold all of it.
        out_of_reach: Expected bars that were fetched here and that the other cannot have.
        notes: What limits the comparison.
    """

    symbol: Symbol
    timeframe: Timeframe
    source: Timeframe
    scope: Ranges
    asked: Ranges
    tolerance: Tolerance
    out_of_reach: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Series of symbols that are fetched and compared together."""

    calendar: TradingCalendar
    candidates: tuple[Candidate, ...]
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """
    Attributes:
        capabilities: Of the provider that is asked.
        now: The database's clock when it was made.
        not_compared: What was wanted and cannot be compared.
        tenures: Who had which ticker, where the provider knows tickers and not companies.
    """

    request: VerifyRequest
    capabilities: Capabilities
    now: datetime
    units: tuple[Unit, ...]
    not_compared: tuple[NotCompared, ...]
    tenures: Tenures | None = None

    def former(self, one: Slice) -> tuple[tuple[str, str], ...]:
        """The symbols of a slice that had another ticker in its range, each with that."""
        if self.tenures is None:
            return ()
        had = [(ticker, self.tenures.tickers_over(symbol_id, one.range)[0][0]) for symbol_id, ticker in one.symbols]
        return tuple((ticker, former) for ticker, former in had if former != ticker)

    @property
    def calls(self) -> int:
        """How many requests are expected."""
        return sum(one.calls for unit in self.units for one in unit.slices)

    @property
    def minutes(self) -> float:
        """How long these take at the rate limit."""
        return self.calls / self.capabilities.requests_per_minute

    @property
    def series_count(self) -> int:
        """How many series are compared."""
        return sum(len(unit.candidates) for unit in self.units)


def plan_verify(conn: Connection, request: VerifyRequest, capabilities: Capabilities, now: datetime) -> VerifyPlan:
    """
    What to ask of the provider with *capabilities*; reads the ledger, writes nothing.

    Raises:
        OutsideCalendar: The window reaches beyond a calendar.
    """
    tenures = None if capabilities.follows_companies else _tenures_on_record(conn)
    planner = _Planner(conn, request, capabilities, now, tenures)
    symbols = sorted(
        find_by_ids(conn, request.symbol_ids).values(), key=lambda one: (one.calendar, one.ticker.encode())
    )
    units: list[Unit] = []
    for name, members in groupby(symbols, key=lambda one: one.calendar):
        calendar = trading_calendar(name, now.year + 1)
        units.extend(planner.units(calendar, list(members)))
    return VerifyPlan(request, capabilities, now, tuple(units), tuple(planner.not_compared), tenures)


def _tenures_on_record(conn: Connection) -> Tenures:
    return Tenures({one.id: one.ticker for one in read_bearers(conn)}, read_renames(conn))


@dataclass(slots=True)
class _Planner:
    conn: Connection
    request: VerifyRequest
    capabilities: Capabilities
    now: datetime
    tenures: Tenures | None
    not_compared: list[NotCompared] = field(default_factory=list)

    def units(self, calendar: TradingCalendar, symbols: Sequence[Symbol]) -> Iterator[Unit]:
        """All that can be compared of *symbols*, as many at once as fit."""
        request = self.request
        ids = [symbol.id for symbol in symbols]
        stored = read_series(self.conn, ids, request.timeframes)
        fetched = {key: row.covered for key, row in stored.items()}
        listed = list_gaps(
            self.conn, symbol_ids=ids, timeframes=request.timeframes, is_settled=False, within=request.window
        )
        for one in listed:
            key = (one.gap.symbol_id, one.timeframe)
            if key in fetched:
                fetched[key] = fetched[key] | one.gap.range
        sizes = _Sizes(calendar)
        held: list[Candidate] = []
        size = 0
        for symbol in symbols:
            rows = {timeframe: stored.get((symbol.id, timeframe)) for timeframe in request.timeframes}
            found = self._candidates(calendar, symbol, rows, fetched)
            more = sum(sizes.of(source, one) for source, asked in _asked(found).items() for one in asked)
            if held and size + more > UNIT_BARS_MAX:
                yield self._unit(calendar, held)
                held, size = [], 0
            held, size = [*held, *found], size + more
        if held:
            yield self._unit(calendar, held)

    def _unit(self, calendar: TradingCalendar, candidates: Sequence[Candidate]) -> Unit:
        by_symbol = groupby(candidates, key=lambda one: (one.symbol.id, one.symbol.ticker))
        needs = [
            Need(symbol_id, ticker, source, ranges)
            for (symbol_id, ticker), members in by_symbol
            for source, ranges in _asked(members).items()
        ]
        slices = (part for one in cut_slices(needs, self.capabilities, calendar) for part in self._parts(calendar, one))
        return Unit(calendar, tuple(candidates), tuple(slices))

    def _parts(self, calendar: TradingCalendar, one: Slice) -> Iterator[Slice]:
        """A slice, cut where one of its symbols changed or took its ticker, each part without those that had none."""
        if self.tenures is None:
            yield one
            return
        had = {symbol_id: self.tenures.tickers_over(symbol_id, one.range) for symbol_id, _ in one.symbols}
        edges = {one.range.start, one.range.end, *(part.start for parts in had.values() for _, part in parts)}
        for start, end in pairwise(sorted(edges)):
            inside = Range(start, end)
            own = tuple(pair for pair in one.symbols if any(inside & part for _, part in had[pair[0]]))
            if own and (inside, own) == (one.range, one.symbols):
                yield one
            elif own:
                yield replace(one, symbols=own, range=inside, expected_rows=self._rows(calendar, one, inside, len(own)))

    def _rows(self, calendar: TradingCalendar, one: Slice, inside: Range, symbols: int) -> float:
        """What a part of a slice takes of the pages."""
        if not one.timeframe.is_intraday:
            expected = calendar.expected_count(one.timeframe, inside)
            return page_share(one.timeframe, expected, symbols, self.capabilities)
        return symbols * expected_rows(calendar, one.timeframe, inside, self.capabilities)

    def _candidates(
        self,
        calendar: TradingCalendar,
        symbol: Symbol,
        rows: Mapping[Timeframe, SeriesRow | None],
        fetched: Mapping[tuple[int, Timeframe], Ranges],
    ) -> list[Candidate]:
        name = self.capabilities.provider
        if symbol.asset_type not in self.capabilities.asset_types:
            self._leave_out(symbol, None, f"{name} has no {symbol.asset_type} symbols. Name a provider that has.")
            return []
        found: list[Candidate] = []
        has_any = False
        for timeframe, row in rows.items():
            within = fetched.get((symbol.id, timeframe), Ranges()) & self.request.window
            if row is None or not within:
                if self.request.is_chosen:
                    self._leave_out(symbol, timeframe, f"Nothing of it is stored in {self.request.window}.")
                continue
            has_any = True
            one = self._candidate(calendar, symbol, timeframe, row, within, _asked(found))
            if one is not None:
                found.append(one)
        if not has_any and not self.request.is_chosen:
            self._leave_out(symbol, None, f"Nothing of it is stored in {self.request.window}.")
        return found

    def _candidate(
        self,
        calendar: TradingCalendar,
        symbol: Symbol,
        timeframe: Timeframe,
        row: SeriesRow,
        within: Ranges,
        asked: Mapping[Timeframe, Ranges],
    ) -> Candidate | None:
        capabilities = self.capabilities
        if timeframe not in capabilities.timeframes and not self._finer(timeframe):
            reason = f"{capabilities.provider} has no bars of {timeframe.label}, nor finer ones to make them of."
            self._leave_out(symbol, timeframe, reason)
            return None
        own = within if self.tenures is None else within & _named(self.tenures, symbol, within)
        source, scope, ranges = self._source(calendar, timeframe, own, asked)
        if (basis := capabilities.basis(source)) != row.basis:
            self._leave_out(symbol, timeframe, self._basis_text(symbol, basis, row, within))
            return None
        expected = len(expected_in(within, timeframe, calendar))
        reached = len(expected_in(scope, timeframe, calendar))
        if reached == 0:
            if expected:
                reason = f"{capabilities.provider} has nothing of what is stored in {self.request.window}."
                self._leave_out(symbol, timeframe, reason)
            return None
        is_other = row.feed != capabilities.feed
        text = f"feed {capabilities.feed} against {row.feed}: prices only, volumes are not comparable"
        return Candidate(
            symbol=symbol,
            timeframe=timeframe,
            source=source,
            scope=scope,
            asked=ranges,
            tolerance=self.request.tolerance(symbol.asset_type, has_volume=not is_other),
            out_of_reach=expected - reached,
            notes=(text,) if is_other else (),
        )

    def _source(
        self, calendar: TradingCalendar, timeframe: Timeframe, within: Ranges, asked: Mapping[Timeframe, Ranges]
    ) -> tuple[Timeframe, Ranges, Ranges]:
        """What is asked for *timeframe*, where it is compared, and what of the source holds that."""
        finer = self._finer(timeframe)
        for source in finer:
            scope = self._reach(calendar, timeframe, source, within)
            ranges = _source_ranges(calendar, timeframe, scope)
            if source in asked and scope and not ranges - asked[source]:
                return source, scope, ranges
        source = timeframe if timeframe in self.capabilities.timeframes else finer[-1]
        scope = self._reach(calendar, timeframe, source, within)
        return source, scope, _source_ranges(calendar, timeframe, scope)

    def _finer(self, timeframe: Timeframe) -> tuple[Timeframe, ...]:
        """What the provider has and *timeframe* can be made of, finest first."""
        finer = derivable_from(timeframe, self.capabilities)
        return tuple(one for one in finer if one in self.capabilities.timeframes)

    def _reach(self, calendar: TradingCalendar, timeframe: Timeframe, source: Timeframe, within: Ranges) -> Ranges:
        """What of *within* the provider can have: in its history, and final there."""
        hull = within.hull
        if hull is None:
            return within
        oldest = (self.capabilities.history_start_at(self.now, one) for one in (timeframe, source))
        start = max([hull.start, *(one for one in oldest if one is not None)])
        end = min(hull.end, calendar.closed_until(timeframe, self.now, self.capabilities.delay))
        return within & Range(start, end) if start < end else Ranges()

    def _basis_text(self, symbol: Symbol, basis: str, row: SeriesRow, within: Ranges) -> str:
        text = (
            f"{self.capabilities.provider} has it with {basis} prices only, stored are {row.basis} ones: these cannot "
            "be compared."
        )
        hull = within.hull
        assert hull is not None
        rows = read_events(
            self.conn,
            EventKind.SPLITS,
            first=hull.start.date(),
            end=self.now.date() + timedelta(days=1),
            symbol_ids=[symbol.id],
        )
        splits = dict.fromkeys(
            f"{one['numerator']}:{one['denominator']} on {one['ex_on']}" for one in rows if one["withdrawn_at"] is None
        )
        if not splits:
            return f"{text} No split since {hull.start:%Y-%m-%d} is on file."
        more = f" and {len(splits) - SPLITS_SHOWN_MAX} more" if len(splits) > SPLITS_SHOWN_MAX else ""
        return f"{text} On file: {', '.join(list(splits)[:SPLITS_SHOWN_MAX])}{more}."

    def _leave_out(self, symbol: Symbol, timeframe: Timeframe | None, reason: str) -> None:
        self.not_compared.append(NotCompared(symbol.ticker, timeframe, reason))


@dataclass(slots=True)
class _Sizes:
    """Expected bars of ranges, worked out once for all symbols that have the same."""

    calendar: TradingCalendar
    known: dict[tuple[Timeframe, Range], int] = field(default_factory=dict)

    def of(self, timeframe: Timeframe, wanted: Range) -> int:
        """How many bars a complete series has in *wanted*."""
        key = (timeframe, wanted)
        if key not in self.known:
            self.known[key] = self.calendar.expected_count(timeframe, wanted)
        return self.known[key]


def _named(tenures: Tenures, symbol: Symbol, within: Ranges) -> Ranges:
    """When a symbol had a ticker of its own: before that it was another company's, and so are the bars."""
    hull = within.hull
    return Ranges(part for _, part in tenures.tickers_over(symbol.id, hull)) if hull is not None else Ranges()


def _asked(candidates: Iterable[Candidate]) -> dict[Timeframe, Ranges]:
    """What is asked for *candidates* of one symbol, by timeframe."""
    asked: dict[Timeframe, Ranges] = {}
    for one in candidates:
        asked[one.source] = _bridged(asked.get(one.source, Ranges()) | one.asked)
    return asked


def _source_ranges(calendar: TradingCalendar, timeframe: Timeframe, scope: Ranges) -> Ranges:
    """The ranges of any source that hold the bars of *timeframe* in *scope*: whole bars."""
    found: list[Range] = []
    for one in scope:
        starts = calendar.expected_starts(timeframe, one)
        if len(starts) == 0:
            continue
        end = from_us(int(starts[-1])) + timeframe.length
        if timeframe.is_intraday:  # a close may come first
            end = from_us(int(calendar.bar_ends(timeframe, starts[-1:])[0]))
        found.append(Range(from_us(int(starts[0])), end))
    return _bridged(Ranges(found))


def _bridged(ranges: Ranges) -> Ranges:
    """The same without holes that are cheaper asked for than passed over."""
    merged: list[Range] = []
    for one in ranges:
        if merged and one.start - merged[-1].end < BRIDGED:
            merged[-1] = Range(merged[-1].start, one.end)
        else:
            merged.append(one)
    return Ranges(merged)
