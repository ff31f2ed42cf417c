"""The bars of any earlier instant: what a reader saw then, whatever has happened to them since."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.bars import read_rows
from barfill.store.database import Database
from barfill.store.migrate import MIGRATIONS, migrate
from barfill.store.misplaced import remove_bars
from barfill.store.pages import count_series, forget_stale_live, write_derived, write_page
from barfill.store.runs import ClaimedRun
from barfill.store.writes import Expected
from tests.store.builders import START, add, claimed_run, minute, minutes, page, query, write
from tests.store.fixtures import empty_database

MINUTES = 6
MICROSECOND = timedelta(microseconds=1)
COLUMNS = (
    "symbol_id, timeframe, ts, open, high, low, close, volume, vwap, trade_count, provider, feed, is_intraday, "
    "data_status, fetched_at, created_at"
)
TABLES = (
    "symbols, series, ohlc_bars, job_runs, bar_revisions, live_revisions, series_gaps, quarantined_bars, watchlists"
)

Bars = list[tuple[Any, ...]]


def stored(database: Database) -> Bars:
    return query(database, f"select {COLUMNS} from ohlc_bars where %s order by 1, 2, 3", True)


def stored_at(database: Database, instant: datetime) -> Bars:
    return query(database, f"select {COLUMNS} from bars_as_of(%s) order by 1, 2, 3", instant)


def closes_at(database: Database, instant: datetime) -> list[float]:
    return [close for (close,) in query(database, "select close from bars_as_of(%s) order by ts", instant)]


closes = st.dictionaries(st.integers(0, MINUTES - 1), st.sampled_from([10.0, 10.5, 11.0]), min_size=1)
spans = st.tuples(st.integers(0, MINUTES - 1), st.integers(1, MINUTES)).filter(lambda pair: pair[0] < pair[1])
deeds = st.one_of(
    st.tuples(st.sampled_from(["final", "final", "live", "derived"]), closes),
    st.tuples(st.just("final and withdrawn"), closes, spans),
    st.tuples(st.sampled_from(["proved", "misplaced", "expired", "changed by hand", "deleted by hand"]), spans),
)


class World:
    """One symbol, and whoever may change its bars."""

    def __init__(self, database: Database) -> None:
        query(database, f"truncate {TABLES} cascade")
        self.database = database
        (self.id,) = add(database, "A")
        self.run: ClaimedRun = claimed_run(database, [self.id])
        self.page_no = 0

    def page(self, rows: dict[int, float], span: tuple[int, int] | None = None, **more: Any) -> None:
        proved = {} if span is None else {self.id: minutes(*span)}
        given_rows = {self.id: rows} if rows else {}
        page_no, self.page_no = self.page_no, self.page_no + 1
        made = page(self.run, given_rows, proved, page_no=page_no, next_token="t", ids=[self.id], **more)
        self.database.run(write_page, made)

    def does(self, deed: str, *details: Any) -> None:
        """One transaction of one of them."""
        if deed in ("final", "live"):
            self.page(details[0], data_status=deed)
        elif deed == "derived":
            self.database.run(write_derived, write({self.id: details[0]}, provider="massive"))
        elif deed == "final and withdrawn":
            self.page(details[0], withdrawn={self.id: Ranges([minutes(*details[1])])})
        elif deed == "proved":
            self.page({}, details[0])
        elif deed == "misplaced":
            self.database.run(_removed, self.id, minutes(*details[0]))
        elif deed == "expired":
            self.database.run(forget_stale_live, minute(details[0][1]))
        else:
            statement = (
                "update ohlc_bars set volume = volume + 1" if deed == "changed by hand" else "delete from ohlc_bars"
            )
            query(self.database, f"{statement} where ts >= %s and ts < %s", *(minute(at) for at in details[0]))
            self.database.run(count_series, Timeframe.M1, [self.id])  # as whoever deletes by hand has to


def _minutes(one: Range) -> NDArray[np.int64]:
    return np.arange(to_us(one.start), to_us(one.end), 60_000_000)


def _removed(conn: psycopg.Connection[Any], symbol_id: int, stretch: Range) -> None:
    with conn.transaction():
        told = "another company's"
        expected: Expected = lambda _, one: _minutes(one)  # noqa: E731
        remove_bars(conn, symbol_id, Timeframe.M1, stretch, providers=["alpaca"], reason=told, expected=expected)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(deeds, min_size=1, max_size=8))
def test_any_instant_of_any_history_is_as_readers_saw_it(database: Database, history: list[tuple[Any, ...]]) -> None:
    """
    Whatever pages, derivations, withdrawals, ends and people do to the bars, in any order: the table as it was read
    between any two of them comes back for every instant between them, the first and the last one included.
    """
    world = World(database)
    seen: list[tuple[datetime, Bars]] = [(database.now(), stored(database))]
    for deed, *details in history:
        world.does(deed, *details)
        seen.append((database.now(), stored(database)))

    for (before, bars), (after, next_bars) in pairwise(seen):
        assert stored_at(database, before) == bars
        within = query(
            database,
            "select distinct at from (select created_at as at from bars_as_of(%s) union all "
            "select replaced_at from bar_revisions union all select replaced_at from live_revisions) as told "
            "where at > %s and at <= %s",
            after,
            before,
            after,
        )
        if next_bars != bars:
            ((instant,),) = within
            assert stored_at(database, instant - MICROSECOND) == bars
            assert stored_at(database, instant) == next_bars
    assert stored_at(database, seen[-1][0]) == stored(database)
    overlapping = (
        "select from bar_revisions as a join bar_revisions as b using (symbol_id, timeframe, ts) "
        "where a.ctid <> b.ctid and a.believed_from < b.replaced_at and b.believed_from < a.replaced_at"
    )
    assert query(database, overlapping) == []


@pytest.mark.parametrize(
    ("deed", "reason", "replaced_by"),
    [
        (("final", {1: 11.0}), "corrected", "alpaca"),
        (("derived", {1: 11.0}), "derived", "massive"),
        (("final and withdrawn", {2: 10.0}, (1, 2)), "withdrawn", None),
        (("misplaced", (1, 2)), "misplaced", None),
        (("changed by hand", (1, 2)), "changed", "alpaca"),
        (("deleted by hand", (1, 2)), "removed", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_revision_says_why_and_who(
    database: Database, deed: tuple[Any, ...], reason: str, replaced_by: str | None
) -> None:
    """
    The old values with provider and feed, for how long they stood, the run, the reason, and whose bar came instead.
    """
    world = World(database)
    world.does("final", {1: 10.0})
    between = database.now()

    world.does(*deed)

    ((close, provider, feed, since, until, run_id, told, successor),) = query(
        database,
        "select close, provider, feed, believed_from, replaced_at, run_id, reason, replaced_by from bar_revisions",
    )
    assert (close, provider, feed) == (10.0, "alpaca", "sip")
    assert since < between < until < database.now()
    assert (told, successor) == (reason, replaced_by)
    assert run_id == (world.run.id if reason in ("corrected", "withdrawn") else None)


def test_live_bars_are_kept_apart(database: Database) -> None:
    """
    A live value that a later one, or the final one, has taken the place of is no revision; as-of knows it.
    """
    world = World(database)
    instants = [database.now()]
    for status, close in (("live", 10.0), ("live", 10.5), ("final", 10.5), ("final", 11.0)):
        world.does(status, {1: close})
        instants.append(database.now())

    assert query(database, "select close, reason from live_revisions order by replaced_at") == [
        (10.0, "forming"),
        (10.5, "final"),
    ]
    assert query(database, "select close, reason from bar_revisions") == [(10.5, "corrected")]
    told = [query(database, "select close, data_status from bars_as_of(%s)", instant) for instant in instants]
    assert told == [[], [(10.0, "live")], [(10.5, "live")], [(10.5, "final")], [(11.0, "final")]]


def test_a_bar_that_was_gone_for_a_while(database: Database) -> None:
    """
    It is there, not there, and there again with its new value.
    """
    world = World(database)
    instants = []
    for deed in (("final", {1: 10.0}), ("misplaced", (0, 3)), ("final", {1: 11.0}), ("final", {1: 10.5})):
        world.does(*deed)
        instants.append(database.now())

    assert [closes_at(database, instant) for instant in instants] == [[10.0], [], [11.0], [10.5]]


def test_a_value_that_only_its_own_transaction_saw_is_no_revision(database: Database) -> None:
    """
    A page that stores a bar and takes it out again leaves nothing behind that a reader could have seen.
    """
    world = World(database)

    world.does("final and withdrawn", {1: 10.0}, (0, 3))

    assert query(database, "select count(*) from bar_revisions") == [(0,)]
    assert stored_at(database, database.now()) == []


def test_what_a_transaction_changes_counts_from_one_instant(database: Database) -> None:
    """
    No instant shows one bar as it was before a page and another as after it, however long the page takes.
    """
    world = World(database)
    world.does("final", {0: 10.0, 1: 10.0})

    with database.connection() as conn, conn.transaction():
        conn.execute("update ohlc_bars set close = 10.25 where ts = %s", [minute(0)])
        conn.execute("select pg_sleep(0.01)")
        conn.execute("delete from ohlc_bars where ts = %s", [minute(1)])

    ((instant,),) = query(database, "select distinct replaced_at from bar_revisions")
    assert closes_at(database, instant - MICROSECOND) == [10.0, 10.0]
    assert closes_at(database, instant) == [10.25]


def test_who_commits_later_counts_later(database: Database) -> None:
    """
    A transaction that began first and had to wait for the other's lock has the later instant: its value is the last.
    """
    world = World(database)
    world.does("final", {1: 10.0})

    def update(conn: psycopg.Connection[Any], close: float) -> None:
        conn.execute("update ohlc_bars set close = %s", [close])

    with database.connection() as early, early.transaction():
        early.execute("select now()")  # its clock stands still from here on
        with database.connection() as late, late.transaction():
            update(late, 10.25)
        between = database.now()
        update(early, 10.75)

    assert closes_at(database, between) == [10.25]
    assert closes_at(database, database.now()) == [10.75]
    assert query(database, "select count(*) from bar_revisions where believed_from >= replaced_at") == [(0,)]


def test_what_is_not_committed_yet_is_not_there(database: Database) -> None:
    """
    While a writer has not committed, nobody sees its bars as of any instant. Afterwards they count from the instant at
    which it began to write them: only for instants between that and its commit does the answer change.
    """
    world = World(database)
    world.does("final", {1: 10.0})
    before = database.now()

    with database.connection() as writer, writer.transaction():
        writer.execute("update ohlc_bars set close = 10.75")
        ((began,),) = writer.execute("select change_instant()", binary=True).fetchall()
        during = database.now()
        assert [closes_at(database, instant) for instant in (before, during)] == [[10.0], [10.0]]

    assert before < began < during
    assert [closes_at(database, instant) for instant in (before, began - MICROSECOND)] == [[10.0], [10.0]]
    assert [closes_at(database, instant) for instant in (began, during, database.now())] == [[10.75]] * 3


def test_a_clock_that_was_put_back_loses_no_value(database: Database) -> None:
    """
    Values replaced while the server's clock repeats an hour stay on record, and no instant has a bar twice.
    """
    world = World(database)
    world.does("final", {1: 10.0})
    query(database, "update ohlc_bars set created_at = created_at + interval '1 hour'; truncate bar_revisions")

    world.does("final", {1: 10.5})
    world.does("final", {1: 11.0})

    assert query(database, "select close from bar_revisions order by close") == [(10.0,), (10.5,)]
    late = database.now() + timedelta(hours=2)
    assert closes_at(database, late) == [11.0]


def test_one_series_is_read_by_its_indexes(database: Database) -> None:
    """
    Of the bars and of the revisions, whatever else is stored.
    """
    query(
        database,
        """insert into ohlc_bars (symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday)
        select symbol_id, 'm15', timestamptz '2024-01-01Z' + number * interval '15 minutes', 1, 1, 1, 1, 1, 'a', 's',
            true
        from generate_series(1, 20) as symbol_id, generate_series(1, 1000) as number;
        update ohlc_bars set close = 1.0000001 where symbol_id > 10;
        analyze""",
    )
    steps = query(
        database,
        "explain select * from bars_as_of(now() - interval '1 hour') where symbol_id = 15 and timeframe = 'm15' "
        "and ts >= '2024-01-03Z' and ts < '2024-01-05Z' order by ts",
    )
    text = "\n".join(step for (step,) in steps)
    assert "Seq Scan on ohlc_bars" not in text
    assert "Seq Scan on bar_revisions" not in text
    assert "bar_revisions_by_bar" in text
    assert "ohlc_bars_d1" not in text


def test_keeping_what_is_replaced_reads_none_of_the_rest(database: Database) -> None:
    """
    However many revisions there are by then: a plan that was made while there were none still finds its way by the key.
    """
    query(
        database,
        """insert into ohlc_bars (symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday)
        select 1, 'm15', timestamptz '2024-01-01Z' + number * interval '15 minutes', 1, 1, 1, 1, 1, 'a', 's', true
        from generate_series(1, 500) as number;
        analyze""",
    )
    with database.connection() as conn, conn.transaction():
        conn.execute("update ohlc_bars set close = 1.0000001")
        read = conn.execute(
            "select relname, seq_tup_read from pg_stat_xact_user_tables where relname like '%_revisions' order by 1"
        ).fetchall()

    assert read == [("bar_revisions", 0), ("live_revisions", 0)]
    assert query(database, "select count(*) from bar_revisions") == [(500,)]


def test_rows_come_as_they_do_without_an_instant(database: Database) -> None:
    """
    The reader of one series gives the same columns either way.
    """
    world = World(database)
    world.does("final", {0: 10.0, 1: 10.5})
    world.does("live", {2: 10.0})

    def read(conn: psycopg.Connection[Any], as_of: datetime | None) -> bytes:
        return read_rows(conn, world.id, Timeframe.M1, minutes(0, 9), as_of=as_of).tobytes()

    assert database.run(read, database.now()) == database.run(read, None)


def test_revisions_that_are_on_record_already_get_their_time(any_server_url: str, tmp_path: Path) -> None:
    """
    The schema's step says of each from when it stood: the end of the one before, or when the bar was first stored.
    """
    (step,) = MIGRATIONS.glob("*_asof.sql")
    for path in MIGRATIONS.glob("*.sql"):
        if path.name < step.name:
            shutil.copy(path, tmp_path)
    first, second = START + timedelta(days=1), START + timedelta(days=2)
    with empty_database(any_server_url) as database:
        with database.connection() as conn:
            migrate(conn, tmp_path)
            values = "1, 'd1', '2024-03-01Z', 1, 3, 1, %s, 1, 'alpaca', 'sip', %s"
            columns = "symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed"
            old = f"insert into bar_revisions ({columns}, fetched_at, replaced_at) values ({values}, %s)"
            new = f"insert into ohlc_bars ({columns}, created_at, is_intraday) values ({values}, false)"
            conn.execute(new.encode(), [3, START])
            conn.execute(old.encode(), [1, START, first])
            conn.execute(old.encode(), [2, first, second])
            shutil.copy(step, tmp_path)

            migrate(conn, tmp_path)

        instants = (START - MICROSECOND, START, first, second, database.now())
        assert [closes_at(database, instant) for instant in instants] == [[], [1], [2], [3], [3]]
        assert query(database, "select distinct replaced_by, reason from bar_revisions") == [("alpaca", "corrected")]
