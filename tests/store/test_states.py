"""The schema lets no run, and no series, say what cannot be, and no run go where no way leads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from barfill import errors
from barfill.engine.advice import ADVICE
from barfill.errors import StoreError
from barfill.store.database import Database
from barfill.store.migrate import MIGRATIONS, migrate
from tests.store.builders import query
from tests.store.fixtures import empty_database

INSERT = """
insert into job_runs (
    symbol, symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, feed, status, epoch,
    page_no, actual_cost, progress_percent, error_code, worker, heartbeat_at, started_at, finished_at
)
select
    'A', '["A"]', '{1}', 'm15', 'fetch_intraday', '2024-01-01', '2024-02-01', 'alpaca', 'sip', status, 3, 3,
    3, case when status = 'success' then 100 else 40 end,
    case status when 'failed' then 'TIMEOUT' when 'cancelled' then 'CANCELLED' end,
    case when status <> 'queued' then 'w' end, now(), now() - interval '1 hour',
    case when status in ('success', 'failed', 'cancelled') then now() end
from unnest(array['queued', 'running', 'success', 'failed', 'cancelled']) as status
"""
CHECK_VIOLATION = "SQLSTATE 23514"
STATUSES = ("queued", "running", "success", "failed", "cancelled")
WAYS = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("running", "queued"),
    ("running", "success"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("failed", "queued"),
    ("cancelled", "queued"),
}
FITTING = {
    "queued": "worker = null, error_code = null, finished_at = null",
    "running": "worker = 'v', heartbeat_at = now(), error_code = null, finished_at = null",
    "success": "progress_percent = 100, error_code = null, finished_at = now()",
    "failed": "error_code = 'TIMEOUT', finished_at = now()",
    "cancelled": "error_code = 'CANCELLED', finished_at = now()",
}
"""What a row of each state must say, so that only the way there can be what is refused."""


@pytest.fixture
def runs(database: Database) -> Database:
    """A database with a run in each state."""
    query(database, INSERT)
    return database


@pytest.mark.parametrize("before", STATUSES)
def test_a_run_goes_only_where_a_way_leads(runs: Database, before: str) -> None:
    """
    Of all pairs of states those that are documented are let through, the others refused by name, under a new epoch too.
    """
    for after in set(STATUSES) - {before}:
        change = (
            f"update job_runs set status = '{after}', epoch = epoch + 1, {FITTING[after]} where status = '{before}'"
        )
        if (before, after) in WAYS:
            query(runs, f"begin; {change}; rollback")  # the next pair begins from the same state
        else:
            with pytest.raises(StoreError, match=f"from {before} to {after} by no way"):
                query(runs, change)


REFUSED = {
    "success loses its end": ("success", "finished_at = null"),
    "success goes back to 3 %": ("success", "progress_percent = 3"),
    "success with a code": ("success", "error_code = 'TIMEOUT'"),
    "success never started": ("success", "started_at = null"),
    "ended before it started": ("success", "finished_at = started_at - interval '1 second'"),
    "cancelled without a code": ("cancelled", "error_code = null"),
    "failed without a code": ("failed", "error_code = null"),
    "an unknown code": ("failed", "error_code = 'WHATEVER'"),
    "running without a worker": ("running", "worker = null"),
    "running without a heartbeat": ("running", "heartbeat_at = null"),
    "queued with a worker": ("queued", "worker = 'ghost'"),
    "queued with a code": ("queued", "error_code = 'TIMEOUT'"),
    "an epoch below 0": ("queued", "epoch = -5"),
    "an epoch that falls": ("running", "epoch = 0"),
    "a page below 0": ("queued", "page_no = -1"),
    "a page that falls": ("running", "page_no = 2"),
    "fewer calls than were made": ("success", "actual_cost = 2"),
    "calls below 0": ("queued", "actual_cost = -10"),
    "rows below 0": ("queued", "rows_written = -10"),
    "rows received below 0": ("queued", "rows_received = -10"),
    "losses below 0": ("queued", "losses = -10"),
    "attempts below 0": ("queued", "attempt = -1"),
    "an unknown type": ("queued", "job_type = 'nonsense'"),
    "an unknown timeframe": ("queued", "timeframe = 'm7'"),
    "an unknown basis": ("queued", "basis = 'x'"),
    "no provider": ("queued", "provider = ''"),
    "no feed": ("queued", "feed = ''"),
    "no symbols": ("queued", "symbols_array = '[]', symbol_ids = '{}', symbol = null"),
    "symbols that are no list": ("queued", "symbols_array = '{}'"),
    "fewer ids than symbols": ("queued", "symbol_ids = '{}'"),
    "another symbol": ("queued", "symbol = 'ZZZZ'"),
    "claimed under an old epoch": ("queued", "status = 'running', worker = 'v', heartbeat_at = now()"),
    "taken over under an old epoch": ("running", "worker = 'v'"),
    "retried under an old epoch": ("failed", f"status = 'queued', {FITTING['queued']}"),
}


@pytest.mark.parametrize(("status", "change"), REFUSED.values(), ids=REFUSED.keys())
def test_no_run_says_what_cannot_be(runs: Database, status: str, change: str) -> None:
    """
    PostgreSQL refuses it, whoever writes.
    """
    with pytest.raises(StoreError, match=CHECK_VIOLATION):
        query(runs, f"update job_runs set {change} where status = '{status}'")


@pytest.mark.parametrize(
    "change",
    [
        "bar_count = -5",
        "last_result = 'fail'",
        "last_error_code = 'TIMEOUT'",
        "last_error_code = 'NO', last_result = 'fail'",
    ],
)
def test_no_series_says_what_cannot_be(database: Database, change: str) -> None:
    """
    Nor can its counters be wrong in a way that shows.
    """
    query(database, "insert into symbols (ticker) values ('A'); insert into series select id, 'm1', 'sip' from symbols")
    dated = "oldest_ts = now(), newest_ts = now()" if "bar_count" in change else "oldest_ts = null"

    with pytest.raises(StoreError, match=CHECK_VIOLATION):
        query(database, f"update series set {change}, {dated}")


def test_the_schema_knows_the_codes_of_the_program(database: Database) -> None:
    """
    All that an error of ours can have and those of the ledger alone, none besides: those of docs/reference/errors.md.
    """
    ((text,),) = query(database, "select prosrc from pg_proc where proname = 'is_error_code'")
    known = {part for number, part in enumerate(str(text).split("'")) if number % 2}

    codes = {kind.code for kind in _with_children(errors.BarfillError)}
    assert codes <= set(ADVICE)
    assert known == set(ADVICE)


def _with_children(kind: type[errors.BarfillError]) -> Iterator[type[errors.BarfillError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _with_children(child)


MARRED = f"""
{INSERT};
insert into job_runs (symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, feed)
values ('[]', '{{}}', 'm15', 'x', '2024-01-01', '2024-02-01', 'p', 'f'),
    ('["A"]', '{{1}}', 'm7', 'x', '2024-01-01', '2024-02-01', 'p', 'f');
