"""A claimed run as its chain carries it: what is asked for, what the ledger knew, how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import TradingCalendar
from barfill.core.jumps import KnownSplit
from barfill.core.page import BarsQuery
from barfill.core.proof import ChainState
from barfill.core.ranges import Range, Ranges
from barfill.store.runs import ClaimedRun

SETTLED_AFTER = timedelta(hours=1)
"""Two answers without a row are believed when they lie so far apart (S1): vendors are empty for minutes under load."""


@dataclass(frozen=True, slots=True)
class SilentGap:
    """A gap on record that answers lacked: how many of them, and since when."""

    range: Range
    answers: int
    first_seen_at: datetime

    def has_lasted(self, now: datetime) -> bool:
        """Whether it was seen so long ago that one more answer without a row is believed."""
        return self.first_seen_at <= now - SETTLED_AFTER


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """
    What the ledger knew of one series when its run was claimed.

    Attributes:
        oldest, newest: Starts of the first and last stored bar, or None.
        density: Share of expected bars that it usually has, NaN where unknown.
        gaps: Gaps on record within the run's range that an answer lacked.
        quarantined: Gaps on record for which rows came that broke a rule.
        covered: What is known to be completely fetched.
        is_active: Whether the symbol still trades, as far as the provider told.
        delisted_on: The day after which it did not, if an event on file says so.
        splits: Those on file.
    """

    oldest: datetime | None = None
    newest: datetime | None = None
    density: float = float("nan")
    gaps: tuple[SilentGap, ...] = ()
    quarantined: tuple[SilentGap, ...] = ()
    covered: Ranges = field(default_factory=Ranges)
    is_active: bool = True
    delisted_on: date | None = None
    splits: tuple[KnownSplit, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """
    What pages brought of the open symbol and did not prove, as its rows came in no order (H32).

    Attributes:
        ts: Starts of rows that are stored.
        blocked: Starts of bars whose rows are kept out.
    """

    ts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    blocked: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(slots=True, kw_only=True)
class RunInHand:
    """
    A claimed run and how far it has come; owned by one chain.

    Attributes:
        claimed: As it was when it was claimed.
        symbol_ids: In the order of `query.symbols`.
        facts: In the order of `query.symbols`.
        expected_bars: Open-market bars in the whole slice, over all its symbols.
        proved_bars: Those of them that are proved.
        calls_unbooked: Requests that were made for it and that no page in the ledger counts.
        may_lack_rows: Whether rows may have been lost on a page of the chain: it was empty and led on, of an odd
            shape, or in no order.
    """

    claimed: ClaimedRun
    page_no: int
    query: BarsQuery
    symbol_ids: NDArray[np.int32]
    facts: tuple[SeriesFacts, ...]
    calendar: TradingCalendar
    token: str | None
    state: ChainState
    expected_bars: int
    proved_bars: int = 0
    carried: Carried = field(default_factory=Carried)
    tokens_seen: set[str] = field(default_factory=set)
    empty_pages: int = 0
    calls_unbooked: int = 0
    may_lack_rows: bool = False

    @property
    def run_id(self) -> int:
        """The run's id."""
        return self.claimed.id

    @property
    def epoch(self) -> int:
        """Under which the run was claimed: the fence."""
        return self.claimed.epoch

    @property
    def provider(self) -> str:
        """Who is asked."""
        return self.claimed.provider

    @property
    def open_position(self) -> int | None:
        """Where in `query.symbols` the symbol at the end of the last page with rows stands."""
        return None if self.state.open_symbol is None else self.query.symbols.index(self.state.open_symbol)
