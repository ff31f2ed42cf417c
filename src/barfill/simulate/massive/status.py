"""
The state of the market: now, and the closed and short days to come. There is no history of the calendar.
"""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from barfill.simulate.market.sessions import NEW_YORK, from_ns, xnys

_EXCHANGES = ("NYSE", "NASDAQ")
_AHEAD = timedelta(days=365)
_SATURDAY = 5
#: What a weekday without a session, or one cut short, is called; of January the later one is another day.
_HOLIDAYS = {
    2: "Washington's Birthday", 3: "Good Friday", 4: "Good Friday", 5: "Memorial Day", 6: "Juneteenth",
    7: "Independence Day", 9: "Labor Day", 11: "Thanksgiving", 12: "Christmas",
}  # fmt: skip
_NEW_YEAR_UNTIL = 5


def market_now(now_ns: int) -> dict[str, Any]:
    """Whether the market is open, closed or in extended hours."""
    sessions = xnys()
    row = int(np.searchsorted(sessions.extended_close_ns, now_ns, side="right"))
    is_early = int(sessions.extended_open_ns[row]) <= now_ns < int(sessions.open_ns[row])
    is_late = int(sessions.close_ns[row]) <= now_ns < int(sessions.extended_close_ns[row])
    is_open = int(sessions.open_ns[row]) <= now_ns < int(sessions.close_ns[row])
    state = "open" if is_open else "extended-hours" if is_early or is_late else "closed"
    local = from_ns(now_ns).astimezone(NEW_YORK)
    return {
        "market": state,
        "earlyHours": is_early,
        "afterHours": is_late,
        "serverTime": local.isoformat(timespec="seconds"),
        "exchanges": {"nyse": state, "nasdaq": state, "otc": state},
        "currencies": {"fx": "closed" if local.weekday() >= _SATURDAY else "open", "crypto": "open"},
    }


def market_upcoming(today: date) -> list[dict[str, Any]]:
    """Holidays and short days of the year to come, a row for each exchange."""
    sessions = xnys()
    rows = []
    for ahead in range(1, _AHEAD.days):
        day = today + timedelta(days=ahead)
        row = sessions.first_on_or_after(day)
        known: dict[str, Any] = {"name": _name(day), "date": day.isoformat()}
        if sessions.days[row].astype(object) != day:
            if day.weekday() >= _SATURDAY:
                continue
            known |= {"status": "closed"}
        elif _local(sessions.close_ns[row]).hour < 16:  # noqa: PLR2004
            hours = {"open": _instant(sessions.open_ns[row]), "close": _instant(sessions.close_ns[row])}
            known |= {"status": "early-close", **hours}
        else:
            continue
        rows += [{"exchange": exchange, **known} for exchange in _EXCHANGES]
    return rows


def _name(day: date) -> str:
    if day.month == 1:
        return "New Years Day" if day.day <= _NEW_YEAR_UNTIL else "Martin Luther King, Jr. Day"
    return _HOLIDAYS.get(day.month, "Market Holiday")


def _local(at_ns: np.int64) -> datetime:
    return from_ns(int(at_ns)).astimezone(NEW_YORK)


def _instant(at_ns: np.int64) -> str:
    return from_ns(int(at_ns)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
