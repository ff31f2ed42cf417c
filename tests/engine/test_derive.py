"""Coarser bars follow their source: whatever happens to it, what is stored is what a rebuild would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barfill.core.calendar import trading_calendar
from barfill.core.plan import Derivation, Resampling
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.resample import derived_coverage, resample
from barfill.core.timeframe import Timeframe
from barfill.engine.derive import Derived, Wish, derive
from barfill.engine.report import EXIT_COMPLETE
from barfill.store.bars import read_bars
from barfill.store.database import Database
from barfill.store.derived import read_derived
from barfill.store.pages import retract_coverage, unmake, write_derived, write_page
from barfill.store.series import read_series
from barfill.store.symbols import find_by_ids
from barfill.store.writes import OUT_OF_REACH, GapRecord
from tests.engine.rig import Rig, days
from tests.store.builders import START, add, claimed_run, columns, minute, minutes, page, query, write

ROOT = Path(__file__).parents[2]
NYSE = trading_calendar("XNYS", 2027)
DAY = days("2024-03-04", "2024-03-05")
NOW = datetime(2024, 3, 6, tzinfo=UTC)
M1, M5, M15, M30, H1, H4, D1, W1 = Timeframe
COARSER = (M5, M15, M30, H1, H4)


def wish(database: Database, symbol_id: int, targets: Sequence[Timeframe] = COARSER) -> Wish:
    """Everything intraday, of the finest there is."""
    symbols = tuple(database.run(find_by_ids, [symbol_id]).values())
    finer = {target: tuple(one for one in (M1, *COARSER) if one.length < target.length) for target in targets}
    return Wish(NYSE, symbols, tuple(Derivation(target, DAY, finer[target]) for target in targets))


def derived(database: Database, symbol_id: int, *, is_full: bool = False, **more: Sequence[Timeframe]) -> Derived:
    """What one look makes."""
    return derive(database, wish(database, symbol_id, **more), NOW, is_full=is_full)


def stored(database: Database, symbol_id: int, timeframe: Timeframe) -> list[tuple[float, ...]]:
    """Start, prices, volume, vwap and count of all bars."""
    return query(
        database,
        "select ts, open, high, low, close, volume, vwap, trade_count from ohlc_bars "
        "where symbol_id = %s and timeframe = %s order by ts",
        symbol_id,
        timeframe.value,
    )


def is_what_a_rebuild_gives(database: Database, symbol_id: int, source: Timeframe = M1) -> None:
    """Each coarser series holds exactly what its minutes make, where they cover whole bars, and nothing else."""
    rows = database.run(read_series, [symbol_id], Timeframe)
    minute_bars = database.run(read_bars, symbol_id, source, DAY)
    for target in COARSER:
        whole = derived_coverage(rows[symbol_id, source].covered, source, target, NYSE)
        made = resample(minute_bars, source, target, NYSE)
        made = made.take(np.array([from_us(ts) in whole for ts in made.ts.tolist()], np.bool_))
        expected = [
            (from_us(ts), *map(float, values), count)
            for ts, *values, count in zip(
                made.ts.tolist(),
                *(getattr(made, name) for name in ("open", "high", "low", "close", "volume", "vwap")),
                made.trade_count.tolist(),
                strict=True,
            )
        ]
        assert stored(database, symbol_id, target) == expected, target
        row = rows.get((symbol_id, target))
        covered = set() if row is None else starts_in(row.covered, target)
        assert covered == starts_in(whole, target), target
        assert (row.bar_count if row else 0) == len(expected)


def starts_in(ranges: Ranges, timeframe: Timeframe) -> set[int]:
    """The bars that are expected in *ranges*."""
    return {ts for one in ranges for ts in NYSE.expected_starts(timeframe, one).tolist()}


def put(database: Database, symbol_id: int, first: int, end: int, prices: Sequence[float], quiet: set[int]) -> None:
    """A fetch of some minutes, of which some have no bar."""
    rows = {number: prices[number % len(prices)] for number in range(first, end) if number not in quiet}
    database.run(write_derived, write({symbol_id: rows}, {symbol_id: minutes(first, end)}))


def take_out(database: Database, symbol_id: int, first: int, end: int) -> None:
    """A page that contradicts what is stored of some minutes."""
    run = claimed_run(database, [symbol_id])
    withdrawn = {symbol_id: Ranges([minutes(first, end)])}
    database.run(write_page, page(run, {}, {symbol_id: minutes(389, 390)}, withdrawn=withdrawn))


STEPS = st.tuples(
    st.sampled_from(["put", "put", "take_out", "retract"]),
    st.integers(0, 389),
    st.integers(1, 120),
    st.lists(st.integers(10, 90).map(float), min_size=1, max_size=5),
    st.sets(st.integers(0, 389), max_size=40),
    st.booleans(),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=2, max_size=8), looks_first=st.booleans())
def test_incremental_derivation_equals_a_rebuild(
    database: Database, steps: list[tuple[str, int, int, list[float], set[int], bool]], looks_first: bool
) -> None:
    """Fetches, corrections, late bars, withdrawals and retractions in any order: what is derived is never stale."""
    number = query(database, "select count(*) from symbols")[0][0]
    (a,) = add(database, f"S{number}")
    put(database, a, 0, 390, [50.0], set())
    if looks_first:
        derived(database, a)
    for kind, first, length, prices, quiet, looks in steps:
        end = min(390, first + length)
        if kind == "put":
            put(database, a, first, end, prices, quiet)
        elif kind == "take_out":
            take_out(database, a, first, end)
        else:
            database.run(retract_coverage, M1, {a: Ranges([minutes(first, end)])})
        if looks:
            derived(database, a)

    derived(database, a)

    # What was retracted and not brought again may stay behind as bars, outside of coverage: nobody calls it proved.
    if all(kind != "retract" for kind, *_ in steps):
        is_what_a_rebuild_gives(database, a)
    assert derived(database, a) == Derived()
    rebuilt = derived(database, a, is_full=True)
    assert (rebuilt.written, rebuilt.removed) == (0, 0)


def test_a_rebuild_finds_what_was_changed_past_barfill(database: Database) -> None:
    """Minutes that SQL has changed or deleted: the bars over them are made again, and those left without any go."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set())
    derived(database, a)
    query(
        database, "update ohlc_bars set high = 99 where symbol_id = %s and timeframe = 'm1' and ts = %s", a, minute(5)
    )
    query(
        database,
        "delete from ohlc_bars where symbol_id = %s and timeframe = 'm1' and ts >= %s and ts < %s",
        *(a, minute(60), minute(120)),
    )

    done = derived(database, a, is_full=True)

    assert (done.changed, done.removed) == (5, 12 + 4 + 2 + 1)
    is_what_a_rebuild_gives(database, a)


