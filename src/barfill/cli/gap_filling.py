"""`barfill gaps --fill`: asks for gaps again now, as a backfill of nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from barfill.cli.backfill import stopping
from barfill.cli.progress import watcher
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.request import BackfillRequest
from barfill.engine.resampling import ResampleRequest, resample_stored
from barfill.store.decisions import make_due
from barfill.store.gaps import list_gaps
from barfill.wiring import engine_settings, make_backfill, open_clients

if TYPE_CHECKING:
    from barfill.engine.report import BackfillReport
    from barfill.settings import Settings
    from barfill.store.database import Database
    from barfill.store.gaps import ListedGap


@dataclass(frozen=True, slots=True)
class Filled:
    """
    What asking again has brought.

    Attributes:
        filled: Gaps of which nothing is absent any more.
        settled: Gaps that were open and are accounted for now.
        remaining: Gaps that are open still, or in part.
    """

    report: BackfillReport
    filled: tuple[ListedGap, ...]
    settled: tuple[ListedGap, ...]
    remaining: tuple[ListedGap, ...]


def fill(gaps: Sequence[ListedGap], settings: Settings, database: Database) -> Filled:
    """
    Asks for *gaps* once more, due or not, and for nothing that was never asked for.

    Raises:
        NoProvider, StoreError: Nobody has what is wanted, or the database is gone.
    """
    database.run(make_due, [one.gap.id for one in gaps if one.gap.id is not None])
    windows: dict[Timeframe, Range] = {}
    for one in gaps:
        known = windows.get(one.timeframe, one.gap.range)
        start, end = min(known.start, one.gap.range.start), max(known.end, one.gap.range.end)
        windows[one.timeframe] = Range(start, end)
    tickers = tuple(dict.fromkeys(one.ticker for one in gaps))
    ordered = {timeframe: windows[timeframe] for timeframe in Timeframe if timeframe in windows}
    request = BackfillRequest(tickers=tickers, windows=ordered, only_gaps=True)
    report = asyncio.run(_fill(request, settings, database))
    ids = sorted({one.gap.symbol_id for one in gaps})
    # What was made of the bars around is made anew, in whatever timeframe: the request names only those of the gaps.
    coarser = ResampleRequest(symbol_ids=tuple(ids), is_known_only=True)
    resample_stored(database, coarser, engine_settings(settings).resampling)
    left: dict[tuple[int, Timeframe], list[ListedGap]] = {}
    for one in database.run(list_gaps, symbol_ids=ids, timeframes=list(ordered)):
        left.setdefault((one.gap.symbol_id, one.timeframe), []).append(one)
    filled: list[ListedGap] = []
    settled: list[ListedGap] = []
    remaining: list[ListedGap] = []
    for one in gaps:
        still = [gap for gap in left.get((one.gap.symbol_id, one.timeframe), ()) if gap.gap.range & one.gap.range]
        is_open = any(not gap.gap.is_settled for gap in still)
        (filled if not still else remaining if is_open else settled).append(one)
    return Filled(report, tuple(filled), tuple(settled), tuple(remaining))


async def _fill(request: BackfillRequest, settings: Settings, database: Database) -> BackfillReport:
    with watcher(is_terminal=sys.stderr.isatty()) as listener:
        async with open_clients(settings, database, listener, tickers=request.tickers) as clients:
            engine = make_backfill(settings, database, clients, listener)
            with stopping(engine, listener):
                return await engine.run(request)
