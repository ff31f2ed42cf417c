"""What a page says, and what was known before it, as the evidence by which absent bars are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.gaps import Evidence, SymbolRanges
from barfill.core.judged import BlockedSlots
from barfill.core.proof import ChainState, Proof
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.engine.run import Carried, RunInHand, SilentGap

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """
    The bars for which rows came, sorted; symbols numbered as in the query.

    Attributes:
        trades: How many each holds; `NO_TRADE_COUNT` where that is not known.
    """

    symbol: NDArray[np.int32]
    ts: NDArray[np.int64]
    trades: NDArray[np.int64]

    def of(self, position: int) -> NDArray[np.int64]:
        """The starts of one symbol, shape (n,)."""
        first, end = np.searchsorted(self.symbol, [position, position + 1])
        return self.ts[first:end]


def is_repeated(silent: SilentGap, ts: NDArray[np.int64]) -> bool:
    """
    Whether an answer with rows at *ts*, ascending, is as silent as an earlier one was.

    One that brings a part of what the earlier one lacked contradicts it. What it lacks itself may be a cut of its own,
    and is known from one answer, not from two that agree.
    """
    first, end = np.searchsorted(ts, [to_us(silent.range.start), to_us(silent.range.end)])
    return bool(first == end)


def answered_by(run: RunInHand, rows: BarColumns) -> Answered:
    """The accepted rows, and those of the open symbol that earlier pages brought and did not prove."""
    position = run.open_position
    if position is None or len(run.carried.ts) == 0:
        return Answered(rows.symbol, rows.ts, rows.trade_count)
    starts = np.setdiff1d(run.carried.ts, rows.ts[rows.symbol == position])
    symbol = np.concatenate((rows.symbol, np.full(len(starts), position, np.int32)))
    ts = np.concatenate((rows.ts, starts))
    trades = np.concatenate((rows.trade_count, np.full(len(starts), NO_TRADE_COUNT)))
    order = np.lexsort((ts, symbol))
    return Answered(symbol[order], ts[order], trades[order])


def evidence_of(run: RunInHand, proof: Proof, answered: Answered, blocked: BlockedSlots, now: datetime) -> Evidence:
    """The evidence of a page that proves *proof*, holds *answered* and keeps *blocked* out."""
    index = {ticker: position for position, ticker in enumerate(run.query.symbols)}
    doubts = _doubts(run, proof, answered, blocked, index, now)
    return Evidence(
        proven=SymbolRanges.of(proof.proved, index),
        symbol=answered.symbol,
        ts=answered.ts,
        trades=answered.trades,
        blocked=blocked,
        doubted=SymbolRanges.of(doubts.ranges, index),
        is_lossy=doubts.is_lossy,
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
            if not known.has_lasted(now):
                add(position, run.calendar.expected_starts(run.query.timeframe, known.range))
    return blocked if len(starts) == 1 else _united(symbols, starts, blocked)


@dataclass(slots=True)
class _Doubts:
    """
    Reasons not to take silence for quiet.

    Attributes:
        ranges: By ticker, where.
        is_lossy: By symbol, whether rows may have been lost anywhere, not only at the end.
    """

    ranges: list[tuple[str, Range]]
    is_lossy: NDArray[np.bool_]


def _doubts(
    run: RunInHand, proof: Proof, answered: Answered, blocked: BlockedSlots, index: Mapping[str, int], now: datetime
) -> _Doubts:
    """
    Rows may have been lost before a page's first row of each symbol and behind the last row of the one with which the
    answer ends, in all of the symbols that it lacks, anywhere after a page that says so, and where an earlier answer
    was silent within the hour. Silence that has lasted for an hour, and that this answer repeats, is no longer doubted.
    """
    doubts = _Doubts([], np.zeros(len(run.query.symbols), np.bool_))
    for ticker, proved in proof.proved:
        position = index[ticker]
        gaps = run.facts[position].gaps
        lasting = Ranges(one.range for one in gaps if one.has_lasted(now) and is_repeated(one, answered.of(position)))
        lossy = Ranges([proved]) if run.may_lack_rows else Ranges(one.range for one in gaps if not one.has_lasted(now))
        lossy = (lossy & proved) - lasting
        is_last = proof.is_complete and (ticker == proof.state.open_symbol or ticker not in proof.state.seen)
        tail = _tail(proved, position, answered, blocked) if is_last else Ranges()
        edges = tail | _head(proved, position, answered, blocked)
        doubts.is_lossy[position] = bool(lossy)
        doubts.ranges.extend((ticker, one) for one in lossy | (edges - lasting))
    return doubts


def _tail(proved: Range, position: int, answered: Answered, blocked: BlockedSlots) -> Ranges:
    """*proved* from behind the last row of the symbol at *position*."""
    start = proved.start
    for symbol, ts in ((answered.symbol, answered.ts), (blocked.symbol, blocked.start)):
        after = int(np.searchsorted(symbol, position, side="right"))
        if after and symbol[after - 1] == position:
            start = max(start, from_us(int(ts[after - 1])) + _MICROSECOND)
    return Ranges([Range(start, proved.end)] if start < proved.end else [])


def _head(proved: Range, position: int, answered: Answered, blocked: BlockedSlots) -> Ranges:
    """*proved* up to the first row of the symbol at *position*; nothing where it has no row."""
    ends = []
    for symbol, ts in ((answered.symbol, answered.ts), (blocked.symbol, blocked.start)):
        at = int(np.searchsorted(symbol, position))
        if at < len(symbol) and symbol[at] == position:
            ends.append(from_us(int(ts[at])))
    end = min(ends, default=proved.start)
    return Ranges([Range(proved.start, end)] if proved.start < end else [])


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
