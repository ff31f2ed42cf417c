"""
What happens to a run's work when its chain fails: pure decisions, one table keyed by the class of the error.

A failure that only concerns a part of the batch (one bad symbol, a list or an answer too long, a start too old, an end
too recent, a token gone stale) splits the rest off into new slices; everything else ends the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from barfill.core.page import BarsQuery
from barfill.core.proof import ChainState
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import (
    AnswerTooLong,
    BadResponse,
    BarfillError,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooOld,
    TooRecent,
)

RESTARTED_ONCE = frozenset({"empty_pages", "out_of_range"})
"""Reasons of a BadResponse for which the rest of the chain is asked once more from its beginning."""
SHORTEST_HALVED = timedelta(days=2)
"""Of intraday bars; of days and weeks a year. What is called too long all the same will be so in any pieces."""
_YEAR = timedelta(days=366)


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
        refused: The symbol that the provider refuses and that fails alone, or None; the whole run where it is its only
            one.
        is_failure: Whether what is left of the run fails with the error.
    """

    pieces: tuple[Piece, ...] = ()
    refused: str | None = None
    is_failure: bool = False


def remaining(query: BarsQuery, state: ChainState) -> tuple[Piece, ...]:
    """What a chain that has come to *state* has not proved yet."""
    if state.open_symbol is None:
        start = max(query.range.start, state.open_until or query.range.start)
        return (Piece(query.symbols, Range(start, query.range.end)),) if start < query.range.end else ()
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
    if isinstance(error, AnswerTooLong):
        return _with_half_the_range(rest, query.timeframe)
    if isinstance(error, TooOld):
        return _from(rest, error.offered_from)
    if isinstance(error, TooRecent):
        return _up_to(rest, horizon, is_restart=is_restart)
    is_for_once = isinstance(error, StalePageToken) or (
        isinstance(error, BadResponse) and error.reason in RESTARTED_ONCE
    )
    return Recovery(rest) if is_for_once and not is_restart else Recovery(is_failure=True)


def _without(rest: Sequence[Piece], query: BarsQuery, symbol: str | None) -> Recovery:
    """The batch less its bad symbol; halved where the provider does not name it."""
    if len(query.symbols) == 1:
        return Recovery(refused=query.symbols[0], is_failure=True)
    if symbol is not None and symbol in query.symbols:
        return Recovery(_less(rest, symbol), refused=symbol)
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


def _up_to(rest: tuple[Piece, ...], horizon: datetime, *, is_restart: bool) -> Recovery:
    cut = tuple(before for before, _ in (_cut(piece, horizon) for piece in rest) if before is not None)
    is_worth_it = cut != rest or not is_restart
    return Recovery(cut) if cut and is_worth_it else Recovery(is_failure=True)


def _from(rest: tuple[Piece, ...], offered_from: datetime) -> Recovery:
    """What is offered goes on apart from what is not: that fails by itself, and is on record."""
    parts = [part for piece in rest for part in reversed(_cut(piece, offered_from)) if part is not None]
    return Recovery(tuple(parts)) if len(parts) > len(rest) else Recovery(is_failure=True)


def _cut(piece: Piece, at: datetime) -> tuple[Piece | None, Piece | None]:
    """What of *piece* lies before an instant, and what lies behind it."""
    start, end = piece.range.start, piece.range.end
    if not start < at < end:
        return (piece, None) if end <= at else (None, piece)
    return Piece(piece.symbols, Range(start, at)), Piece(piece.symbols, Range(at, end))


def _with_half_the_range(rest: Sequence[Piece], timeframe: Timeframe) -> Recovery:
    """Each piece in two halves that meet at 00:00 UTC, the newer first; a failure once they are too short to help."""
    shortest = SHORTEST_HALVED if timeframe.is_intraday else _YEAR
    if any(piece.range.length < shortest for piece in rest):
        return Recovery(is_failure=True)
    parts = [part for piece in rest for part in reversed(_cut(piece, _midnight_within(piece.range)))]
    return Recovery(tuple(part for part in parts if part is not None))


def _midnight_within(wanted: Range) -> datetime:
    return (wanted.start + wanted.length / 2).replace(hour=0, minute=0, second=0, microsecond=0)
