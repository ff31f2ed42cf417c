"""
What happens to a run's work when its chain fails: pure decisions, one table keyed by the class of the error.

A failure that only concerns a part of the batch (one bad symbol, a list too long, an end too recent, a token gone
stale) splits the rest off into new slices; everything else ends the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from barfill.core.page import BarsQuery
from barfill.core.proof import ChainState
from barfill.core.ranges import Range
from barfill.errors import (
    BadResponse,
    BarfillError,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooRecent,
)

RESTARTED_ONCE = frozenset({"empty_pages", "out_of_range"})
"""Reasons of a BadResponse for which the rest of the chain is asked once more from its beginning."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Symbols of which the same range is still to be fetched."""

    symbols: tuple[str, ...]
    range: Range


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    Attributes:
        pieces: What goes on in new runs.
        refused: The symbol that the provider refuses and that fails alone, or None.
        is_failure: Whether what is left of the run fails with the error.
    """

    pieces: tuple[Piece, ...] = ()
    refused: str | None = None
    is_failure: bool = False


def remaining(query: BarsQuery, state: ChainState) -> tuple[Piece, ...]:
    """What a chain that has come to *state* has not proved yet."""
    if state.open_symbol is None:
        return (Piece(query.symbols, query.range),)
    pieces = []
    open_from = state.open_until or query.range.start
    if open_from < query.range.end:
        pieces.append(Piece((state.open_symbol,), Range(open_from, query.range.end)))
    unseen = tuple(symbol for symbol in query.symbols if symbol not in state.seen)
    if unseen:
        pieces.append(Piece(unseen, query.range))
    return tuple(pieces)


def recover(
    query: BarsQuery, state: ChainState, error: BarfillError, *, horizon: datetime, is_restart: bool
) -> Recovery:
    """
    What to do after *error* ended the chain for *query* at *state*.

    Args:
        horizon: Where the range is cut when the provider calls its end too recent.
        is_restart: Whether this chain is itself a second try; then it is not restarted again.
    """
    rest = remaining(query, state)
    if isinstance(error, SymbolNotOffered):
        return _without(rest, query, error.symbol)
    if isinstance(error, RequestTooLong) and len(query.symbols) > 1:
        return Recovery(_halves(rest))
    if isinstance(error, TooRecent):
        cut = tuple(piece for piece in (_cut(piece, horizon) for piece in rest) if piece is not None)
        is_worth_it = cut != rest or not is_restart
        return Recovery(cut) if cut and is_worth_it else Recovery(is_failure=True)
    if isinstance(error, StalePageToken) and not is_restart:
        return Recovery(rest)
    if isinstance(error, BadResponse) and error.reason in RESTARTED_ONCE and not is_restart:
        return Recovery(rest)
    return Recovery(is_failure=True)


def _without(rest: Sequence[Piece], query: BarsQuery, symbol: str | None) -> Recovery:
    """The batch less its bad symbol; halved where the provider does not name it."""
    if symbol is not None and symbol in query.symbols:
        return Recovery(_less(rest, symbol), refused=symbol)
    if len(query.symbols) == 1:
        return Recovery(refused=query.symbols[0])
    return Recovery(_halves(rest))


def _less(rest: Sequence[Piece], symbol: str) -> tuple[Piece, ...]:
    kept = (Piece(tuple(one for one in piece.symbols if one != symbol), piece.range) for piece in rest)
    return tuple(piece for piece in kept if piece.symbols)


def _halves(rest: Sequence[Piece]) -> tuple[Piece, ...]:
    halves: list[Piece] = []
    for piece in rest:
        middle = -(-len(piece.symbols) // 2)
        halves.extend(Piece(part, piece.range) for part in (piece.symbols[:middle], piece.symbols[middle:]) if part)
    return tuple(halves)


def _cut(piece: Piece, horizon: datetime) -> Piece | None:
    if horizon <= piece.range.start:
        return None
    return Piece(piece.symbols, Range(piece.range.start, min(piece.range.end, horizon)))
