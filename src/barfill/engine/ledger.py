"""
What a backfill reads from the ledger before it decides anything: symbols, windows, coverage, gaps, unfinished runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.capabilities import Capabilities
from barfill.core.gaps import GapKind
from barfill.core.live import LiveWish, live_wish
from barfill.core.plan import Sources, sources
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.routing import Policy, Roster, Route, has_timeframe, policy_of, route
from barfill.core.timeframe import Timeframe
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.errors import InvalidInput, NoProvider, PlanTooSmall, SymbolNotFound
from barfill.store import symbols as symbol_store
from barfill.store.database import Connection
from barfill.store.gaps import ListedGap, list_gaps
from barfill.store.series import SeriesRow, read_policies, read_series
from barfill.store.session_changes import follow_calendar
from barfill.store.symbols import Symbol

SeriesKey = tuple[int, Timeframe]


@dataclass(frozen=True, slots=True)
class Market:
    """
    Symbols that share a calendar and a provider, and what is wanted of each of them.

    Attributes:
        capabilities: Of the provider that is asked.
        live: What the current session still lacks, where there is a live provider.
        windows: By timeframe, cut to what the provider offers and to the final horizon.
        sources: What of that is fetched and what derived.
        out_of_reach: What is wanted and older than the provider's history, by timeframe.
        extended_hours: Whether bars outside of regular hours are wanted too.
    """

    calendar: TradingCalendar
    capabilities: Capabilities
    symbols: tuple[Symbol, ...]
    windows: Mapping[Timeframe, Range]
    sources: Sources
    live: LiveWish | None = None
    out_of_reach: Mapping[Timeframe, Range] = field(default_factory=dict)
    extended_hours: bool = False

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """All that are fetched or derived, finest first."""
        wanted = set(self.windows) | set(self.sources.fetch)
        return tuple(timeframe for timeframe in Timeframe if timeframe in wanted)


def read_markets(
    conn: Connection,
    request: BackfillRequest,
    roster: Roster,
    settings: EngineSettings,
    now: datetime,
) -> tuple[Market, ...]:
    """
    The symbols of *request* by calendar and provider, with their windows; writes sessions that are new.

    Args:
        roster: The providers that can be asked.

    Raises:
        SymbolNotFound: A ticker is not in the table.
        NoProvider: None of the providers has what is wanted of some symbols, or their calendar does not reach there.
    """
    found = symbol_store.find_symbols(conn, request.tickers)
    unknown = [ticker for ticker in request.tickers if ticker not in found]
    if unknown:
        raise SymbolNotFound(
            f"Symbol {', '.join(map(repr, unknown[:5]))} is not in the table. Add it: barfill symbols add {unknown[0]}"
        )
    markets, unserved = make_markets(conn, tuple(found.values()), request.windows, roster, settings, now)
    if unserved:
        raise NoProvider(" ".join(unserved))
    return markets


def make_markets(
    conn: Connection,
    symbols: Sequence[Symbol],
    wanted: Mapping[Timeframe, Range],
    roster: Roster,
    settings: EngineSettings,
    now: datetime,
) -> tuple[tuple[Market, ...], tuple[str, ...]]:
    """
    What is wanted of *symbols*, by the provider that is asked, and a sentence for each part that nobody has.

    Symbols whose calendar cannot be used, or does not reach over the windows, are such a part: the others go on. Writes
    the sessions of calendars that are new.
    """
    alike: dict[_Kind, list[Symbol]] = {}
    policies = _unusual_policies(conn, symbols, wanted, roster.final)
    for symbol in symbols:
        kind = _Kind(symbol.calendar, symbol.asset_type, tuple(policies.get(symbol.id, {}).items()))
        alike.setdefault(kind, []).append(symbol)
    markets: dict[tuple[str, str, bool, tuple[tuple[Timeframe, Range], ...]], tuple[Route, list[Symbol]]] = {}
    unserved: list[str] = []
    for kind, members in alike.items():
        routing = route(wanted, roster, asset_type=kind.asset_type, policies=dict(kind.policies), now=now)
        if routing.unserved:
            unserved.append(_unserved_text(kind.asset_type, members, routing.unserved))
        for one in routing.routes:
            has_live = roster.live is not None and kind.asset_type in roster.live.asset_types
            key = (kind.calendar, one.capabilities.provider, has_live, tuple(one.windows.items()))
            markets.setdefault(key, (one, []))[1].extend(members)
    made: list[Market] = []
    for (calendar, _, has_live, _), (one, members) in markets.items():
        try:
            made.append(_make_market(conn, calendar, members, one, roster.live if has_live else None, settings, now))
        except InvalidInput as error:
            unserved.append(f"{error} It is the calendar of {_some_of(members)}.")
    return tuple(made), tuple(unserved)


class _Kind(NamedTuple):
    """What symbols must have in common to be routed alike."""

    calendar: str
    asset_type: str
    policies: tuple[tuple[Timeframe, Policy], ...]


def _unusual_policies(
    conn: Connection,
    symbols: Sequence[Symbol],
    wanted: Mapping[Timeframe, Range],
    providers: Sequence[Capabilities],
) -> dict[int, dict[Timeframe, Policy]]:
    """Feed and basis of the series, where there is a choice; by symbol id."""
    kinds = {symbol.asset_type for symbol in symbols}
    choices = (
        {policy_of(one, timeframe) for one in providers if kind in one.asset_types and has_timeframe(one, timeframe)}
        for timeframe in wanted
        for kind in kinds
    )
    if all(len(policies) <= 1 for policies in choices):
        return {}
    return read_policies(conn, [symbol.id for symbol in symbols])


def _unserved_text(asset_type: str, symbols: Sequence[Symbol], timeframes: Sequence[Timeframe]) -> str:
    named = ", ".join(timeframe.label for timeframe in timeframes)
    return (
        f"No provider that has a key has {named} bars of {asset_type} symbols such as {_some_of(symbols)}. "
        "Leave them out, or set a key of one that has: docs/providers.md tells which."
    )


def _some_of(symbols: Sequence[Symbol]) -> str:
    return ", ".join(symbol.ticker for symbol in symbols[:5]) + (" and others" if len(symbols) > 5 else "")  # noqa: PLR2004


def _make_market(
    conn: Connection,
    calendar_name: str,
    symbols: Sequence[Symbol],
    one: Route,
    live: Capabilities | None,
    settings: EngineSettings,
    now: datetime,
) -> Market:
    calendar = trading_calendar(calendar_name, now.year + 1)
    follow_calendar(conn, calendar)
    windows = _windows(one.windows, calendar, one.capabilities, now)
    plan = sources(windows, one.capabilities, settings.resampling)
    ordered = tuple(sorted(symbols, key=lambda symbol: symbol.ticker.encode()))
    wish = _live_wish(one, windows, live, calendar, now) if live is not None else None
    beyond = _out_of_reach(one.windows, one.capabilities, now)
    return Market(
        calendar,
        one.capabilities,
        ordered,
        _makeable(windows, plan, calendar),
        plan,
        wish,
        beyond,
        extended_hours=settings.extended_hours and one.capabilities.has_extended_hours,
    )


def _makeable(windows: Mapping[Timeframe, Range], plan: Sources, calendar: TradingCalendar) -> dict[Timeframe, Range]:
    """*windows* without the last bar of what is only derived, where what it is made of ends within that bar."""
    found = dict(windows)
    for derivation in plan.derive:
        target, window = derivation.target, windows[derivation.target]
        fetched = [plan.fetch[one].hull for one in derivation.candidates if one in plan.fetch]
        until = max((hull.end for hull in fetched if hull is not None), default=window.end)
        if target in plan.fetch or until > window.end:
            continue
        starts = calendar.expected_starts(target, window)
        cut = starts[calendar.bar_ends(target, starts) > to_us(until)]
        if len(cut) and from_us(int(cut[0])) > window.start:
            found[target] = Range(window.start, from_us(int(cut[0])))
        elif len(cut):
            del found[target]
    return found


def _live_wish(
    one: Route, windows: Mapping[Timeframe, Range], live: Capabilities, calendar: TradingCalendar, now: datetime
) -> LiveWish | None:
    """What the live provider is to bring: only bars that can stand in the series of the provider of the history."""
    wanted = {
        timeframe: Range(window.start, min(window.end, now))
        for timeframe, window in one.windows.items()
        if window.start < now
    }
    final_until = {
        timeframe: calendar.closed_until(timeframe, now, one.capabilities.delay_of(timeframe)) for timeframe in wanted
    }
    wish = live_wish(wanted, final_until, live, calendar, now)
    if wish is None or policy_of(live, wish.timeframe) != policy_of(one.capabilities, wish.timeframe):
        return None
    return wish


def read_rows(conn: Connection, market: Market) -> dict[SeriesKey, SeriesRow]:
    """The ledger rows of all series of *market* that have one."""
    return read_series(conn, [symbol.id for symbol in market.symbols], market.timeframes)


def read_gaps(conn: Connection, market: Market) -> dict[SeriesKey, list[ListedGap]]:
    """All gaps on record of the series of *market*, whatever their kind."""
    gaps: dict[SeriesKey, list[ListedGap]] = {}
    listed = list_gaps(conn, symbol_ids=[symbol.id for symbol in market.symbols], timeframes=market.timeframes)
    for one in listed:
        gaps.setdefault((one.gap.symbol_id, one.timeframe), []).append(one)
    return gaps


def not_due(gaps: Iterable[ListedGap], now: datetime, market: Market | None) -> Ranges:
    """
    The ranges that are not to be asked for before a later time, or never, as somebody has said.

    Args:
        market: Whose provider is to be asked; None where it does not matter.
    """
    return Ranges(
        one.gap.range
        for one in gaps
        if one.gap.settled_by == "person"
        or (
            one.gap.next_check_at is not None
            and one.gap.next_check_at > now
            and (
                market is None or not (_is_of_another(one, market.capabilities.provider) or has_new_facts(one, market))
            )
        )
    )


def has_new_facts(listed: ListedGap, market: Market) -> bool:
    """
    Whether what settled a hole no longer holds: another provider is asked than those that lacked it, or the calendar
    expects other bars there than it did.
    """
    gap = listed.gap
    if gap.settled_by != "rule":
        return False
    if gap.asked_of and market.capabilities.provider not in gap.asked_of:
        return True
    is_same = gap.calendar_version == market.calendar.version
    return not is_same and market.calendar.expected_count(listed.timeframe, gap.range) != gap.expected_bars


_OF_ONE_PROVIDER = {(GapKind.NOT_ENTITLED.value, PlanTooSmall.code), (GapKind.UNAVAILABLE.value, SymbolNotFound.code)}
"""Gaps whose reasons name a provider: its plan does not include the range, or its ticker was another company's then."""


