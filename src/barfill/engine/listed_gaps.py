"""Gaps as they are listed, on the command line and by the HTTP API: chosen, in order, counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, get_args

from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.gaps import ListedGap, list_gaps
from barfill.store.status import count_gaps
from barfill.store.writes import OPEN_KINDS, GapKind

KINDS: tuple[GapKind, ...] = get_args(GapKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class GapChoice:
    """
    Which gaps are meant.

    Attributes:
        symbol_ids: None for all symbols.
        kinds, ids: Empty for all.
        with_settled: Settled ones too, which those of named kinds or ids always are.
        limit: So many, the first by symbol, timeframe and time.
    """

    symbol_ids: Sequence[int] | None = None
    timeframes: tuple[Timeframe, ...] = tuple(Timeframe)
    kinds: tuple[GapKind, ...] = ()
    ids: tuple[int, ...] = ()
    with_settled: bool = False
    limit: int = 1_000_000

    @property
    def is_settled(self) -> bool | None:
        """None where settled ones are meant as well."""
        return None if self.with_settled or self.kinds or self.ids else False


def list_chosen(database: Database, choice: GapChoice) -> list[ListedGap]:
    """The gaps that are meant, by symbol, timeframe and time."""
    # One timeframe at a time: their names do not sort as their lengths do, and the limit must cut the last ones.
    parts = [
        database.run(
            list_gaps,
            symbol_ids=choice.symbol_ids,
            timeframes=[one],
            kinds=choice.kinds or None,
            is_settled=choice.is_settled,
            ids=choice.ids or None,
            limit=choice.limit,
        )
        for one in choice.timeframes
    ]
    return sorted(chain.from_iterable(parts), key=_place)[: choice.limit]


def counts_by_kind(database: Database, choice: GapChoice) -> dict[str, dict[str, int]]:
    """By kind how many `gaps` and `bars`, and how many of them are open, of the meant symbols and timeframes."""
    sums: dict[str, Counter[str]] = {}
    for (_, timeframe, kind), count in database.run(count_gaps, choice.symbol_ids).items():
        if timeframe not in choice.timeframes:
            continue
        total = sums.setdefault(kind, Counter())
        is_open = kind in OPEN_KINDS
        total["gaps"] += count.gaps
        total["bars"] += count.bars
        total["open_gaps"] += count.gaps - count.settled_gaps if is_open else 0
        total["open_bars"] += count.bars - count.settled_bars if is_open else 0
    return {kind: dict(sums[kind]) for kind in KINDS if kind in sums}


def gap_to_json(one: ListedGap) -> dict[str, Any]:
    """A gap as plain values and instants."""
    gap = one.gap
    return {
        "id": gap.id,
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "gap_from": gap.range.start,
        "gap_to": gap.range.end,
        "expected_bars": gap.expected_bars,
        "kind": gap.kind,
        "attempts": gap.attempts,
        "first_seen_at": gap.first_seen_at,
        "last_checked_at": gap.last_checked_at,
        "next_check_at": gap.next_check_at,
        "settled_at": gap.settled_at,
        "settled_by": gap.settled_by,
        "reason": gap.reason,
    }


def _place(one: ListedGap) -> tuple[str, int, datetime]:
    return one.ticker, list(Timeframe).index(one.timeframe), one.gap.range.start
