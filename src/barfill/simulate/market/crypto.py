"""
The crypto side of the synthetic market: a pure function of (seed, venue, pair, UTC day), around the clock.

As with stocks, daily bars are one path per pair and venue, and the minutes of a day are made on demand so that they
add up to it. The bar that holds now is shown as far as it has come: its last minute in proportion to the seconds gone
by. Volumes are whole lots (crypto_minutes.LOTS_PER_COIN to a coin).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import numpy as np

from barfill.simulate.market.bars import VWAP_DECIMALS, Bars, grouped
from barfill.simulate.market.chance import bells, key_of, uniforms
from barfill.simulate.market.crypto_minutes import LOTS_PER_COIN, QUOTE_PER_TRADE, CryptoDays, PairKeys, crypto_minutes
from barfill.simulate.market.forming import so_far
from barfill.simulate.market.maintenance import is_down
from barfill.simulate.market.sessions import MINUTE_NS, SECOND_NS, Nanos
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.utc_buckets import DAY_NS, utc_start_ns, utc_starts_ns, width_ns
from barfill.simulate.market.venues import VENUES, Traded, Venue
from barfill.simulate.market.wanted import Wanted

_FIRST_DAY, _LAST_DAY = date(2017, 8, 17), date(2029, 12, 31)
_DAYS_PER_BLOCK = 16
_BLOCKS_KEPT = 48
_PATHS_KEPT = 64
_REACH = 1.2

Starts = Callable[[Nanos], Nanos]
_MINUTE, _DAY = Timeframe(1, "Min"), Timeframe(1, "Day")


@dataclass(frozen=True, slots=True)
class _Path:
    """Daily columns of a pair on a venue, one row per day from its listing on; volumes in lots."""

    first_day: int
    bars: Bars

    def days(self, first: int, stop: int) -> Bars:
        """The bars of the days from *first* to *stop*, counted from 1970-01-01."""
        return self.bars.pick(slice(max(0, first - self.first_day), max(0, stop - self.first_day)))


class CryptoMarket:
    """Bars of pairs on venues. With *is_open* False there are no pairs at all: what is replayed knows none."""

    def __init__(self, seed: int, *, is_open: bool = True) -> None:
        self._seed = seed
        self._venues = VENUES if is_open else {name: replace(venue, traded=()) for name, venue in VENUES.items()}
        self._path = lru_cache(maxsize=_PATHS_KEPT)(self._make_path)
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._make_block)

    def venue(self, name: str) -> Venue:
        """The venue with this name, and what trades there."""
        return self._venues[name]

    def listed_ns(self, venue: str, symbol: str) -> int:
        """The instant from which a pair trades."""
        traded = self._venues[venue].find(symbol)
        assert traded is not None, (venue, symbol)
        return _day_number(traded.coin.listed_on) * DAY_NS

    def read(self, symbol: str, wanted: Wanted, starts: Starts | None = None) -> Bars:
        """
        The bars of a pair within the bounds of *wanted*, whose feed is the venue; only where there was a trade.

        Args:
            starts: Gives the start of the bar that each instant falls into, where it is not the usual one in UTC.
        """
        traded = self._venues[wanted.feed].find(symbol)
        start_ns, end_ns = wanted.start_ns, min(wanted.end_ns, wanted.visible_ns)
        if traded is None or end_ns < start_ns:
            return Bars.none()
        timeframe = wanted.timeframe
        reach_ns = end_ns + width_ns(timeframe)
        if timeframe.is_intraday or starts is not None:
            finer = self._minutes(traded, wanted.feed, start_ns, reach_ns, wanted.visible_ns)
        else:
            first_ns = utc_start_ns(start_ns, timeframe)
            finer = self._days(traded, wanted.feed, first_ns, reach_ns, wanted.visible_ns)
        if len(finer) and starts is not None:
            finer = grouped(finer, starts(finer.ts))
        elif len(finer) and timeframe not in {_MINUTE, _DAY}:
            finer = grouped(finer, utc_starts_ns(finer.ts, timeframe))
        return finer.between(start_ns, end_ns)

    def read_filled(self, symbol: str, wanted: Wanted) -> Bars:
        """As *read*, and where the venue has such rows one of volume 0 for each intraday interval without a trade."""
        bars = self.read(symbol, wanted)
        venue, timeframe = self._venues[wanted.feed], wanted.timeframe
        if not venue.is_filled or not timeframe.is_intraday or venue.find(symbol) is None:
            return bars
        width = width_ns(timeframe)
        first_ns = -(-max(wanted.start_ns, self.listed_ns(wanted.feed, symbol)) // width) * width
        grid = np.arange(first_ns, min(wanted.end_ns, wanted.visible_ns) + 1, width, dtype=np.int64)
        if not venue.is_filled_when_down:
            grid = grid[~is_down(venue.name, grid, width)]
        idle = grid[~np.isin(grid, bars.ts)]
        if not idle.size:
            return bars
        # Every day has a trade, so the close before is never further away than two days.
        before = self.read(symbol, wanted.within(first_ns - 2 * DAY_NS, first_ns - 1))
        known = Bars.joined([before, bars])
        place = np.searchsorted(known.ts, idle) - 1
        idle, place = idle[place >= 0], place[place >= 0]
        flat, nothing = known.close[place], np.zeros(idle.size, np.int64)
        joined = Bars.joined([bars, Bars(idle, flat, flat, flat, flat, nothing, nothing, nothing.astype(np.float64))])
        return joined.pick(np.argsort(joined.ts))

    def first_rows(
        self, symbol: str, wanted: Wanted, count: int, *, is_descending: bool, starts: Starts | None = None
    ) -> Bars:
        """
        The first *count* rows of *wanted*, the newest first if descending, with those of volume 0.

        Args:
            starts: As *read*; then only what was traded.
        """
        width = width_ns(wanted.timeframe)
        first_ns = utc_start_ns(max(wanted.start_ns, self.listed_ns(wanted.feed, symbol)), wanted.timeframe)
        last_ns = min(wanted.end_ns, wanted.visible_ns)
        # A bar more than wanted, so that most pages are one part; where there are holes more parts follow.
        step_ns = (count + 1) * width
        parts: list[Bars] = []
        found = 0
        while found < count and first_ns <= last_ns:
            if is_descending:
                start_ns, end_ns = max(first_ns, last_ns - step_ns + 1), last_ns
                last_ns = start_ns - 1
            else:
                start_ns, end_ns = first_ns, min(last_ns, first_ns + step_ns - 1)
                first_ns = end_ns + 1
            part = wanted.within(max(start_ns, wanted.start_ns), end_ns)
            rows = self.read_filled(symbol, part) if starts is None else self.read(symbol, part, starts)
            parts.append(rows.pick(slice(None, None, -1)) if is_descending else rows)
            found += len(rows)
        return Bars.joined(parts).pick(slice(0, count))

    def _minutes(self, traded: Traded, venue: str, start_ns: int, end_ns: int, visible_ns: int) -> Bars:
        first = max(start_ns // DAY_NS, _day_number(traded.coin.listed_on))
        stop = min(end_ns, visible_ns) // DAY_NS + 1
        numbers = range(first // _DAYS_PER_BLOCK, -(-stop // _DAYS_PER_BLOCK)) if first < stop else range(0)
        minutes = Bars.joined([self._block(venue, traded, number) for number in numbers])
        whole = minutes.between(start_ns, min(end_ns, visible_ns - MINUTE_NS))
        open_ns = visible_ns // MINUTE_NS * MINUTE_NS
        seconds = (visible_ns - open_ns) // SECOND_NS
        if not start_ns <= open_ns <= end_ns or not seconds:
            return whole
        current = minutes.between(open_ns, open_ns)
        return Bars.joined([whole, so_far(current, seconds / 60, decimals=traded.decimals)])

    def _days(self, traded: Traded, venue: str, start_ns: int, end_ns: int, visible_ns: int) -> Bars:
        today = visible_ns // DAY_NS
        first, stop = -(-start_ns // DAY_NS), end_ns // DAY_NS + 1
        complete = self._path(venue, traded).days(first, min(stop, today))
        if not first <= today < stop:
            return complete
        minutes = self._minutes(traded, venue, today * DAY_NS, visible_ns, visible_ns)
        return Bars.joined([complete, grouped(minutes, utc_starts_ns(minutes.ts, _DAY)) if len(minutes) else minutes])

    def _make_block(self, venue: str, traded: Traded, number: int) -> Bars:
        first, stop = number * _DAYS_PER_BLOCK, (number + 1) * _DAYS_PER_BLOCK
        daily = self._path(venue, traded).days(first, stop)
        prices = np.stack([daily.open, daily.high, daily.low, daily.close])
        share = traded.coin.minute_share * self._venues[venue].activity
        days = CryptoDays(daily.ts // DAY_NS, prices, daily.volume)
        return crypto_minutes(days, self._keys(venue, traded), venue, share, traded.decimals)

    def _keys(self, venue: str, traded: Traded) -> PairKeys:
        return PairKeys(key_of(self._seed, traded.coin.name), key_of(self._seed, f"{venue}|{traded.symbol}"))

    def _make_path(self, venue: str, traded: Traded) -> _Path:
        keys, coin = self._keys(venue, traded), traded.coin
        days = np.arange(_day_number(_FIRST_DAY), _day_number(_LAST_DAY) + 1, dtype=np.int64)
        days = days[days >= _day_number(coin.listed_on)]
        steps = np.cumsum(bells(keys.coin, 100, days) * 0.03)
        closes = coin.price * np.exp(_REACH * np.tanh(steps / _REACH)) * (1 + 2e-4 * bells(keys.venue, 110, days))
        # Nothing closes, so each day opens where the one before has ended.
        opens = np.r_[coin.price, closes[:-1]]
        above, below = (0.002 + 0.03 * uniforms(keys.coin, channel, days) for channel in (120, 121))
        highs, lows = np.maximum(opens, closes) * (1 + above), np.minimum(opens, closes) * (1 - below)
        open_, high, low, close = (np.round(column, traded.decimals) for column in (opens, highs, lows, closes))
        share = self._venues[venue].volume_share * (0.9 + 0.2 * uniforms(keys.venue, 130, days))
        coins = coin.daily_volume * share * (0.4 + 1.2 * uniforms(keys.coin, 131, days) ** 2)
        lots = np.maximum(coins * LOTS_PER_COIN, 10_000).astype(np.int64)
        busy_minutes = int(1440 * coin.minute_share * self._venues[venue].activity)
        trades = 1 + busy_minutes + (coins * closes / QUOTE_PER_TRADE).astype(np.int64)
        vwap = np.round((open_ + high + low + close) / 4, VWAP_DECIMALS)
        return _Path(int(days[0]), Bars(days * DAY_NS, open_, high, low, close, lots, trades, vwap))


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
