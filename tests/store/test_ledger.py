"""Symbols, watchlists, series, status and the view columns that users rely on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import NotFound, StoreError
from barfill.store.closes import neighbour_closes
from barfill.store.database import Database
from barfill.store.pages import write_derived
from barfill.store.series import note_failure, read_series
from barfill.store.status import GapCount, count_gaps, count_runs, read_status, sum_runs
from barfill.store.symbols import (
    NewSymbol,
    activate_symbols,
    add_symbols,
    deactivate_symbols,
    find_symbols,
    read_active,
    read_all,
    sync_sessions,
)
from barfill.store.watchlists import (
    add_to_watchlist,
    create_watchlist,
    delete_watchlist,
    list_watchlists,
    read_members,
    read_watchlist,
    remove_from_watchlist,
)
from barfill.store.writes import GapRecord
from tests.store.builders import START, add, claimed_run, minute, minutes, query, write


def test_symbols_get_the_calendar_of_their_kind(database: Database) -> None:
    """
    A stock trades on XNYS and crypto around the clock, unless a calendar is given; also when inserted by hand.
    """
    query(
        database,
        "insert into symbols (ticker, name, asset_type) values ('X', 'x', 'stock') on conflict (ticker) do nothing",
    )
    news = [NewSymbol("A"), NewSymbol("BTC/USD", asset_type="crypto"), NewSymbol("C", "name", calendar="XLON")]

    found = database.run(add_symbols, news)

    assert {ticker: one.calendar for ticker, one in found.items()} == {"A": "XNYS", "BTC/USD": "24/7", "C": "XLON"}
    assert database.run(find_symbols, ["X"])["X"].calendar == "XNYS"


def test_adding_a_known_symbol_only_makes_it_active(database: Database) -> None:
    """
    Adding again changes neither id nor name, and switches an inactive symbol on; doubles in one call are one.
    """
    first = database.run(add_symbols, [NewSymbol("A", "first")])["A"]
    assert database.run(deactivate_symbols, ["A", "NONE"]) == 1

    again = database.run(add_symbols, [NewSymbol("A", "second"), NewSymbol("A")])["A"]

    assert (again.id, again.name, again.is_active) == (first.id, "first", True)
    assert database.run(activate_symbols, ["A"]) == 0


def test_symbol_that_no_longer_trades_can_be_added(database: Database) -> None:
    """
    A delisted symbol is on record without being active, and adding it again does not make it so.
    """
    for _ in range(2):
        database.run(add_symbols, [NewSymbol("OLD", is_active=False), NewSymbol("NEW")])

    assert [one.ticker for one in database.run(read_active)] == ["NEW"]
    assert [one.ticker for one in database.run(read_all)] == ["NEW", "OLD"]


@pytest.mark.parametrize("ticker", ["aapl", "A B", "A..B", "../x", "", "A'; drop table symbols;--", "A" * 21])
def test_ill_formed_tickers_are_refused_by_the_table(database: Database, ticker: str) -> None:
    """
    X07: what is no ticker cannot be stored as one.
    """
    with pytest.raises(StoreError, match="ticker_is_well_formed"):
        database.run(add_symbols, [NewSymbol(ticker)])


def test_sessions_are_kept_in_step_with_the_calendar(database: Database) -> None:
    """
    Sessions are written once, repaired where they differ, and days that turned out closed are removed.
    """
    query(database, "delete from sessions")
    calendar = trading_calendar("24/7", 1992)
    assert database.run(sync_sessions, calendar)
    assert not database.run(sync_sessions, calendar)
    query(database, "delete from sessions where session_on = '1991-05-05'")
    query(database, "update sessions set session_on = '1989-01-01' where session_on = '1991-06-06'")

    assert database.run(sync_sessions, calendar)

    days = "select count(*), min(session_on)::text, max(closes_at) from sessions where %s"
    assert query(database, days, True) == [(1096, "1990-01-01", datetime(1993, 1, 1, tzinfo=UTC))]


def test_sessions_of_decades_are_written_once(database: Database) -> None:
    """
    What is on record of a long calendar is known to be whole, however great its instants are in sum.
    """
    calendar = trading_calendar("XNYS", 2027)
    database.run(sync_sessions, calendar)

    assert not database.run(sync_sessions, calendar)


def test_watchlists_hold_symbols(database: Database) -> None:
    """
    Symbols go in and out; only active ones are members to fetch; lists are listed, and go without their symbols.
    """
    a, b, c = add(database, "A", "B", "C")
    assert database.run(create_watchlist, "tech")
    assert not database.run(create_watchlist, "tech")
    assert database.run(add_to_watchlist, "tech", [c, a, b]) == 3
    assert database.run(add_to_watchlist, "tech", [a]) == 0
    database.run(deactivate_symbols, ["B"])

    assert database.run(read_members, "tech") == ["A", "C"]
    assert [one.ticker for one in database.run(read_watchlist, "tech")] == ["A", "B", "C"]
    assert database.run(remove_from_watchlist, "tech", [a, b]) == 2
    assert database.run(list_watchlists) == {"tech": 1}
    database.run(delete_watchlist, "tech")
    assert len(database.run(read_all)) == 3


def test_unknown_watchlist_names_those_there_are(database: Database) -> None:
    """
    A misspelt name is answered with the names that exist.
    """
    database.run(create_watchlist, "tech")

    for work in (read_members, read_watchlist, delete_watchlist):
        with pytest.raises(NotFound, match="There are: tech"):
            database.run(work, "teck")
    with pytest.raises(NotFound):
        database.run(add_to_watchlist, "teck", [1])


def test_ledger_of_many_series_shares_what_is_equal(database: Database) -> None:
    """
    Thousands of series come back by key, each with its own coverage.
    """
    ids = add(database, *(f"S{number}" for number in range(1000)))
    database.run(write_derived, write({}, {one: minutes(0, 1 + position % 5) for position, one in enumerate(ids)}))

    found = database.run(read_series, None, list(Timeframe))

    assert len(found) == 1000
    assert found[ids[7], Timeframe.M1].covered == Ranges([minutes(0, 3)])
    assert len(database.run(read_series, ids[:10], [Timeframe.M1, Timeframe.D1])) == 10
    assert database.run(read_series, ids, [Timeframe.D1]) == {}


def test_failure_is_shown_and_then_forgotten(database: Database) -> None:
    """
    What went wrong last stands in `backfill_status` until a page comes through.
    """
    (a,) = add(database, "A")
    database.run(note_failure, [a], Timeframe.M1, feed="sip", error_code="TIMEOUT", message="slow")
    (failed,) = database.run(read_status)
    database.run(write_derived, write({a: {0: 10}}))
    (fine,) = database.run(read_status, [a])

    assert (failed.ticker, failed.last_result, failed.last_error) == ("A", "fail", "slow")
    assert (fine.last_result, fine.last_error, fine.bar_count, fine.newest_ts) == ("ok", None, 1, START)


def test_sessions_behind_counts_closed_sessions_only(database: Database) -> None:
    """
    A series is as many sessions behind as have closed since its newest bar's day.
    """
    (a,) = add(database, "A")
    query(
        database,
        """delete from sessions;
        insert into sessions
        select 'XNYS', day, (day + time '14:30') at time zone 'UTC', (day + time '21:00') at time zone 'UTC'
        from (select (now() at time zone 'UTC')::date + step as day from generate_series(-3, 3) as step) as days""",
    )
    now = database.now()
    database.run(write_derived, write({a: {0: 10}}))
    query(database, "update series set newest_ts = %s, oldest_ts = %s", *[now - timedelta(days=2)] * 2)

    (row,) = database.run(read_status)

    closed_today = int(now.hour >= 21)
    assert (row.days_behind, row.sessions_behind) == (2, 1 + closed_today)


@pytest.mark.parametrize(("weeks_ago", "behind"), [(0, 0), (1, 2)])
def test_a_week_is_behind_once_the_next_has_begun(database: Database, weeks_ago: int, behind: int) -> None:
    """
    After the last close its last day is still to come, and with it the bar of the week.
    """
    (a,) = add(database, "A")
    now = database.now()
    closes_at = now - timedelta(hours=1, weeks=weeks_ago)
    monday = now.date() - timedelta(days=now.weekday(), weeks=weeks_ago)
    query(database, "delete from sessions")
    with database.connection() as conn:
        for day, end in ((monday, closes_at - timedelta(days=4)), (monday + timedelta(days=4), closes_at)):
            conn.execute("insert into sessions values ('XNYS', %s, %s, %s)", (day, end - timedelta(hours=6), end))
    database.run(write_derived, replace(write({a: {0: 10}}), timeframe=Timeframe.W1))
    newest = datetime.combine(monday - timedelta(days=7), time(), UTC)
    query(database, "update series set newest_ts = %s, oldest_ts = %s", newest, newest)

    (row,) = database.run(read_status)

    assert row.sessions_behind == behind


def test_a_series_without_bars_is_behind_by_no_number(database: Database) -> None:
    """
    Where nothing is stored there is nothing to count from.
    """
    (a,) = add(database, "A")
    database.run(note_failure, [a], Timeframe.D1, feed="sip", error_code="TIMEOUT", message="slow")

    (row,) = database.run(read_status)

    assert (row.days_behind, row.sessions_behind) == (None, None)


def test_counts_of_runs_gaps_and_calls(database: Database) -> None:
    """
    Runs by status, gaps by kind with their bars, calls and rows by run.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    gap = GapRecord(symbol_id=a, range=minutes(0, 3), expected_bars=3, kind="missing")
    database.run(write_derived, write({}, {}, gaps=[gap]))

    assert database.run(count_runs, START) == {"running": 1}
    assert database.run(count_gaps) == {(a, Timeframe.M1, "missing"): GapCount(1, 3)}
    assert database.run(count_gaps, []) == {}
    assert database.run(sum_runs, [run.id]).requests_made == 0