def _is_of_another(listed: ListedGap, provider: str) -> bool:
    """Whether it is a gap at another provider alone."""
    code, _, rest = listed.gap.reason.partition(": ")
    name, colon, _ = rest.partition(": ")
    is_of_one = (listed.gap.kind, code) in _OF_ONE_PROVIDER
    return is_of_one and bool(colon) and name.isalnum() and name.islower() and name != provider


def ids_by_ticker(markets: Sequence[Market]) -> dict[str, int]:
    """Symbol ids of all *markets*."""
    return {symbol.ticker: symbol.id for market in markets for symbol in market.symbols}


def _out_of_reach(
    wanted: Mapping[Timeframe, Range], capabilities: Capabilities, now: datetime
) -> dict[Timeframe, Range]:
    """What of each window is older than the provider's history."""
    oldest = {timeframe: capabilities.history_start_at(now, timeframe) for timeframe in wanted}
    return {
        timeframe: Range(window.start, min(window.end, start))
        for timeframe, window in wanted.items()
        if (start := oldest[timeframe]) is not None and window.start < start
    }


def _windows(
    wanted: Mapping[Timeframe, Range], calendar: TradingCalendar, capabilities: Capabilities, now: datetime
) -> dict[Timeframe, Range]:
    windows: dict[Timeframe, Range] = {}
    for timeframe, window in wanted.items():
        oldest = capabilities.history_start_at(now, timeframe)
        start = max(window.start, oldest or window.start)
        end = min(window.end, calendar.closed_until(timeframe, now, capabilities.delay_of(timeframe)))
        if start < end:
            windows[timeframe] = Range(start, end)
    return windows
