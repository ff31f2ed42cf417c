"""
The hard rules: which rows of a page become bars, which are kept out, which are asked for again.

Rule ids are stable words: quarantine, warnings and docs name them. Nothing is repaired: a row is taken as sent or not
at all. Rows are handled as columns; Python runs per row only for rows that are kept out.

Which rule speaks first: what the whole page must keep (Q02 far away, Q16 not asked for, Q17), where a row lies
(Q01, Q02, Q15, Q14, Q03), contradictions (Q11), values (Q04 to Q10, Q18), time (Q13, Q12), price level (Q20).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import COLUMN_NAMES, NO_TRADE_COUNT, BarColumns
from barfill.core.calendar import DAY_US, TradingCalendar
from barfill.core.judged import BlockedSlots, HeldRow, Judged, Mark, Remark, RowCounts
from barfill.core.jumps import Fate, KnownSplit, References, find_jumps
from barfill.core.page import BarsQuery, Page, RejectedRow
from barfill.core.placing import place, slots_of
from barfill.core.ranges import to_us, utc
from barfill.core.reasons import Rule, raw_json, reason_of
from barfill.core.remarks import marks_of, remark, value_remarks
from barfill.core.sheet import Row, Sheet
from barfill.core.ticker import WELL_FORMED, is_ticker
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, excerpt

VOLUME_MAX = 1e15
PRICE_END = 1e12
_CLOCK_SLACK_US = 5 * 60 * 1_000_000
_SYMBOLS = re.compile(f"(?:{WELL_FORMED}\n)*")
_NO_CLOSES: Mapping[int, float] = MappingProxyType({})
_NO_SPLITS: Mapping[int, Sequence[KnownSplit]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class VenueTraits:
    """
    What is usual at a venue and would be wrong elsewhere.

    Attributes:
        epsilon: How far, relative to the close, open and close may lie outside of [low, high]; 2e-7 where a
            provider sends float32.
        open_is_prev_close: Bars open at the close before, so an open outside of the bar is a warning (W14).
        has_negative_prices: Prices at or below zero are real (Q05).
    """

    epsilon: float = 1e-9
    open_is_prev_close: bool = False
    has_negative_prices: bool = False


USUAL = VenueTraits()


def judge(
    page: Page,
    query: BarsQuery,
    calendar: TradingCalendar,
    *,
    now: datetime,
    grace: timedelta,
    extended_hours: bool = False,
    last_closes: Mapping[int, float] | NDArray[np.float64] = _NO_CLOSES,
    later_closes: Mapping[int, float] | NDArray[np.float64] = _NO_CLOSES,
    known_splits: Mapping[int, Sequence[KnownSplit]] = _NO_SPLITS,
    traits: VenueTraits = USUAL,
) -> Judged:
    """
    What the rules make of *page*.

    A bar stamped exactly at a session's close (16:00, 13:00 on a half day) is a print of the closing auction. No bar
    of the regular grid starts there, so it counts as outside regular hours, and is counted apart (`close_prints`);
    with *extended_hours* it is kept as the first bar after the close.

    Args:
        now: The database's clock.
        grace: How long after its end a bar may still change; younger ones are held (Q12).
        extended_hours: Whether stock bars from 5.5 h before the open to 4 h after the close are wanted too.
        last_closes: The newest stored close before each symbol's rows, by index into `page.symbols` (an array has
            one value per ticker, NaN where unknown).
        later_closes: The oldest stored close after each symbol's rows, likewise: it settles at once whether a
            price jump at the page's end has lasted (Q20).
        known_splits: Splits on file, by index into `page.symbols`.

    Raises:
        BadResponse: The page as a whole is not an answer to *query*: `wrong_variant` (Q17), `wrong_symbol` (Q16),
            `out_of_range` (Q02).
        OutsideCalendar: The query reaches beyond the calendar.
        LedgerImbalance: Q00 does not hold.
    """
    now = utc(now, name="now")
    _check_variant(page, query)
    malformed = _check_symbols(page, query)
    sheet = Sheet(page.rows)
    for symbol, rule in malformed.items():
        sheet.mark(sheet.rows.symbol == symbol, Row.QUARANTINED, rule)
    place(sheet, query, calendar, now=now, extended_hours=extended_hours)
    _find_duplicates(sheet, page)
    _check_values(sheet, traits)
    _check_times(sheet, query.timeframe, calendar, to_us(now), grace // timedelta(microseconds=1))
    ticker_count = len(page.symbols)
    references = References(_by_symbol(last_closes, ticker_count), _by_symbol(later_closes, ticker_count), known_splits)
    _check_level(sheet, query.timeframe, calendar, references)

    accepted, rounded = _rounded(sheet.rows_with(Row.KEPT), traits)
    found = value_remarks(accepted, query.timeframe, calendar, references)
    if len(rounded):
        found["W04"] = rounded
    if len(leaps := sheet.remarks.pop("W18", ())):
        in_accepted = np.searchsorted(sheet.positions(Row.KEPT), leaps)
        found["W18"] = np.union1d(found.get("W18", []), in_accepted).astype(np.intp)
    told = _Told(_warnings(sheet, page, accepted, found), marks_of(found, accepted, references))
    blocked = _blocked(sheet, page, query.timeframe, calendar)
    return _judged(sheet, page, accepted, told, blocked)


def _check_variant(page: Page, query: BarsQuery) -> None:
    if (page.feed, page.basis) != (query.feed, query.basis):
        raise BadResponse(
            f"Bars of feed {query.feed!r} with {query.basis} prices were asked for ({query}); the answer is of feed "
            f"{page.feed!r} with {page.basis} prices. Nothing of it is stored, as the two must not mix in a series.",
            request=str(query),
            reason="wrong_variant",
        )


def _check_symbols(page: Page, query: BarsQuery) -> dict[int, Rule]:
    """The symbols that are no tickers, with the rule they break, by their index."""
    malformed: dict[int, Rule] = {}
    lines = "".join([f"{symbol}\n" for symbol in page.symbols])
    if _SYMBOLS.fullmatch(lines) is None or lines.count("\n") != len(page.symbols):
        for index, symbol in enumerate(page.symbols):
            if not is_ticker(symbol):
                malformed[index] = Rule.Q16 if _is_storable(symbol) else Rule.Q30
    strange = set(page.symbols).difference(query.symbols, [page.symbols[index] for index in malformed])
    if strange:
        raise BadResponse(
            f"The answer to {query} holds rows of {', '.join(sorted(strange)[:3])}, which was not asked for. The "
            "whole page is refused.",
            request=str(query),
            reason="wrong_symbol",
        )
    return malformed


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _find_duplicates(sheet: Sheet, page: Page) -> None:
    """Rule Q11 and W02: equal rows of one key become one, rows that differ are all kept out."""
    rows, is_kept = sheet.rows, sheet.fate == Row.KEPT
    repeats = (np.diff(rows.ts) == 0) & (np.diff(rows.symbol) == 0) & is_kept[1:] & is_kept[:-1]
    if repeats.any():
        differs = repeats & ~_equals_next(rows)
        key = np.concatenate(([0], np.cumsum(~repeats)))
        sheet.mark(np.isin(key, key[1:][differs]), Row.QUARANTINED, Rule.Q11)
        is_copy = np.concatenate(([False], repeats))
        sheet.remarks["W02"] = np.flatnonzero(is_copy & (sheet.fate == Row.KEPT))
        sheet.mark(is_copy, Row.COLLAPSED)
    for rejected in page.rejected:
        if rejected.ts is not None and rejected.symbol in page.symbols:
            is_twin = (rows.symbol == page.symbols.index(rejected.symbol)) & (rows.ts == rejected.ts)
            sheet.mark(is_twin, Row.QUARANTINED, Rule.Q11)


def _equals_next(rows: BarColumns) -> NDArray[np.bool_]:
    equal = np.ones(len(rows) - 1, np.bool_)
    for name in COLUMN_NAMES[2:]:
        column = getattr(rows, name)
        same = column[1:] == column[:-1]
        equal &= same | (np.isnan(column[1:]) & np.isnan(column[:-1])) if column.dtype.kind == "f" else same
    return equal


def _check_values(sheet: Sheet, traits: VenueTraits) -> None:
    """Rules Q04 to Q10 and Q18; the first one that a row breaks is named."""
    rows = sheet.rows
    top, bottom = np.maximum(rows.open, rows.close), np.minimum(rows.open, rows.close)
    if traits.open_is_prev_close:
        top = bottom = rows.close
    epsilon = _epsilon(rows, traits)
    lowest = np.minimum(np.minimum(rows.low, rows.high), np.minimum(rows.open, rows.close))
    highest = np.maximum(np.maximum(rows.low, rows.high), np.maximum(rows.open, rows.close))
    has_price_floor = np.ones(len(rows), np.bool_) if traits.has_negative_prices else lowest > 0
    with np.errstate(invalid="ignore"):
        fits = (rows.high >= top - epsilon) & (rows.low <= bottom + epsilon)
    keeps = (
        (Rule.Q04, np.isfinite(lowest) & np.isfinite(highest) & np.isfinite(rows.volume)),
        (Rule.Q05, has_price_floor),
        (Rule.Q06, rows.high >= rows.low),
        (Rule.Q07, fits),
        (Rule.Q08, rows.volume >= 0),
        (Rule.Q09, rows.volume <= VOLUME_MAX),
        (Rule.Q10, (rows.trade_count >= NO_TRADE_COUNT) & ~np.isinf(rows.vwap)),
        (Rule.Q18, highest < PRICE_END),
    )
    for rule, is_kept in keeps:
        sheet.mark(~is_kept, Row.QUARANTINED, rule)


def _rounded(rows: BarColumns, traits: VenueTraits) -> tuple[BarColumns, NDArray[np.intp]]:
    """
    Rows of which open and close lie within low and high to the last digit, and the positions of those that did not.

    The table knows no tolerance. What rule Q07 lets pass as a rounding error is the high or the low itself (W04).
    """
    top, bottom = np.maximum(rows.open, rows.close), np.minimum(rows.open, rows.close)
    epsilon = _epsilon(rows, traits)
    is_above = (top > rows.high) & (top <= rows.high + epsilon)
    is_below = (bottom < rows.low) & (bottom >= rows.low - epsilon)
    rounded = np.flatnonzero(is_above | is_below)
    if len(rounded) == 0:
        return rows, rounded
    high, low = np.where(is_above, top, rows.high), np.where(is_below, bottom, rows.low)
    return replace(rows, high=high, low=low), rounded


def _epsilon(rows: BarColumns, traits: VenueTraits) -> NDArray[np.float64]:
    epsilon: NDArray[np.float64] = np.maximum(1e-9, traits.epsilon * np.abs(rows.close))
    return epsilon


def _check_times(sheet: Sheet, timeframe: Timeframe, calendar: TradingCalendar, now_us: int, grace_us: int) -> None:
    """Rules Q13 (in the future) and Q12 (not over yet); only rows near *now* are looked at one by one."""
    ts = sheet.rows.ts
    young = np.flatnonzero((ts > now_us - grace_us - timeframe.length_us - DAY_US) & (sheet.fate == Row.KEPT))
    if len(young) == 0:
        return
    starts = ts[young]
    begins = starts
    if not timeframe.is_intraday:
        begins = np.minimum(starts, calendar.opens[calendar.session_of(timeframe, starts)])
    in_future = young[begins > now_us + _CLOCK_SLACK_US]
    if len(in_future):
        sheet.remarks["Q13"] = in_future
        sheet.mark_at(in_future, Row.QUARANTINED, Rule.Q13)
    sheet.mark_at(young[calendar.bar_ends(timeframe, starts) + grace_us > now_us], Row.HELD, Rule.Q12)


def _check_level(sheet: Sheet, timeframe: Timeframe, calendar: TradingCalendar, references: References) -> None:
    """Rule Q20; a level that lasts is W18."""
    jumps = find_jumps(sheet.rows_with(Row.KEPT), timeframe, calendar, references)
    if jumps is None:
        return
    kept = sheet.positions(Row.KEPT)
    sheet.reference[kept] = jumps.reference
    sheet.remarks["W18"] = kept[jumps.leaps]
    sheet.mark_at(kept[jumps.fate == Fate.QUARANTINED], Row.QUARANTINED, Rule.Q20)
    sheet.mark_at(kept[jumps.fate == Fate.HELD], Row.HELD, Rule.Q20)


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said about rows that are kept."""

    warnings: Mapping[str, Remark]
    marks: tuple[Mark, ...]


