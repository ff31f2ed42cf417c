"""A page: what becomes of its rows, what it proves, and the fence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import PageDropped, SeriesConflict
from barfill.store import pages
from barfill.store.bars import SQL
from barfill.store.database import Database
from barfill.store.pages import retract_coverage, write_derived, write_page
from barfill.store.runs import claim_run
from barfill.store.series import note_failure, read_series
from barfill.store.writes import GapRecord, PageOutcome, QuarantinedRow
from tests.store.builders import WORKER, add, claimed_run, minute, minutes, page, query, stored_closes, write


def test_page_stores_its_rows_and_what_they_prove(database: Database) -> None:
    """
    One page brings its bars, the coverage, true counters, the run's progress and its next token.
    """
    a, b = add(database, "A", "B")
    run = claimed_run(database, [a, b])

    outcome = database.run(
        write_page,
        page(
            run, {a: {0: 10, 1: 11}, b: {5: 20}}, {a: minutes(0, 2)}, next_token="t1", rows_received=4, requests_made=2
        ),
    )

    assert outcome == PageOutcome(inserted=3, changed=0, unchanged=0)
    assert stored_closes(database) == {(a, 0): 10, (a, 1): 11, (b, 5): 20}
    series = database.run(read_series, [a, b], [Timeframe.M1])
    assert series[a, Timeframe.M1].covered == Ranges([minutes(0, 2)])
    assert (series[a, Timeframe.M1].oldest_ts, series[a, Timeframe.M1].newest_ts) == (minute(0), minute(1))
    assert (series[b, Timeframe.M1].bar_count, series[b, Timeframe.M1].covered) == (1, Ranges())
    progress = query(
        database, "select page_no, page_token, rows_written, rows_received, actual_cost, status from job_runs"
    )
    assert progress == [(1, "t1", 3, 4, 2, "running")]


def test_every_column_arrives_as_sent(database: Database) -> None:
    """
    A stored row holds each value of the page and its source, whatever the session's time zone.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])

    database.run(write_page, page(run, {a: {3: 10.5}}))

    (row,) = query(
        database,
        """select timeframe, extract(epoch from ts)::bigint, open, high, low, close, volume, vwap, trade_count,
        provider, feed, is_intraday, data_status, extract(epoch from fetched_at)::bigint from ohlc_bars""",
    )
    start = int(minute(3).timestamp())
    assert row == (
        *("m1", start, 10.25, 11.5, 9.5, 10.5, 110.25, 10.5, 7),
        *("alpaca", "sip", True, "final", int(minute(0).timestamp()) + 86_400),
    )


@pytest.mark.parametrize("has_vwap", [True, False])
@pytest.mark.parametrize("has_trades", [True, False])
def test_missing_vwap_and_trade_count_are_null(database: Database, has_vwap: bool, has_trades: bool) -> None:
    """
    What the provider does not give is NULL, in each of the four patterns, and compares as unchanged later.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    written = page(run, {a: {0: 10}}, has_vwap=has_vwap, has_trades=has_trades, next_token="t")
    database.run(write_page, written)

    again = database.run(write_page, replace(written, page_no=1))

    assert again == PageOutcome(inserted=0, changed=0, unchanged=1)
    assert query(database, "select vwap, trade_count from ohlc_bars") == [
        (10.0 if has_vwap else None, 7 if has_trades else None)
    ]


def test_rows_with_and_without_vwap_travel_together(database: Database) -> None:
    """
    One page may mix rows that have a vwap or a trade count with rows that have none.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    mixed = page(run, {a: dict.fromkeys(range(8), 10.0)})
    mixed.rows.vwap[::2] = np.nan
    mixed.rows.trade_count[::3] = -1

    database.run(write_page, mixed)

    stored = query(database, "select vwap is null, trade_count is null from ohlc_bars order by ts")
    assert stored == [(number % 2 == 0, number % 3 == 0) for number in range(8)]


