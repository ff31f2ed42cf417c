"""Bars outside of regular hours, where they are wanted: in the same tables, flagged, and no part of anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from barfill.core.calendar import use_own_sessions
from barfill.core.own_sessions import OwnSession
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.export import ExportRequest, FileFormat, export
from barfill.engine.recheck import RecheckRequest, recheck
from barfill.engine.report import EXIT_COMPLETE
from barfill.simulate import ExchangeConfig, running_exchange
from barfill.store.database import Database
from tests.engine.rig import NYSE, Rig, days
from tests.engine.test_rereading import go_to

M1, M15 = Timeframe.M1, Timeframe.M15
ALL = [M1, M15, Timeframe.H1, Timeframe.H4, Timeframe.D1]
WEEK = days("2026-08-10", "2026-08-15")
BARS = "select timeframe, ts, open, high, low, close, volume from ohlc_bars where not is_extended order by 1, 2"
LEDGER = "select timeframe, expected_bars, kind, gap_from, gap_to from gaps order by 1, 4"


@pytest.fixture
def wide(rig: Rig) -> Rig:
    """A rig that keeps extended hours."""
    rig.settings = replace(rig.settings, extended_hours=True)
    return rig


def flagged(rig: Rig, source: str = "ohlc_bars") -> set[int]:
    """The starts of the minutes that are flagged."""
    return {to_us(ts) for (ts,) in rig.query(f"select ts from {source} where is_extended and timeframe = 'm1'")}


def all_minutes(rig: Rig, wanted: Range) -> set[int]:
    """Every minute with a trade that the exchange has, extended hours included."""
    frame = rig.exchange.truth("AAPL", "m1", wanted.start, wanted.end)
    starts = set(frame["ts"].dt.epoch("us").to_list())
    return {ts for ts in starts if from_us(ts) in wanted}


def test_what_lies_outside_is_flagged_and_nothing_else_knows_of_it(wide: Rig) -> None:
    """Every bar of the exchange is stored; regular and derived bars, gaps and coverage of sessions are as without."""
    report = wide.backfill(["AAPL"], ALL, WEEK)
    kept, stored = (wide.query(BARS), wide.query(LEDGER)), set(wide.stored("AAPL", M1))
    regular = set(NYSE.expected_starts(M1, WEEK).tolist())
    outside = flagged(wide)
    audit = recheck(wide.database, RecheckRequest(symbol_ids=None, timeframes=tuple(ALL)))
    wide.change("truncate ohlc_bars, series, series_gaps, job_runs cascade")
    wide.settings = replace(wide.settings, extended_hours=False)
    narrow = wide.backfill(["AAPL"], ALL, WEEK)

    assert report.exit_code == narrow.exit_code == EXIT_COMPLETE
    assert stored == all_minutes(wide, WEEK)
    assert outside == stored - regular
    assert len(outside) > 5 * 300
    assert kept == (wide.query(BARS), wide.query(LEDGER))
    assert [one.expected for one in report.matrix] == [one.expected for one in narrow.matrix]
    assert not audit.by_rule
    assert flagged(wide) == set()


def test_days_that_are_kept_up_with_lack_no_evening_and_no_morning(database: Database) -> None:
    """Look by look over two nights: each evening comes with the next session, and no call is made for it."""
    first_look = datetime(2026, 9, 14, 20, 22, tzinfo=UTC)
    config = ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000, start_clock=first_look)
    with running_exchange(config) as exchange:
        rig = Rig(exchange, database)
        rig.settings = replace(rig.settings, extended_hours=True)
        looks = [first_look + timedelta(hours=hours, minutes=7) for hours in (0, 2, 9, 16, 18, 20, 24, 30, 41, 44)]
        calls = []
        for instant in looks:
            go_to(rig, instant)
            exchange.forget_requests()
            rig.backfill(["AAPL"], [M1, M15], Range(WEEK.start + timedelta(days=35), instant))
            calls.append(rig.bar_requests())

        wanted = Range(WEEK.start + timedelta(days=35), datetime(2026, 9, 16, 13, 30, tzinfo=UTC))
        stored = {ts for ts in rig.stored("AAPL", M1) if from_us(ts) in wanted}
        assert stored == all_minutes(rig, wanted)
        assert flagged(rig) & stored == stored - set(NYSE.expected_starts(M1, wanted).tolist())
        assert [count > 0 for count in calls] == [True, False, False, False, True, True, True, False, False, True]


@pytest.fixture
def told() -> Iterator[None]:
    """What a test tells of days is forgotten after it."""
    yield
    use_own_sessions([])


@pytest.mark.usefixtures("told")
def test_a_calendar_that_changes_flags_the_bars_anew(wide: Rig) -> None:
    """An afternoon that was taken for the time after an early close is regular once told; no value is revised by it."""
    opens, rumour = datetime(2026, 8, 12, 13, 30, tzinfo=UTC), datetime(2026, 8, 12, 17, tzinfo=UTC)
    use_own_sessions([OwnSession("XNYS", date(2026, 8, 12), Range(opens, rumour), "a rumour")])
    wide.backfill(["AAPL"], [M1], WEEK)
    before, afternoon = flagged(wide), NYSE.expected_starts(M1, Range(rumour, rumour + timedelta(hours=3)))
    wide.change(f"update ohlc_bars set volume = volume + 1 where ts = '{rumour}'")
    wide.change("insert into live_revisions select * from bar_revisions")
    assert wide.query("select is_extended from live_revisions") == [(True,)]
    instant = wide.database.now()

    use_own_sessions([])
    report = wide.backfill(["AAPL"], [M1], WEEK)

    assert report.exit_code == EXIT_COMPLETE
    assert before >= set(afternoon.tolist())
    assert flagged(wide) == all_minutes(wide, WEEK) - set(NYSE.expected_starts(M1, WEEK).tolist())
    assert wide.query("select reason, is_extended from bar_revisions order by replaced_at") == [
        ("changed", False),
        ("corrected", False),
    ]
    assert wide.query("select is_extended from live_revisions") == [(False,)]
    assert flagged(wide, f"bars_as_of('{instant.isoformat()}')") <= flagged(wide)


def test_a_correction_keeps_the_flag_on_both_values(wide: Rig, tmp_path: Path) -> None:
    """As of before, as of now and in files the bar is flagged, and so is what it replaced."""
    wide.backfill(["AAPL"], [M1], WEEK)
    ts = from_us(min(flagged(wide)))
    wide.change(f"update ohlc_bars set close = low, open = low where ts = '{ts}'")
    instant = wide.database.now()

    wide.backfill(["AAPL"], [M1], WEEK, is_full=True)

    assert flagged(wide, "bar_revisions") == {to_us(ts)}
    assert flagged(wide, f"bars_as_of('{instant.isoformat()}')") <= flagged(wide)
    request = ExportRequest(None, (M1,), WEEK, None, tmp_path, FileFormat.PARQUET)
    (done,) = export(wide.database, request)
    assert done.path is not None
    frame = pl.read_parquet(done.path).filter("is_extended")
    assert set(frame["ts"].dt.epoch("us").to_list()) == flagged(wide)


def test_days_are_never_extended(wide: Rig) -> None:
    """Whatever their stamp; and coverage of minutes goes through the nights."""
    wide.backfill(["AAPL"], [M1, Timeframe.D1], WEEK)

    assert wide.query("select count(*) from ohlc_bars where is_extended and not is_intraday") == [(0,)]
    whole = "covered @> tstzrange('2026-08-10T13:30Z', '2026-08-14T20:00Z')"
    assert wide.query(f"select {whole} from coverage_status where timeframe = 'm1'") == [(True,)]
