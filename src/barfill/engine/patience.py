"""Which failures put a run off instead of ending it, and for how long; and how long looks leave alone what failed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from barfill.errors import BarfillError
from barfill.providers.retries import Retry, retry_of

RUN_ATTEMPTS_MAX = 5
"""How often a worker carries a run out, each time with all the attempts of its requests, before it has failed."""
FIRST_WAIT_S = 30.0
WAIT_S_MAX = 3600.0
LEFT_ALONE_FIRST, LEFT_ALONE_MAX = timedelta(minutes=15), timedelta(days=1)


def left_alone_for(attempts: int) -> timedelta:
    """
    How long a look at the definitions leaves a range alone for which *attempts* runs have failed.

    Doubles from a quarter of an hour up to a day. Somebody who types a command is not made to wait.
    """
    doublings = min(max(attempts, 1) - 1, 10)
    return min(LEFT_ALONE_FIRST * (1 << doublings), LEFT_ALONE_MAX)


@dataclass(frozen=True, slots=True)
class Patience:
    """
    Attributes:
        attempts_max: How often a run is carried out in all; 1 puts none off.
        jitter: A factor, so that what failed together does not come back together.
    """

    attempts_max: int = RUN_ATTEMPTS_MAX
    jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.5)

    @property
    def waits_for_quota(self) -> bool:
        """Whether a run is put off while the provider refuses the key, instead of failing."""
        return self.attempts_max > 1

    def wait_after(self, error: BarfillError, attempt: int) -> timedelta | None:
        """
        How long to put a run off that has failed *attempt* times before; None where it has failed for good.

        Doubles from half a minute up to an hour: the waits between five attempts add up to seven and
        a half minutes, times the jitter.
        """
        passes = retry_of(error) is Retry.ALL
        if not passes or attempt + 1 >= self.attempts_max:
            return None
        seconds = min(FIRST_WAIT_S * 2.0**attempt, WAIT_S_MAX) * self.jitter()
        return timedelta(seconds=seconds)
