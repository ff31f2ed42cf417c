"""
Where a row lies: rules Q01, Q02, Q03, Q14 and Q15, by the calendar.

Extended hours are reckoned from the session itself: 5.5 h before its open to 4 h after its close. For New York that is
04:00 to 20:00, and to 17:00 on a half day, whatever the season; no time zone is needed for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import AROUND_THE_CLOCK, DAY_US, TradingCalendar, week_starts
from barfill.core.library_sessions import FIRST_YEAR
from barfill.core.page import BarsQuery
from barfill.core.ranges import to_us
from barfill.core.reasons import Rule
from barfill.core.sheet import Row, Sheet
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse

PRE_MARKET_US = int(5.5 * 3600) * 1_000_000
POST_MARKET_US = 4 * 3600 * 1_000_000
Instants = TypeVar("Instants", int, NDArray[np.int64])
_FIRST_STOCK_BAR = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_FIRST_CRYPTO_BAR = datetime(2009, 1, 3, tzinfo=UTC)


def place(sheet: Sheet, query: BarsQuery, calendar: TradingCalendar, *, now: datetime, extended_hours: bool) -> None:
    """
    Marks the rows that do not lie where bars of *query* are.

    Raises:
        BadResponse: `out_of_range`, rows far from what was asked for (Q02).
        OutsideCalendar: The query reaches beyond the calendar.
    """
    nearby = _sessions_nearby(query, calendar)
    _check_range(sheet, query, calendar, nearby, now)
    if query.timeframe.is_intraday:
        _place_intraday(sheet, query.timeframe, calendar, nearby, extended_hours=extended_hours)
    else:
        _place_daily(sheet, query.timeframe, calendar)


def slots_of(
    calendar: TradingCalendar, timeframe: Timeframe, ts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The start of the expected bar that each instant lies in, and whether there is one."""
    if timeframe is Timeframe.D1:
        slots = ts // DAY_US * DAY_US
        return slots, calendar.session_of(timeframe, slots) >= 0
    if timeframe is Timeframe.W1:
        slots = week_starts(ts)
        return slots, calendar.session_of(timeframe, slots) >= 0
    anchor, is_trading = calendar.anchor_of(ts)
    return ts - (ts - anchor) % timeframe.length_us, is_trading


def _sessions_nearby(query: BarsQuery, calendar: TradingCalendar) -> slice:
    """The sessions of the range and one on either side: rows farther away are refused."""
    inside = calendar.sessions(query.range, by_label=not query.timeframe.is_intraday)
    return slice(max(inside.start - 1, 0), min(inside.stop + 1, len(calendar.labels)))


def _check_range(sheet: Sheet, query: BarsQuery, calendar: TradingCalendar, nearby: slice, now: datetime) -> None:
    ts = sheet.rows.ts
    first = _FIRST_CRYPTO_BAR if calendar.name == AROUND_THE_CLOCK else _FIRST_STOCK_BAR
    sheet.mark((ts < to_us(first)) | (ts > to_us(now + timedelta(days=1))), Row.QUARANTINED, Rule.Q01)
    outside = (ts < to_us(query.range.start)) | (ts >= to_us(query.range.end))
    if not outside.any():
        return
    lowest, highest = _tolerated(query, calendar, nearby)
    is_far = ((ts < lowest) | (ts > highest)) & (sheet.fate == Row.KEPT)
    if is_far.any():
        raise BadResponse(
            f"{np.count_nonzero(is_far)} of {len(ts)} rows lie far outside of what was asked for ({query}). The "
            "page is refused and asked for once more; should that happen again, the run stops.",
            request=str(query),
            reason="out_of_range",
        )
    sheet.remarks["W01"] = np.flatnonzero(outside & (sheet.fate == Row.KEPT))
    sheet.mark(outside, Row.OUT_OF_RANGE)


def _tolerated(query: BarsQuery, calendar: TradingCalendar, nearby: slice) -> tuple[int, int]:
    """
    How far from the range a row may lie and only be dropped: one bar, or within a session that the range cuts.

    For d1 one bar is one session, however many closed days lie between.
    """
    start, end = to_us(query.range.start), to_us(query.range.end)
    lowest, highest = start - query.timeframe.length_us, end + query.timeframe.length_us
    if query.timeframe.is_intraday:
        opens, closes = _extended_hours(calendar, nearby)
        lowest = min([lowest, *opens[(opens <= start) & (start < closes)].tolist()])
        highest = max([highest, *closes[(opens < end) & (end <= closes)].tolist()])
    elif query.timeframe is Timeframe.D1:
        labels = calendar.labels[nearby]
        lowest = min([lowest, *labels[labels < start].tolist()])
        highest = max([highest, *labels[labels >= end].tolist()])
    return lowest, highest


def extended_hours(name: str, opens: Instants, closes: Instants) -> tuple[Instants, Instants]:
    """
    From when to when bars may start around regular hours of the calendar of this *name*.

    Args:
        opens, closes: Microseconds UTC, one session's or those of many.
    """
    if name == AROUND_THE_CLOCK:
        return opens, closes
    return opens - PRE_MARKET_US, closes + POST_MARKET_US


def _extended_hours(calendar: TradingCalendar, chosen: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return extended_hours(calendar.name, calendar.opens[chosen], calendar.closes[chosen])


def _place_daily(sheet: Sheet, timeframe: Timeframe, calendar: TradingCalendar) -> None:
    ts = sheet.rows.ts
    anchor = week_starts(ts) if timeframe is Timeframe.W1 else ts // DAY_US * DAY_US
    sheet.mark(ts != anchor, Row.QUARANTINED, Rule.Q03)
    sheet.mark(calendar.session_of(timeframe, ts) < 0, Row.QUARANTINED, Rule.Q14)


def _place_intraday(
    sheet: Sheet, timeframe: Timeframe, calendar: TradingCalendar, nearby: slice, *, extended_hours: bool
) -> None:
    ts = sheet.rows.ts
    opens, closes = calendar.opens[nearby], calendar.closes[nearby]
    session = np.maximum(np.searchsorted(opens, ts, side="right") - 1, 0)
    anchor, is_trading = calendar.anchor_of(ts)
    is_regular = is_trading & (ts >= opens[session]) & (ts < closes[session])
    if not is_regular.all():
        pre_opens, post_closes = _extended_hours(calendar, nearby)
        following = np.minimum(session + 1, len(opens) - 1)
        session = np.where(~is_regular & (ts >= pre_opens[following]), following, session)
        is_near = (ts >= pre_opens[session]) & (ts < post_closes[session])
        has_session = is_near | (np.abs(ts - opens[session]) < DAY_US - PRE_MARKET_US)
        sheet.mark(~is_near & ~has_session & _is_daytime(ts, opens[session]), Row.QUARANTINED, Rule.Q14)
        sheet.mark(~is_near, Row.QUARANTINED, Rule.Q15)
        if not extended_hours:
            sheet.mark(ts == closes[session], Row.CLOSE_PRINT)
            sheet.mark(~is_regular, Row.OUT_OF_SESSION)
    anchor = np.where(is_regular, anchor, opens[session])
    sheet.mark((ts - anchor) % timeframe.length_us != 0, Row.QUARANTINED, Rule.Q03)


def _is_daytime(ts: NDArray[np.int64], opens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the time of day is one at which the exchange trades on other days, so that the day is what is wrong."""
    since_open = (ts - opens) % DAY_US
    return (since_open < int(6.5 * 3600) * 1_000_000 + POST_MARKET_US) | (since_open >= DAY_US - PRE_MARKET_US)
