"""
The windows in which a crypto venue is asked for a range, and what an answer says of the one it was asked for.

Venues have no tokens. One page is a window of as many bars as the venue sends at most; the token is the start of the
next one, in milliseconds.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse
from barfill.providers.ccxt_venue_traits import Traits
from barfill.providers.instants import DAY_US

CUT_ROWS_MIN = 50
"""No venue caps its pages below this."""
_US_PER_MS = 1000


def window_of(query: BarsQuery, token: str | None, page_size: int) -> Range:
    """The window that begins at *token*, None at the start of the range; the last one ends with the range."""
    start = query.range.start if token is None else from_us(int(token) * _US_PER_MS)
    return Range(start, min(start + page_size * query.timeframe.length, query.range.end))


def next_token(query: BarsQuery, window: Range, stamps: NDArray[np.int64]) -> str | None:
    """
    The start of the window that follows; None where the range ends.

    It begins where *window* ends, however few rows came: an empty window is not the end (providers.md 8.3). But many
    rows that follow each other without a hole and stop before the window does look like an answer that was cut, by a
    cap that ccxt does not know of; then the next window begins behind them.

    Args:
        stamps: Of the rows in *window*, shape (n,), ascending.
    """
    after, length_us = to_us(window.end), query.timeframe.length_us
    if len(stamps) >= CUT_ROWS_MIN:
        rows_end = int(stamps[-1]) + length_us
        is_whole = stamps[-1] - stamps[0] == (len(stamps) - 1) * length_us
        is_from_the_start = stamps[0] - to_us(window.start) < length_us
        after = min(after, rows_end) if is_whole and is_from_the_start else after
    return str(after // _US_PER_MS) if after < to_us(query.range.end) else None


def looked_from(
    query: BarsQuery, window: Range, stamps: NDArray[np.int64], traits: Traits, rows_max: int, received_at: datetime
) -> datetime | None:
    """
    From when on the venue is known to have looked, see `Page.looked_from`.

    Args:
        stamps: Of all rows of the answer, shape (n,), ascending.
        rows_max: How many rows a venue that has only the newest ones sends.
    """
    if traits.newest_only:
        return _newest_from(query, stamps, rows_max, received_at)
    if traits.is_verified:
        return None
    # It may have sent its newest rows, whatever it was asked for.
    is_elsewhere = len(stamps) > 0 and stamps[0] >= to_us(window.end)
    start = window.end if is_elsewhere else window.start
    return start if start > query.range.start else None


def check_days(stamps: NDArray[np.int64], timeframe: Timeframe, venue: str) -> None:
    """
    Refuses days that begin at another hour than 00:00 UTC (D33): they are other days, and must not mix with the right.

    Raises:
        BadResponse: They do (`wrong_variant`).
    """
    if timeframe is not Timeframe.D1:
        return
    offsets = np.unique(stamps % DAY_US)
    if len(offsets) == 1 and offsets[0] != 0:
        begin = from_us(int(offsets[0])).strftime("%H:%M")
        raise BadResponse(
            f"The days of {venue} begin at {begin} UTC, barfill's at 00:00. Take another venue, or hours.",
            reason="wrong_variant",
        )


def _newest_from(query: BarsQuery, stamps: NDArray[np.int64], rows_max: int, received_at: datetime) -> datetime | None:
    """A full answer begins where the venue's history does; of one that is not full, its clock tells."""
    length_us = query.timeframe.length_us
    open_us = to_us(received_at) // length_us * length_us
    wall = int(stamps[0]) if len(stamps) >= rows_max else open_us - (rows_max - 1) * length_us
    return from_us(wall) if to_us(query.range.start) < wall else None
