"""
Follows one run's chain of pages to the null token, one page at a time.

A page is asked for only when the one before it is committed: a kill repeats at most the request in flight. Several
chains at a time hide the latency.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum

from barfill.core.page import Page
from barfill.core.proof import pages_cap
from barfill.engine.clients import PageSource
from barfill.engine.desk import Desk, Processed
from barfill.engine.run import RunInHand
from barfill.errors import BadResponse, BarfillError, DailyBudgetSpent, PageDropped
from barfill.providers.client import RequestCounts

EMPTY_PAGES_MAX = 3
STOP_GRACE_S = 3.0


class Ending(Enum):
    """How a chain ended."""

    DONE = "done"
    STOPPED = "stopped"
    DROPPED = "dropped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """
    Attributes:
        ending: DONE at the null token, STOPPED on request between two pages or, with *error*, as the day's budget is
            spent, DROPPED when another worker has taken the run over, FAILED with *error*.
    """

    ending: Ending
    error: BarfillError | None = None


class CallBudget:
    """No more than *calls_max* requests; None is no bound. For one event loop."""

    def __init__(self, calls_max: int | None) -> None:
        self.calls = 0
        self.was_exhausted = False
        self.spent: DailyBudgetSpent | None = None
        """The bound that lies in the key's budget for the day."""
        self._calls_max = calls_max
        self._reserved = 0

    def reserve(self) -> bool:
        """Whether one more page may be asked for; if so, follow with `spend`."""
        if self._calls_max is not None and self.calls + self._reserved >= self._calls_max:
            self.was_exhausted = True
            return False
        self._reserved += 1
        return True

    def end(self, spent: DailyBudgetSpent) -> None:
        """Nothing more can be asked for today."""
        self.was_exhausted = True
        self.spent = spent

    def spend(self, calls: int) -> None:
        """The reserved page took so many requests."""
        self._reserved -= 1
        self.calls += calls


class ChainFollower:
    """
    Args:
        page_size: Of the provider, to tell an endless chain from a long one.
        on_page: Called on the event loop after each committed page.
    """

    def __init__(
        self,
        client: PageSource,
        desk: Desk,
        budget: CallBudget,
        *,
        page_size: int,
        on_page: Callable[[RunInHand, Page, Processed], None],
    ) -> None:
        self._client = client
        self._desk = desk
        self._budget = budget
        self._page_size = page_size
        self._on_page = on_page
        self._stopping = asyncio.Event()
        self._lost: dict[tuple[int, int], asyncio.Event] = {}
        """By run and epoch, of the runs that are followed."""

    @property
    def in_hand(self) -> dict[int, int]:
        """The runs that are followed now, with their epochs."""
        return dict(self._lost.keys())

    def lose(self, run_id: int, epoch: int) -> None:
        """The run is somebody else's now, or nobody's: an answer that is waited for is given up."""
        lost = self._lost.get((run_id, epoch))
        if lost is not None:
            lost.set()

    def stop(self) -> None:
        """No further page is asked for; an answer under way is waited for a moment, one that rests is given up."""
        self._stopping.set()

    async def follow(self, run: RunInHand, *, expected_rows: float | None) -> ChainEnd:
        """
        Reads and stores the pages of *run* from where it is to the end.

        Args:
            expected_rows: How many rows the pages of the whole run should hold; None where whoever sends them knows
                where they end, however many they are.
        """
        cap = sys.maxsize if expected_rows is None else pages_cap(expected_rows, self._page_size)
        self._lost[run.run_id, run.epoch] = asyncio.Event()
        try:
            while True:
                if self._stopping.is_set() or not self._budget.reserve():
                    return ChainEnd(Ending.STOPPED)
                if await self._next_page(run, cap):
                    return ChainEnd(Ending.DONE)
        except TimeoutError:
            return ChainEnd(Ending.STOPPED)
        except DailyBudgetSpent as error:
            return ChainEnd(Ending.STOPPED, error)
        except PageDropped as error:
            return ChainEnd(Ending.DROPPED, error)
        except BarfillError as error:
            return ChainEnd(Ending.FAILED, error)
        finally:
            del self._lost[run.run_id, run.epoch]

    async def _next_page(self, run: RunInHand, cap: int) -> bool:
        """Fetches and stores one page; whether it was the last."""
        counts = RequestCounts()
        try:
            fetching = self._client.fetch_page(run.query, run.token, counts=counts)
            page = await self._unless_stopped(fetching, self._lost[run.run_id, run.epoch])
        finally:
            self._budget.spend(counts.all)
            run.calls_unbooked += counts.all
        _guard(run, page, cap)
        processed = await asyncio.to_thread(self._desk.process, run, page, run.calls_unbooked)
        run.calls_unbooked = 0
        run.state = processed.proof.state
        run.carried = processed.carried
        run.proved_bars += processed.proved_bars
        run.token = page.next_token
        run.page_no += 1
        self._on_page(run, page, processed)
        return page.next_token is None

    async def _unless_stopped(self, fetching: Coroutine[None, None, Page], is_lost: asyncio.Event) -> Page:
        """
        The page; once stopped, only if it comes within a moment: a request may wait for the rate limit a minute.

        Raises:
            PageDropped: The run is no longer ours. Nothing of the page is stored.
            TimeoutError: The page was given up. Nothing of it is stored, and the next backfill asks for it.
        """
        fetch = asyncio.ensure_future(fetching)
        stop = asyncio.ensure_future(self._stopping.wait())
        lost = asyncio.ensure_future(is_lost.wait())
        try:
            await asyncio.wait({fetch, stop, lost}, return_when=asyncio.FIRST_COMPLETED)
            if is_lost.is_set() and not fetch.done():
                raise PageDropped("The run was cancelled or taken over while an answer was waited for.")
            return await asyncio.wait_for(fetch, None if fetch.done() else STOP_GRACE_S)
        finally:
            stop.cancel()
            lost.cancel()
            fetch.cancel()


def _guard(run: RunInHand, page: Page, cap: int) -> None:
    """
    Keeps a chain from going on for ever.

    Raises:
        BadResponse: `page_loop`, a token came a second time or there are too many pages; `empty_pages`, more than
            three pages in a row without any row.
    """
    is_empty = page.received == 0 and page.next_token is not None and not page.is_window
    run.may_lack_rows |= is_empty or page.may_lack_rows or not page.is_in_order
    run.empty_pages = run.empty_pages + 1 if is_empty else 0
    if run.empty_pages > EMPTY_PAGES_MAX:
        raise BadResponse(
            f"{run.provider} sent {run.empty_pages} empty pages in a row for {run.query}. The rest is asked for "
            "once more from its beginning.",
            reason="empty_pages",
        )
    if page.next_token is None:
        return
    if page.next_token in run.tokens_seen or page.next_token == run.token or run.page_no + 1 >= cap:
        raise BadResponse(
            f"The pages of {run.provider} for {run.query} do not end: page {run.page_no + 1} of about "
            f"{max(1, cap - 10)} leads on to a page seen before or beyond any sensible number. The run stops; what "
            "was proved is kept.",
            reason="page_loop",
        )
    run.tokens_seen.add(page.next_token)