update job_runs set job_type = 'x', basis = 'x', provider = '', feed = '', symbol = 'ZZZZ', epoch = -5, page_no = -1,
    attempt = -1, losses = -1, actual_cost = -1, rows_written = -1, rows_received = -1, worker = 'ghost';
update job_runs set worker = null where status = 'running';
update job_runs set progress_percent = 3, error_code = 'TIMEOUT', started_at = null where status = 'success';
update job_runs set error_code = null where status = 'cancelled';
update job_runs set error_code = 'WHATEVER', started_at = finished_at + interval '1 second' where status = 'failed';
insert into symbols (ticker) values ('A'), ('B');
insert into series (symbol_id, timeframe, feed, bar_count, oldest_ts, newest_ts, last_result)
select id, 'm1', 'sip', -5, now(), now(), 'fail' from symbols;
insert into ohlc_bars (symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday)
select min(id), 'm1', '2024-01-02', 1, 1, 1, 1, 1, 'p', 'f', true from symbols;
"""


def test_rows_of_older_versions_do_not_keep_the_schema_back(any_server_url: str, tmp_path: Path) -> None:
    """
    What 0007 let in is mended on the way: nothing that could be a run is lost, and what nobody can carry out is gone.
    """
    for path in sorted(MIGRATIONS.glob("000[1-7]_*.sql")):
        shutil.copy(path, tmp_path)
    with empty_database(any_server_url) as database:
        database.run(migrate, tmp_path)
        query(database, MARRED)

        database.run(migrate)

        stored = query(
            database, "select status, error_code, job_type, worker, progress_percent from job_runs order by id"
        )
        assert stored == [
            ("queued", None, "fetch_intraday", None, 40),
            ("queued", None, "fetch_intraday", None, 40),
            ("success", None, "fetch_intraday", "ghost", 100),
            ("failed", "INTERNAL_ERROR", "fetch_intraday", "ghost", 40),
            ("cancelled", "CANCELLED", "fetch_intraday", "ghost", 40),
        ]
        counted = "select bar_count, oldest_ts is null, last_error_code from series order by symbol_id"
        assert query(database, counted) == [(1, False, "INTERNAL_ERROR"), (0, True, "INTERNAL_ERROR")]
