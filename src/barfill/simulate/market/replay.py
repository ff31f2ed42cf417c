"""
Replay: real bars from files, served as they are.

Files are named ``KIND_TICKER_TIMEFRAME_*.parquet`` (or ``.csv``) with the columns ts, open, high, low, close, volume
and optionally vwap and trades. Which file serves what:

* Only the kinds of stocks (equity, stock, etf, fund, index) are served; others are named in ``messages`` and left out.
* A name's last part that is no span of dates (``..._2004-2018_yahoo``) is a feed: files with a feed lose against files
  without one for the same ticker and timeframe, and are read only when there is no other; of several feeds the first in
  the alphabet wins. Other vendors' bars (often adjusted) are never mixed in.
* Several files of the same standing are merged in the order of their names; where they hold the same stamp, the
  first wins.
* A timeframe without a file is built from the coarsest finer one that divides it (w1 from d1, h4 from h1, m5 from m1).

Vendors always send a trade count and a VWAP. Where a file has none, the count is volume / 110 (at least 1) and the VWAP
is (open + high + low + close) / 4: stand-ins, good for the wire and for nothing else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from barfill.errors import InvalidInput
from barfill.simulate.market.bars import VWAP_DECIMALS, Adjustment, Bars, daily_from_minutes, resample
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.names import Names
from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, from_ns, midnight_of_days_ns, xnys
from barfill.simulate.market.timeframes import Timeframe, named_timeframe
from barfill.simulate.market.wanted import Wanted

_STOCK_KINDS = frozenset({"equity", "etf", "fund", "index", "stock"})
_SPAN = re.compile(r"\d{4}(-\d{2}){0,2}(-\d{4}(-\d{2}){0,2})?")
_PRICES = ("open", "high", "low", "close")
_REQUIRED = ("ts", *_PRICES, "volume")
_KEPT = 256
_ACTIVE_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of bars by what its name says."""

    path: Path
    ticker: str
    timeframe: Timeframe
    feed: str


@dataclass(frozen=True, slots=True)
class Served:
    """Bars that files hold: of which symbol and timeframe, with the dates of the first and the last one in UTC."""

    ticker: str
    timeframe: str
    first: date
    last: date


