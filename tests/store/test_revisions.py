"""The list of what became of final bars, and corrections as vendors make them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from barfill.core.ranges import Ranges
from barfill.core.revisions import BarValues, field_changes
from barfill.core.timeframe import Timeframe
from barfill.store.bars import read_rows
from barfill.store.database import Database
from barfill.store.pages import write_derived, write_page
from barfill.store.revisions import BarChange, ChangeCount, ChangeFilter, count_changes, list_changes
from tests.store.builders import add, claimed_run, minute, minutes, page, query, write

ALL = ChangeFilter(symbol_ids=None, timeframes=tuple(Timeframe))


def changes(database: Database, wanted: ChangeFilter = ALL, limit: int = 100) -> list[BarChange]:
    return database.run(list_changes, wanted, limit=limit)


def closes(database: Database, wanted: ChangeFilter = ALL, limit: int = 100) -> list[tuple[float, float | None]]:
    """The old and the new close of each change."""
    found = changes(database, wanted, limit)
    return [(one.old.close, None if one.new is None else one.new.close) for one in found]


def test_each_value_is_shown_beside_the_one_that_took_its_place(database: Database) -> None:
    """However often a bar was changed, taken out, or came back; the newest first."""
    (a,) = add(database, "A")
    run = claimed_run(database, [a])

    for number, close in enumerate((10.0, 11.0, 12.0)):
        database.run(write_page, page(run, {a: {0: close}}, page_no=number, next_token="t"))
    gone = {a: Ranges([minutes(0, 1)])}
    database.run(write_page, page(run, {}, page_no=3, withdrawn=gone, ids=[a]))
    database.run(write_derived, write({a: {0: 13.0}}))
    database.run(write_derived, write({a: {0: 14.0}}, provider="massive"))

    assert closes(database) == [(13.0, 14.0), (12.0, None), (11.0, 12.0), (10.0, 11.0)]
    newest, removed, *_, oldest = changes(database)
    assert (newest.reason, newest.old_provider, newest.new_provider, newest.run_id) == (
        "derived",
        "alpaca",
        "massive",
        None,
    )
    assert (removed.reason, removed.new, removed.new_provider, removed.run_id) == ("withdrawn", None, None, run.id)
    assert (oldest.ticker, oldest.timeframe, oldest.ts, oldest.reason) == ("A", Timeframe.M1, minute(0), "corrected")
    assert oldest.old == BarValues(9.75, 11.0, 9.0, 10.0, 105.0, 10.0, 7)
    assert database.run(count_changes, ALL) == [ChangeCount("A", Timeframe.M1, 4, 1, 1, 3, newest.changed_at)]


def test_what_was_asked_for_is_listed(database: Database) -> None:
    """By symbol, timeframe, the bar's start and the instant of the change; both bounds of a window are half-open."""
    a, b = add(database, "A", "B")
    database.run(write_derived, write({a: {0: 10.0, 1: 11.0}, b: {0: 12.0}}))
    database.run(write_derived, write({a: {0: 20.0, 1: 21.0}}))
    between = database.now()
    database.run(write_derived, write({b: {0: 22.0}}))

    def found(**wanted: Any) -> list[float]:
        chosen = ChangeFilter(**({"symbol_ids": None, "timeframes": tuple(Timeframe)} | wanted))
        counted = sum(one.changes for one in database.run(count_changes, chosen))
        listed = [old for old, _ in closes(database, chosen)]
        assert counted == len(listed)
        return listed

    assert found() == [12.0, 10.0, 11.0]
    assert found(symbol_ids=[a]) == [10.0, 11.0]
    assert found(timeframes=[Timeframe.D1]) == []
    assert found(window=minutes(0, 1)) == [12.0, 10.0]
    assert found(since=between) == [12.0]
    assert found(since=between + timedelta(hours=1)) == []
    assert closes(database, limit=2) == [(12.0, 22.0), (10.0, 20.0)]


@pytest.mark.parametrize(
    ("change", "is_alarm"),
    [
        ("close = close * 1.00009", False),
        ("close = close * 1.00011", True),
        ("low = low * 0.9998", True),
        ("volume = volume * 1.0049", False),
        ("volume = volume * 0.9949", True),
        ("vwap = vwap * 1.01", False),
        ("trade_count = null", False),
    ],
)
def test_w05_tells_what_moved_far(database: Database, change: str, is_alarm: bool) -> None:
    """A price by more than 0.01 %, or the volume by more than 0.5 %."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10.0}}))

    query(database, f"update ohlc_bars set {change}")

    (one,) = changes(database)
    assert one.is_alarm == is_alarm
    assert [count.alarms for count in database.run(count_changes, ALL)] == [int(is_alarm)]
    assert one.new is not None
    assert [field.field for field in field_changes(one.old, one.new)] == [change.partition(" ")[0]]


def test_r18_volumes_that_are_revised_twice(database: Database) -> None:
    """
    R18: 5 % of the volumes are settled four hours later, 0.5 % the next day. What is stored equals the newest answer,
    the revisions are the bars that changed and no others, and as of each time comes what was answered then.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    closes_by_minute = {number: 10 + number % 7 for number in range(1_170)}
    rng = np.random.default_rng(18)
    answer = page(run, {a: closes_by_minute}, {a: minutes(0, 1_170)}, next_token="t")
    answers: list[NDArray[np.float64]] = []
    instants, changed = [], []
    for number, share in enumerate((0.0, 0.05, 0.005)):
        chosen = rng.choice(len(answer.rows), round(share * len(answer.rows)), replace=False)
        answer = page(run, {a: closes_by_minute}, {a: minutes(0, 1_170)}, next_token="t", page_no=number)
        if answers:
            answer.rows.volume[:] = answers[-1]
        answer.rows.volume[chosen] *= 1.37
        outcome = database.run(write_page, answer)
        assert outcome.changed == len(chosen)
        answers.append(answer.rows.volume.copy())
        changed.append({minute(int(at)) for at in chosen})
        instants.append(database.now())

    def volumes(**as_of: Any) -> list[float]:
        rows = database.run(read_rows, a, Timeframe.M1, minutes(0, 1_170), **as_of)
        return [float(volume) for volume in rows["volume"]]

    assert volumes() == answers[-1].tolist()
    assert [volumes(as_of=instant) for instant in instants] == [answer.tolist() for answer in answers]
    found = changes(database, limit=1_000)
    assert len(found) == len(changed[1]) + len(changed[2]) == 58 + 6
    assert {one.ts for one in found} == changed[1] | changed[2]
    assert all(one.is_alarm and one.reason == "corrected" for one in found)
    (count,) = database.run(count_changes, ALL)
    assert (count.changes, count.bars, count.removed) == (64, len(changed[1] | changed[2]), 0)


def test_the_newest_changes_are_found_by_their_index(database: Database) -> None:
    """However many there are."""
    query(
        database,
        """insert into symbols (ticker) select 'S' || number from generate_series(1, 20) as number;
        insert into ohlc_bars (symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday)
        select symbol_id, 'm15', timestamptz '2024-01-01Z' + number * interval '15 minutes', 1, 1, 1, 1, 1, 'a', 's',
            true
        from generate_series(1, 20) as symbol_id, generate_series(1, 1000) as number;
        update ohlc_bars set close = 1.0000001;
        analyze""",
    )
    text = (
        "select * from bar_changes where changed_at >= now() - interval '0 seconds' order by changed_at desc limit 50"
    )
    steps = "\n".join(step for (step,) in query(database, f"explain {text}"))

    assert "bar_revisions_by_change" in steps
    assert "Seq Scan on bar_revisions" not in steps