def _warnings(
    sheet: Sheet, page: Page, accepted: BarColumns, found: Mapping[str, NDArray[np.intp]]
) -> dict[str, Remark]:
    warnings = {rule: remark(rows, accepted, page.symbols) for rule, rows in found.items()}
    for rule, rows in sheet.remarks.items():
        if len(rows):
            warnings[rule] = remark(rows, sheet.rows, page.symbols)
    if len(sheet.reordered):
        warnings["W03"] = remark(sheet.reordered, sheet.by_symbol, page.symbols)
    return warnings


def _judged(sheet: Sheet, page: Page, accepted: BarColumns, told: _Told, blocked: BlockedSlots) -> Judged:
    count = sheet.counts()
    quarantined = page.rejected + tuple(_rejected(sheet, page, row) for row in sheet.positions(Row.QUARANTINED))
    counts = RowCounts(
        received=page.received,
        accepted=len(accepted),
        quarantined=len(quarantined),
        held=int(count[Row.HELD]),
        collapsed=int(count[Row.COLLAPSED]),
        out_of_range=int(count[Row.OUT_OF_RANGE]),
        out_of_session=int(count[Row.OUT_OF_SESSION] + count[Row.CLOSE_PRINT]),
        close_prints=int(count[Row.CLOSE_PRINT]),
    )
    counts.check()
    return Judged(
        accepted=accepted,
        forming=sheet.rows.take((sheet.fate == Row.HELD) & (sheet.rule == Rule.Q12)),
        quarantined=quarantined,
        held=tuple(_held(sheet, row) for row in sheet.positions(Row.HELD)),
        blocked=blocked,
        counts=counts,
        warnings=told.warnings,
        marks=told.marks,
        ask_again=bool(np.any(sheet.rule == Rule.Q11)),
    )