def test_last_page_ends_the_run(database: Database) -> None:
    """
    The page that closes the chain makes the run a success in the same transaction.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])

    database.run(write_page, page(run, {a: {0: 10}}, {a: minutes(0, 5)}, final=True))

    assert query(database, "select status, progress_percent, finished_at is not null from job_runs") == [
        ("success", 100.0, True)
    ]


def test_identical_page_writes_no_row_version(database: Database) -> None:
    """
    S11: a page that brings nothing new leaves every stored bar as it is, down to its row version.
    """
    a, b = add(database, "A", "B")
    run = claimed_run(database, [a, b])
    rows = {a: dict.fromkeys(range(500), 10.0), b: dict.fromkeys(range(300), 20.0)}
    database.run(write_page, page(run, rows, next_token="t"))
    versions = query(database, "select tableoid, ctid::text, xmin::text from ohlc_bars order by 1, 2")

    outcomes = [database.run(write_page, page(run, rows, page_no=number, next_token="t")) for number in range(1, 6)]

    assert outcomes == [PageOutcome(0, 0, 800)] * 5
    assert query(database, "select tableoid, ctid::text, xmin::text from ohlc_bars order by 1, 2") == versions


def test_changed_final_bar_becomes_a_revision(database: Database) -> None:
    """
    A corrected bar takes its new value, and the replaced one is kept with its source and time.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    database.run(write_page, page(run, {a: {0: 10, 1: 11}}, next_token="t"))

    outcome = database.run(write_page, page(run, {a: {0: 10, 1: 11.5, 2: 12}}, page_no=1))

    assert outcome == PageOutcome(inserted=1, changed=1, unchanged=1)
    assert stored_closes(database) == {(a, 0): 10, (a, 1): 11.5, (a, 2): 12}
    kept = query(
        database, "select symbol_id, close, provider, feed, run_id, replaced_at >= fetched_at from bar_revisions"
    )
    assert kept == [(a, 11.0, "alpaca", "sip", run.id, True)]


def test_a_value_that_comes_or_goes_is_a_change(database: Database) -> None:
    """
    A vwap and a trade count that were absent and are given now, or the other way round, are corrections.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])

    outcomes = [
        database.run(write_page, page(run, {a: {0: 10}}, page_no=number, next_token="t", has_vwap=has, has_trades=has))
        for number, has in enumerate([False, True, False])
    ]

    assert outcomes == [PageOutcome(1, 0, 0), PageOutcome(0, 1, 0), PageOutcome(0, 1, 0)]
    assert query(database, "select vwap, trade_count from ohlc_bars") == [(None, None)]
    assert query(database, "select vwap, trade_count from bar_revisions order by replaced_at") == [
        (None, None),
        (10.0, 7),
    ]


def test_live_gives_way_to_final_and_never_the_other_way_round(database: Database) -> None:
    """
    A final row replaces a live one without a revision; a live row leaves a final one alone.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    database.run(write_page, page(run, {a: {0: 10, 1: 11}}, data_status="live", next_token="t"))

    settled = database.run(write_page, page(run, {a: {0: 10}}, page_no=1, next_token="t"))
    ignored = database.run(write_page, page(run, {a: {0: 9, 1: 12}}, page_no=2, data_status="live"))

    assert (settled, ignored) == (PageOutcome(0, 1, 0), PageOutcome(0, 1, 1))
    stored = query(database, "select close, data_status from ohlc_bars order by ts")
    assert stored == [(10.0, "final"), (12.0, "live")]
    assert query(database, "select count(*) from bar_revisions") == [(0,)]


