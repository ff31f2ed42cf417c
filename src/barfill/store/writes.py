"""The values that a write carries, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from barfill.core import gaps
from barfill.core.bars import BarColumns
from barfill.core.page import RAW
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe

DataStatus = Literal["live", "final"]
GapKind = Literal["missing", "failed", "no_trade", "halted", "unavailable", "not_entitled", "quarantined"]
OPEN_KINDS: tuple[GapKind, ...] = tuple(kind for kind in get_args(GapKind) if not gaps.GapKind(kind).is_settled)
"""Kinds that are asked for again; the others are settled."""

OUT_OF_REACH = "OUT_OF_REACH: "
"""So begins the reason of a gap before a provider's history: nothing is known of what was traded then."""
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""When a gap is to be asked for again of which a person has rejected all rows."""

Expected = Callable[[int, Range], NDArray[np.int64]]
"""The starts of the bars that a complete series of that symbol has in that range, microseconds UTC, ascending."""

Outside = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Which bars of these starts, microseconds UTC, lie outside of regular hours."""

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who was asked for bars, and when; one request may say something about many gaps."""

    provider: str
    feed: str
    asked_at: datetime
    run_id: int | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRecord:
    """
    A run of expected bars that an answer did not hold, and what is known about why.

    Attributes:
        next_check_at: When it is due to be asked for again; None where it is not.
        settled_at: Since when an open kind (`missing`) is accounted for all the same; None where it is not.
        calendar_version: Where the expectation comes from.
        is_first_so: Whether it is absent from now on, whatever was before: the answer brought a part of what earlier
            ones lacked, so they and it do not agree.
    """

    symbol_id: int
    range: Range
    expected_bars: int
    kind: GapKind
    reason: str = ""
    next_check_at: datetime | None = None
    settled_at: datetime | None = None
    calendar_version: str = ""
    is_first_so: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """
    A row that broke a hard rule, as it was sent.

    Attributes:
        symbol: As sent; "" stands for the ticker of `symbol_id`.
        ts: Its stamp in microseconds UTC, where it could be read.
    """

    symbol: str
    rule: str
    reason: str
    raw: str
    symbol_id: int | None = None
    ts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarMark:
    """A warning about a stored bar that breaks no hard rule; *ts* is its start in microseconds UTC."""

    symbol_id: int
    ts: int
    rule: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesWrite:
    """
    Accepted rows of one timeframe and source, and what they prove about their series.

    Attributes:
        symbol_ids: int32 (symbols,), all that the write speaks of; `rows.symbol` points into it.
        rows: Sorted by `symbol_ids[rows.symbol]`, then ts; no key twice; stamped on whole seconds.
        proved: By symbol id, the ranges that are completely fetched now, however few rows they held.
        gaps: What is expected in the answered ranges and was not in the answer.
        density: By symbol id, the share of expected bars that the series usually has.
        expected: Tells what is left of a gap that the write trims; without it the count is cut in proportion.
        outside: Tells which rows lie outside of regular hours; None where none does.
        made_from: The finer timeframe that the rows were made of; None where they were fetched. Final bars in `proved`
            that are no longer made are taken out.
        run_id: The run whose work this is, kept as evidence.
    """

    timeframe: Timeframe
    provider: str
    feed: str
    symbol_ids: NDArray[np.int32]
    rows: BarColumns
    proved: Mapping[int, Ranges]
    fetched_at: datetime
    basis: str = RAW
    data_status: DataStatus = "final"
    gaps: Sequence[GapRecord] = ()
    quarantined: Sequence[QuarantinedRow] = ()
    density: Mapping[int, float] = field(default_factory=dict)
    expected: Expected | None = None
    outside: Outside | None = None
    made_from: Timeframe | None = None
    request_id: str = ""
    run_id: int | None = None

    @property
    def asked(self) -> Asked | None:
        """Who said all this, as evidence of the gaps; None where it follows from finer bars: nobody was asked then."""
        if self.made_from is not None:
            return None
        return Asked(
            provider=self.provider,
            feed=self.feed,
            asked_at=self.fetched_at,
            run_id=self.run_id,
            request_id=self.request_id,
        )

    def __post_init__(self) -> None:
        seconds, rest = np.divmod(self.rows.ts, _SECOND_US)
        if rest.any() or (len(seconds) and (seconds.min() < 0 or seconds.max() >= 1 << 32)):
            raise ValueError("Bars start on whole seconds from 1970 on; a row of this write does not.")
        keys = row_keys(self.symbol_ids[self.rows.symbol], self.rows.ts)
        if not np.all(keys[1:] > keys[:-1]):
            raise ValueError("The rows of a write must be sorted by symbol id and ts, no key twice.")
        unknown = set(self.proved) | {gap.symbol_id for gap in self.gaps} | set(self.density)
        unknown -= set(self.symbol_ids.tolist())
        if unknown:
            raise ValueError(f"The write speaks of symbols that are not in its symbol_ids: {sorted(unknown)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWrite(SeriesWrite):
    """
    One page of a run: its bars, what it proves, and how far the run is afterwards.

    Attributes:
        epoch, page_no: As claimed, and counted up by the pages since: the fence.
        next_token: The token of the next page; None ends the chain.
        open_symbol_id, open_until: The symbol at the page's end and where its rows end; None when nothing is open.
        seen_symbol_ids: Symbols that this page held rows of; added to those of earlier pages.
        withdrawn: By symbol id, stored bars that this page contradicts: out of the table into quarantine (Q11), and out
            of coverage.
        retracted: By symbol id, what is no longer covered: the provider has adjusted the history since it was fetched.
        requests_made: API calls that this page took, repeated ones included.
        rows_received: Rows of the answer, before any was judged.
        may_lack_rows: Rows may have been lost on this page, or on one before it.
        final: The chain has ended: the run becomes a success.
        marks: Warnings about single rows.
        warned: By rule, how many rows of the answer gave a warning.
    """

    run_id: int
    epoch: int
    page_no: int
    next_token: str | None
    open_symbol_id: int | None = None
    open_until: datetime | None = None
    seen_symbol_ids: Sequence[int] = ()
    withdrawn: Mapping[int, Ranges] = field(default_factory=dict)
    retracted: Mapping[int, Ranges] = field(default_factory=dict)
    requests_made: int = 1
    rows_received: int = 0
    progress_percent: float = 0.0
    may_lack_rows: bool = False
    final: bool = False
    marks: Sequence[BarMark] = ()
    warned: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceBars:
    """
    What coarser bars are made of.

    Attributes:
        covered: What the source covers.
        bars: Of one series, in time order; `symbol` is 0 in all rows.
        origins: The start of each stretch from one provider, and its name.
    """

    covered: Ranges
    bars: BarColumns
    origins: Sequence[tuple[datetime, str]]


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """
    What became of a write's rows: inserted + changed + unchanged + refused = rows.

    Attributes:
        unchanged: Stored already with the same values, or final where the write is live.
        refused: Rows that the database itself would not take; they are quarantined and not covered.
        removed: Stored bars that the rows, made of finer ones, no longer hold.
    """

    inserted: int
    changed: int
    unchanged: int
    refused: int = 0
    removed: int = 0


def row_keys(symbol_ids: NDArray[np.int32], ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number per (symbol id, ts), in the same order, shape (n,)."""
    keys: NDArray[np.int64] = (symbol_ids.astype(np.int64) << 32) | (ts // _SECOND_US)
    return keys