def test_what_was_made_of_withdrawn_bars_goes_with_them(database: Database) -> None:
    """A contradicted minute takes its coarser bars along, into bar_revisions; they come again with it."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set())
    derived(database, a)

    take_out(database, a, 61, 62)

    gone = query(database, "select timeframe, ts from bar_revisions where symbol_id = %s order by timeframe, ts", a)
    coarser = [("h1", minute(60)), ("h4", minute(0)), ("m15", minute(60)), ("m30", minute(60)), ("m5", minute(60))]
    assert gone == sorted([*coarser, ("m1", minute(61))])
    derived(database, a)
    is_what_a_rebuild_gives(database, a)
    put(database, a, 61, 62, [20.0], set())
    derived(database, a)
    is_what_a_rebuild_gives(database, a)
    assert len(stored(database, a, H1)) == 7


def test_a_changed_derived_bar_becomes_a_revision(database: Database) -> None:
    """A corrected minute changes exactly the bars over it, and each keeps what it replaced."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set())
    derived(database, a)

    put(database, a, 200, 201, [90.0], set())
    done = derived(database, a)

    changed = query(
        database, "select timeframe, ts, high from bar_revisions where symbol_id = %s order by timeframe, ts", a
    )
    expected = [("h1", 180), ("h4", 0), ("m1", 200), ("m15", 195), ("m30", 180), ("m5", 200)]
    assert changed == [(name, minute(number), 11.0) for name, number in expected]
    assert (done.changed, done.removed) == (5, 0)
    is_what_a_rebuild_gives(database, a)


