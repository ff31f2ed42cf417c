"""The queries of docs/monitoring.md: each runs, says something, and reads no more than it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.pages import write_derived
from barfill.store.series import note_failure
from barfill.store.writes import GapRecord
from tests.store.builders import add, minutes, query, write
from tests.store.fixtures import cloned_database

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
PARTS = re.findall(r"^### (.+?)$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
QUERIES = [
    pytest.param(text, id=f"{title}{number or ''}")
    for title, part in PARTS
    for number, text in enumerate(re.findall(r"```sql\n(.*?)```", part, re.DOTALL))
]
EMPTY_WHEN_WELL = "having count(*) > 1"

# What SPEC 3 promises of each relation; more columns are ours to add.
PROMISED = {
    "job_definitions": "id job_type symbol symbols_array timeframe window_days priority enabled batch_number "
    "total_batches created_at updated_at",
    "job_runs": "id job_def_id symbol symbols_array timeframe job_type slice_from slice_to status progress_percent "
    "rows_written provider actual_cost attempt error_code error_message triggered_by epoch worker heartbeat_at page_no "
    "page_token request_id reason created_at started_at finished_at updated_at",
    "coverage_status": "symbol timeframe from_ts to_ts covered last_success_at last_rows_written last_provider",
    "backfill_status": "symbol_id ticker timeframe oldest_ts newest_ts bar_count days_behind sessions_behind "
    "last_run_at last_result last_error",
    "gaps": "symbol timeframe gap_from gap_to expected_bars kind attempts first_seen_at last_checked_at reason",
}


@pytest.fixture(scope="module")
def filled(any_server_url: str) -> Iterator[Database]:
    """
    Some weeks of runs in every state, definitions, gaps, a failed series and enough bars to plan for; to be read only.
    """
    with cloned_database(any_server_url) as database:
        _fill(database)
        yield database


def _fill(database: Database) -> None:
    symbols = add(database, "AAPL", "MSFT")
    database.run(keep_series, ["AAPL", "MSFT"], [Timeframe.M15, Timeframe.D1])
    gap = GapRecord(symbol_id=symbols[0], range=minutes(3, 5), expected_bars=2, kind="missing")
    database.run(write_derived, write({symbols[0]: {0: 10, 1: 11}}, {symbols[0]: minutes(0, 9)}, gaps=[gap]))
    database.run(note_failure, [symbols[1]], Timeframe.D1, feed="sip", error_code="TIMEOUT", message="slow")
    query(
        database,
        """insert into job_runs (
            symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, feed, status, error_code,
            error_message, started_at, finished_at, rows_written, rows_received, actual_cost, job_def_id, created_at,
            progress_percent
        )
        select
            '["AAPL", "MSFT"]', '{1,2}', 'm15', 'fetch_intraday', '2024-01-01', '2024-02-01', 'alpaca', 'sip',
            case number % 100 when 0 then 'failed' else 'success' end,
            case number % 100 when 0 then 'TIMEOUT' end, 'slow',
            ended - interval '20 seconds', ended, 100, 120, 2, 1 + number % 2, ended - interval '30 seconds',
            100
        from generate_series(1, 20000) as number, lateral (select now() - number * interval '3 minutes') as at (ended);
        insert into job_run_definitions select id, array[1, 2, 3] from job_runs;
        insert into job_runs (
            symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, feed, status, started_at,
            heartbeat_at, worker
        )
        values (
            '["AAPL"]', '{1}', 'm15', 'fetch_intraday', '2024-01-01', '2024-02-01', 'alpaca', 'sip', 'running', now(),
            now(), 'w'
        );
        insert into ohlc_bars (
            symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday
        )
        select symbol_id, 'm15', timestamptz '2024-01-01Z' + number * interval '15 minutes', 1, 1, 1, 1, 1,
            'a', 's', true
        from generate_series(1, 20) as symbol_id, generate_series(1, 1000) as number;
        analyze""",
    )


def plan(database: Database, text: str) -> str:
    return "\n".join(row[0] for row in query(database, f"explain {text}"))


def test_the_page_has_queries() -> None:
    """
    They are found, and none stands outside of a part with a title.
    """
    assert len(QUERIES) == PAGE.count("```sql") >= 15


@pytest.mark.parametrize("text", QUERIES)
def test_every_query_answers(filled: Database, text: str) -> None:
    """
    With some data each has at least a row; the one that searches for duplicates finds none.
    """
    rows = query(filled, text)

    assert bool(rows) == (EMPTY_WHEN_WELL not in text)


def numbers(database: Database, title: str) -> list[tuple[Any, ...]]:
    """What the first query below *title* gives."""
    (text,) = [one.values[0] for one in QUERIES if one.id == title]
    return query(database, str(text))


def test_the_numbers_are_those_of_the_ledger(filled: Database) -> None:
    """
    One run every three minutes, of two calls, 100 rows written and 120 received; every hundredth has failed.
    """
    per_minute = numbers(filled, "API calls per minute")
    assert len(per_minute) in {19, 20}  # the hour may cut one off
    assert {row[1:] for row in per_minute} == {(1, 2)}

    counts = {status: runs for status, runs, *_ in numbers(filled, "Counts by status")}
    assert counts == {"success": 19_800, "failed": 200, "running": 1}
    ((code, runs, _, message),) = numbers(filled, "Error codes with their newest message")
    assert (code, message) == ("TIMEOUT", "slow")
    assert runs in {33, 34}  # of 3,360 in seven days
    ((timeframe, symbols, runs, calls, per_call),) = numbers(filled, "Batch sizes")
    assert (timeframe, symbols, calls, per_call) == ("m15", 2, 2 * runs, 60)
    ((_, _, rows, most, calls_per_run, seconds),) = numbers(filled, "Rows per run")
    assert (rows, most, calls_per_run, seconds) == (100, 100, 2, 20)


@pytest.mark.parametrize("text", QUERIES)
def test_no_query_scans_the_bars(filled: Database, text: str) -> None:
    """
    Only the one that is about the bars of one series touches them, by their key.
    """
    steps = plan(filled, text)

    assert ("ohlc_bars" in steps) == (EMPTY_WHEN_WELL in text)
    assert "Seq Scan on ohlc_bars" not in steps


@pytest.mark.parametrize(
    ("title", "index"),
    [
        ("Newest failures", "job_runs_failed"),
        ("Error codes with their newest message", "job_runs_failed"),
        ("API calls per minute", "job_runs_by_finish"),
        ("Running, and how long since the last page", "job_runs_unfinished"),
        ("Definitions without a run", "job_run_definitions_by_definition"),
    ],
)
def test_queries_over_a_part_of_the_runs_read_that_part(filled: Database, title: str, index: str) -> None:
    """
    However long the ledger of runs has grown.
    """
    ((text,),) = [query_.values for query_ in QUERIES if query_.id == title]
    steps = plan(filled, str(text))

    assert index in steps
    assert "Seq Scan on job_runs" not in steps


@pytest.mark.parametrize("relation", PROMISED)
def test_relations_have_the_columns_that_were_promised(database: Database, relation: str) -> None:
    """
    Users' SQL names them.
    """
    assert query(database, f"select {', '.join(PROMISED[relation].split())} from {relation}") == []


def test_status_and_coverage_are_answered_from_the_ledger(filled: Database) -> None:
    """
    All of both views, without a look at the bars.
    """
    for view in ("backfill_status", "coverage_status"):
        assert "ohlc_bars" not in plan(filled, f"select * from {view}")
