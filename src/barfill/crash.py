"""
Crash points for tests: `BARFILL_CRASH_AT=k8:3` kills this process, as SIGKILL would, at the third pass of k8.

k1 after claim, k2 request sent, k3 headers read, k4 half the body, k5 parsed, k6 before COPY, k7 inside COPY,
k8 after upsert, k9 after coverage, k10 before COMMIT, k11 COMMIT sent and reply unread, k12 committed and the
queue not told. Without the variable every call is one comparison.
"""

from __future__ import annotations

import os
import signal
import threading

POINTS = tuple(f"k{number}" for number in range(1, 13))

_wanted, _, _nth = os.environ.get("BARFILL_CRASH_AT", "").partition(":")
_lock = threading.Lock()
_left = int(_nth or 1)


def crash_point(name: str) -> None:
    """Kills the process here if the environment asked for it."""
    if name == _wanted:
        _count_down()


def is_wanted(name: str) -> bool:
    """Whether this process is to die at *name*: for points that need preparation, such as half a COPY."""
    return name == _wanted


def _count_down() -> None:
    global _left  # noqa: PLW0603  one counter per process is the point
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
