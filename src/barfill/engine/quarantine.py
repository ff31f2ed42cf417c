"""
What a person makes of quarantined rows: accepts them, rejects them, or takes either back.

Rows of one series are decided on together, in one transaction; those of several series in several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from barfill.core.accepting import Acceptable, acceptable, slot_of
from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import QuarantinedNotFound
from barfill.store.database import Database
from barfill.store.quarantine import (
    Quarantined,
    QuarantineFilter,
    Ruled,
    Ruling,
    accept_rows,
    list_quarantined,
    reject_rows,
    reject_unplaced,
    undo_decision,
)
from barfill.store.symbols import Symbol, find_by_ids

NAMED_MAX = 5


@dataclass(slots=True)
class Decided:
    """
    Attributes:
        done: Ids of the rows that were decided on.
        left: Why the others were not, by id.
        told: Of what was undone, what follows, by id.
    """

    done: list[int] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)

    def add(self, ruled: Ruled) -> None:
        """Counts what became of the rows of one series."""
        self.done.extend(ruled.done)
        self.left.update(ruled.left)


def find_rows(database: Database, ids: Sequence[int]) -> list[Quarantined]:
    """
    The rows with these ids, in that order.

    Raises:
        QuarantinedNotFound: There is none with one of them.
    """
    found = {row.id: row for row in database.run(list_quarantined, QuarantineFilter(ids=tuple(ids)))}
    absent = [str(one) for one in ids if one not in found]
    if absent:
        more = f" and {len(absent) - NAMED_MAX} others" if len(absent) > NAMED_MAX else ""
        raise QuarantinedNotFound(
            f"There is no quarantined row {', '.join(absent[:NAMED_MAX])}{more}. See: barfill quarantine list"
        )
    return [found[one] for one in dict.fromkeys(ids)]


def accept(database: Database, rows: Sequence[Quarantined], *, who: str, note: str = "") -> Decided:
    """
    Puts *rows* into their series, as far as they can stand there.

    Args:
        who: Whose word it is.
    """
    desk, decided = _Desk(database, who, note), Decided()
    for row in rows:
        if row.state in ("accepted", "rejected"):
            decided.left[row.id] = f"{row.decided_by} has {row.state} it already; undo that first"
    undecided = [row for row in rows if row.id not in decided.left]
    for symbol, timeframe, of_series in desk.by_series(undecided):
        if symbol is None:
            decided.left |= {row.id: "nobody can tell of which series it is" for row in of_series}
            continue
        pairs, why_not = _chosen(of_series, timeframe, desk.calendar(symbol), desk.now)
        taken = _taken(database, symbol, timeframe, pairs)
        why_not |= taken
        pairs = [pair for pair in pairs if pair[0].id not in taken]
        decided.left |= why_not
        if pairs:
            ruling = desk.ruling(symbol, timeframe)
            decided.add(database.run(accept_rows, ruling, pairs))
    return decided


def reject(database: Database, rows: Sequence[Quarantined], *, who: str, note: str = "") -> Decided:
    """Keeps *rows* out for good; their bars are not asked for again where no other row of them is undecided."""
    desk, decided = _Desk(database, who, note), Decided()
    for row in rows:
        if row.state in ("accepted", "rejected"):
            decided.left[row.id] = f"{row.decided_by} has {row.state} it already; undo that first"
    undecided = [row for row in rows if row.id not in decided.left]
    for symbol, timeframe, of_series in desk.by_series(undecided):
        if symbol is None:
            ids = [row.id for row in of_series]
            decided.add(database.run(reject_unplaced, ids, who=who, note=note))
            continue
        calendar = desk.calendar(symbol)
        pairs = [(row, _slot(row, calendar)) for row in of_series]
        ruling = desk.ruling(symbol, timeframe)
        decided.add(database.run(reject_rows, ruling, pairs))
    return decided


def undo(database: Database, rows: Sequence[Quarantined], *, who: str) -> Decided:
    """Takes back what was decided about *rows*, and what that has done."""
    desk, decided = _Desk(database, who, ""), Decided()
    for row in rows:
        if row.state not in ("accepted", "rejected"):
            decided.left[row.id] = "nothing stands about it that could be undone"
            continue
        symbol = desk.symbol(row)
        ruling, slot, bar = None, None, None
        if symbol is not None:
            calendar = desk.calendar(symbol)
            slot = _slot(row, calendar)
            found = acceptable(row.rule, row.raw, row.ts, row.timeframe, calendar, desk.now)
            bar = found.bar if isinstance(found, Acceptable) else None
            ruling = desk.ruling(symbol, row.timeframe)
        told = database.run(undo_decision, row.id, who=who, ruling=ruling, slot=slot, bar=bar)
        decided.done.append(row.id)
        decided.told[row.id] = told
    return decided


class _Desk:
    """What is needed of the ledger for one word of a person."""

    def __init__(self, database: Database, who: str, note: str) -> None:
        self._database = database
        self._who = who
        self._note = note
        self._symbols: dict[int, Symbol] = {}
        self.now = database.now()

    def symbol(self, row: Quarantined) -> Symbol | None:
        """Whose row it is; None where nobody can tell, or the symbol was removed."""
        if row.symbol_id is not None and row.symbol_id not in self._symbols:
            self._symbols |= self._database.run(find_by_ids, [row.symbol_id])
        return None if row.symbol_id is None else self._symbols.get(row.symbol_id)

    def by_series(
        self, rows: Sequence[Quarantined]
    ) -> Iterable[tuple[Symbol | None, Timeframe, Sequence[Quarantined]]]:
        """The rows of each series, by their stamps."""
        ids = sorted({row.symbol_id for row in rows if row.symbol_id is not None})
        self._symbols |= self._database.run(find_by_ids, ids) if ids else {}

        def key(row: Quarantined) -> tuple[int, int]:
            return (row.symbol_id if self.symbol(row) is not None else None) or 0, list(Timeframe).index(row.timeframe)

        for (symbol_id, _), group in groupby(sorted(rows, key=key), key=key):
            of_series = list(group)
            yield self._symbols.get(symbol_id), of_series[0].timeframe, of_series

    def calendar(self, symbol: Symbol) -> TradingCalendar:
        """By which its bars are expected."""
        return trading_calendar(symbol.calendar, self.now.year + 1)

    def ruling(self, symbol: Symbol, timeframe: Timeframe) -> Ruling:
        """The word about bars of a series."""
        calendar = self.calendar(symbol)
        return Ruling(
            symbol_id=symbol.id,
            timeframe=timeframe,
            who=self._who,
            note=self._note,
            expected=lambda _symbol_id, one: calendar.expected_starts(timeframe, one),
            calendar_version=calendar.version,
        )


def _chosen(
    rows: Sequence[Quarantined], timeframe: Timeframe, calendar: TradingCalendar, now: datetime
) -> tuple[list[tuple[Quarantined, Acceptable]], dict[int, str]]:
    """The rows that can stand in the series, one of each bar, by their stamps; and why the others cannot."""
    pairs: list[tuple[Quarantined, Acceptable]] = []
    left: dict[int, str] = {}
    for row in rows:
        found = acceptable(row.rule, row.raw, row.ts, timeframe, calendar, now)
        if isinstance(found, Acceptable):
            pairs.append((row, found))
        else:
            left[row.id] = found
    pairs.sort(key=lambda pair: pair[1].slot)
    for _, group in groupby(list(pairs), key=lambda pair: pair[1].slot):
        twins = [row.id for row, _ in group]
        if len(twins) > 1:
            text = f"rows {', '.join(map(str, twins))} are of one bar: accept one of them"
            left |= dict.fromkeys(twins, text)
    return [pair for pair in pairs if pair[0].id not in left], left


def _taken(
    database: Database, symbol: Symbol, timeframe: Timeframe, pairs: Sequence[tuple[Quarantined, Acceptable]]
) -> dict[int, str]:
    """Rows whose bar another row has by a person's word."""
    if not pairs:
        return {}
    wanted = QuarantineFilter(
        symbol_ids=(symbol.id,),
        timeframes=(timeframe,),
        states=("accepted",),
        start=pairs[0][1].slot.start,
        end=pairs[-1][1].slot.end,
    )
    accepted = {row.ts: row for row in database.run(list_quarantined, wanted)}
    return {
        row.id: f"row {accepted[one.slot.start].id} of the same bar was accepted; undo that first"
        for row, one in pairs
        if one.slot.start in accepted
    }


def _slot(row: Quarantined, calendar: TradingCalendar) -> Range | None:
    return None if row.ts is None else slot_of(row.ts, row.timeframe, calendar)
