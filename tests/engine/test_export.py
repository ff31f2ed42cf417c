"""Bars out into files: all of them, of one moment, complete or not there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.export import FILE_SCHEMA, ExportedSeries, ExportRequest, FileFormat, export
from barfill.errors import InvalidInput, StoreError
from barfill.store.bars import read_bars
from barfill.store.database import Database
from barfill.store.export import PART_BARS, read_parts
from barfill.store.pages import write_derived, write_live
from tests.store.builders import add, minute, minutes, query, write
from tests.store.fixtures import database, server_url

__all__ = ["database", "server_url"]

FAR = PART_BARS + 50
BROKEN_AT_THE_SECOND_PART = """
    create or replace function bars_as_of(as_of timestamptz) returns setof bar_as_of language sql stable as $$
        select symbol_id, timeframe, ts, open, high, low, close, volume, vwap, trade_count, provider, feed,
            is_intraday, data_status, fetched_at, created_at, is_extended
        from ohlc_bars
        where 1 / case when ts < '2024-03-05Z' then 1 else 0 end = 1
    $$"""
READERS = {FileFormat.PARQUET: pl.read_parquet, FileFormat.ARROW: pl.read_ipc}


def exported(database: Database, folder: Path, **wanted: Any) -> list[ExportedSeries]:
    request = {
        "symbol_ids": None,
        "timeframes": tuple(Timeframe),
        "window": None,
        "as_of": None,
        "folder": folder,
        "format": FileFormat.PARQUET,
    }
    return list(export(database, ExportRequest(**(request | wanted))))


def closes_in(path: Path | None) -> list[float]:
    assert path is not None
    return pl.read_parquet(path)["close"].to_list()


def names(found: Iterable[Path]) -> list[str]:
    return sorted(path.name for path in found)


@pytest.mark.parametrize("kind", READERS)
def test_files_hold_the_bars_with_their_types(database: Database, tmp_path: Path, kind: FileFormat) -> None:
    """By ticker; the columns are the documented ones, live bars are marked, what nobody gave is null."""
    a, b = add(database, "BB", "AA")
    database.run(write_derived, write({a: {0: 10.0, 1: 10 / 3}, b: {5: 11.0}}, has_vwap=False))
    database.run(write_live, write({a: {2: 12.0}}, data_status="live", has_trades=False))

    done = exported(database, tmp_path / "new" / "folder", format=kind)

    ending = kind.value
    assert [(one.ticker, one.path and one.path.name, one.bars) for one in done] == [
        ("AA", f"AA_m1.{ending}", 1),
        ("BB", f"BB_m1.{ending}", 3),
    ]
    assert (done[1].first, done[1].last) == (minute(0), minute(2))
    assert done[1].path is not None
    assert done[1].bytes == done[1].path.stat().st_size
    frame = READERS[kind](done[1].path)
    assert frame.schema == FILE_SCHEMA
    assert frame.rows() == [
        ("BB", minute(0), 9.75, 11.0, 9.0, 10.0, 105.0, None, 7, "final", False),
        ("BB", minute(1), 10 / 3 - 0.25, 10 / 3 + 1, 10 / 3 - 1, 10 / 3, 10 / 3 * 10.5, None, 7, "final", False),
        ("BB", minute(2), 11.75, 13.0, 11.0, 12.0, 126.0, 12.0, None, "live", False),
    ]


def test_csv_says_instants_in_utc_and_numbers_to_the_last_digit(database: Database, tmp_path: Path) -> None:
    """Nothing where there is no value."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10 / 3}}, has_vwap=False))

    (one,) = exported(database, tmp_path, format=FileFormat.CSV)

    assert one.path is not None
    header, line = one.path.read_text().splitlines()
    assert header == "symbol,ts,open,high,low,close,volume,vwap,trade_count,data_status,is_extended"
    symbol, ts, *prices, vwap, trades, status, is_extended = line.split(",")
    assert (symbol, ts, vwap, trades) == ("A", "2024-03-04T14:30:00Z", "", "7")
    assert (status, is_extended) == ("final", "false")
    assert [float(price) for price in prices] == [10 / 3 - 0.25, 10 / 3 + 1, 10 / 3 - 1, 10 / 3, 10 / 3 * 10.5]


def test_a_long_series_comes_in_parts_that_fit_into_memory(database: Database, tmp_path: Path) -> None:
    """More than a part may last: the file holds all of it, in order, none twice."""
    (a,) = add(database, "A")
    rows = {0: 10.0, 1: 10.5, PART_BARS - 1: 11.0, PART_BARS: 11.5, FAR: 12.0, 3 * FAR: 12.5}
    database.run(write_derived, write({a: rows}))

    (one,) = exported(database, tmp_path)

    assert closes_in(one.path) == list(rows.values())
    assert (one.bars, one.last) == (6, minute(3 * FAR))
    with database.connection() as conn, closing(read_parts(conn, a, Timeframe.M1, None)) as parts:
        assert [len(part) for part in parts] == [3, 2, 1]


