"""`barfill.connect()`: bars as Polars frames, as they are and as they were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import barfill
from barfill.api import Bars
from barfill.core.timeframe import Timeframe
from barfill.errors import EmptyRange, InvalidInput, NaiveTimestamp, StoreUnavailable, SymbolNotFound, UnknownTimeframe
from barfill.settings import SETTINGS
from barfill.store.database import Database
from barfill.store.pages import write_derived, write_live
from tests.cli.conftest import url_of
from tests.store.builders import START, add, minute, query, write
from tests.store.fixtures import database, server_url

__all__ = ["database", "server_url"]


@pytest.fixture
def db(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bars]:
    """The connection of a user whose environment names the test's database."""
    for info in SETTINGS:
        monkeypatch.delenv(info.name, raising=False)
    monkeypatch.setenv("DATABASE_URL", url_of(database))
    monkeypatch.setenv("BARFILL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with barfill.connect() as opened:
        yield opened


def test_bars_come_in_order_with_types_that_say_what_they_are(database: Database, db: Bars) -> None:
    """Instants in UTC, null where a provider gave nothing, live ones marked."""
    (aapl,) = add(database, "AAPL")
    database.run(write_derived, write({aapl: {1: 11.0, 0: 10.0}}))
    database.run(write_derived, write({aapl: {2: 12.0}}, has_vwap=False, has_trades=False))
    database.run(write_live, write({aapl: {3: 13.0}}, data_status="live"))

    frame = db.bars("aapl", "1Min")

    assert dict(frame.schema) == {
        "ts": pl.Datetime("us", "UTC"),
        **dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), pl.Float64),
        "trade_count": pl.Int64,
        "data_status": pl.String,
        "is_extended": pl.Boolean,
    }
    assert frame.rows() == [
        (minute(0), 9.75, 11.0, 9.0, 10.0, 105.0, 10.0, 7, "final", False),
        (minute(1), 10.75, 12.0, 10.0, 11.0, 115.5, 11.0, 7, "final", False),
        (minute(2), 11.75, 13.0, 11.0, 12.0, 126.0, None, None, "final", False),
        (minute(3), 12.75, 14.0, 12.0, 13.0, 136.5, 13.0, 7, "live", False),
    ]
    assert db.bars("AAPL", "h1").schema == frame.schema


def test_the_range_is_half_open_and_comes_in_any_form(database: Database, db: Bars) -> None:
    """Texts, dates and instants; the end is excluded."""
    (aapl,) = add(database, "AAPL")
    database.run(write_derived, write({aapl: {0: 10.0, 1: 11.0, 2: 12.0}}))

    def closes(**wanted: str | date | datetime) -> list[float]:
        return db.bars("AAPL", "m1", **wanted)["close"].to_list()

    assert closes(start=minute(1)) == closes(start="2024-03-04T09:31-05:00") == [11.0, 12.0]
    assert closes(end=minute(1).isoformat()) == [10.0]
    assert closes(start=date(2024, 3, 4), end="2024-03-05") == [10.0, 11.0, 12.0]
    assert closes(start=START.date() + timedelta(days=1)) == []


def test_as_of_is_what_was_stored_then(database: Database, db: Bars) -> None:
    """Before the first value nothing, then each value in its time."""
    (aapl,) = add(database, "AAPL")
    instants = [database.now()]
    for close in (10.0, 10.5, 11.0):
        database.run(write_derived, write({aapl: {0: close}}))
        instants.append(database.now())

    told = [db.bars("AAPL", "m1", as_of=instant)["close"].to_list() for instant in instants]

    assert told == [[], [10.0], [10.5], [11.0]]
    assert db.bars("AAPL", "m1", as_of=instants[1].isoformat())["close"].to_list() == [10.0]


def test_a_former_ticker_finds_the_series(database: Database, db: Bars) -> None:
    """A company that was renamed keeps its bars."""
    (meta,) = add(database, "META")
    database.run(write_derived, write({meta: {0: 10.0}}))
    query(
        database,
        "insert into ticker_changes (symbol_id, effective_on, old_ticker, new_ticker, provider, filed_on, "
        "last_seen_at, applied_at) values (%s, '2022-06-09', 'FB', 'META', 'massive', '2022-06-09', now(), now())",
        meta,
    )

    assert db.bars("FB", "m1").equals(db.bars("META", "m1"))


def test_what_cannot_be_is_refused_with_what_to_give(database: Database, db: Bars) -> None:
    """The error names the input."""
    add(database, "AAPL")

    with pytest.raises(SymbolNotFound, match="'NOPE'"):
        db.bars("NOPE", "m1")
    with pytest.raises(UnknownTimeframe, match="'7m'"):
        db.bars("AAPL", "7m")
    with pytest.raises(NaiveTimestamp, match="start"):
        db.bars("AAPL", "m1", start=datetime(2024, 3, 4))
    with pytest.raises(EmptyRange):
        db.bars("AAPL", "m1", start="2024-03-04", end="2024-03-04")
    with pytest.raises(InvalidInput, match="in the future"):
        db.bars("AAPL", "m1", as_of=datetime.now(UTC) + timedelta(days=1))


def test_a_url_that_is_given_comes_before_the_settings(
    database: Database, db: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that leads nowhere says so."""
    (aapl,) = add(database, "AAPL")
    database.run(write_derived, write({aapl: {0: 10.0}}))
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    with barfill.connect(database.url) as other:
        assert len(other.bars("AAPL", "m1")) == 1
    with pytest.raises(StoreUnavailable):
        barfill.connect()


def test_the_private_database_runs_as_long_as_the_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without a DATABASE_URL nothing has to be set up; closed twice is closed."""
    for info in SETTINGS:
        monkeypatch.delenv(info.name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("BARFILL_HOME", str(home))
    monkeypatch.chdir(home)

    db = barfill.connect()
    with pytest.raises(SymbolNotFound):
        db.bars("AAPL", Timeframe.M1.value)
    assert list((home / "postgres").iterdir())
    db.close()
    db.close()