def test_bars_of_another_program_are_met_and_counted(database: Database) -> None:
    """
    Rows that were inserted past barfill are compared, not doubled, and the series' counters tell the truth again.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    query(
        database,
        """insert into ohlc_bars
        (symbol_id, timeframe, ts, open, high, low, close, volume, vwap, trade_count, provider, feed, is_intraday)
        select %s, 'm1', %s + n * interval '1 minute', 9.75, 11, 9, 10, 105, 10, case when n > 2 then 7 end,
        'mine', 'sip', true
        from generate_series(2, 5) as n""",
        *(a, minute(0)),
    )

    outcome = database.run(write_page, page(run, {a: {0: 10, 1: 10, 2: 10, 3: 10}}))

    assert outcome == PageOutcome(inserted=2, changed=1, unchanged=1)
    row = database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1]
    assert (row.bar_count, row.oldest_ts, row.newest_ts) == (6, minute(0), minute(5))
    assert query(database, "select ts from bar_revisions where %s", True) == [(minute(2),)]


def test_late_page_is_dropped_whole(database: Database) -> None:
    """
    P02: a worker that was taken for dead and comes back changes nothing at all.
    """
    (a,) = add(database, "A")
    stale = claimed_run(database, [a])
    fresh = database.run(claim_run, stale.id, WORKER)
    assert fresh is not None
    database.run(write_page, page(fresh, {a: {0: 11}}, {a: minutes(0, 1)}, next_token="t"))
    before = [query(database, f"select * from {table}") for table in ("ohlc_bars", "series", "job_runs")]

    with pytest.raises(PageDropped, match="epoch 1"):
        database.run(write_page, page(stale, {a: {0: 10, 1: 10}}, {a: minutes(0, 9)}))

    after = [query(database, f"select * from {table}") for table in ("ohlc_bars", "series", "job_runs")]
    assert after == before


def test_page_of_an_older_epoch_is_dropped_on_the_same_page(database: Database) -> None:
    """
    The fence holds by the epoch alone: the new owner has not written its first page yet, and the old one comes late.
    """
    (a,) = add(database, "A")
    stale = claimed_run(database, [a])
    assert database.run(claim_run, stale.id, WORKER) is not None

    with pytest.raises(PageDropped, match="epoch 1"):
        database.run(write_page, page(stale, {a: {0: 10}}, {a: minutes(0, 9)}))

    assert query(database, "select * from ohlc_bars") == []
    assert query(database, "select page_no from job_runs") == [(0,)]


def test_page_is_counted_once(database: Database) -> None:
    """
    A page that was committed although its reply was lost is dropped when it is sent again.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    sent = page(run, {a: {0: 10}}, next_token="t")
    database.run(write_page, sent)

    with pytest.raises(PageDropped):
        database.run(write_page, sent)

    assert query(database, "select page_no from job_runs") == [(1,)]


def test_cancelled_run_takes_no_page(database: Database) -> None:
    """
    A page in flight when its run is cancelled is dropped.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    query(database, "update job_runs set status = 'cancelled', error_code = 'CANCELLED', finished_at = now()")

    with pytest.raises(PageDropped):
        database.run(write_page, page(run, {a: {0: 10}}))

    assert stored_closes(database) == {}


@pytest.mark.parametrize("other", [{"feed": "iex"}, {"basis": "split"}])
def test_another_feed_or_basis_is_refused(database: Database, other: dict[str, Any]) -> None:
    """
    S16: a series takes no bars of another feed or basis; the text names both, and nothing is written.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    database.run(write_page, page(run, {a: {0: 10}}, next_token="t"))

    with pytest.raises(SeriesConflict) as refusal:
        database.run(write_page, page(run, {a: {1: 11}}, page_no=1, **other))

    assert "raw bars of feed 'sip'" in str(refusal.value)
    assert next(iter(other.values())) in str(refusal.value)
    assert " from alpaca; " in str(refusal.value)
    assert "barfill backfill A --provider alpaca" in str(refusal.value)
    assert stored_closes(database) == {(a, 0): 10}


def test_series_that_holds_nothing_takes_the_first_feed_that_answers(database: Database) -> None:
    """
    A failure under one feed does not bind a series that never held anything to that feed.
    """
    (a,) = add(database, "A")
    database.run(note_failure, [a], Timeframe.M1, feed="iex", error_code="FORBIDDEN_PLAN", message="no")

    database.run(write_page, page(claimed_run(database, [a]), {a: {0: 10}}))

    row = database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1]
    assert (row.feed, row.last_result, row.last_error) == ("sip", "ok", None)


