"""
Which series a change of tickers belongs to, and which series take a new ticker by it (D28).

A list of changes names tickers, and a ticker may have been another company's: META became METV in January 2022, and FB
became META in June. What is known of later changes therefore decides what an earlier one means: the newest go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from barfill.core.corporate import TickerChange
from barfill.core.tenures import Renamed, Tenures

_ONE_DAY = timedelta(days=1)


@dataclass(slots=True)
class MatchedChanges:
    """
    Attributes:
        changes: Each with the series that it is of.
        twins: Changes whose old and new ticker are two series on record: of which nobody can say that they are one.
    """

    changes: list[tuple[int, TickerChange]] = field(default_factory=list)
    twins: list[TickerChange] = field(default_factory=list)


def match_changes(
    tickers: Mapping[int, str],
    known: Iterable[Renamed],
    changes: Iterable[TickerChange],
    *,
    today: date,
    is_same: Callable[[int, date], bool],
) -> MatchedChanges:
    """
    The changes that are of series on record; others are left out.

    Args:
        tickers: Today's, by the id of the series.
        known: Changes on record.
        is_same: Whether a series can be the company that gave its ticker up on a day; one that a provider has offered
            under that ticker later cannot.
    """
    found = MatchedChanges()
    named, renames = dict(tickers), list(known)
    bearers = {ticker: symbol_id for symbol_id, ticker in tickers.items()}
    left = sorted(set(changes), key=lambda one: (one.on, one.ticker), reverse=True)
    tenures = Tenures(named, renames)
    is_news = True
    while is_news:  # a change may make known of whom an older or a newer one speaks
        is_news = False
        for change in tuple(left):
            former = tenures.holder(change.ticker, change.on - _ONE_DAY)
            if former is not None and not is_same(former, change.on):
                former = None
            symbol_id = tenures.holder(change.new_ticker, change.on)
            if symbol_id is None and former is not None and named[former] == change.ticker:
                symbol_id = former
            if symbol_id is None:
                continue
            if former == symbol_id:  # the change is known: whoever has the ticker today has it since then
                former = _successor(tenures, bearers.get(change.ticker), symbol_id)
                former = former if former is not None and is_same(former, change.on) else None
            if former not in (None, symbol_id):
                found.twins.append(change)
            left.remove(change)
            found.changes.append((symbol_id, change))
            if named[symbol_id] == change.ticker and change.on <= today:
                named[symbol_id] = change.new_ticker
            renames.append(Renamed(change.on, symbol_id, change.ticker, change.new_ticker))
            tenures = Tenures(named, renames)
            is_news = True
    return found


def _successor(tenures: Tenures, bearer: int | None, former: int) -> int | None:
    """The series that bears a ticker today, if it has it since *former* gave it up."""
    taken_from = tenures.taken_from(bearer) if bearer is not None else None
    return bearer if taken_from is not None and taken_from.symbol_id == former else None
