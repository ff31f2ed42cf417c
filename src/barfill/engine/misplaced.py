"""
Bars that turn out to be another company's: fetched under a ticker before it was known whose ticker it was (D28).

When a change of tickers becomes known, what providers that know tickers and not companies have sent for the days that
now stand under another ticker goes into quarantine, and out of coverage. Days that have a ticker are then asked for
under that; days on which the symbol had none are settled. Runs that have begun to fetch such days end: what is still to
be fetched is planned anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import trading_calendar
from barfill.core.capabilities import KNOWING_TICKERS_ONLY
from barfill.core.ranges import Range
from barfill.core.tenures import Moved, Tenures
from barfill.core.timeframe import Timeframe
from barfill.engine.foreign_days import ForeignDays, whose_it_was
from barfill.store.database import Connection
from barfill.store.events import Bearer
from barfill.store.misplaced import RemovedBars, begun_runs, remove_bars
from barfill.store.runs import cancel_runs
from barfill.store.symbols import find_by_ids

LAGS = timedelta(days=7)
"""So long a provider may offer a ticker that has been given up."""
SUPERSEDED = "superseded: "
_FIRST_BAR = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)


def put_right(
    conn: Connection, earlier: Tenures, now_known: Tenures, bearers: Mapping[int, Bearer], now: datetime
) -> list[str]:
    """
    Takes out what is misplaced by what is known now, in the caller's transaction; a sentence for each stretch.

    A symbol that was on record before it had its ticker by itself may be the company that gave it up: of which nobody
    can say, and nothing is taken from it.
    """
    told: list[str] = []
    for moved in now_known.moved_since(earlier):
        bearer = bearers[moved.symbol_id]
        if moved.ticker is None and since(bearer).date() <= moved.end + LAGS:
            continue
        if text := _put_right(conn, moved, bearer, earlier, now_known, now):
            told.append(text)
    return told


def since(bearer: Bearer) -> datetime:
    """From when on it is sure who a symbol is: a provider has offered it, or somebody has written it into the table."""
    return bearer.confirmed_at or bearer.created_at


def _put_right(
    conn: Connection, moved: Moved, bearer: Bearer, earlier: Tenures, now_known: Tenures, now: datetime
) -> str:
    stretch = Range(_FIRST_BAR, _midnight(date.max)) & Range(_midnight(moved.first), _midnight(moved.end))
    if stretch is None:
        return ""
    reason = _reason(moved, bearer, earlier, now_known)
    calendar = trading_calendar(find_by_ids(conn, [bearer.id])[bearer.id].calendar, now.year + 1)
    count = 0

    def expected(_symbol_id: int, one: Range) -> NDArray[np.int64]:
        return calendar.expected_starts(timeframe, one)

    providers = sorted(KNOWING_TICKERS_ONLY)
    for timeframe in Timeframe:
        removed = remove_bars(
            conn,
            bearer.id,
            timeframe,
            _touching(stretch, timeframe),
            providers=providers,
            reason=reason,
            expected=expected,
        )
        if removed is None:
            continue
        count += removed.count
        if moved.ticker is None:
            _foreign_days(bearer.id, timeframe, removed, now_known).settle(conn, now)
    # After the series are locked, as a page does it: one that comes later finds its run cancelled, and is dropped.
    cancel_runs(conn, begun_runs(conn, bearer.id, stretch, providers=providers), reason=f"{SUPERSEDED}{reason}")
    if not count:
        return ""
    what = "1 bar" if count == 1 else f"{count:,} bars"
    then = "" if moved.ticker is None else f" The days are fetched again as {moved.ticker}."
    return f"{bearer.ticker}: {what} of another company went into quarantined_bars: {reason}.{then}"


def _reason(moved: Moved, bearer: Bearer, earlier: Tenures, now_known: Tenures) -> str:
    if moved.ticker is None:
        return whose_it_was(now_known, moved.symbol_id)
    (former, *_) = earlier.names_of(moved.symbol_id, moved.first, moved.end) or (None,)
    asked = former.ticker if former is not None else bearer.ticker
    if moved.end < date.max:
        (tenure,) = now_known.names_of(moved.symbol_id, moved.first, moved.end + _DAY)[:1]
        when = f"was {moved.ticker!r} " + (f"until {moved.end}" if tenure.end == moved.end else "then")
    else:
        when = f"is {moved.ticker!r} since {moved.first}" if moved.first > date.min else f"is {moved.ticker!r}"
    return f"fetched as {asked!r}, but the symbol {when}"


def _foreign_days(symbol_id: int, timeframe: Timeframe, removed: RemovedBars, tenures: Tenures) -> ForeignDays:
    return ForeignDays(
        timeframe=timeframe,
        provider=removed.provider,
        feed=removed.feed,
        basis=removed.basis,
        ranges={symbol_id: removed.ranges},
        tenures=tenures,
    )


def _touching(stretch: Range, timeframe: Timeframe) -> Range:
    """Where the bars start that hold something of *stretch*: no intraday bar lies on two days, but weeks do."""
    if timeframe is not Timeframe.W1:
        return stretch
    monday = stretch.start - timedelta(days=stretch.start.weekday())
    return Range(max(monday, _FIRST_BAR - _WEEK), stretch.end)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