def test_bars_made_of_derived_bars_follow_too(database: Database) -> None:
    """Hours that were made of quarters, which were made of minutes, are made anew when a minute changes."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set())
    derived(database, a, targets=[M15])
    hours = replace(wish(database, a, [H1]), derive=(Derivation(H1, DAY, (M15,)),))
    derive(database, hours, NOW, is_full=False)
    assert database.run(read_derived, [a], [H1])[a, H1].keys() == {M15}

    put(database, a, 5, 6, [90.0], set())
    derived(database, a, targets=[M15])
    derive(database, hours, NOW, is_full=False)

    assert stored(database, a, H1)[0][2] == 91.0


def test_a_bar_whose_minutes_are_all_gone_is_none(database: Database) -> None:
    """Where a range stays covered and its last bar is taken out, no coarser bar is left, nor made up."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set(range(60, 120)) - {70})
    derived(database, a)
    with database.connection() as conn, conn.transaction():
        unmake(conn, M1, {a: Ranges([minutes(70, 71)])}, with_bars=True)
        conn.execute("delete from ohlc_bars where symbol_id = %s and timeframe = 'm1' and ts = %s", (a, minute(70)))

    derived(database, a)

    assert minute(60) not in [row[0] for row in stored(database, a, H1)]
    assert query(database, "select kind, expected_bars from gaps where timeframe = 'h1'") == [("no_trade", 1)]
    is_what_a_rebuild_gives(database, a)


@pytest.mark.parametrize("kind", ["missing", "failed", "quarantined"])
def test_nothing_is_made_around_an_open_gap(database: Database, kind: str) -> None:
    """A quiet minute makes no hole in an hour; one behind which a bar may be, does, though the range is covered."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], {10, 70})
    gap = GapRecord(symbol_id=a, range=minutes(70, 71), expected_bars=1, kind=kind)  # type: ignore[arg-type]
    quiet = GapRecord(symbol_id=a, range=minutes(10, 11), expected_bars=1, kind="no_trade")
    database.run(write_derived, write({}, {}, gaps=[quiet, gap]))

    derived(database, a)

    assert minute(0) in [row[0] for row in stored(database, a, H1)]
    assert minute(60) not in [row[0] for row in stored(database, a, H1)]
    told = query(database, "select gap_from, expected_bars, kind from gaps where timeframe = 'h1'")
    assert told == [(minute(60), 1, kind)]


@pytest.mark.parametrize(("reason", "is_made"), [("new", True), (f"{OUT_OF_REACH}two years on this plan", False)])
def test_a_bar_is_made_of_the_first_minutes_of_a_listing_and_not_of_a_plan(
    database: Database, reason: str, is_made: bool
) -> None:
    """Before a listing nothing was traded; before the history that a plan reaches are bars that nobody has stored."""
    (a,) = add(database, "A")
    put(database, a, 5, 390, [10.0], set())
    before = GapRecord(symbol_id=a, range=minutes(0, 5), expected_bars=5, kind="unavailable", reason=reason)
    database.run(write_derived, write({}, {}, gaps=[before]))

    derived(database, a, targets=[H1])

    assert (minute(0) in [row[0] for row in stored(database, a, H1)]) is is_made


def test_a_halt_is_passed_on_to_bars_that_lie_in_it(database: Database) -> None:
    """An hour that was halted altogether is a halted hour; one that began halted has the bars of its rest."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set(range(50, 130)))
    halt = GapRecord(symbol_id=a, range=minutes(50, 130), expected_bars=80, kind="halted")
    database.run(write_derived, write({}, {}, gaps=[halt]))

    derived(database, a, targets=[H1])

    assert [row[0] for row in stored(database, a, H1)] == [minute(60 * number) for number in (0, 2, 3, 4, 5, 6)]
    told = query(database, "select gap_from, expected_bars, kind from gaps where timeframe = 'h1'")
    assert told == [(minute(60), 1, "halted")]