def test_all_parts_are_of_one_moment(database: Database) -> None:
    """What is written while a series is being read is not in it, so that no file is half old and half new."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10.0, FAR: 10.0}}))

    with database.connection() as conn, closing(read_parts(conn, a, Timeframe.M1, None)) as parts:
        first = next(parts)
        database.run(write_derived, write({a: {0: 11.0, FAR: 11.0}}))
        (rest,) = parts

    assert [first["close"].tolist(), rest["close"].tolist()] == [[10.0], [10.0]]


def test_as_of_writes_what_was_stored_then(database: Database, tmp_path: Path) -> None:
    """Bars that came later are left out, changed ones have their old value, and those that are gone are there."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10.0, 1: 10.5, FAR: 11.0}}))
    then = database.now()
    query(database, "delete from ohlc_bars where ts in (%s, %s)", minute(0), minute(FAR))
    query(database, "update series set bar_count = 1, oldest_ts = %s, newest_ts = %s", minute(1), minute(1))
    database.run(write_derived, write({a: {1: 20.0, 2: 20.5}}))

    (before,) = exported(database, tmp_path / "before", as_of=then)
    (now,) = exported(database, tmp_path / "now")

    assert closes_in(before.path) == [10.0, 10.5, 11.0]
    assert closes_in(now.path) == [20.0, 20.5]


def test_as_of_the_future_is_refused(database: Database, tmp_path: Path) -> None:
    """Nobody can know it."""
    with pytest.raises(InvalidInput, match="in the future"):
        exported(database, tmp_path, as_of=database.now() + timedelta(minutes=1))


def test_only_what_was_asked_for_is_written(database: Database, tmp_path: Path) -> None:
    """Symbols, timeframes and a half-open window; a series without such bars leaves no file."""
    a, b = add(database, "A", "B")
    database.run(write_derived, write({a: {0: 10.0, 1: 10.5, 2: 11.0}, b: {2: 12.0}}))

    window = minutes(1, 2)
    done = exported(database, tmp_path, window=window)
    assert [(one.ticker, one.bars) for one in done] == [("A", 1), ("B", 0)]
    assert names(tmp_path.iterdir()) == ["A_m1.parquet"]
    assert closes_in(done[0].path) == [10.5]
    assert exported(database, tmp_path, symbol_ids=[b], timeframes=[Timeframe.H1]) == []
    before = Range(minute(-9), minute(-1))
    assert [one.path for one in exported(database, tmp_path, window=before)] == [None, None]


def test_the_same_bars_give_the_same_file(database: Database, tmp_path: Path) -> None:
    """To the byte, so that copies and checksums of unchanged series stay as they are."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {number: 10 + number / 7 for number in range(500)} | {FAR: 1.5}}))

    for kind in FileFormat:
        files = [exported(database, tmp_path / name, format=kind)[0].path for name in ("one", "two")]
        first, second = (path.read_bytes() for path in files if path is not None)
        assert first == second


def test_a_file_is_replaced_when_the_new_one_is_complete(database: Database, tmp_path: Path) -> None:
    """X09: a symbolic link in its place is replaced, not followed; what fails leaves the old file and no remains."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10.0, FAR: 10.5}}))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "A_m1.parquet").symlink_to(elsewhere)

    exported(database, folder)

    assert elsewhere.read_text() == "not ours"
    assert not (folder / "A_m1.parquet").is_symlink()
    old = (folder / "A_m1.parquet").read_bytes()

    query(database, BROKEN_AT_THE_SECOND_PART)
    with pytest.raises(StoreError, match="division by zero"):
        exported(database, folder, as_of=database.now())

    assert (folder / "A_m1.parquet").read_bytes() == old
    assert names(folder.iterdir()) == ["A_m1.parquet"]


def test_a_folder_that_cannot_be_written_to_is_named(database: Database, tmp_path: Path) -> None:
    """With what to give."""
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidInput, match="--output DIR"):
        exported(database, tmp_path / "file")


def test_files_hold_what_the_store_reads(database: Database, tmp_path: Path) -> None:
    """Column by column what the engine itself sees."""
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {number: 10 + number / 3 for number in range(50)}}))

    (one,) = exported(database, tmp_path)

    assert one.path is not None
    frame = pl.read_parquet(one.path)
    bars = database.run(read_bars, a, Timeframe.M1, minutes(0, 100))
    for name in ("open", "high", "low", "close", "volume", "vwap", "trade_count"):
        assert frame[name].to_list() == getattr(bars, name).tolist()
    assert [at.replace(tzinfo=None) for at in frame["ts"].to_list()] == [
        datetime.fromtimestamp(ts / 1e6, minute(0).tzinfo).replace(tzinfo=None) for ts in bars.ts.tolist()
    ]
