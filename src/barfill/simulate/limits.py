"""
The request limits of vendors.

A limit is judged as strictly as can be, over real time: what does not fit into every one of its windows is refused, and
does not count towards it.
"""

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

MINUTE_S, SECOND_S = 60.0, 1.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the limit says to one request: whether it may go on and what the headers tell."""

    is_allowed: bool
    limit: int
    remaining: int
    resets_at_s: float

    @property
    def reset_s(self) -> int:
        """When it resets, in whole seconds since 1970."""
        return math.ceil(self.resets_at_s)


class Window(Protocol):
    """Some seconds in which requests may cost no more than *size* together."""

    size: int

    def used(self, now_s: float) -> int:
        """What requests have cost that are still within the window at *now_s*."""

    def add(self, now_s: float, cost: int) -> None: ...

    def resets_at_s(self, now_s: float) -> float:
        """When room is made next."""


class SlidingWindow:
    """The last seconds, whichever moment one looks at."""

    def __init__(self, size: int, span_s: float = MINUTE_S) -> None:
        self.size = size
        self._span_s = span_s
        self._taken: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now_s: float) -> int:
        while self._taken and self._taken[0][0] <= now_s - self._span_s:
            self._used -= self._taken.popleft()[1]
        return self._used

    def add(self, now_s: float, cost: int) -> None:
        self._taken.append((now_s, cost))
        self._used += cost

    def resets_at_s(self, now_s: float) -> float:
        return (self._taken[0][0] if self._taken else now_s) + self._span_s


class StartedWindow:
    """A minute that begins with the first request after the one before, and ends for all of its requests at once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._began_s = -MINUTE_S
        self._used = 0

    def used(self, now_s: float) -> int:
        if now_s - self._began_s >= MINUTE_S:
            self._began_s, self._used = now_s, 0
        return self._used

    def add(self, now_s: float, cost: int) -> None:
        self._used += cost

    def resets_at_s(self, now_s: float) -> float:
        return self._began_s + MINUTE_S


class Limit:
    """
    The limit of one key on one host: windows into all of which a request must fit.

    Attributes:
        max_in_any_60s: What arrived within the fullest sliding minute, refused requests included.
        was_exceeded: Whether a request was refused.
    """

    def __init__(self, minute: Window, *others: Window) -> None:
        """Headers tell of the *minute*."""
        self._minute = minute
        self._windows = (minute, *others)
        self._arrived = SlidingWindow(minute.size)
        self.forget()

    def forget(self) -> None:
        """Remember anew how far a client went; what it used goes on to count."""
        self.max_in_any_60s, self.was_exceeded = 0, False

    def take(self, now_s: float | None = None, cost: int = 1) -> Allowance:
        """
        Judge a request that arrives now (seconds since 1970, of the real clock).

        Args:
            cost: What it counts; most vendors count requests, some weigh them.
        """
        now_s = time.time() if now_s is None else now_s
        self._arrived.add(now_s, cost)
        self.max_in_any_60s = max(self.max_in_any_60s, self._arrived.used(now_s))
        full = [window for window in self._windows if window.used(now_s) + cost > window.size]
        for window in self._windows if not full else ():
            window.add(now_s, cost)
        self.was_exceeded = self.was_exceeded or bool(full)
        resets_at_s = max(window.resets_at_s(now_s) for window in full or [self._minute])
        return Allowance(not full, self._minute.size, self._minute.size - self._minute.used(now_s), resets_at_s)
