"""
When venues are down: no trade, and on most of them no candle.

Binance's windows up to 2021-04 are those in which the real one has no candles (faults_and_quality.md 4). All others
are made up, one a quarter for each venue, by rule:

| venue | down |
|---|---|
| binance | from 2021-05 on: the second Wednesday of February, May, August and November, 02:00 to 04:30 UTC |
| coinbaseexchange | the second Saturday of March, June, September and December, 13:00 to 15:00 UTC |
| kraken | the second Tuesday of January, April, July and October, 04:10 to 06:40 UTC |
| alpaca | the second Sunday of February, May, August and November, 09:00 to 10:00 UTC |
| massive | never: the tape of all venues goes on without one |
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from barfill.simulate.market.sessions import MINUTE_NS, Nanos, to_ns

_YEARS = range(2017, 2030)


@dataclass(frozen=True, slots=True)
class Quarterly:
    """A window each quarter: on the second *weekday* (0: Monday) of *first_month*, and every third month after it."""

    first_month: int
    weekday: int
    from_minute: int
    minutes: int
    since: date = date(2017, 1, 1)

    def windows(self) -> list[tuple[datetime, datetime]]:
        """All of them, half-open, the earliest first."""
        found = []
        for year in _YEARS:
            for month in range(self.first_month, 13, 3):
                eighth = date(year, month, 8)
                day = eighth + timedelta(days=(self.weekday - eighth.weekday()) % 7)
                start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=self.from_minute)
                if day >= self.since:
                    found.append((start, start + timedelta(minutes=self.minutes)))
        return found


_QUARTERLY = {
    "binance": Quarterly(2, 2, 120, 150, since=date(2021, 5, 1)),
    "coinbaseexchange": Quarterly(3, 5, 780, 120),
    "kraken": Quarterly(1, 1, 250, 150),
    "alpaca": Quarterly(2, 6, 540, 60),
}
_BINANCE_AS_IT_WAS = """
2017-09-06T16:00 2017-09-06T23:00|2018-01-04T03:00 2018-01-04T05:06|2018-02-08T00:28 2018-02-09T10:00
2018-06-26T02:00 2018-06-26T12:00|2018-07-04T00:22 2018-07-04T08:00|2018-11-14T02:00 2018-11-14T09:00
2019-03-12T02:00 2019-03-12T08:00|2019-05-15T03:00 2019-05-15T13:00|2020-02-19T11:35 2020-02-19T17:30
2020-06-28T02:00 2020-06-28T05:30|2020-11-30T06:00 2020-11-30T07:00|2020-12-21T13:47 2020-12-21T18:00
2021-02-11T03:40 2021-02-11T05:00|2021-04-25T04:01 2021-04-25T08:45
"""


@cache
def windows(venue: str) -> tuple[tuple[datetime, datetime], ...]:
    """The windows of a venue, half-open, in UTC, the earliest first."""
    found = _as_it_was() if venue == "binance" else []
    return (*found, *(_QUARTERLY[venue].windows() if venue in _QUARTERLY else ()))


def is_down(venue: str, starts_ns: Nanos, width_ns: int = MINUTE_NS) -> NDArray[np.bool_]:
    """Which of the intervals from *starts_ns* on lie wholly within a window; any shape."""
    first_ns, end_ns = _bounds(venue)
    if not first_ns.size:
        return np.zeros(starts_ns.shape, np.bool_)
    place = np.searchsorted(first_ns, starts_ns, side="right") - 1
    down: NDArray[np.bool_] = (place >= 0) & (starts_ns + width_ns <= end_ns[np.maximum(place, 0)])
    return down


@cache
def _bounds(venue: str) -> tuple[Nanos, Nanos]:
    bounds = [(to_ns(start), to_ns(end)) for start, end in windows(venue)]
    table = np.array(bounds, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _as_it_was() -> list[tuple[datetime, datetime]]:
    rows = [entry.split() for line in _BINANCE_AS_IT_WAS.strip().splitlines() for entry in line.split("|")]
    return [(datetime.fromisoformat(f"{start}+00:00"), datetime.fromisoformat(f"{end}+00:00")) for start, end in rows]
