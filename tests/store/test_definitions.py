"""Job definitions: made, changed, listed and due; and the SQL functions beside them."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.plan import missing_ranges
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import DefinitionNotFound, InvalidInput, StoreError, SymbolNotFound
from barfill.store.database import Database
from barfill.store.definitions import (
    PRIORITY,
    PRIORITY_OF_CHARTS,
    Defined,
    disable_definitions,
    disable_unlisted,
    due_definitions,
    enable_definitions,
    keep_batches,
    keep_series,
    list_definitions,
    overlapping_batches,
    remove_definitions,
    seed_series,
    split_batches,
)
from barfill.store.migrate import migrations
from barfill.store.runs import NewRun, create_runs
from barfill.store.sessions import fill_sessions
from barfill.store.symbols import NewSymbol, add_symbols, deactivate_symbols, sync_sessions
from barfill.store.watchlists import add_to_watchlist, create_watchlist
from tests.core.strategies import ranges_values
from tests.core.test_timeframe import SPELLINGS
from tests.store.builders import add, minutes, query
from tests.store.fixtures import empty_database

M15, D1, W1 = Timeframe.M15, Timeframe.D1, Timeframe.W1
SEED = "select seed_intraday_backfill_job(%s, %s)"
HALF_DAY = datetime(2024, 11, 29, tzinfo=UTC)  # XNYS closed at 13:00 in New York, 18:00 UTC


def test_series_are_defined_once_and_then_changed(database: Database) -> None:
    """
    The same wish again changes nothing; another window or priority changes the definition that is there.
    """
    add(database, "A", "B")

    first = database.run(keep_series, ["B", "A"], [M15, D1])
    same = database.run(keep_series, ["A"], [D1])
    other = database.run(keep_series, ["A"], [D1], window_days=30, priority=PRIORITY_OF_CHARTS)

    assert (first, same, other) == (Defined(4, 0), Defined(0, 0), Defined(0, 1))
    urgent, *rest = database.run(list_definitions)
    assert (urgent.symbols, urgent.timeframe, urgent.window_days, urgent.priority) == (("A",), D1, 30, 200)
    assert [(one.symbols, one.timeframe, one.priority) for one in rest] == [
        (("A",), M15, PRIORITY),
        (("B",), M15, PRIORITY),
        (("B",), D1, PRIORITY),
    ]
    assert {one.job_type for one in rest if one.timeframe is M15} == {"fetch_intraday"}
    assert urgent.job_type == "fetch_historical"


def test_seeding_leaves_what_people_set(database: Database) -> None:
    """
    A definition that exists keeps its window and priority, and is switched on.
    """
    add(database, "A")
    database.run(keep_series, ["A"], [D1], window_days=30, priority=7)
    (one,) = database.run(list_definitions)
    database.run(disable_definitions, [one.id])

    assert database.run(seed_series, ["A"], [M15, D1], window_days=90) == Defined(1, 1)
    assert database.run(seed_series, ["A"], [M15, D1], window_days=90) == Defined(0, 0)

    found = {one.timeframe: one for one in database.run(list_definitions)}
    assert (found[D1].window_days, found[D1].priority, found[D1].enabled) == (30, 7, True)
    assert found[M15].window_days == 90


def test_unknown_symbols_are_not_defined(database: Database) -> None:
    """
    The text names the first one and how to add it; the known ones are not defined either.
    """
    add(database, "A")

    for work in (keep_series, seed_series, keep_batches):
        with pytest.raises(SymbolNotFound, match=r"'NOPE' is not on record\. Add it with: barfill symbols add NOPE"):
            database.run(work, ["A", "NOPE"], [D1])

    assert database.run(list_definitions) == []


def test_batches_hold_every_symbol_once_and_are_numbered(database: Database) -> None:
    """
    120 symbols are batches of 50, 50 and 20; the same symbols again are the same batches.
    """
    tickers = [f"S{number:03}" for number in range(120)]
    add(database, *tickers)

    first = database.run(keep_batches, [*reversed(tickers), "S000"], [D1])
    again = database.run(keep_batches, tickers, [D1], priority=5)

    found = sorted(database.run(list_definitions), key=lambda one: one.batch_number or 0)
    assert (first, again) == (Defined(3, 0), Defined(0, 3))
    assert [(len(one.symbols), one.batch_number, one.total_batches) for one in found] == [
        (50, 1, 3),
        (50, 2, 3),
        (20, 3, 3),
    ]
    assert [ticker for one in found for ticker in one.symbols] == tickers
    assert {one.priority for one in found} == {5}


def test_new_batches_replace_those_that_hold_nothing_else(database: Database) -> None:
    """
    One more symbol moves all borders; at other timeframes, and where other symbols are in it, a batch stays.
    """
    add(database, *"ABCDEFX")
    database.run(keep_batches, ["C", "D", "E", "F"], [D1, W1], batch_size=2)
    database.run(keep_batches, ["F", "X"], [D1], batch_size=2)

    done = database.run(keep_batches, ["A", "C", "D", "E", "F"], [D1], batch_size=2)

    assert done == Defined(3, 0, replaced=2)
    found = [one for one in database.run(list_definitions) if one.timeframe is D1]
    assert sorted(one.symbols for one in found) == [("A", "C"), ("D", "E"), ("F",), ("F", "X")]
    assert len(database.run(list_definitions, timeframes=[W1])) == 2
    (other,) = (one.id for one in found if one.symbols == ("F", "X"))
    assert database.run(overlapping_batches, ["A", "C", "D", "E", "F"], [D1]) == [other]


def test_batches_of_a_watchlist_are_replaced_as_a_whole(database: Database) -> None:
    """
    Who has left the watchlist is no longer fetched on its behalf; batches of another one stay.
    """
    add(database, *"ABCDE")
    for name in ("tech", "all"):
        database.run(create_watchlist, name)
    database.run(keep_batches, ["C", "E"], [D1], watchlist="all")
    database.run(keep_batches, ["A", "B", "C", "D"], [D1], batch_size=2, watchlist="tech")

    done = database.run(keep_batches, ["B", "C", "E"], [D1], batch_size=2, watchlist="tech")

    assert done == Defined(2, 0, replaced=2)
    assert sorted(one.symbols for one in database.run(list_definitions)) == [("B", "C"), ("C", "E"), ("E",)]


def test_batches_of_nothing_are_refused() -> None:
    """
    No symbols are no batches; a batch size below one is an error.
    """
    assert split_batches([]) == []
    with pytest.raises(InvalidInput, match="Use 1 or more"):
        split_batches(["A"], 0)


@pytest.mark.parametrize(
    ("columns", "values", "constraint"),
    [
        ("symbol, symbols_array", "'A', '[\"A\"]'", "either_symbol_or_batch"),
        ("symbol", "null", "either_symbol_or_batch"),
        ("symbols_array", "'[]'", "batch_lists_symbols"),
        ("symbols_array", "'[1]'", "batch_lists_symbols"),
        ("symbols_array", "'{}'", "batch_lists_symbols"),
        ("symbols_array", "'null'", "batch_lists_symbols"),
        ("symbol, batch_number, total_batches", "'A', 1, 1", "only_batches_are_numbered"),
        ("symbols_array, batch_number, total_batches", "'[\"A\"]', 3, 2", "batch_number_is_within_total"),
        ("symbols_array, batch_number", "'[\"A\"]', 1", "batch_number_is_within_total"),
        ("symbol, window_days", "'A', 0", "window_is_within_bounds"),
        ("symbol, priority", "'A', 1001", "priority_is_within_bounds"),
        ("symbol, job_type", "'A', 'fetch_all'", "job_type_(is_known|fits_timeframe)"),
        ("symbol, job_type", "'A', 'fetch_intraday'", "job_type_fits_timeframe"),
        ("symbol", "'NOPE'", "job_definitions_symbol_fkey"),
        ("symbol", "'TWICE'", "one_definition_per_series"),
        ("symbols_array", "'[\"TWICE\"]'", "same_batch_only_once"),
        ("symbols_array", '\'["A", "NOPE"]\'', "Symbol 'NOPE' of the batch is not on record"),
        (
            "symbols_array",
            "'[\"a\"]'",
            "Write tickers in upper case, and add what is new before: barfill symbols add A",
        ),
    ],
)
def test_the_table_keeps_its_rules(database: Database, columns: str, values: str, constraint: str) -> None:
    """
    What somebody writes by hand is held to the same rules, each named in the refusal.
    """
    add(database, "A", "TWICE")
    query(database, "insert into job_definitions (symbol, timeframe) values ('TWICE', 'd1')")
    query(database, "insert into job_definitions (symbols_array, timeframe) values ('[\"TWICE\"]', 'd1')")

    with pytest.raises(StoreError, match=constraint):
        query(database, f"insert into job_definitions (timeframe, {columns}) values ('d1', {values})")


def test_definitions_follow_their_symbol_and_know_when_they_changed(database: Database) -> None:
    """
    A symbol that is renamed takes its definition along; a change by hand moves updated_at.
    """
    add(database, "FB")
    database.run(keep_series, ["FB"], [D1])
    (before,) = database.run(list_definitions)

    query(database, "update symbols set ticker = 'META'")

    (after,) = database.run(list_definitions, ticker="META")
    assert (after.id, after.symbols) == (before.id, ("META",))
    assert after.updated_at > before.updated_at
    assert database.run(list_definitions, ticker="FB") == []


def test_the_type_of_a_definition_follows_its_timeframe(database: Database) -> None:
    """
    Without being named, and when the timeframe is changed.
    """
    add(database, "A")
    query(database, "insert into job_definitions (symbol, timeframe) values ('A', 'm1')")

    query(database, "update job_definitions set timeframe = 'w1'")

    assert [one.job_type for one in database.run(list_definitions)] == ["fetch_historical"]
    with pytest.raises(StoreError, match="job_type_fits_timeframe"):
        query(database, "update job_definitions set job_type = 'fetch_intraday'")


def test_batches_follow_their_symbols(database: Database) -> None:
    """
    Renamed members are named anew, in order; removed ones leave, and a batch that is empty then, or there twice, goes.
    """
    add(database, "FB", "GOOG", "MSFT", "SPY")
    database.run(keep_batches, ["FB", "MSFT", "SPY"], [D1])
    database.run(keep_batches, ["GOOG", "SPY"], [D1])
    database.run(keep_batches, ["GOOG"], [D1, W1])

    query(database, "update symbols set ticker = 'Z' || ticker where ticker in ('FB', 'MSFT')")
    renamed = [one.symbols for one in database.run(list_definitions)]
    query(database, "delete from symbols where ticker in ('SPY', 'ZMSFT')")
    removed = [(one.symbols, one.timeframe) for one in database.run(list_definitions)]
    query(database, "delete from symbols")

    assert renamed == [("SPY", "ZFB", "ZMSFT"), ("GOOG", "SPY"), ("GOOG",), ("GOOG",)]
    assert removed == [(("ZFB",), D1), (("GOOG",), D1), (("GOOG",), W1)]
    assert database.run(list_definitions) == []


def test_batches_of_before_are_brought_in_step(server_url: str) -> None:
    """
    What they name in any case, twice or without its being on record is named once, and looked up at the next look.
    """
    with empty_database(server_url) as database:
        for one in migrations()[:8]:
            query(database, one.sql.decode())
        query(database, "insert into symbols (ticker) values ('AAPL')")
        for batch in ("aapl", "AAPL", "A..B"), ("AAPL",), ("ZZZZ",), ("a b",):
            query(
                database,
                "insert into job_definitions (symbols_array, timeframe) values (%s, 'd1')",
                json.dumps(batch),
            )
        query(
            database,
            "insert into job_definitions (symbol, timeframe, job_type) values ('AAPL', 'm1', 'fetch_historical')",
        )
        query(database, migrations()[8].sql.decode())

        assert query(database, "select job_type from job_definitions where symbol = 'AAPL'") == [("fetch_intraday",)]

        batches = "select symbols_array from job_definitions where symbol is null order by id"
        assert query(database, batches) == [(["AAPL"],), (["ZZZZ"],)]
        assert query(database, "select ticker from symbols where confirmed_at is null order by ticker") == [
            ("AAPL",),
            ("ZZZZ",),
        ]


def test_definitions_are_switched_and_removed(database: Database) -> None:
    """
    Only what changes is told; a run of a removed definition stays and says of none.
    """
    (a,) = add(database, "A")
    database.run(keep_series, ["A"], [M15, D1])
    first, second = (one.id for one in database.run(list_definitions))
    run = NewRun(
        symbols=("A",),
        symbol_ids=(a,),
        timeframe=D1,
        range=minutes(0, 60),
        provider="alpaca",
        feed="sip",
        job_def_ids=(first,),
    )
    (run_id,) = database.run(create_runs, [run])
    shown = {one.id: (one.last_run_id, one.last_run_status) for one in database.run(list_definitions)}

    assert database.run(disable_definitions, [first, second]) == [first, second]
    assert database.run(disable_definitions, [first]) == []
    assert database.run(enable_definitions, [second, first]) == [first, second]
    assert database.run(remove_definitions, [first]) == [first]

    assert shown == {first: (run_id, "queued"), second: (None, None)}
    assert query(database, "select id, job_def_id from job_runs") == [(run_id, None)]


def test_an_unknown_definition_changes_nothing(database: Database) -> None:
    """
    One wrong id among right ones is an error, and the right ones stay as they are.
    """
    add(database, "A")
    database.run(keep_series, ["A"], [D1])
    (one,) = database.run(list_definitions)

    for work in (disable_definitions, enable_definitions, remove_definitions):
        with pytest.raises(DefinitionNotFound, match=r"no job definition 999\. Nothing was changed"):
            database.run(work, [one.id, 999])

    assert database.run(list_definitions) == [one]


def test_the_listing_is_filtered(database: Database) -> None:
    """
    By symbol, alone or in a batch, by timeframe, and by whether it is on.
    """
    add(database, "A", "B", "C")
    database.run(keep_series, ["A"], [M15, D1])
    database.run(keep_batches, ["A", "B"], [D1])
    off = database.run(list_definitions, timeframes=[M15])
    database.run(disable_definitions, [one.id for one in off])

    assert len(database.run(list_definitions, ticker="A")) == 3
    assert [one.symbols for one in database.run(list_definitions, ticker="B")] == [("A", "B")]
    assert database.run(list_definitions, ticker="C") == []
    assert [one.timeframe for one in database.run(list_definitions, is_enabled=False)] == [M15]
    assert len(database.run(list_definitions, is_enabled=True)) == 2


def test_due_are_enabled_definitions_with_their_active_symbols(database: Database) -> None:
    """
    The most urgent first; symbols that are off are passed over, and a definition of none that is on is not due.
    """
    a, _, c = add(database, "A", "OFF", "C")
    database.run(deactivate_symbols, ["OFF"])
    database.run(keep_series, ["A", "OFF"], [M15])
    database.run(keep_series, ["C"], [D1], priority=PRIORITY_OF_CHARTS)
    database.run(keep_batches, ["A", "OFF", "C"], [W1], priority=1, window_days=30)
    query(database, "insert into job_definitions (symbol, timeframe, enabled) values ('A', 'h1', false)")

    due = database.run(due_definitions)

    assert [(one.timeframe, dict(one.symbol_ids), one.window_days, one.priority) for one in due] == [
        (D1, {"C": c}, 730, 200),
        (M15, {"A": a}, 730, 100),
        (W1, {"A": a, "C": c}, 30, 1),
    ]


def test_symbols_on_no_watchlist_lose_their_definitions(database: Database) -> None:
    """
    Those of a symbol that is still on one stay on, and so do batches and other symbols.
    """
    a, b, _ = add(database, "A", "B", "C")
    database.run(keep_series, ["A", "B", "C"], [D1])
    database.run(keep_batches, ["A", "B"], [D1])
    database.run(create_watchlist, "tech")
    database.run(add_to_watchlist, "tech", [b])

    assert database.run(disable_unlisted, [a, b]) == 1

    assert [one.symbols for one in database.run(list_definitions, is_enabled=False)] == [("A",)]


@pytest.mark.parametrize(
    ("text", "timeframe"), [(text, timeframe) for timeframe, line in SPELLINGS.items() for text in line.split()]
)
def test_sql_reads_timeframes_as_the_command_line_does(database: Database, text: str, timeframe: Timeframe) -> None:
    """
    Every spelling, in any case and with spaces around.
    """
    for spelling in (text, f" {text.upper()} "):
        assert query(database, "select parse_timeframe(%s)", spelling) == [(timeframe.value,)]


@pytest.mark.parametrize("text", ["7m", "", "m", "1", "0m", "m0", "-1h", "1y", "1mo", "2d", "1.5h", "h", "m1\n5", None])
def test_sql_refuses_what_names_no_timeframe(database: Database, text: str | None) -> None:
    """
    The text quotes it and lists what can be used.
    """
    with pytest.raises(StoreError) as refusal:
        query(database, "select parse_timeframe(%s)", text)

    shown = "NULL" if text is None else f"'{text}'"
    said = str(refusal.value.__cause__)
    assert said.startswith(f"Timeframe {shown} is unknown. Use one of m1, m5, m15, m30, h1, h4, d1, w1")


def test_seeding_from_sql_makes_and_changes_one_definition(database: Database) -> None:
    """
    Each call gives the same id; the last one's window and priority count, and a definition that is off is on again.
    """
    add(database, "BRK.B")

    ((first,),) = query(database, SEED, " brk.b ", "15Min")
    (made,) = database.run(list_definitions)
    query(database, "update job_definitions set enabled = false")
    ((second,),) = query(database, "select seed_intraday_backfill_job(%s, %s, %s, %s)", "BRK.B", "m15", 30, 200)
    ((third,),) = query(database, "select seed_intraday_backfill_job(ticker => %s, timeframe => '1Day')", "BRK.B")

    assert first == second != third
    assert (made.symbols, made.timeframe, made.window_days, made.priority) == (("BRK.B",), M15, 730, 100)
    changed, other = database.run(list_definitions)
    assert (changed.id, changed.window_days, changed.priority, changed.enabled) == (first, 30, 200, True)
    assert (other.id, other.timeframe, other.job_type) == (third, D1, "fetch_historical")


def test_seeding_switches_on_what_is_off(database: Database) -> None:
    """
    Also where window and priority are the same.
    """
    add(database, "A")
    seeded = query(database, SEED, "A", "1h")
    query(database, "update job_definitions set enabled = false")

    assert query(database, SEED, "A", "1h") == seeded
    assert [one.enabled for one in database.run(list_definitions)] == [True]


def test_seeding_what_is_so_already_writes_nothing(database: Database) -> None:
    """
    A chart may ask every few seconds: no new version of the row, no number taken from the sequence.
    """
    add(database, "A", "B")
    ((first,),) = query(database, SEED, "A", "1h")
    before = query(database, "select xmin::text, ctid::text from job_definitions")

    for _ in range(3):
        query(database, SEED, "A", "h1")

    assert query(database, "select xmin::text, ctid::text from job_definitions") == before
    assert query(database, SEED, "B", "1h") == [(first + 1,)]


@pytest.mark.parametrize(
    ("ticker", "timeframe", "text"),
    [
        ("NOPE", "1h", "Symbol 'NOPE' is not on record. Add it with: barfill symbols add NOPE"),
        ("A", "7m", "Timeframe '7m' is unknown. Use one of m1"),
        (None, "1h", "is not on record"),
    ],
)
def test_a_mistake_in_seeding_says_what_to_do(
    database: Database, ticker: str | None, timeframe: str, text: str
) -> None:
    """
    And nothing is made.
    """
    add(database, "A")

    with pytest.raises(StoreError, match=text):
        query(database, SEED, ticker, timeframe)

    assert database.run(list_definitions) == []


def test_seeding_from_many_sessions_at_once_makes_one_definition(database: Database) -> None:
    """
    All get the same id, none an error.
    """
    add(database, "A")
    count = 6
    barrier, found = threading.Barrier(count), []

    def seed(number: int) -> None:
        conn = database.connect()
        with conn:
            barrier.wait()
            for turn in range(20):
                row = conn.execute("select seed_intraday_backfill_job('A', 'm15', %s)", [1 + turn * number]).fetchone()
                found.append(row)

    threads = [threading.Thread(target=seed, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(found), len(set(found))) == (20 * count, 1)
    assert query(database, "select count(*) from job_definitions") == [(1,)]


def gaps_of(database: Database, ticker: str, timeframe: str, days: int, until: datetime) -> list[tuple[object, ...]]:
    text = "select gap_from, gap_to, gap_hours::double precision from get_coverage_gaps(%s, %s, %s, %s)"
    return query(database, text, ticker, timeframe, days, until)


def cover(database: Database, symbol_id: int, timeframe: Timeframe, covered: Ranges) -> None:
    query(
        database,
        """insert into series (symbol_id, timeframe, feed, covered) values (%s, %s, 'sip', %s)
        on conflict (symbol_id, timeframe) do update set covered = excluded.covered""",
        symbol_id,
        timeframe.value,
        covered,
    )


def test_gaps_hold_open_time_only(database: Database) -> None:
    """
    Thanksgiving, its half day and the weekend: a gap begins at the open and ends at the early close.
    """
    (a,) = add(database, "A")
    database.run(sync_sessions, trading_calendar("XNYS", 2025))
    sunday = HALF_DAY + timedelta(days=2)

    whole = gaps_of(database, "a", "15m", 4, sunday)
    cover(database, a, M15, Ranges([Range(HALF_DAY - timedelta(days=4), HALF_DAY)]))
    left = gaps_of(database, "A", "m15", 4, sunday)
    cover(database, a, M15, Ranges([Range(HALF_DAY - timedelta(days=4), HALF_DAY + timedelta(hours=18))]))
    none = gaps_of(database, "A", "m15", 4, sunday)

    opens, closes = HALF_DAY + timedelta(hours=14.5), HALF_DAY + timedelta(hours=18)
    assert whole == [(opens - timedelta(days=2), closes, 10.0)]
    assert left == [(opens, closes, 3.5)]
    assert none == []


@pytest.mark.parametrize(
    ("timeframe", "gap_to", "hours"),
    [("1h", timedelta(hours=15.5), 1.0), ("15m", timedelta(hours=15.75), 1.25), ("4h", None, 0), ("1d", None, 0)],
)
def test_a_bar_that_is_not_over_is_no_gap(
    database: Database, timeframe: str, gap_to: timedelta | None, hours: float
) -> None:
    """
    In the middle of a session a gap ends with the last bar that is over.
    """
    add(database, "A")
    database.run(sync_sessions, trading_calendar("XNYS", 2025))
    monday = datetime(2024, 12, 2, tzinfo=UTC)

    found = gaps_of(database, "A", timeframe, 1, monday + timedelta(hours=15, minutes=50))

    assert found == ([(monday + timedelta(hours=14.5), monday + gap_to, hours)] if gap_to else [])


def test_days_and_weeks_count_by_their_label(database: Database) -> None:
    """
    A d1 bar is missing when its date is not covered, a w1 bar when its Monday is not and the week is over.
    """
    (a,) = add(database, "A")
    database.run(sync_sessions, trading_calendar("XNYS", 2025))
    sunday = HALF_DAY + timedelta(days=2)
    monday, thursday = HALF_DAY - timedelta(days=4), HALF_DAY - timedelta(days=1)
    cover(database, a, D1, Ranges([Range(monday, thursday)]))

    days = gaps_of(database, "A", "1d", 6, sunday)
    weeks = gaps_of(database, "A", "1w", 8, sunday)
    unfinished = gaps_of(database, "A", "1w", 6, HALF_DAY + timedelta(hours=17))

    assert days == [(HALF_DAY, HALF_DAY + timedelta(days=1), 3.5)]
    assert weeks == [(monday, sunday, 3 * 6.5 + 3.5)]
    assert unfinished == []


def test_gaps_of_a_symbol_that_is_new_hold_open_time_only(database: Database) -> None:
    """
    A symbol that SQL has just written lacks the sessions of its window, and no nights; before any backfill.
    """
    query(database, "insert into symbols (ticker) values ('A')")

    ((_, _, hours),) = gaps_of(database, "A", "15m", 4, HALF_DAY + timedelta(days=2))

    assert hours == 10.0


def test_sessions_of_calendars_in_use_are_filled_once(database: Database) -> None:
    """
    XNYS is there from the start; one that a symbol names comes with the next command, and a name that is none is
    passed over.
    """
    assert database.run(fill_sessions) == ()
    database.run(add_symbols, [NewSymbol("VOD", calendar="XLON"), NewSymbol("A", calendar="NOPE")])

    assert database.run(fill_sessions) == ("XLON",)

    assert query(database, "select distinct calendar from sessions order by 1") == [("XLON",), ("XNYS",)]


def test_around_the_clock_everything_counts(database: Database) -> None:
    """
    Crypto, and any calendar whose sessions are not on record: a gap is never silent.
    """
    query(database, "delete from sessions")
    database.run(add_symbols, [NewSymbol("BTC/USD", asset_type="crypto"), NewSymbol("A")])
    start, until = HALF_DAY - timedelta(days=2), HALF_DAY + timedelta(hours=1, minutes=20)

    for ticker in ("BTC/USD", "A"):
        assert gaps_of(database, ticker, "1h", 2, until) == [(start, HALF_DAY + timedelta(hours=1), 49.0)]
        assert gaps_of(database, ticker, "1d", 2, until) == [(start, HALF_DAY, 48.0)]


def test_gaps_up_to_now_need_three_values_only(database: Database) -> None:
    """
    As users' SQL calls it; unknown symbols, timeframes and windows say what to do.
    """
    add(database, "A")
    ask = "select count(*), sum(gap_hours) > 0 from get_coverage_gaps(%s, %s, %s)"

    assert query(database, ask, "A", "15Min", 730) == [(1, True)]
    for values, text in (
        (("NOPE", "1h", 1), "Symbol 'NOPE' is not on record. See what is"),
        (("A", "7m", 1), "is unknown. Use one of"),
        (("A", "1h", -1), "window_days -1 is no window. Give 1 or more"),
    ):
        with pytest.raises(StoreError, match=text):
            query(database, ask, *values)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(covered=ranges_values(60))
@pytest.mark.parametrize("timeframe", [Timeframe.M5, Timeframe.H4, D1, W1])
def test_sql_and_the_planner_miss_the_same_bars(database: Database, timeframe: Timeframe, covered: Ranges) -> None:
    """
    Whatever is covered: the bars in the gaps that SQL tells are those that the planner would fetch.
    """
    calendar = trading_calendar("XNYS", 2025)
    database.run(sync_sessions, calendar)
    symbol = database.run(add_symbols, [NewSymbol("A")])["A"]
    hull = covered.hull
    until = (hull.end if hull else HALF_DAY) + timedelta(days=3, hours=15)
    start = until.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=70)
    cover(database, symbol.id, timeframe, covered)

    found = gaps_of(database, "A", timeframe.value, 70, until)

    horizon = calendar.closed_until(timeframe, until, timedelta())
    planned = missing_ranges(Ranges([Range(start, until)]), covered, calendar, timeframe, horizon)
    told = Ranges(Range(row[0], row[1]) for row in found)  # type: ignore[arg-type]  # the query's columns
    assert starts(calendar, timeframe, told) == starts(calendar, timeframe, planned)


def starts(calendar: TradingCalendar, timeframe: Timeframe, ranges: Ranges) -> list[int]:
    return [start for one in ranges for start in calendar.expected_starts(timeframe, one).tolist()]