def test_row_that_the_database_refuses_is_quarantined_alone(database: Database) -> None:
    """
    S03: one bad row does not hold up the page; it is quarantined, not covered, and asked for again.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    bad = page(run, {a: dict.fromkeys(range(7), 10.0)}, {a: minutes(0, 7)})
    bad.rows.high[4] = 1.0

    outcome = database.run(write_page, bad)

    assert outcome == PageOutcome(inserted=6, changed=0, unchanged=0, refused=1)
    assert (a, 4) not in stored_closes(database)
    row = database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1]
    assert row.covered == Ranges([minutes(0, 4), minutes(5, 7)])
    assert row.bar_count == 6
    assert query(
        database, "select symbol, rule, reason like '%%high_is_highest%%' from quarantined_bars where %s", True
    ) == [("A", "S03", True)]
    assert query(database, "select kind, gap_from from gaps where %s", True) == [("quarantined", minute(4))]


def test_row_of_nan_is_refused(database: Database) -> None:
    """
    S14: NaN passes a plain check in PostgreSQL, but not the table's.
    """
    (a,) = add(database, "A")
    bad = page(claimed_run(database, [a]), {a: {0: 10, 1: 10}})
    for column in (bad.rows.open, bad.rows.high, bad.rows.low, bad.rows.close):
        column[0] = np.nan

    assert database.run(write_page, bad) == PageOutcome(1, 0, 0, refused=1)


def test_quarantined_rows_are_kept_as_sent_and_once(database: Database) -> None:
    """
    Rows that broke a rule are kept with what they were, NUL and lone surrogates made visible, and not doubled.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    rows = [
        QuarantinedRow(symbol="A", rule="Q06", reason="high < low", raw='{"h":1}', symbol_id=a, ts=0),
        QuarantinedRow(symbol="\ud800\0", rule="Q16", reason="no ticker", raw="{}"),
    ]

    for number in range(2):
        database.run(write_page, page(run, {}, quarantined=rows, page_no=number, next_token="t", request_id="r1"))

    kept = query(database, "select symbol, rule, raw, run_id, request_id from quarantined_bars order by rule")
    assert kept == [("A", "Q06", '{"h":1}', run.id, "r1"), ("\\ud800\\x00", "Q16", "{}", run.id, "r1")]


def test_quarantined_rows_are_bounded(database: Database) -> None:
    """
    D30: of ten thousand characters of a symbol and a million of a row so much is kept as is evidence.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    row = QuarantinedRow(symbol="X" * 10_000, rule="Q16", reason="y" * 10_000, raw="z" * 1_000_000)

    for number in range(2):
        database.run(write_page, page(run, {}, quarantined=[row], page_no=number, next_token="t"))

    lengths = query(database, "select length(symbol), length(reason), length(raw) from quarantined_bars")
    assert lengths == [(200, 4_000, 4_000)]


@pytest.mark.parametrize(
    ("decision", "is_stored", "left"),
    [
        ("accepted", True, []),
        ("accepted", False, [(minute(1), 2, False)]),
        ("rejected", False, [(minute(1), 1, True), (minute(2), 1, False)]),
    ],
)
def test_a_page_that_was_under_way_does_not_undo_what_was_decided(
    database: Database, decision: str, is_stored: bool, left: list[tuple[object, ...]]
) -> None:
    """
    It knew nothing of the decision when it began. A bar that was accepted and is stored is no gap, one that was
    rejected stays settled, beside a bar about which nobody has decided.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    rows = [
        QuarantinedRow(symbol="A", rule="Q05", reason="r", raw=f"{at}", symbol_id=a, ts=to_us(minute(at)))
        for at in (1, 2)
    ]
    said: dict[str, Any] = {"quarantined": rows, "expected": lambda _symbol_id, one: _minutes_in(one)}
    gap = GapRecord(symbol_id=a, range=minutes(1, 3), expected_bars=2, kind="quarantined")
    stored = {0: 1.0} | ({1: 1.0, 2: 1.0} if is_stored else {})
    database.run(write_page, page(run, {a: stored}, next_token="t", gaps=[gap], **said))
    undecided = "" if is_stored or decision == "accepted" else "limit 1"
    query(
        database,
        "insert into quarantine_decisions (quarantined_id, decision, decided_by) "
        f"select id, '{decision}', 'ann' from quarantined_bars order by ts {undecided}",
    )

    database.run(write_page, page(run, {a: {0: 1.0}}, page_no=1, next_token="t", gaps=[gap], **said))

    never = "extract(year from next_check_at) is not distinct from 9999"
    found = query(database, f"select gap_from, expected_bars, {never} from gaps where %s order by 1", True)
    assert found == left