def test_fetched_bars_are_not_overwritten_by_derived_ones(database: Database) -> None:
    """What was fetched of a coarser series stays, also in a rebuild; what is on record tells the two apart."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set())
    fetched = replace(write({a: {0: 77}}, {a: minutes(0, 60)}), timeframe=H1)
    database.run(write_derived, fetched)

    derived(database, a)
    derived(database, a, is_full=True)

    assert [row[4] for row in stored(database, a, H1)] == [77.0, *[10.0] * 6]
    parts = database.run(read_derived, [a], [H1])[a, H1]
    assert starts_in(parts[M1], H1) == {to_us(minute(60 * number)) for number in range(1, 7)}
    database.run(write_derived, replace(fetched, proved={a: Ranges([minutes(0, 120)])}))
    parts = database.run(read_derived, [a], [H1])[a, H1]
    assert starts_in(parts[M1], H1) == {to_us(minute(60 * number)) for number in range(2, 7)}


def test_a_series_of_another_feed_is_left_alone(database: Database) -> None:
    """Nothing of the whole tape is put into a series that holds one exchange's bars."""
    (a,) = add(database, "A")
    put(database, a, 0, 390, [10.0], set())
    database.run(write_derived, replace(write({a: {0: 77}}, {a: minutes(0, 60)}, feed="iex"), timeframe=H1))

    derived(database, a)

    assert len(stored(database, a, H1)) == 1
    assert len(stored(database, a, H4)) == 2


@pytest.mark.parametrize("timeframe", [H1, H4])
def test_hours_that_nobody_sends_are_derived_whatever_is_set(rig: Rig, timeframe: Timeframe) -> None:
    """Switching derivation off leaves no series empty for which the provider has no bars."""
    rig.settings = replace(rig.settings, resampling=Resampling(h1=False, h4=False, w1=False, from_m1=False))
    week = days("2026-09-14", "2026-09-19")

    report = rig.backfill(["AAPL"], [M15, timeframe, W1], week)

    assert report.exit_code == EXIT_COMPLETE
    assert {one.query["timeframe"] for one in rig.exchange.requests if "timeframe" in one.query} == {"15Min", "1Day"}
    assert len(rig.stored("AAPL", timeframe)) == 5 * (7 if timeframe is H1 else 2)


def test_stubs_are_told_by_sql(rig: Rig) -> None:
    """The bars that the close cuts, on a full day and on a half day; no day and no week is one."""
    rig.backfill(["AAPL"], list(Timeframe), days("2025-11-26", "2025-11-29"))

    told = rig.query(
        "select timeframe, ts at time zone 'America/New_York' from ohlc_bars "
        "where is_stub(symbol_id, timeframe, ts) order by ts, timeframe"
    )

    assert [(name, f"{ts:%d %H:%M}") for name, ts in told] == [
        ("h4", "26 13:30"),
        ("h1", "26 15:30"),
        ("h4", "28 09:30"),
        ("h1", "28 12:30"),
    ]


def test_weeks_are_whole_or_not_made(rig: Rig) -> None:
    """A week with a holiday is made of its four days; one whose last days are not there yet is not made."""
    window = days("2025-11-24", "2025-12-04")
    rig.backfill(["AAPL"], [D1], window)
    symbols = tuple(rig.database.run(find_by_ids, [rig.query("select id from symbols")[0][0]]).values())

    derive(rig.database, Wish(NYSE, symbols, (Derivation(W1, window, (D1,)),)), NOW, is_full=False)

    assert [from_us(ts) for ts in rig.stored("AAPL", W1)] == [datetime(2025, 11, 24, tzinfo=UTC)]


