"""
Where the time of a backfill goes. The stopwatches hang on the functions from outside; the product knows nothing.

For one chain at a time, whose phases follow each other: only then do they add up to the whole.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from barfill.engine import desk
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.store import pages

_FETCH, _DECODE, _DESK, _WRITE, _LEDGER = "fetch_page", "decode", "desk", "write_page", "ledger"
_WATCHED: tuple[tuple[str, Any, str], ...] = (
    (_FETCH, ProviderClient, "fetch_page"),
    (_DECODE, Alpaca, "parse_bars"),
    (_DESK, desk.Desk, "process"),
    (_WRITE, desk, "write_page"),
    (_LEDGER, pages, "_lock"),
    (_LEDGER, pages, "_judged"),
    (_LEDGER, pages, "_refused_rows"),
    (_LEDGER, pages, "replace_gaps"),
    (_LEDGER, pages, "_update_series"),
    (_LEDGER, pages, "_advance_run"),
)


class Stopwatch(AbstractContextManager["Stopwatch"]):
    """Adds up the time within watched functions, by name."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __exit__(self, *_: object) -> None:
        return None

    @contextmanager
    def running(self) -> Iterator[Stopwatch]:
        """Watches as long as the block lasts."""
        with ExitStack() as stack:
            for name, owner, attribute in _WATCHED:
                watched = self._watched(name, getattr(owner, attribute))
                stack.enter_context(patch.object(owner, attribute, watched))
            yield self

    def phases(self, total_s: float) -> dict[str, float]:
        """
        Seconds by phase; together they are *total_s*. Empty if nothing was watched.

        `checks` are the rules, the proof and the comparison with the calendar, `write` the rows and the COMMIT,
        `around` planning, claiming and the last look for gaps.
        """
        if not self._seconds:
            return {}
        seconds = self._seconds
        return {
            "fetch": seconds[_FETCH] - seconds[_DECODE],
            "decode": seconds[_DECODE],
            "checks": seconds[_DESK] - seconds[_WRITE],
            "write": seconds[_WRITE] - seconds[_LEDGER],
            "ledger": seconds[_LEDGER],
            "around": total_s - seconds[_FETCH] - seconds[_DESK],
        }

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._timed(name):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def timed_later(*args: Any, **kwargs: Any) -> Any:
            with self._timed(name):
                return await function(*args, **kwargs)

        return timed_later if inspect.iscoroutinefunction(function) else timed

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begun
