"""What a page says, and what was known before it, as the evidence by which absent bars are judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.gaps import Evidence, SymbolRanges
from barfill.core.judged import BlockedSlots
from barfill.core.proof import ChainState, Proof
from barfill.core.ranges import to_us
from barfill.engine.run import Carried, RunInHand

SETTLED_AFTER = timedelta(hours=1)
"""Two answers without a row are believed when they lie so far apart (S1): vendors are empty for minutes under load."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The keys of the bars for which rows came, sorted; symbols numbered as in the query."""

    symbol: NDArray[np.int32]
    ts: NDArray[np.int64]


def answered_by(run: RunInHand, rows: BarColumns) -> Answered:
    """The accepted rows, and those of the open symbol that earlier pages brought and did not prove."""
    position = run.open_position
    if position is None or len(run.carried.ts) == 0:
        return Answered(rows.symbol, rows.ts)
    starts = np.setdiff1d(run.carried.ts, rows.ts[rows.symbol == position])
    symbol = np.concatenate((rows.symbol, np.full(len(starts), position, np.int32)))
    ts = np.concatenate((rows.ts, starts))
    order = np.lexsort((ts, symbol))
    return Answered(symbol[order], ts[order])


def evidence_of(run: RunInHand, proof: Proof, answered: Answered, blocked: BlockedSlots) -> Evidence:
    """The evidence of a page that proves *proof*, holds *answered* and keeps *blocked* out."""
    return Evidence(
        proven=SymbolRanges.of(proof.proved, {ticker: position for position, ticker in enumerate(run.query.symbols)}),
        symbol=answered.symbol,
        ts=answered.ts,
        blocked=blocked,
        density=np.array([facts.density for facts in run.facts]),
        has_older=_has_older(run),
    )


def blocked_by(run: RunInHand, blocked: BlockedSlots, rows: BarColumns, now: datetime) -> BlockedSlots:
    """
    *blocked* and the bars whose rows broke a rule, on an earlier page or lately, and that this page lacks.

    A row came, so there is a bar: silence about it in the next answer is not taken for a bar without a trade
    before it has lasted for an hour.
    """
    symbols, starts = [blocked.symbol], [blocked.start]

    def add(position: int, bars: NDArray[np.int64]) -> None:
        seen = np.concatenate((rows.ts[rows.symbol == position], blocked.of(position)))
        bars = bars[~np.isin(bars, seen)]
        symbols.append(np.full(len(bars), position, np.int32))
        starts.append(bars)

    if run.open_position is not None and len(run.carried.blocked):
        add(run.open_position, run.carried.blocked)
    for position, facts in enumerate(run.facts):
        for known in facts.quarantined:
            if known.first_seen_at is not None and known.first_seen_at > now - SETTLED_AFTER:
                add(position, run.calendar.expected_starts(run.query.timeframe, known.range))
    return blocked if len(starts) == 1 else _united(symbols, starts, blocked)


def carried_on(run: RunInHand, state: ChainState, answered: Answered, blocked: BlockedSlots) -> Carried:
    """What the chain has brought of its open symbol beyond what it has proved, once it has come to *state*."""
    if state.open_symbol is None:
        return Carried()
    position = run.query.symbols.index(state.open_symbol)
    until = to_us(state.open_until or run.query.range.start)
    ts, starts = answered.ts[answered.symbol == position], blocked.of(position)
    return Carried(ts[ts >= until], starts[starts >= until])


def _united(symbols: list[NDArray[np.int32]], starts: list[NDArray[np.int64]], first: BlockedSlots) -> BlockedSlots:
    """All slots sorted, no two alike; those that *first* holds keep its mark, all others are quarantined."""
    symbol, start = np.concatenate(symbols), np.concatenate(starts)
    is_held = np.zeros(len(start), np.bool_)
    is_held[: len(first)] = first.is_held
    order = np.lexsort((start, symbol))
    symbol, start, is_held = symbol[order], start[order], is_held[order]
    is_first = np.concatenate(([True], (np.diff(symbol) != 0) | (np.diff(start) != 0)))[: len(start)]
    return BlockedSlots(symbol[is_first], start[is_first], is_held[is_first], first.unplaced)


def _has_older(run: RunInHand) -> NDArray[np.bool_]:
    """By symbol, whether anything before what is proved next is stored or was seen."""
    start, seen = run.query.range.start, run.state.seen
    return np.array(
        [
            ticker in seen or (facts.oldest is not None and facts.oldest < start)
            for ticker, facts in zip(run.query.symbols, run.facts, strict=True)
        ]
    )
