"""
What a claimed run still has to do, and the runs in which that goes on: in pieces, or under other tickers.

A run names its symbols by id and by ticker. The ids count: who has renamed a symbol meant the same series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from barfill.core.page import BarsQuery
from barfill.core.proof import ChainState
from barfill.core.ranges import Range, Ranges
from barfill.core.tenures import Tenures
from barfill.engine.foreign_days import whose_it_was
from barfill.engine.recovery import Piece, remaining
from barfill.errors import SymbolNotFound
from barfill.store.runs import ClaimedRun, NewRun
from barfill.store.symbols import Symbol


def query_of(claimed: ClaimedRun) -> BarsQuery:
    """What a run asks for."""
    return BarsQuery(claimed.symbols, claimed.timeframe, claimed.range, claimed.feed, claimed.basis)


def state_of(claimed: ClaimedRun) -> ChainState:
    """How far a run's chain has come."""
    ticker_of = dict(zip(claimed.symbol_ids, claimed.symbols, strict=True))
    open_symbol = ticker_of.get(claimed.open_symbol_id) if claimed.open_symbol_id is not None else None
    seen = frozenset(ticker_of[symbol_id] for symbol_id in claimed.seen_symbol_ids)
    return ChainState(open_symbol, claimed.open_until, seen)


def changed_symbols(claimed: ClaimedRun, on_record: Mapping[int, Symbol]) -> SymbolNotFound | None:
    """What has become of symbols since the run was made: renamed, or removed from the table."""
    told = [
        f"Symbol {ticker!r} is {on_record[one].ticker!r} now." if one in on_record else f"Symbol {ticker!r} is gone."
        for ticker, one in zip(claimed.symbols, claimed.symbol_ids, strict=True)
        if one not in on_record or on_record[one].ticker != ticker
    ]
    return SymbolNotFound(" ".join([*told, "The run goes on with the symbols on record."])) if told else None


@dataclass(frozen=True, slots=True)
class Cut:
    """
    How a run goes on at a provider that knows tickers and not companies.

    Attributes:
        pieces: Each asks for its symbols under the tickers of its time.
        foreign: By symbol id, parts of the range in which the symbol's ticker was another company's: nobody asks.
    """

    pieces: list[NewRun]
    foreign: Mapping[int, Ranges]


def cut_at_changes(claimed: ClaimedRun, tenures: Tenures) -> Cut | None:
    """
    How a run goes on where a symbol changed or took its ticker within the range; None where it goes on as it is.

    A provider that knows tickers and not companies is asked for each stretch under the ticker of its time.
    """
    had = {symbol_id: tenures.tickers_over(symbol_id, claimed.range) for symbol_id in claimed.symbol_ids}
    starts = {part.start for parts in had.values() for _, part in parts if part.start > claimed.range.start}
    if not starts and all(had.values()):
        return None
    edges = [claimed.range.start, *sorted(starts), claimed.range.end]
    parts = [Range(start, end) for start, end in pairwise(edges)]
    id_of = dict(zip(claimed.symbols, claimed.symbol_ids, strict=True))
    cut: list[NewRun] = []
    foreign: dict[int, Ranges] = {}
    for piece in remaining(query_of(claimed), state_of(claimed)):
        for inside in (one for part in reversed(parts) if (one := part & piece.range) is not None):
            own = tuple(ticker for ticker in piece.symbols if tenures.tickers_over(id_of[ticker], inside))
            for symbol_id in (id_of[ticker] for ticker in piece.symbols if ticker not in own):
                foreign[symbol_id] = foreign.get(symbol_id, Ranges()) | inside
            if own:
                cut.append(going_on(claimed, Piece(own, inside), is_restart=claimed.is_restart))
    return Cut(cut, foreign)


def changed_tickers(claimed: ClaimedRun, cut: Cut, tenures: Tenures) -> SymbolNotFound:
    """Why a run goes on in such pieces."""
    whose = [f"{whose_it_was(tenures, one)}: not asked for before." for one in sorted(cut.foreign)]
    other = f"A symbol of {query_of(claimed)} had another ticker in a part of the range. The run goes on in pieces."
    return SymbolNotFound(" ".join(whose) or other)


def former_tickers(claimed: ClaimedRun, tenures: Tenures) -> tuple[tuple[str, str], ...]:
    """The symbols of a run that had another ticker in its range, each with that."""
    had = (
        (ticker, tenures.tickers_over(symbol_id, claimed.range))
        for ticker, symbol_id in zip(claimed.symbols, claimed.symbol_ids, strict=True)
    )
    return tuple((ticker, parts[0][0]) for ticker, parts in had if parts and parts[0][0] != ticker)


def going_on(claimed: ClaimedRun, piece: Piece, *, is_restart: bool) -> NewRun:
    """A run that fetches a part of what another was to fetch."""
    id_of = dict(zip(claimed.symbols, claimed.symbol_ids, strict=True))
    return NewRun(
        symbols=piece.symbols,
        symbol_ids=tuple(id_of[ticker] for ticker in piece.symbols),
        timeframe=claimed.timeframe,
        range=piece.range,
        provider=claimed.provider,
        feed=claimed.feed,
        basis=claimed.basis,
        is_live=claimed.is_live,
        is_reread=claimed.is_reread,
        job_type=claimed.job_type,
        triggered_by=claimed.triggered_by,
        priority=claimed.priority,
        is_restart=is_restart,
    )


def readdressed(claimed: ClaimedRun, on_record: Mapping[int, Symbol]) -> list[NewRun]:
    """The runs in which one goes on under the tickers that its symbols have now, without those that are gone."""
    runs = []
    for piece in remaining(query_of(claimed), state_of(claimed)):
        run = going_on(claimed, piece, is_restart=claimed.is_restart)
        kept = sorted((on_record[one].ticker, one) for one in run.symbol_ids if one in on_record)
        if kept:
            tickers, ids = zip(*kept, strict=True)
            runs.append(replace(run, symbols=tickers, symbol_ids=ids))
    return runs
