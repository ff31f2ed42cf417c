"""
Whether anything was traded in bars that are absent, by the volume of coarser bars that were fetched by themselves.

A day's volume is that of its minutes, and of what lies outside of regular hours. Where a bar is withheld, the day still
counts what was traded in it; where a symbol was halted, it does not. How much of a coarser bar's volume its parts
usually have is learned from the same hours of other sessions, so vendors whose days count more than their minutes do
no harm. Each of those sessions is also looked at with the very bars taken away: what is not found there can not be
found here, and then nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

SESSIONS_MIN = 8
"""From fewer others it can not be told how much the share of the parts varies."""
_FAR = 3
"""How many times as far below the median as the lowest tenth of the others begins: 3.8 deviations, were it a normal."""
_ROUNDING = 1e-3
_FOUND_MIN = 0.95
_LOWEST = 0.1


class Traded(Enum):
    """What coarser bars say of absent ones."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Volumes:
    """
    One session against others, at the same hours; volumes in units.

    Attributes:
        whole: Of the coarser bars around the absent ones.
        parts: Of the finer bars within them that are there.
        elsewhere: The most that others may have had which are absent from the same coarser bars.
        others_whole, others_parts: float64 (n,), the same in other sessions.
        others_absent: float64 (n,), in other sessions what was traded in the bars that are absent in this one.
    """

    whole: float
    parts: float
    elsewhere: float
    others_whole: NDArray[np.float64]
    others_parts: NDArray[np.float64]
    others_absent: NDArray[np.float64]


def traded_by(volumes: Volumes) -> Traded:
    """
    YES where the parts are too small for their whole; NO where they are not, although in nearly all other sessions
    they would be, had the same bars been withheld there; UNKNOWN otherwise.
    """
    is_known = (volumes.others_whole > 0) & (volumes.others_parts > 0)
    if np.count_nonzero(is_known) < SESSIONS_MIN or volumes.whole <= 0:
        return Traded.UNKNOWN
    whole, parts = volumes.others_whole[is_known], volumes.others_parts[is_known]
    absent = volumes.others_absent[is_known]
    # Without a trade in the absent bars the whole is smaller, too: what lies outside of regular hours weighs more.
    if_quiet = (parts - absent) / np.maximum(whole - absent, np.finfo(np.float64).tiny)
    usual, low = np.quantile(if_quiet, [0.5, _LOWEST])
    least = usual - _FAR * (usual - low) - _ROUNDING
    if volumes.parts + volumes.elsewhere < least * volumes.whole:
        return Traded.YES
    if volumes.parts < least * volumes.whole:  # something is absent, and it may as well be another run
        return Traded.UNKNOWN
    would_be_found = np.count_nonzero((parts - absent) < least * whole)
    return Traded.NO if would_be_found >= _FOUND_MIN * len(whole) else Traded.UNKNOWN


def together(sessions: Iterable[Iterable[Traded]]) -> Traded:
    """What the coarser timeframes say of all sessions of a run: NO only where it was told of each of them."""
    told = [set(one) for one in sessions]
    if any(Traded.YES in one for one in told):
        return Traded.YES
    return Traded.NO if told and all(Traded.NO in one for one in told) else Traded.UNKNOWN