def test_what_can_be_made_of_stored_bars_is_not_fetched(rig: Rig) -> None:
    """Quarters, and hours for which quarters would be fetched, are made of minutes that an earlier backfill brought."""
    week = days("2026-09-14", "2026-09-19")
    rig.backfill(["AAPL"], [M1], week)
    rig.exchange.forget_requests()

    reports = [rig.backfill(["AAPL"], [timeframe], week) for timeframe in (H1, M15)]

    assert rig.bar_requests() == 0
    assert [one.exit_code for one in reports] == [EXIT_COMPLETE, EXIT_COMPLETE]
    assert (len(rig.stored("AAPL", H1)), len(rig.stored("AAPL", M15))) == (5 * 7, 5 * 26)


def test_only_what_no_minutes_cover_is_fetched_coarse(rig: Rig) -> None:
    """Of a longer window of quarters the part before the stored minutes is fetched, and recorded as such."""
    rig.backfill(["AAPL"], [M1], days("2026-09-16", "2026-09-19"))
    rig.exchange.forget_requests()

    report = rig.backfill(["AAPL"], [M15, H4], days("2026-09-14", "2026-09-19"))

    asked = [one.query for one in rig.exchange.requests if "timeframe" in one.query]
    assert [(one["timeframe"], one["start"][:10], one["end"][:10]) for one in asked] == [
        ("15Min", "2026-09-14", "2026-09-15")
    ]
    assert report.exit_code == EXIT_COMPLETE
    (symbol_id,) = rig.query("select id from symbols")[0]
    parts = rig.database.run(read_derived, [symbol_id], [M15, H4])
    minutes_from = datetime(2026, 9, 16, tzinfo=UTC)
    assert {from_us(ts) >= minutes_from for ts in starts_in(parts[symbol_id, M15][M1], M15)} == {True}
    assert parts[symbol_id, H4].keys() == {M1, M15}


def test_quarters_are_not_fetched_again_for_hours_that_are_there(rig: Rig) -> None:
    """What is fetched only to derive from is asked for where a wanted bar is still to be made, and nowhere else."""
    week = days("2026-09-14", "2026-09-19")
    rig.backfill(["AAPL"], [H1], week)
    rig.change("update series set covered = covered - '{[2026-09-15,2026-09-16)}' where timeframe = 'm15'")
    rig.exchange.forget_requests()

    report = rig.backfill(["AAPL"], [H1], week)

    assert (rig.bar_requests(), report.exit_code) == (0, EXIT_COMPLETE)