def test_neighbour_closes_are_those_next_to_the_stretch(database: Database) -> None:
    """
    The newest close before and the oldest after each stretch; None where nothing is stored.
    """
    a, b = add(database, "A", "B")
    database.run(write_derived, write({a: {0: 10, 1: 11, 5: 15, 9: 19}, b: {3: 5}}))

    found = database.run(
        neighbour_closes,
        Timeframe.M1,
        {a: (to_us(minute(2)), to_us(minute(5))), b: (to_us(minute(0)), to_us(minute(9)))},
    )

    assert found == {a: (11.0, 19.0), b: (None, None)}


def test_promised_views_show_the_series(database: Database) -> None:
    """
    The relations that users' SQL relies on have their columns and tell the same.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10, 1: 11}}, {a: minutes(0, 9)}))

    status = query(
        database,
        "select symbol, timeframe, from_ts, to_ts, last_rows_written, last_provider from coverage_status where %s",
        True,
    )
    bars = query(database, "select symbol, timeframe, close, source from market_data order by time")
    chart = query(database, "select close from get_chart_data_v2(%s, 'm1', %s, %s)", a, minute(1), minute(9))

    assert status == [("A", "m1", minute(0), minute(9), 2, "alpaca")]
    assert bars == [("A", "1m", 10.0, "alpaca"), ("A", "1m", 11.0, "alpaca")]
    assert chart == [(11.0,)]
    assert query(database, "select count(*) from ohlc_bars_v2") == [(2,)]
