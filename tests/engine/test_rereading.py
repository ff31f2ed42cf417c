"""Corrections of providers: found by reading again, kept with what they replace, and no gap is made by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from barfill.core.ranges import Range, from_us
from barfill.core.rereading import drawn
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.retrying import retry
from barfill.engine.settings import EngineSettings
from barfill.engine.tick import Tick, tick
from barfill.engine.worker import QueueWorker
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from tests.engine.clocks import set_clock
from tests.engine.rig import NYSE, QUICK, Rig

M15, D1 = Timeframe.M15, Timeframe.D1
TICKERS = ("AAPL", "MSFT")
WEDNESDAY = datetime(2026, 9, 16, 21, 5, tzinfo=UTC)
CLOSES = [WEDNESDAY + timedelta(days=days) for days in (0, 1, 2, 5, 6, 7)]
"""Soon after the closes of six sessions in a row."""
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rereading.md").read_text(encoding="utf-8")
QUERY = PAGE.partition("```sql")[2].partition("```")[0]


@pytest.fixture(scope="module")
def session() -> Iterator[SimulatedExchange]:
    """An exchange soon after a close."""
    config = ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000, start_clock=WEDNESDAY)
    with running_exchange(config) as exchange:
        yield exchange


@pytest.fixture
def rig(session: SimulatedExchange, database: Database) -> Rig:
    """Two symbols, two weeks of which are wanted."""
    session.set_faults([])
    rig = Rig(session, database)
    go_to(rig, WEDNESDAY)
    rig.add_symbols(TICKERS)
    database.run(keep_series, TICKERS, [M15, D1], window_days=14)
    return rig


def go_to(rig: Rig, instant: datetime) -> None:
    """All clocks show *instant*."""
    rig.exchange.set_clock(instant)
    set_clock(rig.database, instant)


def look(rig: Rig, settings: EngineSettings = QUICK, max_calls: int | None = None) -> Tick:
    """One look at the definitions."""
    client = rig.client()
    try:
        roster = Roster((client.provider.capabilities,))
        return tick(rig.database, roster, settings, now=rig.database.now(), max_calls=max_calls)
    finally:
        asyncio.run(client.aclose())


def work(rig: Rig) -> None:
    """A worker carries out all that is due."""

    async def run() -> None:
        client = rig.client()
        try:
            await QueueWorker(rig.database, Clients(client), rig.settings, rig.listener).run_until_empty()
        finally:
            await client.aclose()

    asyncio.run(run())


def keep_up(rig: Rig, instant: datetime) -> Tick:
    """At *instant*, what is missing is fetched and what is due is read again."""
    go_to(rig, instant)
    found = look(rig)
    work(rig)
    look(rig)
    work(rig)
    return found


def window(now: datetime) -> Range:
    """What is wanted and final at *now*."""
    return Range(now - timedelta(days=14), now)


def rereads(rig: Rig) -> list[tuple[Any, ...]]:
    """Timeframe, range and symbols of the runs that read again."""
    return rig.query(
        "select timeframe, slice_from, slice_to, symbols_array, status from job_runs where is_reread "
        "order by slice_from, timeframe"
    )


def test_what_was_just_fetched_is_not_read_again(rig: Rig) -> None:
    """Not before the next close, and then once, however often one looks."""
    assert keep_up(rig, CLOSES[0]).rereads == 0
    assert rereads(rig) == []

    first, second = look(rig), keep_up(rig, CLOSES[1])

    assert (first.rereads, first.runs) == (0, ())
    assert second.rereads == 2
    assert [row[:3] for row in rereads(rig)] == [  # the day of the 16th is final on the 17th
        ("d1", datetime(2026, 9, 11, tzinfo=UTC), datetime(2026, 9, 16, tzinfo=UTC)),
        ("m15", datetime(2026, 9, 14, 13, 30, tzinfo=UTC), datetime(2026, 9, 16, 20, tzinfo=UTC)),
    ]
    assert {(tuple(row[3]), row[4]) for row in rereads(rig)} == {(TICKERS, "success")}
    assert rig.query(QUERY) == [("d1", 1, 1, 0), ("m15", 1, 1, 0)]
    rig.exchange.forget_requests()
    assert look(rig).runs == ()
    assert rig.exchange.requests == []


def test_late_volumes_are_found_and_what_they_replace_is_kept(rig: Rig) -> None:
    """R18: 5 % of the volumes come four hours late, 0.5 % a day late: equal in the end, a revision for each change."""
    rig.exchange.set_faults(
        [
            {"match": {}, "fault": "D24", "args": {"share": 0.05, "hours": 4, "factor": 0.9}},
            {"match": {}, "fault": "D24", "args": {"share": 0.005, "hours": 24, "factor": 0.5}},
        ]
    )
    shown: dict[tuple[str, Timeframe], dict[int, tuple[float, ...]]] = {}
    replaced = 0
    for close in CLOSES:
        keep_up(rig, close)
        for ticker in TICKERS:
            for timeframe in (M15, D1):
                bars = rig.stored(ticker, timeframe)
                before = shown.get((ticker, timeframe), {})
                replaced += sum(bars[ts] != before[ts] for ts in before)
                shown[ticker, timeframe] = bars

    kept = rig.query("select count(*), count(distinct (symbol_id, timeframe, ts)) from bar_revisions")
    assert replaced > 0
    assert kept == [(replaced, replaced)]
    settled = Range(window(CLOSES[0]).start, CLOSES[-2])
    for (ticker, timeframe), bars in shown.items():
        truth = rig.truth(ticker, timeframe, settled)
        assert {ts: bars[ts] for ts in truth} == truth
    gaps = rig.query("select count(*) from series_gaps")
    assert gaps == [(0,)]


def test_a_correction_after_three_weeks_is_found_when_its_turn_comes(rig: Rig) -> None:
    """D25: a part of what is older is read again each week."""
    keep_up(rig, CLOSES[0])
    keep_up(rig, CLOSES[1])
    next_week = CLOSES[3]
    older = Range(datetime(2026, 9, 7, 21, 5, tzinfo=UTC), datetime(2026, 9, 16, 13, 30, tzinfo=UTC))
    turn = drawn(NYSE, M15, older, datetime(2026, 9, 21, tzinfo=UTC).date())
    assert turn is not None
    ts = NYSE.expected_starts(M15, turn)[0]
    rig.change(
        "update ohlc_bars set close = low, open = low from symbols where symbols.id = symbol_id and ticker = 'MSFT' "
        f"and timeframe = 'm15' and ts = to_timestamp({ts / 1e6})"
    )

    keep_up(rig, next_week)

    truth = rig.truth("MSFT", M15, turn)
    assert rig.stored("MSFT", M15)[int(ts)] == truth[int(ts)]
    corrected = "select timeframe, ts from bar_revisions where reason = 'corrected'"
    assert rig.query(corrected) == [("m15", from_us(int(ts)))]
    assert rig.query("select distinct drawn_on from series") == [(datetime(2026, 9, 21, tzinfo=UTC).date(),)]


@pytest.mark.parametrize("fault", [{"fault": "H11"}, {"fault": "D20", "args": {"row": 3}}])
def test_what_a_second_reading_lacks_says_nothing(rig: Rig, fault: dict[str, Any]) -> None:
    """An answer without rows, or without one of them, loses no bar, makes no gap and leaves coverage as it is."""
    keep_up(rig, CLOSES[0])
    known = rig.query("select symbol_id, timeframe, covered, bar_count, density from series order by 1, 2")
    go_to(rig, CLOSES[1])
    assert look(rig, max_calls=2).rereads == 0  # what is missing comes first
    work(rig)
    fetched = rig.query("select symbol_id, timeframe, covered, bar_count, density from series order by 1, 2")
    assert fetched != known
    rig.exchange.set_faults([{"match": {}, **fault}])

    assert look(rig).rereads == 2
    work(rig)

    assert [row[4] for row in rereads(rig)] == ["success", "success"]
    assert rig.query("select symbol_id, timeframe, covered, bar_count, density from series order by 1, 2") == fetched
    assert rig.query("select count(*) from series_gaps") == [(0,)]


def test_quiet_minutes_stay_settled(rig: Rig) -> None:
    """A second reading without any row leaves those of a thinly traded symbol as they were, and its density."""
    rig.add_symbols(["THIN"])
    rig.database.run(keep_series, ["THIN"], [M15], window_days=14)
    keep_up(rig, CLOSES[0])
    go_to(rig, CLOSES[1])
    look(rig, max_calls=3)
    work(rig)
    ledger = "select covered, bar_count, density from series join symbols on id = symbol_id where ticker = 'THIN'"
    gaps = "select gap_from, gap_to, kind, expected_bars, attempts from gaps where symbol = 'THIN' order by gap_from"
    known = rig.query(ledger), rig.query(gaps)
    assert {row[2] for row in known[1]} == {"no_trade"}
    rig.exchange.set_faults([{"match": {}, "fault": "H11"}])

    assert look(rig).rereads > 0
    work(rig)

    assert (rig.query(ledger), rig.query(gaps)) == known


def test_a_bar_that_comes_late_closes_its_gap(rig: Rig) -> None:
    """A minute that was settled as one without a trade has traded after all."""
    keep_up(rig, CLOSES[0])
    ts = datetime(2026, 9, 15, 15, 0, tzinfo=UTC)
    rig.change(f"delete from ohlc_bars where timeframe = 'm15' and ts = '{ts}'")
    rig.change("update series set bar_count = bar_count - 1 where timeframe = 'm15'")
    rig.change(
        "insert into series_gaps "
        "(symbol_id, timeframe, gap_from, gap_to, expected_bars, kind, reason, calendar_version) "
        f"select id, 'm15', '{ts}', '{ts + timedelta(minutes=15)}', 1, 'no_trade', 'quiet', '' from symbols"
    )

    keep_up(rig, CLOSES[1])

    assert rig.query("select count(*) from series_gaps") == [(0,)]
    assert rig.query(f"select count(*) from ohlc_bars where timeframe = 'm15' and ts = '{ts}'") == [(2,)]
    assert rig.query("select count(*) from bar_revisions where reason = 'corrected'") == [(0,)]


def test_a_reading_again_that_fails_leaves_the_series_well(rig: Rig) -> None:
    """Its run has failed, can be tried again, and is not planned anew by each look; no bar lacks for it."""
    keep_up(rig, CLOSES[0])
    go_to(rig, CLOSES[1])
    look(rig, max_calls=2)
    work(rig)
    look(rig)
    rig.exchange.set_faults([{"match": {}, "fault": "H10", "args": {"form": "status_error"}}])
    for _ in range(6):
        work(rig)
        rig.change("update procrastinate_jobs set scheduled_at = null")

    assert {row[4] for row in rereads(rig)} == {"failed"}
    assert rig.query("select distinct last_result from series") == [("ok",)]
    assert rig.query("select count(*) from series_gaps") == [(0,)]
    rig.exchange.set_faults([])
    assert look(rig).runs == ()
    ids = [row[0] for row in rig.query("select id from job_runs where is_reread order by id")]
    assert retry(rig.database, ids, patience_s=60).queued == tuple(reversed(ids))
    work(rig)
    assert {row[4] for row in rereads(rig)} == {"success"}


def test_it_can_be_switched_off(rig: Rig) -> None:
    """`RESTATEMENT_SESSIONS=0`."""
    off = EngineSettings(restatement_sessions=0)
    keep_up(rig, CLOSES[0])
    go_to(rig, CLOSES[1])
    look(rig, off)
    work(rig)

    assert look(rig, off).rereads == 0
    assert rereads(rig) == []


def test_a_backfill_leaves_it_to_the_workers(rig: Rig) -> None:
    """It neither waits for what is read again nor takes it for superseded; and a bound on calls holds."""
    keep_up(rig, CLOSES[0])
    go_to(rig, CLOSES[1])
    look(rig, max_calls=2)
    work(rig)
    assert look(rig, max_calls=1).rereads == 1
    go_to(rig, CLOSES[1] + timedelta(minutes=1))

    rig.backfill(TICKERS, [M15, D1], window(CLOSES[1]))

    assert [row[4] for row in rereads(rig)] == ["queued"]
