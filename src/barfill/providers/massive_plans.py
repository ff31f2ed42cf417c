"""
Massive's plans: requests, delay and history of each.

Source:
    providers.md 4.3. The wall of a history has been seen to the day only (500 daily rows for two years), so what lies
    within a week of it counts as doubtful. "Unlimited" requests mean below 100 a second; half of that is kept to.

    Minutes change for 15 minutes as late trades arrive (4.1), on top of the plan's delay. The free plan has a day's
    bars only when the day is over in New York: the first regular bar ends at 09:31, 14 h 29 min before midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

FIRST_DAY = datetime(2003, 9, 10, tzinfo=UTC)
"""The oldest session that any plan has."""
WALL_DOUBT = timedelta(days=7)

_YEAR = timedelta(days=365)
_LATE_TRADES = timedelta(minutes=16)
_DELAYED = timedelta(minutes=15) + _LATE_TRADES
_END_OF_DAY = timedelta(hours=15)
_UNLIMITED_PER_MINUTE = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Attributes:
        requests_per_minute: What the plan allows, or a sane part of it where it sets no limit.
        delay: How long after its end a bar is final.
        history_length: How far back the history reaches; None for all of it from `FIRST_DAY`.
        sure_length: How far back it reaches at least, where the plan's name does not tell.
    """

    requests_per_minute: int
    delay: timedelta
    history_length: timedelta | None = None
    sure_length: timedelta | None = None


PLANS = MappingProxyType(
    {
        "free": Plan(requests_per_minute=5, delay=_END_OF_DAY, history_length=2 * _YEAR),
        "starter": Plan(requests_per_minute=_UNLIMITED_PER_MINUTE, delay=_DELAYED, history_length=5 * _YEAR),
        "developer": Plan(requests_per_minute=_UNLIMITED_PER_MINUTE, delay=_DELAYED, history_length=10 * _YEAR),
        "advanced": Plan(requests_per_minute=_UNLIMITED_PER_MINUTE, delay=_LATE_TRADES),
        # Any of the three above: everything is asked for, and only what the smallest has is taken for looked at.
        "paid": Plan(requests_per_minute=_UNLIMITED_PER_MINUTE, delay=_DELAYED, sure_length=5 * _YEAR),
    }
)


def surely_looked_from(plan: Plan, now: datetime) -> datetime:
    """The instant from which on *plan* has everything; before it an answer may lack rows and not say so."""
    length = plan.history_length or plan.sure_length
    return (FIRST_DAY if length is None else now - length) + WALL_DOUBT
