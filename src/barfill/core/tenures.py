"""
Who bore which ticker when: a ticker is not a company (D28).

The series on record bear their tickers today; the changes of tickers tell which ones they bore before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from barfill.core.ranges import Range

SAME_CHANGE = timedelta(days=45)
"""Providers date one change by up to some weeks apart."""


@dataclass(frozen=True, slots=True, order=True)
class Renamed:
    """From the day *on* the series has the ticker *new* instead of *old*."""

    on: date
    symbol_id: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Tenure:
    """The series had *ticker* from the day *first* up to, not including, *end*."""

    symbol_id: int
    ticker: str
    first: date
    end: date


@dataclass(frozen=True, slots=True)
class Moved:
    """The days from *first* up to *end* of a series stand under *ticker* and not, as was thought, under another one."""

    symbol_id: int
    first: date
    end: date
    ticker: str | None
    """None: it had no ticker then, as another series had the one that it has taken since."""


class Tenures:
    """
    The tenures of all series. The last one of each has no end (`date.max`).

    The first one has no beginning (`date.min`), unless another series is known to have given that ticker up: then it
    begins on that day. A ticker that two companies had is each one's in its time.

    Args:
        tickers: Those of today, by the id of the series: of all that are on record, or of all with changes and those
            that are asked about.
        renames: In any order; those that lead nowhere from today's ticker backwards are left out, and of a change that
            providers date differently the earliest day counts.
    """

    def __init__(self, tickers: Mapping[int, str], renames: Iterable[Renamed]) -> None:
        by_symbol: dict[int, list[Renamed]] = {}
        for one in renames:
            by_symbol.setdefault(one.symbol_id, []).append(one)
        undated = {
            symbol_id: _tenures(symbol_id, ticker, by_symbol.get(symbol_id, ()))
            for symbol_id, ticker in tickers.items()
        }
        given_up: dict[str, list[Tenure]] = {}
        for tenures in undated.values():
            for tenure in tenures[:-1]:
                given_up.setdefault(tenure.ticker, []).append(tenure)
        self._taken_from: dict[int, Tenure] = {}
        self._by_symbol: dict[int, tuple[Tenure, ...]] = {}
        self._by_ticker: dict[str, list[Tenure]] = {}
        for symbol_id, (first, *others) in undated.items():
            former = _given_up_before(first, given_up.get(first.ticker, ()))
            if former is not None:
                self._taken_from[symbol_id] = former
                first = replace(first, first=former.end)  # noqa: PLW2901  the same tenure, dated
            self._by_symbol[symbol_id] = (first, *others)
            for tenure in self._by_symbol[symbol_id]:
                self._by_ticker.setdefault(tenure.ticker, []).append(tenure)

    def holder(self, ticker: str, on: date) -> int | None:
        """The series that had *ticker* on a day; None where none on record had it."""
        found = [one for one in self._by_ticker.get(ticker, ()) if one.first <= on < one.end]
        # Changes that contradict each other leave two: the one that took it later.
        return max(found, key=lambda one: one.first).symbol_id if found else None

    def taken_from(self, symbol_id: int) -> Tenure | None:
        """The tenure of another series that ended when the first one of this series began; None where none is known."""
        return self._taken_from.get(symbol_id)

    def bearer(self, ticker: str) -> int | None:
        """The series that has *ticker* today, else the one that had it last."""
        found = self._by_ticker.get(ticker, ())
        return max(found, key=lambda one: (one.end, one.first)).symbol_id if found else None

    def names_of(self, symbol_id: int, first: date, end: date) -> list[Tenure]:
        """The tickers that a series had from *first* up to *end*, the earliest first, each within these bounds."""
        return [
            Tenure(symbol_id, one.ticker, max(one.first, first), min(one.end, end))
            for one in self._by_symbol.get(symbol_id, ())
            if max(one.first, first) < min(one.end, end)
        ]

    def ticker_of(self, symbol_id: int) -> str:
        """Today's ticker of a series."""
        return self._by_symbol[symbol_id][-1].ticker

    def moved_since(self, earlier: Tenures) -> list[Moved]:
        """The days that stand under another ticker than by what was known *earlier*, by series and time."""
        moved: list[Moved] = []
        for symbol_id in sorted(self._by_symbol.keys() & earlier._by_symbol.keys()):
            now, then = self._by_symbol[symbol_id], earlier._by_symbol[symbol_id]
            if now == then:
                continue
            days = sorted({date.min, date.max, *(day for one in (*now, *then) for day in (one.first, one.end))})
            for first, end in pairwise(days):
                ticker, before = (
                    next((one.ticker for one in of if one.first <= first < one.end), None) for of in (now, then)
                )
                if ticker == before:
                    continue
                if moved and (moved[-1].symbol_id, moved[-1].end, moved[-1].ticker) == (symbol_id, first, ticker):
                    first = moved.pop().first  # noqa: PLW2901  one stretch with the one before it
                moved.append(Moved(symbol_id, first, end, ticker))
        return moved

    def tickers_over(self, symbol_id: int, wanted: Range) -> list[tuple[str, Range]]:
        """
        Under which tickers the bars of *wanted* stand at a provider that knows tickers, not companies (Massive).

        What lies before the series' first tenure is not in any part: the ticker was another one's, and so are the bars.
        Days change at 00:00 UTC, by which sessions are stamped: no regular session is cut.
        """
        first, end = wanted.start.date(), wanted.end.date() + timedelta(days=1)
        parts = ((one.ticker, wanted & _days(one)) for one in self.names_of(symbol_id, first, end))
        return [(ticker, part) for ticker, part in parts if part is not None]


def _tenures(symbol_id: int, ticker: str, renames: Iterable[Renamed]) -> tuple[Tenure, ...]:
    """From today's ticker backwards along the changes."""
    found: list[Tenure] = []
    end = date.max
    left = sorted(renames)
    while True:
        into = [one for one in left if one.new == ticker and one.on < end]
        if not into:
            return (Tenure(symbol_id, ticker, date.min, end), *reversed(found))
        newest = into[-1]
        change = next(one for one in into if one.old == newest.old and newest.on - one.on <= SAME_CHANGE)
        found.append(Tenure(symbol_id, ticker, change.on, end))
        ticker, end = change.old, change.on


def _given_up_before(first: Tenure, given_up: Iterable[Tenure]) -> Tenure | None:
    """The last tenure of other series that is known to have ended before this one did."""
    others = (one for one in given_up if one.symbol_id != first.symbol_id and one.end < first.end)
    return max(others, key=lambda one: one.end, default=None)


def _days(tenure: Tenure) -> Range:
    return Range(_midnight(tenure.first), _midnight(tenure.end))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