def test_the_weeks_of_a_listing_and_a_delisting_are_what_was_traded(database: Database) -> None:
    """A week before whose last three sessions there were none is made of three; weeks without any are settled, too."""
    (a,) = add(database, "A")
    day = timedelta(days=1)
    monday = datetime(2024, 3, 4, tzinfo=UTC)
    window = days("2024-02-19", "2024-03-18")
    first, last = monday + 2 * day, monday + 8 * day  # from a Wednesday to a Tuesday
    gaps = [
        GapRecord(symbol_id=a, range=Range(window.start, first), expected_bars=11, kind="unavailable", reason="new"),
        GapRecord(symbol_id=a, range=Range(last + day, window.end), expected_bars=3, kind="unavailable", reason="gone"),
    ]
    sessions = [int((first + number * day - START) / timedelta(minutes=1)) for number in (0, 1, 2, 5, 6)]
    rows = columns({a: dict.fromkeys(sessions, 10.0)}, [a])
    rows = replace(rows, ts=rows.ts // (86_400 * 1_000_000) * (86_400 * 1_000_000))
    known = {a: Ranges([Range(first, last + day)])}
    database.run(write_derived, replace(write({}, known, gaps=gaps, ids=[a]), timeframe=D1, rows=rows))
    symbols = tuple(database.run(find_by_ids, [a]).values())
    weeks = Wish(NYSE, symbols, (Derivation(W1, window, (D1,)),))

    derive(database, weeks, NOW, is_full=False)

    made = query(database, "select ts, trade_count from ohlc_bars where timeframe = 'w1' order by ts")
    assert made == [(monday, 3 * 7), (monday + 7 * day, 2 * 7)]
    told = query(database, "select gap_from, expected_bars, kind, reason from gaps where timeframe = 'w1'")
    assert told == [(window.start, 2, "unavailable", "1d: new")]
    rebuilt = derive(database, weeks, NOW, is_full=True)
    assert (rebuilt.bars, rebuilt.written, rebuilt.removed) == (2, 0, 0)

    # A day that nobody had is brought after all: its week is made anew.
    tuesday = replace(rows.take(np.array([0])), ts=np.array([to_us(first - day)]))
    more = write({}, {a: Ranges([Range(first - day, first)])}, ids=[a])
    database.run(write_derived, replace(more, timeframe=D1, rows=tuesday))
    derive(database, weeks, NOW, is_full=False)
    assert query(database, "select ts, trade_count from ohlc_bars where timeframe = 'w1' order by ts")[0] == (
        monday,
        28,
    )


def test_a_changed_setting_changes_what_comes_next(rig: Rig) -> None:
    """Derived bars stay when derivation is switched off, and fetched ones when it is switched on again."""
    first, second = days("2026-09-14", "2026-09-16"), days("2026-09-14", "2026-09-19")
    rig.backfill(["AAPL"], [M1, M15], first)
    derived_before = rig.stored("AAPL", M15)
    rig.settings = replace(rig.settings, resampling=Resampling(from_m1=False))
    rig.exchange.forget_requests()

    report = rig.backfill(["AAPL"], [M1, M15], second)

    (symbol_id,) = rig.query("select id from symbols")[0]
    asked = {(one.query["timeframe"], one.query["start"][:10]) for one in rig.exchange.requests if "start" in one.query}
    assert asked == {("1Min", "2026-09-16"), ("15Min", "2026-09-16")}
    assert report.exit_code == EXIT_COMPLETE
    assert derived_before.items() <= rig.stored("AAPL", M15).items()
    parts = rig.database.run(read_derived, [symbol_id], [M15])[symbol_id, M15]
    assert starts_in(parts[M1], M15) == set(derived_before)
    rig.backfill(["AAPL"], [M1, M15], second, is_full=True)
    assert rig.database.run(read_derived, [symbol_id], [M15]) == {}
    rig.settings = replace(rig.settings, resampling=Resampling())
    rig.backfill(["AAPL"], [M1, M15], second)
    assert rig.database.run(read_derived, [symbol_id], [M15]) == {}


def test_what_older_versions_derived_is_put_on_record(rig: Rig) -> None:
    """A database that was made before it was written down: of the finest series that covers it, weeks of days."""
    rig.backfill(["AAPL"], [M1, D1], days("2026-09-16", "2026-09-19"))
    rig.backfill(["AAPL"], [M15, H1, H4, D1, W1], days("2026-09-14", "2026-09-19"))
    (symbol_id,) = rig.query("select id from symbols")[0]
    before = rig.database.run(read_derived, [symbol_id], Timeframe)
    rig.change("truncate derived_ranges")
    migration = next((ROOT / "src" / "barfill" / "store" / "migrations").glob("*_derived.sql")).read_text("utf-8")
    start = migration.index("with ranked as")

    rig.change(migration[start : migration.index(";", start)])

    after = rig.database.run(read_derived, [symbol_id], Timeframe)
    assert after.keys() == before.keys()
    for key, sources in before.items():
        assert {source: starts_in(ranges, key[1]) for source, ranges in after[key].items()} == {
            source: starts_in(ranges, key[1]) for source, ranges in sources.items()
        }
