"""Runs that go on in others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.carrying_on import changed_symbols, readdressed
from barfill.store.runs import ClaimedRun
from barfill.store.symbols import Symbol

START = datetime(2024, 3, 4, tzinfo=UTC)
WHOLE = Range(START, START + timedelta(days=10))


def claimed_run() -> ClaimedRun:
    """Four symbols, of which A is read and B in part."""
    return ClaimedRun(
        symbols=("A", "B", "C", "D"),
        symbol_ids=(1, 2, 3, 4),
        timeframe=Timeframe.D1,
        range=WHOLE,
        provider="alpaca",
        feed="sip",
        basis="split",
        id=81,
        epoch=2,
        page_no=1,
        attempt=0,
        progress_percent=30,
        job_type="fetch_historical",
        triggered_by="cron",
        priority=120,
        is_restart=False,
        page_token="next",
        open_symbol_id=2,
        open_until=START + timedelta(days=4),
        seen_symbol_ids=(1, 2),
        actual_cost=1,
        rows_written=14,
        may_lack_rows=False,
    )


def on_record(**tickers: int) -> dict[int, Symbol]:
    return {one: Symbol(one, ticker, None, "stock", "XNYS", True, True) for ticker, one in tickers.items()}


def test_a_run_goes_on_under_the_tickers_of_now_without_what_is_gone() -> None:
    """What is read stays read; pages are asked for anew, in the order of the new tickers, for the same series,
    under the same urgency."""
    found = on_record(A=1, Z=2, Y=3, X=4)
    del found[3]

    runs = readdressed(claimed_run(), found)

    assert [(run.symbols, run.symbol_ids, run.range) for run in runs] == [
        (("Z",), (2,), Range(START + timedelta(days=4), WHOLE.end)),
        (("X",), (4,), WHOLE),
    ]
    assert {(run.priority, run.triggered_by, run.feed, run.basis) for run in runs} == {(120, "cron", "sip", "split")}
    text = str(changed_symbols(claimed_run(), found))
    assert text.startswith("Symbol 'B' is 'Z' now. Symbol 'C' is gone. Symbol 'D' is 'X' now. ")


def test_a_run_whose_symbols_are_as_they_were_goes_on_itself() -> None:
    """And one of which nothing is left goes on in none."""
    assert changed_symbols(claimed_run(), on_record(A=1, B=2, C=3, D=4)) is None
    assert readdressed(claimed_run(), {}) == []
