"""
The synthetic market: a pure function of (seed, symbol, session).

Daily bars are one vectorised path per symbol over all sessions since 2016-01-04, without building minutes; the minutes
of a session are made on demand (minutes.py) so that they add up to the daily bar exactly. The future exists already and
is only not shown: the clock decides what a reader may see.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from barfill.simulate.market.bars import VWAP_DECIMALS, Adjustment, Bars, daily_from_minutes, resample
from barfill.simulate.market.chance import bells, key_of, uniforms
from barfill.simulate.market.eventful import with_history
from barfill.simulate.market.events import dividends_of
from barfill.simulate.market.listings import MARKET_START, NAMED, Listing, listings
from barfill.simulate.market.minutes import Days, minutes_of
from barfill.simulate.market.names import Names
from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, Nanos, midnight_ns, xnys
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.wanted import Wanted

#: IEX history starts in the middle of 2020.
IEX_START = np.datetime64("2020-07-27", "D")
_SESSIONS_PER_BLOCK = 16
_BLOCKS_KEPT = 96
_PATHS_KEPT = 1024
#: Some sessions of a path on their own: what reads one day of thousands of symbols needs no more (7 kB each).
_SESSIONS_PER_CHUNK = 128
_CHUNKS_KEPT = 12_000
_DAY = Timeframe(1, "Day")
_REACH = 1.2
#: A year and a bit: how far back the bar of a forming period (1Week to 12Month) can start.
_LONGEST_PERIOD_NS = 367 * 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class DailyPath:
    """Raw daily columns of one symbol, one row per session of the market; *trades_at_all* is False on closed ones."""

    days: Nanos
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: Nanos
    trades_at_all: NDArray[np.bool_]


class SyntheticMarket:
    """
    Bars of *count* made-up symbols; see listings.py for who is special, eventful.py for what befalls the generated.
    """

    def __init__(self, seed: int, count: int, *, is_eventful: bool = False) -> None:
        self._seed = seed
        self._listings = listings(count)
        if is_eventful:
            named = listings(NAMED)
            self._listings |= {
                ticker: with_history(listing, seed) for ticker, listing in self._listings.items() if ticker not in named
            }
        self._names = Names(self._listings.values())
        sessions = xnys()
        self._sessions = sessions
        self._first = sessions.first_on_or_after(MARKET_START)
        self._path = lru_cache(maxsize=_PATHS_KEPT)(self._make_path)
        self._dividends = lru_cache(maxsize=_PATHS_KEPT)(self._make_dividends)
        self._chunk = lru_cache(maxsize=_CHUNKS_KEPT)(self._make_chunk)
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._make_block)

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self._listings

    @property
    def names(self) -> Names:
        return self._names

    def blocks(self, ticker: str, wanted: Wanted) -> Iterator[Wanted]:
        """Cut *wanted* into parts, in time order, that *read* answers quickly and with whole bars."""
        if not wanted.timeframe.is_intraday:
            yield wanted
            return
        first, stop = self._sessions.holding(wanted.start_ns, min(wanted.end_ns, wanted.visible_ns))
        first = max(first, self._first)
        while first < stop:
            after = min(stop, (first // _SESSIONS_PER_BLOCK + 1) * _SESSIONS_PER_BLOCK)
            yield wanted.within(
                max(wanted.start_ns, int(self._sessions.midnight_ns[first])),
                min(wanted.end_ns, int(self._sessions.extended_close_ns[after - 1])),
            )
            first = after

    def read(self, ticker: str, wanted: Wanted) -> Bars:
        """The raw bars of *wanted*."""
        if ticker not in self._listings:
            return Bars.none()
        timeframe = wanted.timeframe
        if timeframe.is_intraday:
            minutes = self._minutes(ticker, wanted)
            bars = minutes if timeframe.width_ns == MINUTE_NS else resample(minutes, timeframe)
        else:
            days = self._days(ticker, wanted)
            bars = days if timeframe.unit == "Day" else resample(days, timeframe)
        return bars.between(wanted.start_ns, wanted.end_ns)

    def holds(self, ticker: str, timeframe: Timeframe) -> bool:
        """Each symbol has each timeframe."""
        return ticker in self._listings

    def splits_of(self, ticker: str) -> Sequence[Adjustment]:
        """What each split of the symbol does, the earliest first."""
        return [Adjustment(midnight_ns(one.on), one.ratio, one.ratio) for one in self._listings[ticker].splits]

    def dividends_of(self, ticker: str) -> Sequence[Adjustment]:
        """What each dividend of the symbol does, the earliest first: prices lose its part of the close before."""
        return self._dividends(ticker)

    def _make_dividends(self, ticker: str) -> list[Adjustment]:
        path = self._path(ticker)
        found = []
        for one in dividends_of(self._listings[ticker]):
            before = max(0, int(np.searchsorted(path.days, _day_number(one.ex_on))) - 1)
            part = one.amount / float(path.close[before])
            found.append(Adjustment(midnight_ns(one.ex_on), 1 / (1 - part)))
        return found

    def _minutes(self, ticker: str, wanted: Wanted) -> Bars:
        first, stop = self._sessions.holding(wanted.start_ns, min(wanted.end_ns, wanted.visible_ns))
        first = max(first, self._first)
        numbers = range(first // _SESSIONS_PER_BLOCK, -(-stop // _SESSIONS_PER_BLOCK)) if first < stop else range(0)
        joined = Bars.joined([self._block(ticker, number, wanted.feed) for number in numbers])
        # A coarse bar that starts inside the range is made of minutes up to its own end.
        width_ns = wanted.timeframe.width_ns
        end_ns = min(wanted.end_ns + width_ns, wanted.visible_ns - MINUTE_NS)
        return joined.between(wanted.start_ns - width_ns, end_ns)

    def _days(self, ticker: str, wanted: Wanted) -> Bars:
        """The sessions whose bar can start within the bounds; the one under way is made of its minutes."""
        reach_ns = 0 if wanted.timeframe.unit == "Day" else _LONGEST_PERIOD_NS
        midnights, visible_ns = self._sessions.midnight_ns, wanted.visible_ns
        shown = int(np.searchsorted(self._sessions.extended_close_ns, visible_ns, side="right"))
        first = max(self._first, int(np.searchsorted(midnights, wanted.start_ns)))
        stop = int(np.searchsorted(midnights, wanted.end_ns + reach_ns, side="right"))
        complete = self._daily_bars(ticker, first, max(first, min(stop, shown)), wanted.feed)
        is_forming = first <= shown < stop and visible_ns > int(self._sessions.extended_open_ns[shown])
        if not is_forming:
            return complete
        minutes = self._sessions_minutes(ticker, shown, shown + 1, wanted.feed).between(0, visible_ns - MINUTE_NS)
        return Bars.joined([complete, daily_from_minutes(minutes, self._sessions, _DAY)])

    def _daily_bars(self, ticker: str, first: int, stop: int, feed: str) -> Bars:
        path, rows = self._daily_rows(ticker, first - self._first, stop - self._first)
        days, listed = path.days[rows], path.trades_at_all[rows]
        open_, high, low, close = path.open[rows], path.high[rows], path.low[rows], path.close[rows]
        volume = path.volume[rows]
        if feed == "iex":
            volume = np.floor(volume * iex_share(key_of(self._seed, ticker), days)).astype(np.int64)
            listed = listed & (days >= IEX_START.astype(np.int64))
        bars = Bars(
            ts=self._sessions.midnight_ns[first:stop],
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            trades=np.maximum(1, volume // 110),
            vwap=np.round((open_ + high + low + close) / 4, VWAP_DECIMALS),
        )
        return bars if listed.all() else bars.pick(listed)

    def _daily_rows(self, ticker: str, first: int, stop: int) -> tuple[DailyPath, slice]:
        """A path that holds the sessions from *first* to *stop* (counted from the market's first), and where."""
        number = first // _SESSIONS_PER_CHUNK
        if stop > (number + 1) * _SESSIONS_PER_CHUNK:
            return self._path(ticker), slice(first, stop)
        before = number * _SESSIONS_PER_CHUNK
        return self._chunk(ticker, number), slice(first - before, stop - before)

    def _make_chunk(self, ticker: str, number: int) -> DailyPath:
        path, rows = self._path(ticker), slice(number * _SESSIONS_PER_CHUNK, (number + 1) * _SESSIONS_PER_CHUNK)
        # Copied, so that the rest of the path can go.
        return DailyPath(*(getattr(path, field.name)[rows].copy() for field in fields(DailyPath)))

    def _make_block(self, ticker: str, number: int, feed: str) -> Bars:
        stop = min((number + 1) * _SESSIONS_PER_BLOCK, len(self._sessions))
        return self._sessions_minutes(ticker, max(number * _SESSIONS_PER_BLOCK, self._first), stop, feed)

    def _sessions_minutes(self, ticker: str, first: int, stop: int, feed: str) -> Bars:
        path = self._path(ticker)
        rows = np.arange(first, stop)[path.trades_at_all[first - self._first : stop - self._first]]
        if feed == "iex":
            rows = rows[self._sessions.days[rows] >= IEX_START]
        daily = np.stack([getattr(path, name)[rows - self._first] for name in ("open", "high", "low", "close")])
        days = Days(rows, daily, path.volume[rows - self._first])
        return minutes_of(
            self._listings[ticker], key_of(self._seed, ticker), self._sessions, days, is_iex=feed == "iex"
        )

    def _make_path(self, ticker: str) -> DailyPath:
        listing, key = self._listings[ticker], key_of(self._seed, ticker)
        days = self._sessions.days[self._first :].astype(np.int64)
        # A walk held within a factor of about 3.3 of the base price, so that no price runs off over fourteen years.
        steps = np.cumsum(bells(key, 100, days) * (0.010 + 0.012 * ((key >> 8) % 97) / 97))
        closes = listing.base_price * np.exp(_REACH * np.tanh(steps / _REACH))
        opens = np.r_[listing.base_price, closes[:-1]] * (1 + 0.004 * bells(key, 110, days))
        reach = 0.002 + 0.012 * uniforms(key, 120, days), 0.002 + 0.012 * uniforms(key, 121, days)
        ratio = np.ones(days.size)
        for split in listing.splits:
            ratio[days < _day_number(split.on)] *= split.ratio
        columns = (
            opens,
            np.maximum(opens, closes) * (1 + reach[0]),
            np.minimum(opens, closes) * (1 - reach[1]),
            closes,
        )
        open_, high, low, close = (np.round(column * ratio, listing.decimals) for column in columns)
        volume = listing.daily_volume * (0.55 + 0.9 * uniforms(key, 130, days) ** 2) / ratio
        return DailyPath(
            days, open_, high, low, close, np.maximum(volume, 2_000).astype(np.int64), _trading_days(listing, days)
        )


def iex_share(key: int, days: Nanos) -> NDArray[np.float64]:
    """The part of the volume that IEX sees on each day: 2 to 3 %."""
    return 0.02 + 0.01 * uniforms(key, 140, days)


def _trading_days(listing: Listing, days: Nanos) -> NDArray[np.bool_]:
    trading = days >= _day_number(listing.listed_on)
    if listing.delisted_on is not None:
        trading &= days <= _day_number(listing.delisted_on)
    for halt in listing.halts:
        if halt.from_minute is None:
            trading &= days != _day_number(halt.day)
    return trading


def _day_number(day: object) -> int:
    return int(np.datetime64(day, "D").astype(np.int64))  # type: ignore[call-overload]
