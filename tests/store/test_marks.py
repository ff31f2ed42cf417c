"""Warnings about stored bars: kept with the page that brought them, gone with the values that they were about."""

from __future__ import annotations

from typing import Any

import pytest

from barfill.core.ranges import Ranges, to_us
from barfill.errors import PageDropped
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.writes import BarMark
from tests.store.builders import add, claimed_run, minute, minutes, page, query


def mark(symbol_id: int, at: int, rule: str = "W10", detail: str = "odd") -> BarMark:
    return BarMark(symbol_id=symbol_id, ts=to_us(minute(at)), rule=rule, detail=detail)


def marks(database: Database) -> list[tuple[Any, ...]]:
    return query(database, "select ts, rule, detail, run_id from bar_warnings where %s order by ts, rule", True)


def test_marks_come_with_their_page(database: Database) -> None:
    """Each once, however often it is said; rows of a run are counted over its pages."""
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    rows, proved = {a: {0: 10.0, 1: 10.0}}, {a: minutes(0, 2)}

    said: dict[str, Any] = {"marks": [mark(a, 1, "W15"), mark(a, 1)], "warned": {"W10": 1, "W03": 4}}
    database.run(write_page, page(run, rows, proved, page_no=0, next_token="t", **said))
    database.run(write_page, page(run, rows, proved, page_no=1, next_token="t", **said))

    assert marks(database) == [(minute(1), "W10", "odd", run.id), (minute(1), "W15", "odd", run.id)]
    counts = query(database, "select rule, bars from run_warnings where run_id = %s order by rule", run.id)
    assert counts == [("W03", 8), ("W10", 2)]


def test_a_late_page_leaves_no_marks(database: Database) -> None:
    """What the fence refuses says nothing."""
    (a,) = add(database, "A")
    run = claimed_run(database, [a])

    with pytest.raises(PageDropped):
        database.run(write_page, page(run, {a: {0: 1.0}}, page_no=7, marks=[mark(a, 0)], warned={"W10": 1}))

    assert marks(database) == query(database, "select * from run_warnings") == []


def test_marks_go_with_the_values_that_they_were_about(database: Database) -> None:
    """
    Corrected bars lose what was said of their page's stretch; what was said of others, or across timeframes, stays.
    """
    a, b = add(database, "A", "B")
    run = claimed_run(database, [a, b])
    said = [mark(a, 0), mark(a, 1), mark(a, 9), mark(b, 1), mark(a, 1, "W12")]
    rows = {a: dict.fromkeys(range(10), 10.0), b: {1: 10.0}}
    database.run(write_page, page(run, rows, page_no=0, next_token="t", marks=said))

    database.run(write_page, page(run, {a: {0: 10.0, 1: 11.0}}, page_no=1, next_token="t", marks=[mark(a, 0)]))

    found = query(database, "select symbol_id, ts, rule from bar_warnings where %s order by 1, 2, 3", True)
    assert found == [(a, minute(0), "W10"), (a, minute(1), "W12"), (a, minute(9), "W10"), (b, minute(1), "W10")]


def test_bars_that_are_withdrawn_lose_their_marks(database: Database) -> None:
    """Q11: a bar that two pages contradict is gone, and what was said of it."""
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    database.run(
        write_page, page(run, {a: {0: 1.0, 1: 1.0}}, page_no=0, next_token="t", marks=[mark(a, 0), mark(a, 1)])
    )

    withdrawn = {a: Ranges([minutes(1, 2)])}
    database.run(write_page, page(run, {a: {3: 1.0}}, page_no=1, next_token="t", withdrawn=withdrawn))

    assert [row[0] for row in marks(database)] == [minute(0)]


def test_a_symbol_or_a_run_that_is_forgotten_takes_them_along(database: Database) -> None:
    """Nothing refers to what is not there."""
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    database.run(write_page, page(run, {a: {0: 1.0}}, final=True, marks=[mark(a, 0)], warned={"W10": 1}))

    query(database, "delete from job_runs; delete from symbols")

    assert query(database, "select * from bar_warnings") == query(database, "select * from run_warnings") == []
