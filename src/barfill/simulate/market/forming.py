"""
The bar that is being made: as much of the minute under way as has passed.
"""

from dataclasses import replace

import numpy as np

from barfill.simulate.market.bars import VWAP_DECIMALS, Bars, resample
from barfill.simulate.market.sessions import MINUTE_NS
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe, bucket_starts_ns
from barfill.simulate.market.wanted import Wanted

_MINUTE = Timeframe(1, "Min")


def with_forming(market: Market, ticker: str, wanted: Wanted, bars: Bars) -> Bars:
    """
    Raw intraday *bars* of *wanted*, of whole minutes and in time order, and what the minute of *visible_ns* holds so
    far.

    The price has gone from the minute's open a part of the way to its close, the volume has grown as far.
    """
    minute_ns = wanted.visible_ns // MINUTE_NS * MINUTE_NS
    passed = (wanted.visible_ns - minute_ns) / MINUTE_NS
    start_ns = int(bucket_starts_ns(np.array([minute_ns], np.int64), wanted.timeframe)[0])
    if passed == 0 or not wanted.start_ns <= start_ns <= wanted.end_ns or not market.holds(ticker, _MINUTE):
        return bars
    whole = replace(wanted, timeframe=_MINUTE, visible_ns=minute_ns + MINUTE_NS).within(minute_ns, minute_ns)
    minute = market.read(ticker, whole)
    return resample(Bars.joined([bars, so_far(minute, passed, decimals=4)]), wanted.timeframe) if len(minute) else bars


def so_far(minute: Bars, passed: float, *, decimals: int) -> Bars:
    """What the minute holds of which a part has *passed*; its prices have so many *decimals*."""
    price = np.round(minute.open + (minute.close - minute.open) * passed, decimals)
    return replace(
        minute,
        high=np.maximum(minute.open, price),
        low=np.minimum(minute.open, price),
        close=price,
        volume=np.maximum(1, (minute.volume * passed).astype(np.int64)),
        trades=np.maximum(1, (minute.trades * passed).astype(np.int64)),
        vwap=np.round((minute.open + price) / 2, VWAP_DECIMALS),
    )
