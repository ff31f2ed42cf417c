"""
Warnings about bars that are kept: the W rules that one page can tell.

W05, W12, W17, W19 and W20 need stored bars, another timeframe or corporate actions; they are not told here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.calendar import AROUND_THE_CLOCK, DAY_US, TradingCalendar
from barfill.core.judged import EXAMPLES_MAX, Mark, Remark
from barfill.core.jumps import SPLIT_DATE_SLACK_US, SPLIT_TOLERANCE, References, reference_closes
from barfill.core.timeframe import Timeframe

_CHANGE_MAX = {Timeframe.M1: 0.25, Timeframe.H4: 0.5, Timeframe.D1: 0.5, Timeframe.W1: 0.5}
_CHANGE_MAX_DEFAULT = 0.4
_WICK_MAX = 1.08
_VOLUME_FACTOR_MAX = 20.0
_VOLUME_WINDOW = 60
_SAME_PRICE_MAX = 30
_RATIOS = np.array([1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100])
_SPLIT_FACTORS = np.concatenate((_RATIOS, 1 / _RATIOS))  # smaller ratios look like any other night
_SPLIT_MIN = 1.4
_ROUNDING = 2e-7  # vendors round a vwap, some through float32
_OVERNIGHT_US = DAY_US // 2


MARKS_MAX = 200
"""Of one rule on one page; a page of which more bars look wrong is told by their number."""
_TOLD = ("open", "high", "low", "close", "volume", "vwap", "trade_count")
_SENTENCES = {
    "W10": "the vwap {vwap} lies outside of low {low} to high {high}",
    "W11": "the close {close} follows {before}, between low {low} and high {high}",
    "W13": "a volume of {volume} in {trade_count} trades, between low {low} and high {high}",
    "W14": "the open {open} lies outside of low {low} to high {high}",
    "W15": "the volume {volume} is more than 20 times the median of the 60 bars before",
    "W16": "the price has been {close} for more than 30 bars with volume",
    "W18": "the price goes from {before} to {open}, and no split on file explains it",
}


def remark(rows: NDArray[np.intp], bars: BarColumns, symbols: Sequence[str]) -> Remark:
    """The remark about the rows at these positions."""
    examples = tuple((symbols[int(bars.symbol[row])], int(bars.ts[row])) for row in rows[:EXAMPLES_MAX])
    return Remark(len(rows), examples)


def value_remarks(
    bars: BarColumns, timeframe: Timeframe, calendar: TradingCalendar, references: References
) -> dict[str, NDArray[np.intp]]:
    """
    The positions of the rows that deserve each warning, by rule id; rules without any are left out.

    Args:
        bars: Accepted rows, sorted by key.
    """
    before = reference_closes(bars, references.last_closes)
    ceiling, floor = bars.high * (1 + _ROUNDING), bars.low * (1 - _ROUNDING)
    has_span = bars.high > bars.low
    found = {
        "W10": np.flatnonzero((bars.vwap > ceiling) | (bars.vwap < floor)),
        "W11": np.union1d(_far_closes(bars, before, timeframe), _long_wicks(bars)),
        "W13": np.flatnonzero(_contradicts_volume(bars, has_span)),
        "W14": np.flatnonzero((bars.open > ceiling) | (bars.open < floor)),
        "W15": _loud_volumes(bars),
        "W16": _stuck_prices(bars, before, has_span),
        "W18": _split_like_nights(bars, before, calendar, references),
    }
    return {rule: rows for rule, rows in found.items() if len(rows)}


def marks_of(found: Mapping[str, NDArray[np.intp]], bars: BarColumns, references: References) -> tuple[Mark, ...]:
    """
    The warnings about single bars, each with its values; of each rule the first MARKS_MAX.

    Args:
        found: Positions in *bars*, by rule id; rules that are only counted are left out.
        bars: Sorted by key.
    """
    if not any(rule in _SENTENCES for rule in found):
        return ()
    before = reference_closes(bars, references.last_closes)
    return tuple(
        Mark(rule, int(bars.symbol[row]), int(bars.ts[row]), _detail(rule, bars, row, float(before[row])))
        for rule, rows in found.items()
        if rule in _SENTENCES
        for row in rows[:MARKS_MAX].tolist()
    )


def _detail(rule: str, bars: BarColumns, row: int, before: float) -> str:
    values = {name: f"{getattr(bars, name)[row].item():.10g}" for name in _TOLD}
    return _SENTENCES[rule].format_map({**values, "before": "none" if math.isnan(before) else f"{before:.10g}"})


def _far_closes(bars: BarColumns, before: NDArray[np.float64], timeframe: Timeframe) -> NDArray[np.intp]:
    factor_max = math.exp(_CHANGE_MAX.get(timeframe, _CHANGE_MAX_DEFAULT))
    return np.flatnonzero((bars.close > factor_max * before) | (bars.close * factor_max < before))


def _long_wicks(bars: BarColumns) -> NDArray[np.intp]:
    """Rows with a wick far beyond their own body and both neighbours of the same symbol."""
    top, bottom = np.maximum(bars.open, bars.close), np.minimum(bars.open, bars.close)
    rows = np.flatnonzero((bars.high > _WICK_MAX * top) | (bars.low * _WICK_MAX < bottom))
    rows = rows[(rows > 0) & (rows < len(bars) - 1)]
    rows = rows[(bars.symbol[rows - 1] == bars.symbol[rows]) & (bars.symbol[rows + 1] == bars.symbol[rows])]
    ceiling = np.maximum(top[rows], np.maximum(bars.high[rows - 1], bars.high[rows + 1]))
    floor = np.minimum(bottom[rows], np.minimum(bars.low[rows - 1], bars.low[rows + 1]))
    long: NDArray[np.intp] = rows[(bars.high[rows] > _WICK_MAX * ceiling) | (bars.low[rows] * _WICK_MAX < floor)]
    return long


def _contradicts_volume(bars: BarColumns, has_span: NDArray[np.bool_]) -> NDArray[np.bool_]:
    is_untraded = bars.volume == 0
    few_trades = (bars.trade_count == 0) & ~is_untraded | (bars.trade_count == 1) & has_span
    contradicts: NDArray[np.bool_] = is_untraded & has_span | few_trades
    return contradicts


def _loud_volumes(bars: BarColumns) -> NDArray[np.intp]:
    """
    Rows whose volume is above 20 times the median of the symbol's 60 rows before.

    Exact medians are taken for few rows only: the median of 60 is never below the least of the medians of its 20
    groups of three, and those cost a few passes over the column.
    """
    count = len(bars) - _VOLUME_WINDOW
    if count <= 0:
        return np.empty(0, np.intp)
    a, b, c = bars.volume[:-2], bars.volume[1:-1], bars.volume[2:]
    of_three = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    of_twelve = np.minimum(np.minimum(of_three[:-9], of_three[3:-6]), np.minimum(of_three[6:-3], of_three[9:]))
    least = of_twelve[:count].copy()
    for offset in range(12, _VOLUME_WINDOW, 12):
        np.minimum(least, of_twelve[offset : offset + count], out=least)
    rows = np.flatnonzero(bars.volume[_VOLUME_WINDOW:] > _VOLUME_FACTOR_MAX * least) + _VOLUME_WINDOW
    rows = rows[bars.symbol[rows - _VOLUME_WINDOW] == bars.symbol[rows]]
    windows = np.lib.stride_tricks.sliding_window_view(bars.volume, _VOLUME_WINDOW)[rows - _VOLUME_WINDOW]
    loud: NDArray[np.intp] = rows[bars.volume[rows] > _VOLUME_FACTOR_MAX * np.median(windows, axis=1)]
    return loud


def _stuck_prices(bars: BarColumns, before: NDArray[np.float64], has_span: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The row at which a price has been the same, with volume, for more than 30 bars of a symbol."""
    is_same = ~has_span & (bars.close == before) & (bars.volume > 0)
    if np.count_nonzero(is_same) < _SAME_PRICE_MAX:
        return np.empty(0, np.intp)
    is_first = np.concatenate(([True], np.diff(bars.symbol) != 0))
    breaks = np.flatnonzero(~is_same | is_first)
    run_start = breaks[np.searchsorted(breaks, np.arange(len(bars)), side="right") - 1]
    return np.flatnonzero(np.arange(len(bars)) - run_start == _SAME_PRICE_MAX)


