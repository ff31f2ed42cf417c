"""The market of the measurement: which series are asked for, and what the vendor withholds or spoils of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.simulate.market.listings import MARKET_START, Listing
from barfill.simulate.market.sessions import xnys

END = datetime(2026, 8, 15, tzinfo=UTC)
"""A Saturday, behind everything that befalls the market's symbols."""
BEGINS_AT = END + timedelta(hours=12)
_MINUTE_US = 60_000_000
_TOUCHED_SHARE = 0.08
"""Of the series, each with one run of bars that the vendor withholds or one that it spoils."""
_RUNS = {Timeframe.D1: (1, 1, 2, 5, 20), Timeframe.M15: (1, 2, 3, 5, 13, 26, 52), Timeframe.M1: (1, 2, 3, 10, 60, 390)}
_FALSE_EMPTIES = 0.02
_THIN_SHARE_MAX = 0.35
_TITLES = {Timeframe.D1: "1d", Timeframe.M15: "15m", Timeframe.M1: "1m"}

How = Literal["for good", "for a time", "spoiled"]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: symbols in all, days of d1, weeks of m15, and symbols and weeks of m1."""

    symbols: int
    days: int
    weeks: int
    minute_symbols: int
    minute_weeks: int


FULL = Size(symbols=1_000, days=730, weeks=4, minute_symbols=40, minute_weeks=2)
SMOKE = Size(symbols=110, days=120, weeks=2, minute_symbols=6, minute_weeks=1)


@dataclass(frozen=True, slots=True)
class Part:
    """Series that are asked for together."""

    tickers: tuple[str, ...]
    timeframe: Timeframe
    wanted: Range

    @property
    def title(self) -> str:
        """The timeframe for people."""
        return _TITLES[self.timeframe]


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    A run of bars of a series that does not come, or a bar that comes broken.

    Attributes:
        starts: Microseconds UTC, by barfill's stamps.
    """

    ticker: str
    timeframe: Timeframe
    starts: NDArray[np.int64]
    how: How


def parts_of(size: Size, listings: Mapping[str, Listing]) -> list[Part]:
    """What is asked for: days and quarters of an hour of all symbols, minutes of some with something to tell."""
    tickers = tuple(listings)
    minutes = Range(END - timedelta(weeks=size.minute_weeks), END)
    few = sorted(tickers, key=lambda ticker: not _is_telling(listings[ticker], minutes))
    few = [*few[: size.minute_symbols // 2], *few[-(size.minute_symbols - size.minute_symbols // 2) :]]
    return [
        Part(tickers, Timeframe.D1, Range(END - timedelta(days=size.days), END)),
        Part(tickers, Timeframe.M15, Range(END - timedelta(weeks=size.weeks), END)),
        Part(tuple(few), Timeframe.M1, minutes),
    ]


def regular_starts(timeframe: Timeframe, wanted: Range) -> NDArray[np.int64]:
    """
    The bars of regular hours that begin in *wanted*, microseconds UTC by barfill's stamps, shape (n,), ascending.

    By the exchange's calendar and none of barfill's core.
    """
    sessions = xnys()
    start, end = to_us(wanted.start), to_us(wanted.end)
    if timeframe is Timeframe.D1:
        labels = sessions.days.astype("datetime64[us]").astype(np.int64)
        return labels[(labels >= start) & (labels < end)]
    width = {Timeframe.M1: 1, Timeframe.M15: 15}[timeframe] * _MINUTE_US
    rows = np.flatnonzero((sessions.close_ns // 1000 > start) & (sessions.open_ns // 1000 < end))
    parts = [np.arange(sessions.open_ns[row] // 1000, sessions.close_ns[row] // 1000, width) for row in rows]
    starts = np.concatenate(parts or [np.zeros(0, np.int64)])
    return starts[(starts >= start) & (starts < end)]


def vendor_starts(timeframe: Timeframe, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stamps of the exchange for barfill's: days are keyed by New York midnight."""
    if timeframe is not Timeframe.D1:
        return starts
    sessions = xnys()
    rows = np.searchsorted(sessions.days, starts.astype("datetime64[us]").astype("datetime64[D]"))
    return sessions.midnight_ns[rows] // 1000


def troubles_of(parts: Sequence[Part], listings: Mapping[str, Listing], seed: int) -> list[Trouble]:
    """What the vendor withholds, for good or for a time, and what it spoils, all of it of symbols that trade on."""
    luck = Random(f"{seed}|troubles")
    found = []
    for part in parts:
        steady = [ticker for ticker in part.tickers if _is_steady(listings[ticker])]
        expected = regular_starts(part.timeframe, part.wanted)
        lengths = _RUNS[part.timeframe]
        count = max(2 * len(lengths), round(_TOUCHED_SHARE * len(part.tickers)))
        for number, ticker in enumerate(luck.sample(steady, min(count, len(steady)))):
            how: How = ("for good", "for a time", "for good", "spoiled")[number % 4]
            length = 1 if how == "spoiled" else lengths[number // 2 % len(lengths)]
            first = luck.randrange(len(expected) - length + 1)
            found.append(Trouble(ticker, part.timeframe, expected[first : first + length], how))
    return found


def script_of(troubles: Sequence[Trouble], *, is_first: bool, is_over: bool) -> list[dict[str, Any]]:
    """
    The exchange's fault script.

    Args:
        is_first: The vendor answers some requests with nothing, too, as vendors do under load.
        is_over: What was withheld for a time is there again.
    """
    lines = [] if not is_first else [{"match": {"endpoint": "bars", "rate": _FALSE_EMPTIES}, "fault": "H11"}]
    return [*lines, *(line for one in troubles if not (is_over and one.how == "for a time") for line in _lines(one))]


def _lines(one: Trouble) -> Iterator[dict[str, Any]]:
    stamps = vendor_starts(one.timeframe, one.starts)
    first, end = from_us(int(stamps[0])), from_us(int(stamps[-1]) + 1)
    match = {"symbol": one.ticker, "timeframe": one.timeframe.value}
    if one.how == "spoiled":
        yield {"match": match, "fault": "D04", "args": {"at": first.isoformat()}}
    else:
        yield {"match": match, "fault": "D20", "args": {"at": first.isoformat(), "until": end.isoformat()}}


def _is_telling(listing: Listing, wanted: Range) -> bool:
    """Whether something befalls the symbol in *wanted*, or it has few trades."""
    days = (*(halt.day for halt in listing.halts), listing.listed_on, listing.delisted_on)
    is_thin = listing.minute_share < _THIN_SHARE_MAX
    return is_thin or any(day and wanted.start.date() < day < wanted.end.date() for day in days)


def _is_steady(listing: Listing) -> bool:
    is_liquid = listing.minute_share >= _THIN_SHARE_MAX
    return (
        is_liquid
        and listing.is_active
        and not listing.halts
        and not listing.formerly
        and listing.listed_on == MARKET_START
    )
