"""The queries of docs/asof.md: each runs, and says what its page promises."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from barfill.store.database import Database
from tests.store.builders import add, query

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "asof.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
DAY = datetime(2024, 3, 4, tzinfo=UTC)


@pytest.fixture
def week(database: Database) -> Database:
    """A daily bar of long ago that was corrected today, a new one, and a live bar that was replaced long ago."""
    (aapl,) = add(database, "AAPL")
    key, prices = "symbol_id, timeframe, ts", "open, high, low, close, volume, provider, feed"
    values = "10, 12, 9, 11, 1000, 'alpaca', 'sip'"
    query(
        database,
        f"""insert into ohlc_bars ({key}, {prices}, is_intraday, created_at) values
            ({aapl}, 'd1', '2024-03-04Z', {values}, false, now() - interval '1 year'),
            ({aapl}, 'd1', '2024-03-05Z', {values}, false, now());
        update ohlc_bars set close = 11.5, volume = 1100 where ts = '2024-03-04Z';
        insert into live_revisions ({key}, {prices}, fetched_at, created_at, believed_from, replaced_at, reason) values
            ({aapl}, 'm1', '2024-03-04Z', {values}, now(), now(), '2024-03-04Z', '2024-03-05Z', 'final')""",
    )
    return database


def test_the_queries_say_what_the_page_promises(week: Database) -> None:
    """As of a week ago, what differs since, what was corrected, why, and what may be deleted."""
    then, differing, newest, by_series, life, by_program, no_live, no_removed = QUERIES

    assert query(week, then) == [(DAY, 10, 12, 9, 11, 1000, "final")]
    assert query(week, differing) == [(DAY, 11, 11.5, 1000, 1100), (DAY.replace(day=5), None, 11, None, 1000)]
    assert [row[:8] for row in query(week, newest)] == [("AAPL", "d1", DAY, 11, 11.5, 1000, 1100, "alpaca")]
    assert query(week, by_series) == [("AAPL", "d1", 1, 1)]
    ((believed_from, replaced_at, *told),) = query(week, life)
    assert believed_from < replaced_at
    assert told == [11, 1000, "alpaca", "changed", None]

    query(week, by_program)
    assert [row[2:6] for row in query(week, life)][-1] == (11.5, 1100, "alpaca", "late prints of the auction")

    query(week, no_live)
    assert query(week, "select count(*) from live_revisions") == [(0,)]
    query(week, "delete from ohlc_bars")
    assert query(week, "select count(*) from bar_revisions where reason = 'removed'") == [(2,)]
    query(week, no_removed)
    assert query(week, "select distinct reason from bar_revisions order by 1") == [
        ("changed",),
        ("late prints of the auction",),
    ]


def test_every_reason_is_on_the_page() -> None:
    """Those that the program gives, and no others."""
    root = Path(__file__).resolve().parents[2] / "src" / "barfill" / "store"
    python = "\n".join(path.read_text() for path in root.glob("*.py"))
    (step,) = root.glob("migrations/*_asof.sql")
    calls = re.findall(r"begin_change\((.*)\)|usual = (.*)|write_bars\(.*why=(.*)\)", python)
    given = {word for parts in calls for call in parts for word in re.findall(r'"(\w+)"', call)}
    given |= set(re.findall(r"(?:coalesce\(told, |(?:then|else) )'(\w+)'", step.read_text()))

    table = PAGE.partition("| reason |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == given
