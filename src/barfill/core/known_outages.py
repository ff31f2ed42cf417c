"""
When exchanges did not trade within their sessions: minutes that lack a bar then are no holes.

An outage is no closure: the bars of its minutes stay expected, so that what a provider has of them is stored (another
venue's trades, the first minutes before a halt). Only their absence is explained, by the table below with its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from barfill.core.calendar import TradingCalendar
from barfill.core.ranges import Range, from_us

NEW_YORK = "XNYS"
CHICAGO = "CMES"
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KnownOutage:
    """
    A stretch of time in which bars may be absent for a known reason.

    Attributes:
        range: In whole minutes, rounded outwards.
        is_halt: Whether trading was stopped; otherwise the venue or its data were away.
        reason: What happened, in a sentence that gaps carry.
    """

    range: Range
    is_halt: bool
    reason: str


def known_outages(calendar: TradingCalendar, feed: str, within: Range) -> tuple[KnownOutage, ...]:
    """
    The outages of an exchange, or of the venue that *feed* names, that touch *within*; by start, none overlapping.

    Raises:
        OutsideCalendar: *within* reaches beyond the calendar.
    """
    table = _OF_CALENDARS.get(calendar.name, ()) + _OF_FEEDS.get(feed, ())
    found = [one for one in table if one.range & within]
    if calendar.name == CHICAGO:
        found += _daily_breaks(calendar, within)
    return tuple(sorted(found, key=lambda one: one.range))


def _daily_breaks(calendar: TradingCalendar, within: Range) -> list[KnownOutage]:
    """The hour before the close of each session of 24 hours: Globex is shut, in most products and years."""
    chosen = calendar.sessions(within, by_label=False)
    closes = calendar.closes[chosen]
    is_long = closes - calendar.opens[chosen] == np.int64(24 * _HOUR // timedelta(microseconds=1))
    ends = [from_us(close) for close in closes[is_long].tolist()]
    breaks = (KnownOutage(Range(end - _HOUR, end), False, "the exchange's daily maintenance") for end in ends)
    return [one for one in breaks if one.range & within]


def _halted(start: str, end: str, reason: str) -> KnownOutage:
    return KnownOutage(_range(start, end), True, reason)


def _away(start: str, end: str) -> KnownOutage:
    reason = f"Binance was under maintenance from {start.replace('T', ' ')} to {end.replace('T', ' ')} UTC"
    return KnownOutage(_range(start, end), False, reason)


def _range(start: str, end: str) -> Range:
    return Range(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)))


def _late(day: str, opened: str, why: str, *, usual: str = "13:30") -> KnownOutage:
    return _halted(f"{day}T{usual}", f"{day}T{opened}", f"the New York Stock Exchange opened late: {why}")


_BREAKER = "market-wide circuit breaker: all trading was halted for 15 minutes"

_OF_CALENDARS = {
    # To 2006: "Special Closings" of the New York Stock Exchange, as they are transcribed with their times in
    # rsheftel/pandas_market_calendars, calendars/nyse.py at 01442983d0cc. Shorter silences within a session are left
    # out. exchange_calendars opens these sessions at 09:30, and some stocks did trade earlier elsewhere.
    NEW_YORK: (
        _late("1995-12-18", "15:30", "a computer failed", usual="14:30"),
        _late("1996-01-08", "16:00", "a snow storm", usual="14:30"),
        # Two circuit breakers; the second one ended the session at 15:30.
        _halted("1997-10-27T19:35", "1997-10-27T20:06", "market-wide circuit breaker: trading was halted"),
        _halted("1997-10-27T20:30", "1997-10-27T21:00", "market-wide circuit breaker: trading ended at 15:30"),
        # Also CBS News, "Glitch Halts Trading On NYSE", 1998-10-26.
        _halted("1998-10-26T18:16", "1998-10-26T19:15", "the New York Stock Exchange was down: a switch failed"),
        # Also ABC News, "NYSE Resumes Trading After System Outage", 2001-06-08.
        _halted("2001-06-08T14:10", "2001-06-08T15:35", "the New York Stock Exchange was down after a software update"),
        _late("2001-09-17", "13:33", "silence for the dead of 11 September"),
        _late("2001-10-08", "13:31", "silence for the troops"),
        _late("2002-09-11", "16:00", "one year after 11 September"),
        _late("2003-03-20", "14:32", "silence for the troops", usual="14:30"),
        _late("2004-06-07", "13:32", "silence for Ronald Reagan"),
        _halted("2005-06-01T19:56", "2005-06-01T20:00", "the New York Stock Exchange ended at 15:56: systems failed"),
        _late("2006-12-27", "14:32", "silence for Gerald Ford", usual="14:30"),
        # One tape, one venue: consolidated bars of other stocks, and of other venues, go on. Nasdaq, Equity Trader
        # Alert 2013-77 (2013-08-23), and its status message of 12:14:03; NYSE's account at Finextra, July 2015.
        _halted("2013-08-22T16:14", "2013-08-22T19:25", "Nasdaq's tape was down: stocks listed there were halted"),
        _halted("2015-07-08T15:32", "2015-07-08T19:10", "the New York Stock Exchange was down"),
        # Level 1 at about 09:34, 09:35, 09:30 and 12:56 in New York, for 15 minutes, rounded outwards.
        _halted("2020-03-09T13:34", "2020-03-09T13:50", _BREAKER),
        _halted("2020-03-12T13:35", "2020-03-12T13:51", _BREAKER),
        _halted("2020-03-16T13:30", "2020-03-16T13:46", _BREAKER),
        _halted("2020-03-18T16:56", "2020-03-18T17:12", _BREAKER),
    ),
}

# Windows without candles in Binance's own archive: binance/binance-public-data, issues 169, 365 and 368. What came off
# the grid after 2018-02-09 10:00 is in quarantine.
_OF_FEEDS = {
    "binance": (
        _away("2017-09-06T16:00", "2017-09-06T23:00"),
        _away("2018-01-04T03:00", "2018-01-04T05:06"),
        _away("2018-02-08T00:28", "2018-02-09T10:00"),
        _away("2018-06-26T02:00", "2018-06-26T12:00"),
        _away("2018-07-04T00:22", "2018-07-04T08:00"),
        _away("2018-11-14T02:00", "2018-11-14T09:00"),
        _away("2019-03-12T02:00", "2019-03-12T08:00"),
        _away("2019-05-15T03:00", "2019-05-15T13:00"),
        _away("2020-02-19T11:35", "2020-02-19T17:30"),
        _away("2020-06-28T02:00", "2020-06-28T05:30"),
        _away("2020-11-30T06:00", "2020-11-30T07:00"),
        _away("2020-12-21T13:47", "2020-12-21T18:00"),
        _away("2021-02-11T03:40", "2021-02-11T05:00"),
        _away("2021-04-25T04:01", "2021-04-25T08:45"),
    ),
}