def _split_like_nights(
    bars: BarColumns, before: NDArray[np.float64], calendar: TradingCalendar, references: References
) -> NDArray[np.intp]:
    """Rows that open a session at a split factor of the close before, without that split on file."""
    rows = np.flatnonzero((bars.open > _SPLIT_MIN * before) | (bars.open * _SPLIT_MIN < before))
    if len(rows) == 0 or calendar.name == AROUND_THE_CLOCK:
        return rows[:0]
    is_first = (rows == 0) | (bars.symbol[rows] != bars.symbol[rows - 1])
    rows = rows[is_first | (bars.ts[rows] - bars.ts[rows - 1] > _OVERNIGHT_US)]
    factors = bars.open[rows] / before[rows]
    distance = np.min(np.abs(factors[:, None] / _SPLIT_FACTORS - 1), axis=1, initial=np.inf)
    is_unfiled = [
        not any(
            split.explains(float(factor)) and abs(split.ex_ts - int(bars.ts[row])) <= SPLIT_DATE_SLACK_US
            for split in references.known_splits.get(int(bars.symbol[row]), ())
        )
        for row, factor in zip(rows, factors, strict=True)
    ]
    unfiled: NDArray[np.intp] = rows[(distance <= SPLIT_TOLERANCE) & np.array(is_unfiled, np.bool_)]
    return unfiled