def _rejected(sheet: Sheet, page: Page, row: np.intp) -> RejectedRow:
    rows, position, rule = sheet.rows, int(row), Rule(sheet.rule[row])
    ticker = excerpt(page.symbols[rows.symbol[position]])
    reason = reason_of(rule, rows, position, reference=float(sheet.reference[position]))
    return RejectedRow(ticker, int(rows.ts[position]), rule.name, reason, raw_json(ticker, rows, position))


def _held(sheet: Sheet, row: np.intp) -> HeldRow:
    rows, position, rule = sheet.rows, int(row), Rule(sheet.rule[row])
    symbol, ts = int(rows.symbol[position]), int(rows.ts[position])
    reason = reason_of(rule, rows, position, reference=float(sheet.reference[position]))
    return HeldRow(symbol, ts, rule.name, reason)


def _blocked(sheet: Sheet, page: Page, timeframe: Timeframe, calendar: TradingCalendar) -> BlockedSlots:
    """The bars that quarantined and held rows would have been; an instant that is no instant could be any (Q01)."""
    is_out = (sheet.fate == Row.QUARANTINED) | (sheet.fate == Row.HELD)
    out = np.flatnonzero(is_out & (sheet.rule != Rule.Q16) & (sheet.rule != Rule.Q30))  # these are of no symbol
    if len(out) == 0 and not page.rejected:
        return BlockedSlots.none()
    is_placed = sheet.rule[out] != Rule.Q01
    index = {symbol: position for position, symbol in enumerate(page.symbols)}
    rejected = [(index[row.symbol], row.ts) for row in page.rejected if row.symbol in index]
    placed = [(symbol, ts) for symbol, ts in rejected if ts is not None]
    symbol = np.concatenate((sheet.rows.symbol[out[is_placed]], np.array([s for s, _ in placed], np.int32)))
    ts = np.concatenate((sheet.rows.ts[out[is_placed]], np.array([t for _, t in placed], np.int64)))
    is_held = np.concatenate((sheet.fate[out[is_placed]] == Row.HELD, np.zeros(len(placed), np.bool_)))
    unplaced = np.concatenate(
        (sheet.rows.symbol[out[~is_placed]], np.array([s for s, t in rejected if t is None], np.int32))
    )
    start, found = slots_of(calendar, timeframe, ts)
    symbol, start, is_held = symbol[found], start[found], is_held[found]
    order = np.lexsort((is_held, start, symbol))  # of a quarantined and a held row in one place, the former counts
    symbol, start, is_held = symbol[order], start[order], is_held[order]
    is_first = np.concatenate(([True], (np.diff(symbol) != 0) | (np.diff(start) != 0)))[: len(start)]
    return BlockedSlots(symbol[is_first], start[is_first], is_held[is_first], np.unique(unplaced))


def _by_symbol(values: Mapping[int, float] | NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if isinstance(values, np.ndarray):
        return values
    by_symbol = np.full(count, np.nan)
    by_symbol[list(values.keys())] = list(values.values())
    return by_symbol
