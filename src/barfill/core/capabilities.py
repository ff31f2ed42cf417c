"""What a provider can do, declared truthfully by each provider and read by the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

from barfill.core.page import RAW
from barfill.core.timeframe import Timeframe

EXTENDED_TRADING = timedelta(hours=4, minutes=16)
"""A day of US stocks grows by trades after its close, which are reported up to 20:00 New York and a little later."""
US_STOCKS = frozenset({"stock", "etf"})
CRYPTO = frozenset({"crypto"})
FILES = "files"
"""The provider of bars that were imported from files."""


class PageCounts(Enum):
    """What a provider's page size counts."""

    BARS = "bars"
    BASE_MINUTES = "base_minutes"


KNOWING_TICKERS_ONLY = frozenset({"massive"})
"""The providers whose `follows_companies` is false: bars of them are those of whoever had the ticker. Of stored bars
nothing but the name of the provider is known; `Capabilities` sees to it that the two agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    Attributes:
        provider: Its name, lower-case, as stored with each bar.
        asset_types: The kinds of symbols that it has bars of.
        timeframes: Those whose bars fit barfill's anchors (SPEC 5.4) as the provider sends them.
        symbols_per_call_max: How many symbols one request may name.
        symbols_length_max: How long the encoded symbol list of one request may get, in characters.
        page_size: How many of what `page_counts` says one page holds, over all its symbols.
        page_counts: What the page size counts.
        delay: How long after its end a bar may be asked for; bars younger than this are not final.
        day_settles_after: How long after its session's close a day still grows, as its volume holds extended trading.
        history_start: Nothing older is offered; None where unlimited or unknown.
        history_length: Nothing older than so long before now is offered, where the plan's history moves on with time.
        has_extended_hours: Whether intraday answers hold bars outside regular hours, which count towards a page.
        requests_per_minute: The limit of the plan.
        feed: The tape that the plan serves by default.
        bars_per_session: What a liquid symbol's session takes of a page, in what `page_counts` says, extended hours
            included, by timeframe.
        history_length_of: The same as `history_length`, for timeframes whose history has a length of its own: of what
            is derived, that of what it is made of.
        range_per_call_max: The longest range that one request may ask for, at least a week and no more than fills a
            page; a slice is one such request. Of timeframes that are not named any range may be asked for.
        follows_companies: Whether bars of a symbol reach back over changes of its ticker; else they are those of
            whoever had the ticker, and the provider is one of `KNOWING_TICKERS_ONLY`.
        has_market_days: Whether one request may bring a day of all symbols: cheaper where more symbols than days lack.
        adjusted: The adjustment basis of the timeframes that cannot be had with prices as traded.
        history_bars: Only so many of the newest final bars of each timeframe are offered, whatever their length.
        requests_per_second: A limit of a second that the key has besides, over all processes; None where it has none.
        spacing_s: At least so long after each other two requests of one process are sent; 0 where nothing is asked.
        is_exhaustive: Whether what an answer lacks is not there, so that no second one is worth asking for, and the
            pages end where they end, however many there are.

    Raises:
        ValueError: `KNOWING_TICKERS_ONLY` says something else of the provider than `follows_companies`.
    """

    provider: str
    timeframes: frozenset[Timeframe]
    symbols_per_call_max: int
    symbols_length_max: int
    page_size: int
    page_counts: PageCounts
    delay: timedelta
    history_start: datetime | None
    has_extended_hours: bool
    requests_per_minute: int
    feed: str
    bars_per_session: Mapping[Timeframe, float]
    follows_companies: bool
    history_length: timedelta | None = None
    history_length_of: Mapping[Timeframe, timedelta] = field(default_factory=dict)
    range_per_call_max: Mapping[Timeframe, timedelta] = field(default_factory=dict)
    adjusted: Mapping[Timeframe, str] = field(default_factory=dict)
    asset_types: frozenset[str] = US_STOCKS
    day_settles_after: timedelta = timedelta()
    has_market_days: bool = False
    history_bars: int | None = None
    requests_per_second: int | None = None
    spacing_s: float = 0.0
    is_exhaustive: bool = False

    def __post_init__(self) -> None:
        if self.follows_companies == (self.provider in KNOWING_TICKERS_ONLY):
            raise ValueError(
                f"{self.provider}: follows_companies is {self.follows_companies}, and KNOWING_TICKERS_ONLY says the "
                "opposite. Make the two agree: stored bars are put right by that list."
            )

    def delay_of(self, timeframe: Timeframe) -> timedelta:
        """How long after its end a bar of *timeframe* is final; of a day, after its session's close."""
        return self.delay if timeframe.is_intraday else max(self.delay, self.day_settles_after)

    def basis(self, timeframe: Timeframe) -> str:
        """The adjustment basis of its bars of *timeframe*."""
        return self.adjusted.get(timeframe, RAW)

    def history_start_at(self, now: datetime, timeframe: Timeframe) -> datetime | None:
        """
        The oldest instant of *timeframe* that is offered at *now*; None where unlimited or unknown.

        A moving history begins with a whole UTC day, so that a window keeps its start for a day; one that is counted
        in bars begins with a bar. Of those bars, a timeframe that is not offered reaches as far as the coarsest finer
        one, of which it is made.
        """
        starts = [self.history_start] if self.history_start is not None else []
        history_length = self.history_length_of.get(timeframe, self.history_length)
        if history_length is not None:
            oldest = now.astimezone(UTC) - history_length
            starts.append(datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC) + timedelta(days=1))
        if self.history_bars is not None:
            finer = [one.length for one in self.timeframes if one.length <= timeframe.length]
            length = max(finer, default=timeframe.length)
            starts.append(_bar_start(now, length) - self.history_bars * length)
        return max(starts, default=None)


def _bar_start(instant: datetime, length: timedelta) -> datetime:
    """The start of the bar around the clock that *instant* lies in; those of weeks begin on Mondays."""
    return instant - (instant - _FIRST_MONDAY) % length


_FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
