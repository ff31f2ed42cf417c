"""Many writers at once, in threads and in processes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import SchemaOutdated, StoreError
from barfill.store.database import Database
from barfill.store.migrate import MIGRATIONS, migrate
from barfill.store.pages import write_derived
from barfill.store.series import read_series
from barfill.store.symbols import NewSymbol, add_symbols, find_symbols
from barfill.store.writes import GapRecord
from tests.store.builders import add, minutes, query, stored_closes, write
from tests.store.fixtures import empty_database

WRITERS = 8


def in_threads(work: Callable[[int], object], count: int = WRITERS) -> None:
    """Runs *work* with 0, 1, .. at the same time; the first failure is raised."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def test_writers_of_the_same_keys_do_not_deadlock(database: Database) -> None:
    """
    S01: eight writers with the same symbols, each in its own order, all get through without a deadlock.
    """
    ids = add(database, *(f"S{number}" for number in range(20)))

    def write_some(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(15):
            chosen = rng.sample(ids, 12)
            rows = {symbol_id: {at: rng.choice([10.0, 11.0]) for at in range(3)} for symbol_id in sorted(chosen)}
            database.run(write_derived, write(rows, {symbol_id: minutes(0, 3) for symbol_id in chosen}))

    in_threads(write_some)

    deadlocks = query(database, "select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks == [(0,)]
    series = database.run(read_series, ids, [Timeframe.M1])
    assert all(row.bar_count == 3 for row in series.values())
    assert len(stored_closes(database)) == 3 * len(series)


def test_series_are_locked_in_the_order_of_their_ids(database: Database) -> None:
    """
    S01: a writer that waits for the second of two series has the first one already.
    """
    first, second = add(database, "A", "B")
    database.run(write_derived, write({}, dict.fromkeys([first, second], minutes(0, 1))))
    one = "select symbol_id from series where symbol_id = %s for update"

    with ThreadPoolExecutor(1) as pool, database.connection() as conn, conn.transaction():
        conn.execute(one, [second])
        pool.submit(database.run, write_derived, write({}, dict.fromkeys([second, first], minutes(1, 2))))
        _wait_for(database, "select 1 from pg_stat_activity where wait_event_type = 'Lock'")
        free = query(database, f"{one} skip locked", first)

    assert free == []


def test_no_proof_is_lost_between_writers(database: Database) -> None:
    """
    S12: eight writers with 25 ranges each into one series leave 200 ranges covered.
    """
    (a,) = add(database, "A")

    def prove(writer: int) -> None:
        for step in range(25):
            at = 2 * (step * WRITERS + writer)
            database.run(write_derived, write({}, {a: minutes(at, at + 1)}))

    in_threads(prove)

    covered = database.run(read_series, [a], [Timeframe.M1])[a, Timeframe.M1].covered
    assert covered == Ranges(minutes(at, at + 1) for at in range(0, 400, 2))


def test_one_writer_per_series_at_a_time(database: Database) -> None:
    """
    Eight writers that find the same gap in one series, ten times each: one gap on record, asked for 80 times.
    """
    (a,) = add(database, "A")
    gap = GapRecord(symbol_id=a, range=minutes(0, 3), expected_bars=3, kind="missing", reason="absent")

    def find(_writer: int) -> None:
        for _ in range(10):
            database.run(write_derived, write({}, gaps=[gap]))

    in_threads(find)

    assert query(database, "select kind, attempts from series_gaps") == [("missing", 10 * WRITERS)]


def test_seventy_thousand_symbols_in_a_condition(database: Database) -> None:
    """
    S08: more symbols than a statement can have parameters are added and found.
    """
    tickers = [f"T{number}" for number in range(70_000)]

    added = database.run(add_symbols, [NewSymbol(ticker) for ticker in tickers])

    assert len(added) == len(database.run(find_symbols, [*tickers, "NONE"])) == 70_000
    assert len(database.run(read_series, [symbol.id for symbol in added.values()], [Timeframe.D1])) == 0


_MIGRATE = """
import sys
from pathlib import Path
from barfill.store.database import Database
from barfill.store.migrate import migrate
with Database(sys.argv[1]) as database:
    print(database.run(migrate, Path(sys.argv[2])))
"""


def migrating(url: str, directory: Path = MIGRATIONS) -> subprocess.Popen[str]:
    """A process that migrates and prints how many files it applied."""
    command = [sys.executable, "-c", _MIGRATE, url, str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_ten_processes_migrate_at_once(any_server_url: str) -> None:
    """
    S15: every migration is applied exactly once, and all ten processes succeed.
    """
    with empty_database(any_server_url) as database:
        processes = [migrating(database.url) for _ in range(10)]
        applied = [int(process.communicate(timeout=60)[0]) for process in processes]

        assert sum(applied) == len(list(MIGRATIONS.glob("*.sql")))
        assert [process.returncode for process in processes] == [0] * 10


def test_killed_migration_leaves_nothing(any_server_url: str, tmp_path: Path) -> None:
    """
    S15: a process killed in the middle of a file has applied nothing of it, and the next one applies it whole.
    """
    slow = tmp_path / "0001_slow.sql"
    slow.write_text("create table half (id integer); select pg_sleep(30); create table whole (id integer);")
    with empty_database(any_server_url) as database:
        process = migrating(database.url, tmp_path)
        _wait_for(
            database, "select 1 from pg_stat_activity where query like '%pg_sleep(30)%' and wait_event = 'PgSleep'"
        )
        process.kill()
        process.communicate()
        # The server notices only when the statement ends, so it is ended here.
        query(database, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
        assert query(database, "select to_regclass('half'), to_regclass('schema_migrations')") == [(None, None)]

        slow.write_text("create table half (id integer); create table whole (id integer);")
        assert database.run(migrate, tmp_path) == 1
        assert database.run(migrate, tmp_path) == 0


def test_database_of_a_newer_version_is_refused(database: Database) -> None:
    """
    P11: an older program does not touch the schema of a newer one, and says what to do.
    """
    query(database, "insert into schema_migrations select max(number) + 1, 'x', 'x' from schema_migrations")

    with pytest.raises(SchemaOutdated, match="Update barfill"):
        database.run(migrate)


def test_edited_migration_is_refused(database: Database) -> None:
    """
    A file that was changed after it was applied is an error, not a silent difference.
    """
    query(database, "update schema_migrations set checksum = 'x'")

    with pytest.raises(StoreError, match=r"0001_spine\.sql differs"):
        database.run(migrate)


def _wait_for(database: Database, condition: str) -> None:
    for _ in range(200):
        if query(database, condition):
            return
        time.sleep(0.05)
    raise AssertionError(f"never true: {condition}")


def test_deadlocked_transaction_is_repeated(database: Database) -> None:
    """
    S04: a transaction that PostgreSQL undid for a passing reason is tried again, three times at most.
    """
    calls = []

    def fail_twice(conn: psycopg.Connection[tuple[object, ...]]) -> int:
        calls.append(1)
        if len(calls) < 3:
            conn.execute("do $$ begin raise exception 'x' using errcode = '40P01'; end $$")
        return len(calls)

    assert database.run(fail_twice) == 3


def test_transaction_that_keeps_failing_is_given_up(database: Database) -> None:
    """
    After three attempts the caller hears that it may be tried again later.
    """
    calls = []

    def fail(conn: psycopg.Connection[tuple[object, ...]]) -> None:
        calls.append(1)
        conn.execute("do $$ begin raise exception 'x' using errcode = '40001'; end $$")

    with pytest.raises(StoreError) as given_up:
        database.run(fail)

    assert (len(calls), given_up.value.is_transient) == (3, True)
