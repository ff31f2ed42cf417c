"""
Days on which a symbol's ticker was another company's, at providers that know tickers and not companies (D28).

Nobody asks for them: the bars would be the other company's. They are on record as settled, and say whose ticker it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from barfill.core.calendar import trading_calendar
from barfill.core.plan import missing_ranges
from barfill.core.ranges import Ranges
from barfill.core.tenures import Tenures
from barfill.core.timeframe import Timeframe
from barfill.errors import SymbolNotFound
from barfill.store.database import Connection
from barfill.store.pages import settle_gaps
from barfill.store.series import read_series
from barfill.store.symbols import find_by_ids
from barfill.store.writes import GapRecord

CHECKED_AFTER = timedelta(days=7)
"""When it is looked at again whether they still are another's, as changes may be withdrawn: no call is made for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignDays:
    """
    Attributes:
        ranges: By symbol id, what is another company's at *provider*.
        tenures: Of these symbols, and of those that had their tickers before.
    """

    timeframe: Timeframe
    provider: str
    feed: str
    basis: str
    ranges: Mapping[int, Ranges]
    tenures: Tenures

    def settle(self, conn: Connection, now: datetime) -> None:
        """Puts what is not covered of these days on record as unavailable."""
        symbols = find_by_ids(conn, sorted(self.ranges))
        rows = read_series(conn, self.ranges, [self.timeframe])
        calendars = {one.id: trading_calendar(one.calendar, now.year + 1) for one in symbols.values()}
        gaps: list[GapRecord] = []
        for symbol_id, calendar in sorted(calendars.items()):
            row = rows.get((symbol_id, self.timeframe))
            covered = row.covered if row is not None else Ranges()
            left = missing_ranges(self.ranges[symbol_id], covered, calendar, self.timeframe, now)
            gaps += [
                GapRecord(
                    symbol_id=symbol_id,
                    range=one,
                    expected_bars=calendar.expected_count(self.timeframe, one),
                    kind="unavailable",
                    reason=f"{SymbolNotFound.code}: {self.provider}: {whose_it_was(self.tenures, symbol_id)}",
                    next_check_at=now + CHECKED_AFTER,
                    calendar_version=calendar.version,
                )
                for one in left
            ]
        settle_gaps(
            conn,
            self.timeframe,
            gaps,
            feed=self.feed,
            basis=self.basis,
            expected=lambda symbol_id, one: calendars[symbol_id].expected_starts(self.timeframe, one),
        )


def whose_it_was(tenures: Tenures, symbol_id: int) -> str:
    """Who had the symbol's ticker before it, and until when."""
    former = tenures.taken_from(symbol_id)
    if former is None:
        return "its ticker was another company's"
    name = tenures.ticker_of(former.symbol_id)
    return f"{former.ticker!r} was the ticker of {name!r} until {former.end}, and is this symbol's since then"
