"""The flag of bars outside of regular hours: added to a filled database, written and changed without a revision."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barfill.core.ranges import to_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.migrate import MIGRATIONS, migrate
from barfill.store.pages import write_derived
from tests.store.builders import add, minute, minutes, query, write
from tests.store.fixtures import empty_database

FLAGS = "select ts, is_extended from ohlc_bars order by ts"
FILES = "select relid::regclass::text, pg_relation_filenode(relid) from pg_partition_tree('ohlc_bars') order by 1"
"""A table that is written anew gets another file."""


def from_third(starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Minutes from the third on lie outside."""
    return starts >= to_us(minute(2))


def test_a_filled_database_gets_the_flag_without_being_written_anew(any_server_url: str, tmp_path: Path) -> None:
    """Bars and revisions that are there lie within regular hours; no table's file is another one afterwards."""
    (step,) = MIGRATIONS.glob("*_extended.sql")
    for path in MIGRATIONS.glob("*.sql"):
        if path.name < step.name:
            shutil.copy(path, tmp_path)
    with empty_database(any_server_url) as database:
        database.run(migrate, tmp_path)
        query(database, "insert into symbols (ticker) values ('AAPL')")
        columns = "symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday"
        query(
            database,
            f"insert into ohlc_bars ({columns}) "
            "select 1, 'm1', timestamptz '2024-03-04T14:30Z' + n * interval '1 minute', 1, 3, 1, 2, 5, 'p', 'f', true "
            "from generate_series(0, 9999) as n",
        )
        query(database, "update ohlc_bars set close = 3 where ts = '2024-03-04T14:31Z'")
        before, files = query(database, "select * from ohlc_bars order by ts"), query(database, FILES)

        shutil.copy(step, tmp_path)
        database.run(migrate, tmp_path)
        query(database, "update ohlc_bars set close = 1 where ts = '2024-03-04T14:32Z'")

        assert query(database, FILES) == files
        after = query(database, "select * from ohlc_bars where ts <> '2024-03-04T14:32Z' order by ts")
        assert after == [(*row, False) for number, row in enumerate(before) if number != 2]
        assert query(database, "select close, is_extended from bar_revisions order by ts") == [(2, False), (2, False)]
        assert query(database, "select count(*) from ohlc_bars_v2 where not is_extended") == [(10_000,)]
        assert query(database, "select count(*) from bars_as_of(now()) where not is_extended") == [(10_000,)]
        assert query(database, "select is_extended from get_chart_data_v2(1, 'm1', '2024-03-04Z', '2024-03-04T14:31Z')")


def test_new_bars_and_bars_that_replace_others_are_flagged(database: Database) -> None:
    """Copied or upserted, with and without vwap and trade count; values that were replaced keep theirs."""
    (aapl,) = add(database, "AAPL")
    more: dict[str, Any] = {"outside": from_third}
    database.run(write_derived, write({aapl: {0: 10.0, 1: 11.0, 2: 12.0, 3: 13.0}}, **more))
    database.run(write_derived, write({aapl: {1: 11.5, 3: 13.5, 4: 14.0}}, **more))
    database.run(write_derived, write({aapl: {5: 15.0}}, has_vwap=False, has_trades=False, **more))

    assert query(database, FLAGS) == [(minute(number), number >= 2) for number in range(6)]
    assert query(database, "select close, is_extended from bar_revisions order by ts") == [(11, False), (13, True)]


def test_a_flag_that_changes_is_no_other_value(database: Database) -> None:
    """No revision is kept of a bar that is only flagged anew; with a value beside it, one is."""
    (aapl,) = add(database, "AAPL")
    database.run(write_derived, write({aapl: {0: 10.0, 1: 11.0}}))
    then = database.now()

    query(database, "update ohlc_bars set is_extended = true")
    assert query(database, "select * from bar_revisions") == []
    assert query(database, "select is_extended from bars_as_of(%s)", then) == [(True,), (True,)]

    query(database, "update ohlc_bars set is_extended = false, close = 10.5 where close = 10")
    assert query(database, "select close, is_extended from bar_revisions") == [(10, True)]


def test_bars_that_are_derived_anew_leave_extended_ones_alone(database: Database) -> None:
    """A derived bar that is no longer made is taken out; one outside of regular hours beside it was never derived."""
    (aapl,) = add(database, "AAPL")
    proved = {aapl: minutes(0, 15)}

    def derive(closes: dict[int, float], **more: Any) -> None:
        made = replace(write({aapl: closes}, proved, **more), timeframe=Timeframe.M5)
        database.run(write_derived, made)

    derive({0: 10.0, 5: 11.0, 10: 12.0}, outside=lambda starts: starts >= to_us(minute(10)))
    derive({0: 10.0}, made_from=Timeframe.M1)

    assert query(database, FLAGS) == [(minute(0), False), (minute(10), True)]
