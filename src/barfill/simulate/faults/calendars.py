"""
Faults of market calendars: a day that the calendar package, as old as its release, knows otherwise.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from barfill.simulate.faults.catalogue import STOCK_VENDORS, Arg, Occasion, fault
from barfill.simulate.market.sessions import NEW_YORK, from_ns, xnys

Row = dict[str, Any]

_SHORT_CLOSE, _SHORT_EXTENDED_CLOSE = "13:00", "17:00"


@fault(
    "T07",
    "calendar",
    "the calendar has a closure or an early close that nobody had announced; bars go on as if it had not",
    vendors=STOCK_VENDORS,
    form=Arg("closed", "which", ("closed", "short")),
    days=Arg(7, "of which session: the first one that is so many days ahead"),
)
def unscheduled(occasion: Occasion, document: Any) -> Any:
    day = _day(occasion)
    spoiled = _WRITERS[occasion.dialect.name](document, day, is_short=occasion.args["form"] == "short")
    if spoiled is None:
        occasion.decline()
        return document
    return spoiled


def _day(occasion: Occasion) -> date:
    today = from_ns(occasion.lab.now_ns()).astimezone(NEW_YORK).date()
    sessions = xnys()
    found: date = sessions.days[sessions.first_on_or_after(today + timedelta(days=occasion.args["days"]))].astype(
        object
    )
    return found


def _alpaca(rows: list[Row], day: date, *, is_short: bool) -> list[Row] | None:
    if day.isoformat() not in _dates(rows):
        return None
    short = {"close": _SHORT_CLOSE, "session_close": _SHORT_EXTENDED_CLOSE.replace(":", "")}
    return [
        row if row["date"] != day.isoformat() else {**row, **short}
        for row in rows
        if is_short or row["date"] != day.isoformat()
    ]


def _massive(rows: list[Row], day: date, *, is_short: bool) -> list[Row] | None:
    known = {"name": "Day of Mourning", "date": day.isoformat(), "status": "early-close" if is_short else "closed"}
    if is_short:
        hours = {"open": "09:30", "close": _SHORT_CLOSE}
        known |= {edge: _instant(day, text) for edge, text in hours.items()}
    others = [row for row in rows if row["date"] != day.isoformat()]
    return sorted([*others, *({"exchange": one, **known} for one in ("NYSE", "NASDAQ"))], key=lambda row: row["date"])


def _tradier(document: Row, day: date, *, is_short: bool) -> Row | None:
    calendar = document["calendar"]
    rows: list[Row] = calendar["days"]["day"]
    if day.isoformat() not in _dates(rows):
        return None
    closed = {"date": day.isoformat(), "status": "closed", "description": "Market is closed"}
    short = {
        "open": {"start": "09:30", "end": _SHORT_CLOSE},
        "postmarket": {"start": _SHORT_CLOSE, "end": _SHORT_EXTENDED_CLOSE},
    }
    changed = [row if row["date"] != day.isoformat() else {**row, **short} if is_short else closed for row in rows]
    return {"calendar": {**calendar, "days": {"day": changed}}}


def _finnhub(document: Row, day: date, *, is_short: bool) -> Row:
    hours = f"09:30-{_SHORT_CLOSE}" if is_short else ""
    added = {"eventName": "National Day of Mourning", "atDate": day.isoformat(), "tradingHour": hours}
    others = [row for row in document["data"] if row["atDate"] != day.isoformat()]
    return {**document, "data": sorted([*others, added], key=lambda row: row["atDate"], reverse=True)}


_WRITERS: dict[str, Callable[..., Any]] = {
    "alpaca": _alpaca,
    "massive": _massive,
    "tradier": _tradier,
    "finnhub": _finnhub,
}


def _dates(rows: Iterable[Row]) -> set[str]:
    return {row["date"] for row in rows}


def _instant(day: date, time_of_day: str) -> str:
    local = datetime.fromisoformat(f"{day}T{time_of_day}").replace(tzinfo=NEW_YORK)
    return f"{local.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
