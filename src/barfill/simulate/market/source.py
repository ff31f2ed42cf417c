"""
Where bars come from: what the synthetic market and replayed files have in common.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Protocol

import numpy as np

from barfill.simulate.market.bars import Adjustment, Bars, resample
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.names import Names
from barfill.simulate.market.sessions import midnight_ns
from barfill.simulate.market.timeframes import Timeframe, bucket_end_ns, bucket_starts_ns
from barfill.simulate.market.wanted import Wanted

_ONE_DAY = timedelta(days=1)
_DAY = Timeframe(1, "Day")


class Market(Protocol):
    """Symbols and their bars."""

    @property
    def listings(self) -> Mapping[str, Listing]: ...

    def blocks(self, ticker: str, wanted: Wanted) -> Iterator[Wanted]:
        """Cut *wanted* into parts, in time order, that *read* answers quickly and with whole bars."""

    def read(self, ticker: str, wanted: Wanted) -> Bars:
        """The raw bars of *wanted*."""

    @property
    def names(self) -> Names: ...

    def holds(self, ticker: str, timeframe: Timeframe) -> bool:
        """Whether there can be bars of *timeframe*, stored or built of finer ones."""

    def splits_of(self, ticker: str) -> Sequence[Adjustment]:
        """What each split of the symbol does, the earliest first."""

    def dividends_of(self, ticker: str) -> Sequence[Adjustment]:
        """What each dividend of the symbol does, the earliest first."""


def read_rows(
    market: Market, ticker: str, wanted: Wanted, count: int | None, *, adjust: Collection[str], is_descending: bool
) -> Bars:
    """
    The first *count* bars of *wanted* (None: all), the newest first if descending.

    Args:
        adjust: What for: "split", "dividend".
    """
    if ticker not in market.listings or wanted.end_ns < wanted.start_ns:
        return Bars.none()
    events = _events_known(market, ticker, adjust, wanted.visible_ns)
    blocks = list(market.blocks(ticker, wanted))
    parts: list[Bars] = []
    found = 0
    for block in reversed(blocks) if is_descending else blocks:
        rows = _adjusted(market, ticker, block, events) if events else market.read(ticker, block)
        parts.append(rows.pick(slice(None, None, -1)) if is_descending else rows)
        found += len(rows)
        if count is not None and found >= count:
            break
    return Bars.joined(parts).pick(slice(0, count))


def _adjusted(market: Market, ticker: str, wanted: Wanted, events: Sequence[Adjustment]) -> Bars:
    """Bars of *wanted*, adjusted. Longer ones than days are made of adjusted days: an event may lie within them."""
    if wanted.timeframe.is_intraday or wanted.timeframe == _DAY:
        return market.read(ticker, wanted).adjusted(events)
    last_ns = int(bucket_starts_ns(np.array([wanted.end_ns], np.int64), wanted.timeframe)[0])
    days = replace(wanted, timeframe=_DAY, end_ns=bucket_end_ns(last_ns, wanted.timeframe) - 1)
    bars = resample(market.read(ticker, days).adjusted(events), wanted.timeframe)
    return bars.between(wanted.start_ns, wanted.end_ns)


def _events_known(market: Market, ticker: str, adjust: Collection[str], now_ns: int) -> list[Adjustment]:
    """The events that have happened: a factor is applied when it is asked for, not before its day."""
    events: list[Adjustment] = []
    if "split" in adjust:
        events += market.splits_of(ticker)
    if "dividend" in adjust:
        events += market.dividends_of(ticker)
    return [event for event in events if event.before_ns <= now_ns]


def held_parts(names: Names, ticker: str, wanted: Wanted) -> Iterator[tuple[str, Wanted]]:
    """Whose bars stood under *ticker*: the company by its own ticker, and the part of *wanted* when it had this one."""
    for tenure in names.by_ticker.get(ticker, ()):
        start_ns = wanted.start_ns if tenure.first == date.min else max(wanted.start_ns, midnight_ns(tenure.first))
        end_ns = (
            wanted.end_ns if tenure.last == date.max else min(wanted.end_ns, midnight_ns(tenure.last + _ONE_DAY) - 1)
        )
        if start_ns <= end_ns:
            yield tenure.listing.ticker, wanted.within(start_ns, end_ns)