class ReplayMarket:
    """
    The bars of the files in *folder*.

    Attributes:
        messages: Each file left out, and why.
        served: What is served, by ticker, finest timeframe first.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InvalidInput(
                f"'{folder}' is no folder to replay. Name one that holds KIND_TICKER_TIMEFRAME_*.parquet."
            )
        self.messages: list[str] = []
        self._stored = self._load(folder)
        if not self._stored:
            raise InvalidInput(f"'{folder}' holds no bars to replay: {'; '.join(self.messages) or 'it is empty'}.")
        self._built = lru_cache(maxsize=_KEPT)(self._build)
        self._listings = {ticker: self._listing(ticker) for ticker in sorted(self._stored)}
        self._names = Names(self._listings.values())
        self.served = [
            Served(ticker, timeframe.name, from_ns(int(bars.ts[0])).date(), from_ns(int(bars.ts[-1])).date())
            for ticker in sorted(self._stored)
            for timeframe, bars in sorted(self._stored[ticker].items(), key=lambda item: _width_ns(item[0]))
        ]

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self._listings

    @property
    def names(self) -> Names:
        """Files do not tell of renames, either."""
        return self._names

    def blocks(self, ticker: str, wanted: Wanted) -> Iterator[Wanted]:
        """All at once: everything is in memory."""
        yield wanted

    def read(self, ticker: str, wanted: Wanted) -> Bars:
        """The bars of *wanted*. Files know one tape only, so both feeds get the same."""
        base = self._base(ticker, wanted.timeframe) if ticker in self._stored else None
        if base is None:
            return Bars.none()
        bars = self._stored[ticker][base]
        shown = int(np.searchsorted(bars.ts + _width_ns(base), wanted.visible_ns, side="right"))
        return self._built(ticker, base, wanted.timeframe, shown).between(wanted.start_ns, wanted.end_ns)

    def holds(self, ticker: str, timeframe: Timeframe) -> bool:
        """Whether there can be bars of *timeframe*, stored or built of finer ones."""
        return ticker in self._stored and self._base(ticker, timeframe) is not None

    def splits_of(self, ticker: str) -> Sequence[Adjustment]:
        """Files do not tell of splits."""
        return ()

    def dividends_of(self, ticker: str) -> Sequence[Adjustment]:
        """Nor of dividends."""
        return ()

    def _base(self, ticker: str, timeframe: Timeframe) -> Timeframe | None:
        stored = self._stored[ticker]
        if timeframe in stored:
            return timeframe
        finer = [base for base in stored if _can_build(base, timeframe)]
        return max(finer, key=_width_ns, default=None)

    def _build(self, ticker: str, base: Timeframe, timeframe: Timeframe, shown: int) -> Bars:
        bars = self._stored[ticker][base].pick(slice(0, shown))
        if base == timeframe:
            return bars
        if base.is_intraday and not timeframe.is_intraday:
            return daily_from_minutes(bars, xnys(), timeframe)
        return resample(bars, timeframe)

    def _listing(self, ticker: str) -> Listing:
        longest = max(self._stored[ticker].values(), key=lambda bars: int(bars.ts[-1] - bars.ts[0]))
        newest = max(int(bars.ts[-1]) for bars in self._stored[ticker].values())
        everybody = max(int(bars.ts[-1]) for stored in self._stored.values() for bars in stored.values())
        last, end = from_ns(newest), from_ns(everybody)
        return Listing(
            ticker,
            f"{ticker} (replay)",
            "NASDAQ",
            listed_on=from_ns(int(longest.ts[0])).date(),
            delisted_on=None if end - last < _ACTIVE_AFTER else last.date(),
        )

    def _load(self, folder: Path) -> dict[str, dict[Timeframe, Bars]]:
        groups: dict[tuple[str, Timeframe], list[_Source]] = {}
        for path in sorted(folder.iterdir()):
            source = self._recognise(path)
            if source is not None:
                groups.setdefault((source.ticker, source.timeframe), []).append(source)
        stored: dict[str, dict[Timeframe, Bars]] = {}
        for (ticker, timeframe), sources in groups.items():
            parts = [part for source in self._winners(sources) if (part := self._read(source)) is not None]
            if parts:
                stored.setdefault(ticker, {})[timeframe] = _merged(parts)
        return stored

    def _recognise(self, path: Path) -> _Source | None:
        if path.suffix not in {".parquet", ".csv"}:
            self._leave_out(path, "not a .parquet or .csv file")
            return None
        kind, *rest = path.stem.split("_")
        if len(rest) < 2:  # noqa: PLR2004 -- ticker and timeframe
            self._leave_out(path, "its name is not KIND_TICKER_TIMEFRAME_*")
            return None
        timeframe = named_timeframe(rest[1])
        if timeframe is None:
            self._leave_out(path, f"'{rest[1]}' is no timeframe of bars")
            return None
        if kind not in _STOCK_KINDS:
            self._leave_out(path, f"kind '{kind}' is not served, only {', '.join(sorted(_STOCK_KINDS))}")
            return None
        last = rest[-1] if len(rest) > 2 else ""  # noqa: PLR2004
        return _Source(path, rest[0], timeframe, "" if not last or _SPAN.fullmatch(last) else last)

    def _winners(self, sources: list[_Source]) -> list[_Source]:
        best = min(source.feed for source in sources)
        for source in sources:
            if source.feed != best:
                self._leave_out(
                    source.path, f"another file holds {source.ticker} {source.timeframe.name} without that feed"
                )
        return [source for source in sources if source.feed == best]

    def _read(self, source: _Source) -> Bars | None:
        frame = pl.read_parquet(source.path) if source.path.suffix == ".parquet" else _read_csv(source.path)
        missing = [name for name in _REQUIRED if name not in frame.columns]
        if missing:
            self._leave_out(source.path, f"it has no column {', '.join(missing)}")
            return None
        stamps = frame.schema["ts"]
        if not isinstance(stamps, pl.Datetime) or stamps.time_zone is None:
            self._leave_out(source.path, "its ts is no instant with a zone")
            return None
        if "ticker" in frame.columns or frame.select(pl.col("ts", *_PRICES).is_null().any()).row(0) != (False,) * 5:
            self._leave_out(source.path, "it holds several tickers, or rows without stamp or prices")
            return None
        return _as_bars(frame.sort("ts"), source.timeframe)

    def _leave_out(self, path: Path, why: str) -> None:
        """Note why a file is not served."""
        self.messages.append(f"{path.name} left out: {why}")


def _read_csv(path: Path) -> pl.DataFrame:
    frame = pl.read_csv(path)
    if "ts" in frame.columns and frame.schema["ts"] == pl.String:
        stamps = pl.col("ts").str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        frame = frame.with_columns(stamps)
    return frame


def _as_bars(frame: pl.DataFrame, timeframe: Timeframe) -> Bars:
    ts = frame["ts"].dt.convert_time_zone("UTC").dt.epoch("us").to_numpy().astype(np.int64) * 1000
    if not timeframe.is_intraday and (ts % (24 * HOUR_NS) == 0).all():
        # Stamped by date: the vendor's key is New York midnight.
        ts = midnight_of_days_ns(ts // (24 * HOUR_NS))
    open_, high, low, close = (frame[name].cast(pl.Float64).to_numpy() for name in _PRICES)
    volume = frame["volume"].cast(pl.Float64).fill_null(0).round(0).to_numpy().astype(np.int64)
    vwap = np.round((open_ + high + low + close) / 4, VWAP_DECIMALS)
    if "vwap" in frame.columns:
        vwap = frame["vwap"].cast(pl.Float64).fill_null(pl.Series(vwap)).to_numpy()
    trades = np.maximum(1, volume // 110)
    if "trades" in frame.columns:
        trades = frame["trades"].cast(pl.Int64).fill_null(pl.Series(trades)).to_numpy()
    return Bars(ts, open_, high, low, close, volume, trades, vwap)


def _merged(parts: list[Bars]) -> Bars:
    joined = Bars.joined(parts)
    _, first = np.unique(joined.ts, return_index=True)
    return joined.pick(first)


def _width_ns(timeframe: Timeframe) -> int:
    if timeframe.is_intraday:
        return timeframe.width_ns
    days = {"Day": 1, "Week": 7, "Month": 28 * timeframe.amount}[timeframe.unit]
    # A daily bar is whole when extended hours end, 20:00 of its day.
    return days * 24 * HOUR_NS - 4 * HOUR_NS


def _can_build(base: Timeframe, timeframe: Timeframe) -> bool:
    if timeframe.is_intraday:
        return base.is_intraday and timeframe.width_ns % base.width_ns == 0
    if timeframe.unit == "Day":
        return base.is_intraday and base.width_ns <= 30 * MINUTE_NS
    return base == Timeframe(1, "Day") or (base.is_intraday and base.width_ns <= 30 * MINUTE_NS)