def _minutes_in(one: Range) -> NDArray[np.int64]:
    return np.array([to_us(minute(at)) for at in range(60) if minute(at) in one], np.int64)


def test_derived_bars_need_no_run(database: Database) -> None:
    """
    Bars derived from a finer timeframe are stored, covered and counted like fetched ones.
    """
    (a,) = add(database, "A")

    outcome = database.run(write_derived, write({a: {0: 10, 1: 11}}, {a: minutes(0, 9)}))

    assert outcome == PageOutcome(2, 0, 0)
    row = database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1]
    assert (row.covered, row.bar_count) == (Ranges([minutes(0, 9)]), 2)


def test_coverage_can_be_taken_back(database: Database) -> None:
    """
    S13: a retracted range is uncovered, the rest stays, and a series never covered has an empty coverage, not NULL.
    """
    a, b = add(database, "A", "B")
    database.run(write_derived, write({a: {0: 10}, b: {0: 10}}, {a: minutes(0, 9)}))

    database.run(retract_coverage, Timeframe.M1, {a: Ranges([minutes(3, 5)]), b: Ranges([minutes(0, 1)])})

    series = database.run(read_series, [a, b], [Timeframe.M1])
    assert series[a, Timeframe.M1].covered == Ranges([minutes(0, 3), minutes(5, 9)])
    assert series[b, Timeframe.M1].covered == Ranges()


def test_unsorted_or_doubled_rows_are_a_mistake_of_the_caller(database: Database) -> None:
    """
    S02: rows out of order, twice, or off whole seconds never reach the database.
    """
    good = write({1: {0: 10, 1: 11}})

    for wrong in ([1, 0], [0, 0]):
        with pytest.raises(ValueError, match="sorted"):
            replace(good, rows=good.rows.take(np.array(wrong)))
    off_grid = good.rows.take(slice(0, 1))
    off_grid.ts[:] += 1
    with pytest.raises(ValueError, match="whole seconds"):
        replace(good, rows=off_grid)


def test_statement_itself_takes_care_of_doubles_order_and_policy(database: Database) -> None:
    """
    S02, S16: the upsert stores one row per key, leaves equal ones alone, and leaves out what breaks the policy.
    """
    a, b = add(database, "A", "B")
    database.run(write_derived, write({a: {0: 10}}))
    database.run(note_failure, [b], Timeframe.M1, feed="iex", error_code="TIMEOUT", message="x")
    policy = {"timeframe": "m1", "provider": "alpaca", "feed": "sip", "basis": "raw", "is_intraday": True}
    parameters = policy | {"data_status": "final", "fetched_at": minute(0), "changed_at": minute(0)}

    with database.connection() as conn, conn.transaction():
        conn.execute(SQL["create_staging"])
        for symbol_id, at, close in ((a, 1, 11.0), (a, 1, 11.0), (a, 0, 10.0), (b, 0, 5.0)):
            row = [symbol_id, minute(at), close - 0.25, close + 1, close - 1, close, close * 10.5, close]
            conn.execute("insert into staged_bars values (%s, %s, %s, %s, %s, %s, %s, %s, 7)", row)
        left_out = conn.execute(SQL["count_refused"], parameters).fetchone()
        upserted = conn.execute(SQL["upsert_staged"], parameters).fetchall()

    assert (left_out, upserted) == ((1,), [(a, 1, 0)])
    assert stored_closes(database) == {(a, 0): 10, (a, 1): 11}


