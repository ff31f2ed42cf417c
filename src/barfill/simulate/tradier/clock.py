"""
The state of the market and its calendar, a month at a time, in New York times.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from barfill.simulate.market.sessions import FIRST_DAY, LAST_DAY, NEW_YORK, SECOND_NS, from_ns, xnys
from barfill.simulate.tradier.refusals import invalid

_MONTHS = 12


def market_clock(now_ns: int) -> dict[str, Any]:
    """The state (premarket, open, postmarket, closed), and the next one with its time of day."""
    sessions = xnys()
    row = int(np.searchsorted(sessions.extended_close_ns, now_ns, side="right"))
    edges = (sessions.extended_open_ns, sessions.open_ns, sessions.close_ns, sessions.extended_close_ns)
    passed = sum(int(edge[row]) <= now_ns for edge in edges)
    states = ("closed", "premarket", "open", "postmarket")
    local = _local(now_ns)
    state, change = states[passed], _local(int(edges[passed][row]))
    return {
        "clock": {
            "date": local.date().isoformat(),
            "description": f"Market is {state}.",
            "next_change": f"{change:%H:%M}",
            "next_state": states[(passed + 1) % len(states)],
            "state": state,
            "timestamp": now_ns // SECOND_NS,
        }
    }


def market_calendar(params: Mapping[str, str], today: date) -> dict[str, Any]:
    """
    Every day of a month, by default of this one.

    Raises:
        Refusal: 400, there is no such month.
    """
    month = _whole(params, "month", today.month, range(1, _MONTHS + 1))
    year = _whole(params, "year", today.year, range(FIRST_DAY.year, LAST_DAY.year + 1))
    first = date(year, month, 1)
    days = (first + timedelta(days=number) for number in range(31))
    return {
        "calendar": {"month": month, "year": year, "days": {"day": [_day(day) for day in days if day.month == month]}}
    }


def _day(day: date) -> dict[str, Any]:
    sessions = xnys()
    row = sessions.first_on_or_after(day)
    if row == len(sessions) or sessions.days[row].astype(object) != day:
        return {"date": day.isoformat(), "status": "closed", "description": "Market is closed"}
    edges = (sessions.extended_open_ns, sessions.open_ns, sessions.close_ns, sessions.extended_close_ns)
    early, opens, closes, late = (f"{_local(int(edge[row])):%H:%M}" for edge in edges)
    return {
        "date": day.isoformat(),
        "status": "open",
        "description": "Market is open",
        "premarket": {"start": early, "end": opens},
        "open": {"start": opens, "end": closes},
        "postmarket": {"start": closes, "end": late},
    }


def _whole(params: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = params.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) in allowed):
        raise invalid(name, f"must be a number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _local(at_ns: int) -> datetime:
    return from_ns(at_ns).astimezone(NEW_YORK)
