"""
Who takes over what a provider cannot bring: only where the configuration names somebody, and never on another feed.

A provider that is down, out of quota or not entitled hands its run over. One that rejects its key does not: that is
for somebody to correct.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import Capabilities
from barfill.core.plan import Need, Slice, cut_slices, missing_ranges
from barfill.core.ranges import Range, Ranges
from barfill.engine.recovery import Piece
from barfill.errors import (
    BarfillError,
    DailyBudgetSpent,
    PlanTooSmall,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    TooRecent,
)
from barfill.store.runs import ClaimedRun, NewRun

_HANDED_OVER = (ProviderUnavailable, ProviderTimeout, RateLimited, DailyBudgetSpent, PlanTooSmall)
_A_MOMENT = timedelta(microseconds=1)
PASSING = (ProviderUnavailable, ProviderTimeout)
"""After these a provider is left alone for a while, where somebody can stand in for it."""


def is_handed_over(error: BarfillError) -> bool:
    """Whether somebody else may bring what failed so."""
    return isinstance(error, _HANDED_OVER) and not isinstance(error, TooRecent)


def stand_ins(claimed: ClaimedRun, fallbacks: Sequence[Capabilities]) -> Sequence[Capabilities]:
    """
    Who may take a run over: all of the list but who has it, in its order.

    Of a run that was handed over itself only those behind who has it, so that nothing is handed round in circles.
    """
    names = [one.provider for one in fallbacks]
    if claimed.is_restart and claimed.provider in names:
        return fallbacks[names.index(claimed.provider) + 1 :]
    return [one for one in fallbacks if one.provider != claimed.provider]


def fits(claimed: ClaimedRun, stand_in: Capabilities) -> bool:
    """Whether its bars can stand in one series with those of the run."""
    is_alike = (stand_in.feed, stand_in.basis(claimed.timeframe)) == (claimed.feed, claimed.basis)
    return is_alike and claimed.timeframe in stand_in.timeframes


def misfit_text(claimed: ClaimedRun, stand_in: Capabilities) -> str:
    """Why the bars of a fallback are not taken, and how to choose."""
    if claimed.timeframe not in stand_in.timeframes:
        return f"{stand_in.provider} could not take over: it has no {claimed.timeframe.label} bars."
    return (
        f"{stand_in.provider} could not take over: its bars are feed '{stand_in.feed}', "
        f"{stand_in.basis(claimed.timeframe)} prices, those of {claimed.provider} feed '{claimed.feed}', "
        f"{claimed.basis} prices, and one series never mixes the two."
    )


def taken_over(
    claimed: ClaimedRun, rest: Iterable[Piece], stand_in: Capabilities, calendar: TradingCalendar, now: datetime
) -> list[NewRun]:
    """
    The runs in which *stand_in* brings what is left of a run, as far as it has it.

    What it does not have yet, or no longer, stays as it is: the next look asks whoever should have brought it.
    """
    id_of = dict(zip(claimed.symbols, claimed.symbol_ids, strict=True))
    horizon = calendar.closed_until(claimed.timeframe, now, stand_in.delay_of(claimed.timeframe))
    oldest = stand_in.history_start_at(now, claimed.timeframe)
    needs: list[Need] = []
    for piece in rest:
        reached = piece.range if oldest is None else piece.range & Range(oldest, max(horizon, oldest + _A_MOMENT))
        if reached is None:
            continue
        wanted = missing_ranges(Ranges([reached]), Ranges(), calendar, claimed.timeframe, horizon)
        needs.extend(Need(id_of[ticker], ticker, claimed.timeframe, wanted) for ticker in piece.symbols)
    return [_run_of(claimed, one) for one in cut_slices(needs, stand_in, calendar)]


def _run_of(claimed: ClaimedRun, one: Slice) -> NewRun:
    return NewRun(
        symbols=tuple(ticker for _, ticker in one.symbols),
        symbol_ids=tuple(symbol_id for symbol_id, _ in one.symbols),
        timeframe=one.timeframe,
        range=one.range,
        provider=one.capabilities.provider,
        feed=one.capabilities.feed,
        basis=one.capabilities.basis(one.timeframe),
        job_type=claimed.job_type,
        triggered_by=claimed.triggered_by,
        priority=claimed.priority,
        is_restart=True,
        calendar_version=one.calendar_version,
    )
