"""The confusion matrix: what each absent bar is called, by why it is absent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barfill.core.ranges import from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.simulate.exchange import SimulatedExchange
from barfill.store.database import Database
from bench.classification.market import Part, Trouble, regular_starts, vendor_starts

NOT_EXPECTED, UNCOVERED, LOST = "not expected", "uncovered", "lost"
"""
What is on no record of gaps: outside of the days on which the symbol is traded, as `symbols` says; never fetched; or
covered, absent and unaccounted for, which must never be.
"""
_KINDS = ("no_trade", "halted", "unavailable", "not_entitled", "quarantined", "missing", "failed")
COLUMNS = (*_KINDS, NOT_EXPECTED, UNCOVERED, LOST)
_RUN_OF_MANY = 3
_EXAMPLES_MAX = 3

Cell = tuple[str, str, str]
"""Timeframe, why a bar is absent, what it is called."""

RIGHT: Mapping[str, frozenset[str]] = {
    "before listing": frozenset({"unavailable", NOT_EXPECTED}),
    "after delisting": frozenset({"unavailable", NOT_EXPECTED}),
    "halted": frozenset({"halted"}),
    "no trade": frozenset({"no_trade"}),
    "no trade, beside a hole": frozenset({"no_trade"}),
    "withheld, 1 or 2 bars": frozenset({"missing"}),
    "withheld, 3 or more": frozenset({"missing"}),
    "halted, undecidable": frozenset({"halted"}),
    "withheld, undecidable": frozenset({"missing"}),
    "spoiled": frozenset({"quarantined"}),
    "withheld for a time": frozenset(),
    "traded": frozenset(),
}
"""
By why a bar is absent, what it may be called. Of the last two none may be absent: they are there to be fetched.

Where in a run of absent bars a halt ends and quiet begins, no one can tell who sees no more than the bars: what is
called otherwise there is counted as wrong all the same. Undecidable is a day that was asked for in no other timeframe:
withheld or halted, it leaves the same days behind.
"""

_STORED = """
select ticker, (extract(epoch from ts) * 1000000)::bigint
from ohlc_bars join symbols on symbols.id = symbol_id
where timeframe = %s and ts >= %s and ts < %s
order by ticker, ts
"""
_GAPS = """
select ticker, (extract(epoch from gap_from) * 1000000)::bigint, (extract(epoch from gap_to) * 1000000)::bigint, kind,
    reason || ', asked ' || attempts || ' times'
from series_gaps join symbols on symbols.id = symbol_id
where timeframe = %s
order by (kind = 'no_trade') desc, ticker
"""
_COVERED = """
select ticker, (extract(epoch from lower(part)) * 1000000)::bigint, (extract(epoch from upper(part)) * 1000000)::bigint
from series join symbols on symbols.id = symbol_id cross join unnest(covered) as part
where timeframe = %s
"""
_LIVES = """
select
    ticker,
    (extract(epoch from (to_jsonb(symbols) ->> 'listed_on')::date) * 1000000)::bigint,
    (extract(epoch from (to_jsonb(symbols) ->> 'delisted_on')::date) * 1000000)::bigint
