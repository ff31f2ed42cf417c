"""
How often the rule for quiet bars is wrong, on real minutes: `python -m bench.gap_rule DATA_DIR`.

Alarms are counted on sessions that are perfect by definition, as what came is all that there was: on the real sessions
themselves, and on thousands made of their runs of minutes with and without a trade. Misses are counted on holes that
are cut into the same sessions. Both are told for one density per symbol and for one by part of the session.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from barfill.core.calendar import AROUND_THE_CLOCK, trading_calendar
from barfill.core.ranges import Range
from barfill.core.suspicion import is_suspicious
from barfill.core.timeframe import Timeframe

SOURCES = {
    "equity_SPY_m1_2013-10": ("2013-10-04", "2013-10-12"),
    "equity_SPY_m1_2011-01_ninjatrader": ("2011-01-03", "2011-02-01"),
    "equity_AAPL_m1_2014-06": ("2014-06-05", "2014-06-10"),
    "equity_GOOG_m1_2015-12": ("2015-12-23", "2015-12-29"),
    "equity_SHY_m1_2008-03": ("2008-03-07", "2008-03-11"),
    "crypto_XRPETH_m1_2019-10_binance": ("2019-10-11", "2019-10-13"),
    "crypto_BTCUSD_m1_2016-10_coinbase": ("2016-10-07", "2016-10-10"),
    "crypto_BTCEUR_m1_2018-04_coinbase": ("2018-04-05", "2018-04-07"),
}
MADE_SESSIONS = 20_000
PAGE_ROWS = 10_000
HOLES = (3, 5, 10, 20, 30, 60, 120)
PARTS = 3
TITLES = "| file | sessions | density | by thirds | alarms | of made ones | the same by thirds | {} |"
_SEED = 1


@dataclass(frozen=True, slots=True)
class Sessions:
    """Real sessions: `present` is bool (sessions, bars), whether each expected minute was traded."""

    name: str
    present: NDArray[np.bool_]

    @property
    def density(self) -> float:
        """The median share of a session's minutes."""
        return float(np.median(self.present.mean(axis=1)))

    @property
    def parts(self) -> NDArray[np.float64]:
        """The same by part of the session, shape (3,)."""
        pieces = np.array_split(self.present, PARTS, axis=1)
        return np.array([np.median(piece.mean(axis=1)) for piece in pieces])


def read(folder: Path, name: str, first: str, end: str) -> Sessions:
    """The full sessions of a file."""
    calendar = trading_calendar("XNYS" if name.startswith("equity") else AROUND_THE_CLOCK, 2027)
    wanted = Range(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, end)))
    starts = calendar.expected_starts(Timeframe.M1, wanted)
    ts = pl.read_parquet(folder / f"{name}.parquet")["ts"].dt.epoch("us").to_numpy()
    session = calendar.session_of(Timeframe.M1, starts)
    length = int(np.max(np.bincount(session - session[0])))
    rows = [np.isin(starts[session == one], ts) for one in np.unique(session)]
    return Sessions(name, np.array([row for row in rows if len(row) == length]))


def made(real: Sessions, count: int) -> NDArray[np.bool_]:
    """Sessions made of the real runs of minutes with and without a trade, drawn at random; shape (count, bars)."""
    random = np.random.default_rng(_SEED)
    flat = real.present.ravel()
    lengths = {is_there: _lengths(flat == is_there) for is_there in (True, False)}
    bars = real.present.shape[1]
    if len(lengths[False]) == 0:
        return np.ones((count, bars), np.bool_)
    going_on = {is_there: 1 - 1 / found.mean() for is_there, found in lengths.items()}
    wanted = count * bars
    runs = np.stack([random.geometric(1 - going_on[is_there], wanted) for is_there in (True, False)], axis=1).ravel()
    is_there = np.repeat(np.arange(len(runs)) % 2 == 0, runs)[:wanted]
    return is_there.reshape(count, bars)


def alarms(sessions: NDArray[np.bool_], density: NDArray[np.float64]) -> int:
    """How many runs are suspicious; *density* by part of the session, shape (1,) for all of it."""
    return sum(int(_judged(page, density)[2].sum()) for page in _pages(sessions))


def found(sessions: NDArray[np.bool_], density: NDArray[np.float64], hole: int) -> float:
    """The share of holes of so many minutes, one a page at random, that are suspicious."""
    random = np.random.default_rng(_SEED)
    hits, pages = 0, list(_pages(sessions))
    for page in pages:
        session, at = int(random.integers(0, len(page))), int(random.integers(0, page.shape[1] - hole))
        spoiled = page.copy()
        spoiled[session, at : at + hole] = False
        first, end, is_alarm = _judged(spoiled, density)
        begin = session * page.shape[1] + at
        hits += bool(np.any(is_alarm & (first < begin + hole) & (end > begin)))
    return hits / len(pages)


def _pages(sessions: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """As many sessions at a time as a page holds minutes of one symbol."""
    count = max(1, PAGE_ROWS // sessions.shape[1])
    for start in range(0, len(sessions), count):
        yield sessions[start : start + count]


def _judged(
    page: NDArray[np.bool_], density: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """The runs of absent minutes on a page, first and end as positions, and which are suspicious."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], page.ravel(), [True])).astype(np.int8)))
    first, end = edges[::2], edges[1::2]
    bars = page.shape[1]
    part = np.minimum(first % bars * len(density) // bars, len(density) - 1)
    symbol, no_doubt = np.zeros(len(first), np.int32), np.zeros(len(first), np.bool_)
    return first, end, is_suspicious(end - first, symbol, density[part], no_doubt, Timeframe.M1)


def report(folder: Path) -> Iterator[str]:
    """The table, in Markdown."""
    yield TITLES.format(" | ".join(f"{hole} min" for hole in HOLES))
    yield "|---" * (7 + len(HOLES)) + "|"
    for name, (first, end) in SOURCES.items():
        real = read(folder, name, first, end)
        whole, parts = np.array([real.density]), real.parts
        invented = made(real, MADE_SESSIONS)
        shares = [found(invented, whole, hole) for hole in HOLES]
        cells = [
            name.split("_", 1)[1],
            str(len(real.present)),
            f"{real.density:.3f}",
            " ".join(f"{one:.3f}" for one in parts),
            str(alarms(real.present, whole)),
            f"{100 * alarms(invented, whole) / MADE_SESSIONS:.3f} %",
            f"{100 * alarms(invented, parts) / MADE_SESSIONS:.3f} %",
            *(f"{100 * one:.0f} %" for one in shares),
        ]
        yield f"| {' | '.join(cells)} |"


def _lengths(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]


if __name__ == "__main__":
    for line in report(Path(sys.argv[1])):
        print(line)
