"""`barfill export` as a process: files that can be read back, under names that are safe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from barfill.store.database import Database
from barfill.store.pages import write_derived
from barfill.store.symbols import NewSymbol, add_symbols
from tests.cli.conftest import Shell, url_of
from tests.store.builders import START, query, write
from tests.store.fixtures import cloned_database

ODD = ("NA", "NAN", "NULL", "TRUE", "ON", "NO", "Y", "INF", "PRN", "CON", "1E5", "BRK.B", "CON.A", "BTC/USD")
VALUES = (
    "select ticker, timeframe, ts, open, high, low, close, volume, vwap, trade_count from ohlc_bars "
    "join symbols on symbols.id = symbol_id order by 1, 2, 3"
)


@pytest.fixture
def odd(database: Database) -> dict[str, int]:
    """Symbols whose tickers other programs take for something else, each with two bars; their ids."""
    found = database.run(
        add_symbols, [NewSymbol(ticker, asset_type="crypto" if "/" in ticker else "stock") for ticker in ODD]
    )
    ids = {ticker: symbol.id for ticker, symbol in found.items()}
    bars = {symbol_id: {0: 10 / 3 + symbol_id, 1: 11.5} for symbol_id in ids.values()}
    database.run(write_derived, write(bars))
    return ids


@pytest.fixture
def other(server_url: str) -> Iterator[Database]:
    """Another, empty database."""
    with cloned_database(server_url) as clone:
        yield clone


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_what_is_exported_is_imported_as_it_was(
    shell: Shell, database: Database, odd: dict[str, int], other: Database, tmp_path: Path, kind: str
) -> None:
    """D29: every ticker and every digit comes back, in a database that knew nothing."""
    out = tmp_path / "out"
    done = shell("export", "--all", "--format", kind, "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert f"{2 * len(ODD)} bars in {len(ODD)} files" in done.stdout
    files = sorted(str(path) for path in out.iterdir())
    assert [Path(name).name for name in files if "CON" in name or "BTC" in name] == [
        f"BTC%2FUSD_m1.{kind}",
        f"CON%2EA_m1.{kind}",
        f"CON_m1.{kind}",
    ]

    back = shell("import", *files, "--timeframe", "1m", "--feed", "sip", DATABASE_URL=url_of(other))

    assert back.returncode == 0, back.stderr
    assert [row for row in query(other, VALUES) if row[1] == "m1"] == query(database, VALUES)


def test_json_tells_the_files(shell: Shell, odd: dict[str, int], tmp_path: Path) -> None:
    """With what they hold; nothing else is on stdout."""
    done = shell("export", "con", "BRK.B", "--output", str(tmp_path / "out"), "--json", "--timeframes", "1m")

    told = json.loads(done.stdout)
    assert (done.returncode, told["as_of"]) == (0, None)
    assert [(one["symbol"], one["timeframe"], one["bars"], one["first"]) for one in told["files"]] == [
        ("BRK.B", "1m", 2, START.isoformat()),
        ("CON", "1m", 2, START.isoformat()),
    ]
    assert all(Path(one["path"]).stat().st_size == one["bytes"] for one in told["files"])


def test_as_of_and_the_window_choose_the_bars(
    shell: Shell, database: Database, odd: dict[str, int], tmp_path: Path
) -> None:
    """The old value of one bar, since the other lies outside."""
    then = database.now()
    database.run(write_derived, write({odd["CON"]: {0: 20.0, 1: 21.0}}))
    window = ("--end", (START + timedelta(minutes=1)).isoformat())

    def closes(*arguments: str) -> list[float]:
        done = shell("export", "CON", "--output", str(tmp_path), *arguments)
        assert done.returncode == 0, done.stderr
        return pl.read_parquet(tmp_path / "CON_m1.parquet")["close"].to_list()

    assert closes(*window, "--as-of", then.isoformat()) == [10 / 3 + odd["CON"]]
    assert closes(*window) == [20.0]
    assert closes() == [20.0, 21.0]


def test_a_watchlist_is_exported(shell: Shell, database: Database, odd: dict[str, int], tmp_path: Path) -> None:
    """Its symbols, and no others."""
    query(
        database,
        "with made as (insert into watchlists (name) values ('mine') returning id) insert into watchlist_symbols "
        "select made.id, symbols.id from made, symbols where ticker in (%s, %s)",
        "CON",
        "NA",
    )

    done = shell("export", "--watchlist", "mine", "--output", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["CON_m1.parquet", "NA_m1.parquet"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "No symbols are named"),
        (("NOPE",), 1, "'NOPE' is not on record"),
        (("CON", "--timeframes", "1d"), 1, "no file was written"),
        (("CON", "--as-of", "2999-01-01"), 2, "lies in the future"),
        (("CON", "--as-of", "2026-01-01T10:00"), 2, "--as-of"),
        (("CON", "--output", "/proc/none"), 2, "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_told(
    shell: Shell, odd: dict[str, int], arguments: tuple[Any, ...], code: int, words: str
) -> None:
    """With the exit code that scripts go by."""
    done = shell("export", *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