from symbols
"""


@dataclass(slots=True)
class Matrix:
    """
    Bars by timeframe, why they are absent, and what they are called.

    Attributes:
        expected: Bars of regular hours in the windows, by timeframe.
        invented: Stored bars that nobody traded, or that lie outside of regular hours.
        examples: Of each cell that is not right some bars, with what is on record of them.
    """

    cells: Counter[Cell] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    invented: int = 0
    examples: dict[Cell, list[str]] = field(default_factory=dict)

    def add(self, cell: Cell, ticker: str, start: int, record: _Record) -> None:
        """Counts one absent bar."""
        self.cells[cell] += 1
        told = self.examples.setdefault(cell, [])
        is_new = not any(text.startswith(f"{ticker} ") for text in told)
        if cell[2] not in RIGHT[cell[1]] and len(told) < _EXAMPLES_MAX and is_new:
            told.append(f"{ticker} {from_us(start):%Y-%m-%d %H:%M}: {record.reason(ticker, start)}")

    def rows(self) -> list[tuple[str, str]]:
        """The timeframe and the reason of each row, in order."""
        there = {(title, why) for title, why, _ in self.cells}
        return [(title, why) for title in self.expected for why in RIGHT if (title, why) in there]

    def absent(self, title: str, why: str) -> int:
        """How many bars are absent for a reason."""
        return sum(self.cells[title, why, kind] for kind in COLUMNS)

    def right(self, title: str, why: str) -> int:
        """How many of them are called by a right name."""
        return sum(self.cells[title, why, kind] for kind in RIGHT[why])

    @property
    def right_share(self) -> float:
        """Of all absent bars; 1 where none is."""
        rows = self.rows()
        return sum(self.right(*row) for row in rows) / max(1, sum(self.absent(*row) for row in rows)) if rows else 1.0

    @property
    def lost(self) -> int:
        """Bars that are absent and on no record."""
        return sum(count for (_, _, kind), count in self.cells.items() if kind == LOST)


def matrix_of(
    exchange: SimulatedExchange, database: Database, parts: Sequence[Part], troubles: Sequence[Trouble]
) -> Matrix:
    """What *database* says of each absent bar of *parts*, against what *exchange* knows and what it was told to do."""
    matrix = Matrix()
    for part in parts:
        record = _Record.read(database, part)
        expected = regular_starts(part.timeframe, part.wanted)
        keys = vendor_starts(part.timeframe, expected)
        matrix.expected[part.title] += len(expected) * len(part.tickers)
        others = [one for one in parts if one.timeframe.is_intraday]
        for ticker in part.tickers:
            reasons = exchange.why_absent(ticker, part.timeframe.value, keys)
            stored = record.stored.get(ticker, np.zeros(0, np.int64))
            matrix.invented += int(np.count_nonzero(~np.isin(stored, expected[reasons == "traded"])))
            why = _with_troubles(ticker, part.timeframe, expected, reasons, troubles)
            if part.timeframe is Timeframe.D1:
                why = _undecidable(why, expected, min((to_us(one.wanted.start) for one in others), default=None))
            is_absent = ~np.isin(expected, stored)
            kinds = record.kinds(ticker, expected[is_absent])
            told = _beside_holes(why, is_absent)[is_absent]
            for reason, kind, start in zip(told.tolist(), kinds, expected[is_absent].tolist(), strict=True):
                matrix.add((part.title, reason, kind), ticker, start, record)
    return matrix


def rendered(matrix: Matrix, *, is_markdown: bool) -> str:
    """The matrix as a table: why in rows, what in columns, bars in cells."""
    used = [kind for kind in COLUMNS if any(cell[2] == kind for cell in matrix.cells)]
    head = ["", "why absent", "bars", *used, "right"]
    body = [
        [title, why, f"{matrix.absent(title, why):,}"]
        + [_cell(matrix.cells[title, why, kind], is_right=kind in RIGHT[why], is_bold=is_markdown) for kind in used]
        + [f"{100 * matrix.right(title, why) / matrix.absent(title, why):.2f} %"]
        for title, why in matrix.rows()
    ]
    if is_markdown:
        rule = ["---", "---", *["---:"] * (len(head) - 2)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))
    widths = [max(len(row[place]) for row in (head, *body)) for place in range(len(head))]
    return "\n".join(_line(row, widths) for row in (head, *body))


def examples(matrix: Matrix) -> str:
    """Some bars of each cell that is not right."""
    wrong = [(cell, texts) for cell, texts in matrix.examples.items() if texts]
    return "\n".join(f"{' / '.join(cell)}\n" + "\n".join(f"  {text}" for text in texts) for cell, texts in wrong)


def _cell(count: int, *, is_right: bool, is_bold: bool) -> str:
    if not count:
        return ""
    return f"**{count:,}**" if is_right and is_bold else f"{count:,}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left = 2
    cells = (
        f"{cell:<{width}}" if place < left else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


@dataclass(frozen=True, slots=True)
class _Record:
    """What the database holds of a part, by ticker: stored starts, gaps, coverage, first day and end of its trading."""

    stored: Mapping[str, NDArray[np.int64]]
    gaps: Mapping[str, Sequence[tuple[int, int, str, str]]]
    covered: Mapping[str, Sequence[tuple[int, int]]]
    lives: Mapping[str, tuple[int | None, int | None]]

    @staticmethod
    def read(database: Database, part: Part) -> _Record:
        """Everything of the part's timeframe."""
        name = part.timeframe.value
        with database.connection() as conn:
            stored = conn.execute(_STORED, (name, part.wanted.start, part.wanted.end)).fetchall()
            gaps = conn.execute(_GAPS, (name,)).fetchall()
            covered = conn.execute(_COVERED, (name,)).fetchall()
            lives = conn.execute(_LIVES).fetchall()
        starts = {ticker: np.array(rows, np.int64).ravel() for ticker, rows in _by_ticker(stored).items()}
        return _Record(
            starts, _by_ticker(gaps), _by_ticker(covered), {ticker: (first, end) for ticker, first, end in lives}
        )

    def kinds(self, ticker: str, starts: NDArray[np.int64]) -> list[str]:
        """What each of these absent bars is called."""
        first, end = self.lives.get(ticker, (None, None))
        found = np.full(len(starts), UNCOVERED, object)
        for start, stop in self.covered.get(ticker, ()):
            found[(starts >= start) & (starts < stop)] = LOST
        if first is not None:
            found[starts < first] = NOT_EXPECTED
        if end is not None:
            found[starts >= end] = NOT_EXPECTED
        # A quiet stretch is one record however many bars and other gaps lie in it: it comes first, others overrule it.
        for start, stop, kind, _ in self.gaps.get(ticker, ()):
            found[(starts >= start) & (starts < stop)] = kind
        return [str(kind) for kind in found]

    def reason(self, ticker: str, at: int) -> str:
        """What is on record of a bar."""
        told = [reason for start, stop, _, reason in self.gaps.get(ticker, ()) if start <= at < stop]
        return told[-1] if told else "nothing on record"


