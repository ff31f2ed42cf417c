"""The eight timeframes and every spelling in which people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum

from barfill.errors import UnknownTimeframe


class Timeframe(Enum):
    """The interval of a bar; the value is the name under which it is stored."""

    M1 = "m1"
    M5 = "m5"
    M15 = "m15"
    M30 = "m30"
    H1 = "h1"
    H4 = "h4"
    D1 = "d1"
    W1 = "w1"

    @property
    def label(self) -> str:
        """The form printed for people: `1m`, `4h`, `1w`."""
        return self.value[1:] + self.value[0]

    @property
    def length(self) -> timedelta:
        """The nominal length; an intraday bar before the close may be shorter."""
        return _LENGTHS[self]

    @property
    def length_us(self) -> int:
        """The nominal length in microseconds."""
        return int(_LENGTHS[self].total_seconds()) * 1_000_000

    @property
    def is_intraday(self) -> bool:
        """Whether bars lie within a session, rather than hold one or several."""
        return self not in (Timeframe.D1, Timeframe.W1)

    def __str__(self) -> str:
        return self.value

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """
        Reads `m15`, `15m`, `15Min`, `1Hour`, `60min`, `1Day`, `daily` and the like.

        Raises:
            UnknownTimeframe: The text names none of the eight.
        """
        compact = text.strip().lower()
        if compact in _WORDS:
            return _WORDS[compact]
        match = _NUMBER_UNIT.fullmatch(compact) or _UNIT_NUMBER.fullmatch(compact)
        if match is not None:
            minutes = int(match["count"]) * _UNIT_MINUTES[match["unit"][0]]
            if minutes in _BY_MINUTES:
                return _BY_MINUTES[minutes]
        raise UnknownTimeframe(
            f"Timeframe {text!r} is unknown. Use one of {', '.join(one.label for one in cls)} "
            "(m15, 15Min, 1Hour and the like work too)."
        )


_LENGTHS = {
    Timeframe.M1: timedelta(minutes=1),
    Timeframe.M5: timedelta(minutes=5),
    Timeframe.M15: timedelta(minutes=15),
    Timeframe.M30: timedelta(minutes=30),
    Timeframe.H1: timedelta(hours=1),
    Timeframe.H4: timedelta(hours=4),
    Timeframe.D1: timedelta(days=1),
    Timeframe.W1: timedelta(days=7),
}
_BY_MINUTES = {int(length.total_seconds()) // 60: timeframe for timeframe, length in _LENGTHS.items()}
_WORDS = {"hourly": Timeframe.H1, "daily": Timeframe.D1, "weekly": Timeframe.W1}
_UNIT_MINUTES = {"m": 1, "t": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}
_UNIT = r"(?P<unit>m|min|mins|minute|minutes|t|h|hr|hour|hours|d|day|days|w|wk|week|weeks)"
_NUMBER_UNIT = re.compile(r"(?P<count>\d{1,4})\s?" + _UNIT, re.ASCII)
_UNIT_NUMBER = re.compile(_UNIT + r"(?P<count>\d{1,4})", re.ASCII)