def test_rows_are_put_in_place_in_the_order_of_their_keys(database: Database) -> None:
    """
    S01: whatever order they come in, new series and staged rows are taken in the one order of all writers.
    """
    ids = add(database, "A", "B")
    policy = {"timeframe": "m1", "provider": "alpaca", "feed": "sip", "basis": "raw", "is_intraday": True}
    parameters = policy | {"data_status": "final", "fetched_at": minute(0), "changed_at": minute(0)}

    with database.connection() as conn, conn.transaction():
        conn.execute(pages.SQL["add_series"], policy | {"symbol_ids": ids[::-1]})
        conn.execute(SQL["create_staging"])
        for symbol_id in reversed(ids):
            for at in (2, 0, 1):
                conn.execute("insert into staged_bars values (%s, %s, 1, 1, 1, 1, 1)", [symbol_id, minute(at)])
        conn.execute(SQL["upsert_staged"], parameters)

    assert query(database, "select symbol_id from series order by ctid") == [(symbol_id,) for symbol_id in ids]
    placed = query(database, "select symbol_id, ts from ohlc_bars where %s order by ctid", True)
    assert placed == [(symbol_id, minute(at)) for symbol_id in ids for at in range(3)]


def test_what_is_known_of_a_symbol_is_not_forgotten(database: Database) -> None:
    """
    A page that says nothing about how often a symbol trades leaves what was known.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10}}, density={a: 0.5}))

    database.run(write_derived, write({a: {1: 10}}))

    assert database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1].density == 0.5


def test_a_page_that_stands_still_is_ended_by_the_server(database: Database) -> None:
    """
    P02: while its series are locked, a worker that is frozen or cut off is waited for ten seconds.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    query(
        database,
        """
        create table seen (patience text);
        create function note_patience() returns trigger language plpgsql as $$
        begin
            insert into seen values (current_setting('idle_in_transaction_session_timeout'));
            return null;
        end $$;
        create trigger note after update on job_runs execute function note_patience()
        """,
    )

    database.run(write_page, page(run, {a: {0: 10}}))

    assert query(database, "select patience from seen") == [("10s",)]


def test_naive_times_raise_before_anything_is_written(database: Database) -> None:
    """
    T01: an instant without a zone stops at the border.
    """
    (a,) = add(database, "A")

    with pytest.raises(TypeError):
        database.run(write_derived, replace(write({a: {0: 10}}), fetched_at=datetime(2024, 1, 1)))

    assert database.run(write_derived, write({a: {0: 10}})).inserted == 1
    assert database.now().tzinfo is UTC


def test_bars_that_a_page_contradicts_leave_the_table_with_the_page(database: Database) -> None:
    """
    Q11: a withdrawn bar goes into quarantine as it was stored, out of coverage and out of the counters.
    """
    a, b = add(database, "A", "B")
    run = claimed_run(database, [a])
    database.run(write_derived, replace(write({a: {2: 12}}), timeframe=Timeframe.M5))
    database.run(write_derived, write({b: {2: 12}}))
    database.run(write_page, page(run, {a: {0: 10, 1: 11, 2: 12}}, {a: minutes(0, 3)}, next_token="t"))
    withdrawn = {a: Ranges([minutes(2, 3)])}

    database.run(write_page, page(run, {a: {3: 13}}, {a: minutes(3, 4)}, page_no=1, withdrawn=withdrawn))

    assert query(database, "select timeframe, count(*) from ohlc_bars group by 1 order by 1") == [("m1", 4), ("m5", 1)]
    assert stored_closes(database) == {(a, 0): 10, (a, 1): 11, (a, 2): 12, (a, 3): 13, (b, 2): 12}
    kept = query(database, "select symbol, ts, rule, (raw::json ->> 'close')::float, run_id from quarantined_bars")
    assert kept == [("A", minute(2), "Q11", 12.0, run.id)]
    row = database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1]
    assert (row.bar_count, row.newest_ts) == (3, minute(3))
    assert row.covered == Ranges([minutes(0, 2), minutes(3, 4)])


def test_a_late_page_withdraws_nothing(database: Database) -> None:
    """
    Behind the fence nothing leaves the table, and nothing that was covered is taken back.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    database.run(write_page, page(run, {a: {0: 10}}, {a: minutes(0, 1)}, next_token="t"))
    database.run(claim_run, run.id, WORKER)
    withdrawn = {a: Ranges([minutes(0, 1)])}

    with pytest.raises(PageDropped):
        database.run(write_page, page(run, {a: {1: 11}}, page_no=1, withdrawn=withdrawn))

    assert stored_closes(database) == {(a, 0): 10}
    assert query(database, "select id from quarantined_bars") == []
    assert database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1].covered == Ranges([minutes(0, 1)])
