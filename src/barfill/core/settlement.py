"""
What a run of bars is that two answers, an hour or more apart, did not have: quiet, a halt, or a hole at the provider.

No provider that barfill knows lists the halts of single symbols, so the rule goes by what surrounds the run. It
never invents a bar, and it is not the last word: what is settled here is read again, rarely, and fills if it comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from barfill.core.gaps import GapKind
from barfill.core.traded import Traded

LIQUID = 0.9
"""A symbol with fewer of its bars than this is quiet for long at times; one with more is not."""
BEYOND_CHANCE = 1e-12
"""A run that is less likely than this, were it but quiet, is none: not even in a symbol that is quiet at times."""
HALT_MIN = timedelta(minutes=5)
"""The shortest halt of a symbol: a trading pause lasts for five minutes."""
PEERS_PRESENT_MIN = 0.8
"""Where a fifth of the other liquid symbols lack the same bars it is the provider's fault, and no symbol's (S4)."""
SESSIONS_HALTED_MAX = 10
INCIDENT_CHECK = timedelta(days=1)
INCIDENT_MAX = timedelta(days=7)
"""A fault of the provider that lasts for longer is how its history is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What is known about a run of absent bars when an answer lacks it again.

    Attributes:
        bars: How many are absent.
        length: From the start of the first to the end of the last, in open-market time.
        sessions: How many sessions it touches.
        whole_sessions: How many of them it takes up from open to close.
        is_framed: Whether it reaches from a bar of the same session, or its open, to another one, or its close.
        density: The share of bars that the symbol usually has; NaN where unknown.
        peers, peers_present: Other liquid symbols of the calendar that were asked for all of it, and those with bars.
        finer, coarser: Bars of other timeframes that can not be there if nothing was traded.
        others_silent: Whether another timeframe was asked for all of it and has nothing either.
        traded: What the volume of coarser bars around it says.
        has_halts: Whether symbols of the calendar are halted at all: a market around the clock knows outages.
        since: For how long answers have lacked it.
    """

    bars: int
    length: timedelta
    sessions: int
    whole_sessions: int
    is_framed: bool
    density: float
    peers: int
    peers_present: int
    finer: int
    coarser: int
    others_silent: bool
    traded: Traded
    has_halts: bool
    since: timedelta


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Attributes:
        is_settled: Whether the bars are accounted for; a `missing` run may be, others are.
        check_after: When it is to be asked for again where the verdict says; None leaves it to the usual delay.
    """

    kind: GapKind
    reason: str
    is_settled: bool = True
    check_after: timedelta | None = None


def verdict(found: Surroundings) -> Verdict:
    """The kind of a run that two answers, an hour or more apart, did not have."""
    if what := _contradicted(found):
        return Verdict(GapKind.MISSING, f"{what}: the provider lacks bars that were traded")
    if found.peers and found.peers_present < PEERS_PRESENT_MIN * found.peers:
        absent = found.peers - found.peers_present
        reason = f"{absent:,} of {found.peers:,} other liquid symbols lack bars there too: the provider's fault"
        is_lasting = found.since >= INCIDENT_MAX
        return Verdict(GapKind.MISSING, reason, is_lasting, None if is_lasting else INCIDENT_CHECK)
    if math.isnan(found.density):
        return Verdict(GapKind.MISSING, "answers an hour apart lack it, and how often the symbol trades is not known")
    if found.density < LIQUID and found.bars * math.log1p(-found.density) > math.log(BEYOND_CHANCE):
        share = f"the symbol has {100 * found.density:.1f} % of its bars"
        return Verdict(GapKind.NO_TRADE, f"{share}, and answers an hour apart have none here")
    return _halted_or_not(found)


def _halted_or_not(found: Surroundings) -> Verdict:
    """A run that is too long for chance, and that nothing contradicts."""
    is_untraded = found.traded is Traded.NO
    no_volume = "coarser bars have no volume beyond what is there"
    if why_not := _no_halt(found):
        if is_untraded:
            return Verdict(GapKind.NO_TRADE, f"answers an hour apart lack it, and {no_volume}")
        return Verdict(GapKind.MISSING, f"answers an hour apart lack it, and no halt is to be seen: {why_not}")
    others = f"{found.peers_present:,} of {found.peers:,} other liquid symbols traded"
    silent = ", no other timeframe has bars there" if found.others_silent else ""
    untraded = f", {no_volume}" if is_untraded else ""
    return Verdict(GapKind.HALTED, f"{_shown(found)} without a trade, told twice; {others}{silent}{untraded}")


def _contradicted(found: Surroundings) -> str:
    """What shows that the run was traded; "" where nothing does."""
    if not found.finer and not found.coarser:
        return "coarser bars around it have more volume than is there" if found.traded is Traded.YES else ""
    which, count = ("finer", found.finer) if found.finer else ("coarser", found.coarser)
    return f"{count:,} bar{'' if count == 1 else 's'} of a {which} timeframe {'lies' if count == 1 else 'lie'} there"


def _no_halt(found: Surroundings) -> str:
    """Why a run of a liquid symbol is not taken for a halt; "" where it is."""
    sessions = found.whole_sessions
    is_untraded = found.traded is Traded.NO
    is_corroborated = found.others_silent or is_untraded
    reasons = (
        (not found.has_halts, "its market knows no halts"),
        (found.length < HALT_MIN, "it is too short for one"),
        (found.peers == 0 and not is_untraded, "no other liquid symbol was asked for the same time"),
        (
            sessions == 0 and not (found.sessions == 1 and found.is_framed) and not is_untraded,
            "it is not within one session",
        ),
        (sessions > SESSIONS_HALTED_MAX, f"it lasts for {sessions} sessions"),
        (not is_corroborated, "no other timeframe that was fetched by itself tells whether it was traded"),
    )
    return next((text for holds, text in reasons if holds), "")


def _shown(found: Surroundings) -> str:
    if found.whole_sessions:
        return "a session" if found.whole_sessions == 1 else f"{found.whole_sessions} sessions"
    minutes = int(found.length.total_seconds()) // 60
    return f"{minutes:,} minutes"
