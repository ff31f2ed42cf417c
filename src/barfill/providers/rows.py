"""
From rows as providers send them to columns, for every provider: what cannot be read is set aside with its reason.

Only values are read here (rules Q01, Q04, Q10); whether they make sense is for the rules of `core` to judge. What a
page as a whole must be is checked here, too: its schema, its symbols, its range.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.page import BarsQuery, RejectedRow
from barfill.core.ranges import from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, excerpt
from barfill.providers.instants import EARLIEST_US, NEW_YORK, local_midnight, read_instant, session_labels

RAW_LENGTH_MAX = 4_000
"""A quarantined row is evidence; more than this of it is none."""

_INT64_MAX = 2**63 - 1
_TELLING_ROWS_MIN = 3
_LONGEST_CLOSURE = timedelta(days=7)
_PRICES = ("o", "h", "l", "c")
_REQUIRED = ("t", *_PRICES, "v")
_NUMBERS = (*_PRICES, "v", "n", "vw")


@dataclass(slots=True)
class RowReader:
    """
    Collects the rows of a page, one by one; the keys are `t o h l c v` and, where given, `n` and `vw`.

    Attributes:
        latest_us: Rule Q01: no stamp is later.
        rejected: Rows that could not be read: position in the order sent, and what is wrong.
    """

    latest_us: int
    values: list[tuple[int, float, float, float, float, float, float]] = field(default_factory=list)
    trade_counts: list[int] = field(default_factory=list)
    symbols: list[int] = field(default_factory=list)
    rejected: list[tuple[int, int, int | None, str, str]] = field(default_factory=list)
    _count: int = 0

    def add(self, symbol: int, row: object) -> None:
        """Reads one row of the symbol with that index."""
        position, self._count = self._count, self._count + 1
        if not isinstance(row, Mapping):
            self.rejected.append((position, symbol, None, "Q04", "the row is no object"))
            return
        ts = read_instant(row.get("t"))
        if ts is None or not EARLIEST_US <= ts <= self.latest_us:
            self.rejected.append((position, symbol, None, "Q01", f"t is {_shown(row, 't')}: no instant that can be"))
            return
        numbers = [_number(row.get(key)) for key in (*_PRICES, "v")]
        if None in numbers:
            key = (*_PRICES, "v")[numbers.index(None)]
            self.rejected.append((position, symbol, ts, "Q04", f"{key} is {_shown(row, key)}: no finite number"))
            return
        trade_count, vwap = _trade_count(row.get("n")), _vwap(row.get("vw"))
        if trade_count is None or vwap is None:
            key = "n" if trade_count is None else "vw"
            self.rejected.append((position, symbol, ts, "Q10", f"{key} is {_shown(row, key)}"))
            return
        o, h, low, c, v = (number for number in numbers if number is not None)
        self.symbols.append(symbol)
        self.values.append((ts, o, h, low, c, v, vwap))
        self.trade_counts.append(trade_count)

    def columns(self) -> BarColumns:
        """The rows that could be read, stamped as sent."""
        if not self.values:
            return BarColumns.empty()
        ts = np.array([value[0] for value in self.values], np.int64)
        o, h, low, c, v, vwap = np.array([value[1:] for value in self.values], np.float64).T.copy()
        trade_count = np.array(self.trade_counts, np.int64)
        return BarColumns(np.array(self.symbols, np.int32), ts, o, h, low, c, v, vwap, trade_count)


def check_schema(rows: Sequence[object]) -> None:
    """
    Refuses a page of which every row breaks the contract in the same way: that is no bad row, but another schema.

    Raises:
        BadResponse: A required key is in no row, or a number is text in all of them (`schema`).
    """
    if not rows:
        return
    objects = [row for row in rows if isinstance(row, Mapping)]
    if not objects:
        raise BadResponse(f"No row is an object; the first is {excerpt(repr(rows[0]))}.", reason="schema")
    for key in _REQUIRED:
        if not any(key in row for row in objects):
            keys = excerpt(", ".join(map(str, objects[0])))
            raise BadResponse(f"No row has the key '{key}'; the first has: {keys}.", reason="schema")
    for key in _NUMBERS:
        given = [row[key] for row in objects if key in row]
        if given and all(_is_number_as_text(value) for value in given):
            raise BadResponse(f"'{key}' is text in every row, such as {given[0]!r:.40}.", reason="schema")


def check_symbols(tickers: Collection[str], query: BarsQuery) -> None:
    """
    Refuses rows of symbols that were not asked for (Q16, H27).

    Raises:
        BadResponse: There is one (`wrong_symbol`).
    """
    foreign = set(tickers).difference(query.symbols)
    if foreign:
        raise BadResponse(
            f"The answer holds rows of '{excerpt(min(foreign))}', which was not asked for; the page is refused.",
            reason="wrong_symbol",
        )


def check_variant(what: str, told: object, asked: str) -> None:
    """
    Refuses what calls itself something else than what was asked for (Q17, H29); None says nothing.

    Args:
        what: Such as the feed or the currency.

    Raises:
        BadResponse: It does (`wrong_variant`).
    """
    if told is not None and str(told).lower() != asked.lower():
        raise BadResponse(
            f"The answer is of {what} '{excerpt(str(told))}', but '{asked}' was asked for; the page is refused.",
            reason="wrong_variant",
        )


def check_distinct(tickers: Sequence[str], rows: BarColumns) -> None:
    """
    Refuses the rows of one symbol under two names (H27: a sandbox key answered AAPL for all).

    Two quiet symbols may share a row or two at one price; they do not share all of three rows or more in which the
    price moves.

    Args:
        rows: In the order of *tickers*.

    Raises:
        BadResponse: Two symbols have the same rows (`wrong_symbol`).
    """
    starts = np.flatnonzero(np.diff(rows.symbol, prepend=-1))
    ends = np.append(starts[1:], len(rows))
    owners: dict[bytes, int] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if len(starts) > 1 else ():
        if end - start < _TELLING_ROWS_MIN or not np.any(rows.high[start:end] > rows.low[start:end]):
            continue
        values = (rows.ts, rows.open, rows.high, rows.low, rows.close, rows.volume)
        symbol = int(rows.symbol[start])
        owner = owners.setdefault(b"".join(column[start:end].tobytes() for column in values), symbol)
        if owner != symbol:
            raise BadResponse(
                f"'{excerpt(tickers[owner])}' and '{excerpt(tickers[symbol])}' have the same {end - start} rows in one "
                "answer, so at least one of them is not what it is called; the page is refused.",
                reason="wrong_symbol",
            )


def stamped(stamps: NDArray[np.int64], timeframe: Timeframe) -> NDArray[np.int64]:
    """Stamps by barfill's conventions: daily bars by their session's date, others as sent."""
    return session_labels(stamps) if timeframe is Timeframe.D1 else stamps


def check_range(stamps: NDArray[np.int64], query: BarsQuery, zone: ZoneInfo = NEW_YORK) -> None:
    """
    Refuses a page with rows far outside of the range asked for (Q02, H28).

    A row outside by at most a bar, or within the session that the range begins or ends in, is left to the rules; they
    know the calendar and judge more closely. Here a day's neighbour may lie behind any closed days.

    Raises:
        BadResponse: A row is farther out (`out_of_range`).
    """
    if len(stamps) == 0:
        return
    slack = query.timeframe.length if query.timeframe.is_intraday else _LONGEST_CLOSURE
    start, end = query.range.start - slack, query.range.end + slack
    if query.timeframe.is_intraday:
        last = query.range.end - timedelta(microseconds=1)
        start = min(start, local_midnight(query.range.start.astimezone(zone).date(), zone))
        end = max(end, local_midnight(last.astimezone(zone).date() + timedelta(days=1), zone))
    far = stamps[(stamps < to_us(start)) | (stamps > to_us(end))]
    if len(far):
        raise BadResponse(
            f"{len(far)} of {len(stamps)} rows lie far outside of {query.range}, the first at "
            f"{from_us(far[0]).isoformat()}; the page is refused.",
            reason="out_of_range",
        )


def rejected_rows(
    reader: RowReader, tickers: Sequence[str], rows: Sequence[object], raws: Sequence[str] | None, timeframe: Timeframe
) -> tuple[RejectedRow, ...]:
    """
    What *reader* set aside, with the JSON of each row.

    Args:
        rows: All rows in the order sent.
        raws: Their JSON as sent, where it is at hand; else it is written anew.
    """
    found = []
    for position, symbol, ts, rule, reason in reader.rejected:
        raw = raws[position] if raws is not None else json.dumps(rows[position])
        label = None if ts is None else int(stamped(np.array([ts], np.int64), timeframe)[0])
        found.append(RejectedRow(tickers[symbol], label, rule, excerpt(reason), raw[:RAW_LENGTH_MAX]))
    return tuple(found)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _trade_count(value: object) -> int | None:
    if value is None:
        return NO_TRADE_COUNT
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _INT64_MAX
    return value if is_count and isinstance(value, int) else None


def _vwap(value: object) -> float | None:
    return math.nan if value is None else _number(value)


def _is_number_as_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _shown(row: Mapping[str, object], key: str) -> str:
    return excerpt(json.dumps(row[key])) if key in row else "absent"