def _by_ticker(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    found: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for ticker, *rest in rows:
        found[str(ticker)].append(tuple(rest))
    return found


def _with_troubles(
    ticker: str,
    timeframe: Timeframe,
    expected: NDArray[np.int64],
    reasons: NDArray[np.str_],
    troubles: Sequence[Trouble],
) -> NDArray[np.str_]:
    """Why each bar may be absent: what the market says, and of traded bars whether the vendor was told to keep them."""
    why = np.char.replace(reasons, "_", " ").astype("<U24")
    for one in troubles:
        if one.ticker == ticker and one.timeframe is timeframe:
            why[np.isin(expected, one.starts) & (reasons == "traded")] = _named(one)
    return why


def _beside_holes(why: NDArray[np.str_], is_absent: NDArray[np.bool_]) -> NDArray[np.str_]:
    """*why*, but for quiet bars in one run of absent bars with others that are no quiet ones."""
    run = np.cumsum(np.diff(is_absent, prepend=False) != 0)
    is_quiet = why == "no trade"
    # A row that comes breaks a run, whatever is wrong with it.
    holes = np.unique(run[is_absent & ~is_quiet & (why != "spoiled")])
    return np.where(is_absent & is_quiet & np.isin(run, holes), "no trade, beside a hole", why)


def _undecidable(why: NDArray[np.str_], days: NDArray[np.int64], intraday_from: int | None) -> NDArray[np.str_]:
    """*why*, with names of their own for halts and holes of *days* before those that were asked for in bars as well."""
    is_alone = np.ones(len(days), np.bool_) if intraday_from is None else days < intraday_from
    is_withheld = np.char.startswith(why, "withheld, ")
    named = np.where(is_alone & (why == "halted"), "halted, undecidable", why)
    return np.where(is_alone & is_withheld, "withheld, undecidable", named)


def _named(one: Trouble) -> str:
    if one.how == "for good":
        return "withheld, 3 or more" if len(one.starts) >= _RUN_OF_MANY else "withheld, 1 or 2 bars"
    return "spoiled" if one.how == "spoiled" else "withheld for a time"
