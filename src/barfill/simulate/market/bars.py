"""
Bars as columns, and coarser bars made from finer ones the way the vendor makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from barfill.simulate.market.sessions import Nanos, Sessions
from barfill.simulate.market.timeframes import Timeframe, bucket_starts_ns

Prices = NDArray[np.float64]
VWAP_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a split or a dividend does to the bars before an instant: prices are divided, volumes multiplied."""

    before_ns: int
    price_divisor: float
    share_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one symbol and timeframe, shape (n,) each, stamped by their start."""

    ts: Nanos
    open: Prices
    high: Prices
    low: Prices
    close: Prices
    volume: Nanos
    trades: Nanos
    vwap: Prices

    def __len__(self) -> int:
        return int(self.ts.size)

    @classmethod
    def none(cls) -> Self:
        """No bars."""
        whole, real = np.zeros(0, np.int64), np.zeros(0, np.float64)
        return cls(whole, real, real, real, real, whole, whole, real)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of *parts* in the order given."""
        if not parts:
            return cls.none()
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def pick(self, which: slice | NDArray[Any]) -> Self:
        """The rows that *which* (a slice, a mask or positions) selects."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))

    def between(self, start_ns: int, end_ns: int) -> Self:
        """The rows with start <= ts <= end; rows must be in time order."""
        first = int(np.searchsorted(self.ts, start_ns, side="left"))
        stop = int(np.searchsorted(self.ts, end_ns, side="right"))
        return self.pick(slice(first, max(first, stop)))

    def shifted(self, by_ns: int) -> Self:
        """The same bars with other stamps."""
        return replace(self, ts=self.ts + by_ns)

    def adjusted(self, events: Sequence[Adjustment]) -> Self:
        """Rows before each event are put into the prices and shares after it."""
        factor, shares = np.ones(len(self)), np.ones(len(self))
        for event in events:
            early = self.ts < event.before_ns
            factor[early] *= event.price_divisor
            shares[early] *= event.share_factor
        if (factor == 1).all():
            return self
        return type(self)(
            ts=self.ts,
            open=np.round(self.open / factor, 4),
            high=np.round(self.high / factor, 4),
            low=np.round(self.low / factor, 4),
            close=np.round(self.close / factor, 4),
            volume=np.round(self.volume * shares).astype(np.int64),
            trades=self.trades,
            vwap=np.round(self.vwap / factor, VWAP_DECIMALS),
        )

    def to_frame(self) -> pl.DataFrame:
        """As a frame with ts (datetime, UTC), open, high, low, close, volume, trades, vwap."""
        stamps = pl.Series("ts", self.ts // 1000).cast(pl.Datetime("us", "UTC"))
        rest = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "ts"}
        return pl.DataFrame([stamps, *(pl.Series(name, column) for name, column in rest.items())])

    @property
    def size_bytes(self) -> int:
        return int(self.ts.nbytes) * len(fields(self))


def resample(finer: Bars, timeframe: Timeframe) -> Bars:
    """Bars of *timeframe* from finer ones, which must be in time order; a bucket without a bar gives none."""
    return grouped(finer, bucket_starts_ns(finer.ts, timeframe)) if len(finer) else finer


def grouped(finer: Bars, starts: Nanos) -> Bars:
    """Bars made of the runs of *finer* rows, at least one, that have the same of *starts*, shape (n,)."""
    first = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]])
    last = np.r_[first[1:], starts.size] - 1
    volume = np.add.reduceat(finer.volume, first)
    value = np.add.reduceat(finer.vwap * finer.volume, first)
    plain = np.add.reduceat(finer.vwap, first) / (last - first + 1)
    vwap: Prices = np.where(volume > 0, value / np.maximum(volume, 1), plain)
    return Bars(
        ts=starts[first],
        open=finer.open[first],
        high=np.maximum.reduceat(finer.high, first),
        low=np.minimum.reduceat(finer.low, first),
        close=finer.close[last],
        volume=volume,
        trades=np.add.reduceat(finer.trades, first),
        vwap=np.round(vwap, VWAP_DECIMALS),
    )


def daily_from_minutes(minutes: Bars, sessions: Sessions, timeframe: Timeframe) -> Bars:
    """
    Daily bars: prices of regular hours only, volume and trades of extended hours as well.

    A day that has only extended trades gives no bar.
    """
    position = np.searchsorted(sessions.open_ns, minutes.ts, side="right") - 1
    regular = (position >= 0) & (minutes.ts < sessions.close_ns[np.maximum(position, 0)])
    prices, everything = resample(minutes.pick(regular), timeframe), resample(minutes, timeframe)
    same = np.isin(everything.ts, prices.ts)
    return Bars(
        prices.ts, prices.open, prices.high, prices.low, prices.close,
        everything.volume[same], everything.trades[same], prices.vwap,
    )  # fmt: skip
