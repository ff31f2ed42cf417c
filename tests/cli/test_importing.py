"""`barfill import` as a process: what it shows, what it refuses, and that a kill loses nothing."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from barfill.cli.importing import parse_zone
from barfill.errors import InvalidInput
from barfill.store.database import Database
from tests.cli.conftest import Shell, url_of
from tests.store.fixtures import cloned_database

DATA = Path(__file__).parents[3] / "shared" / "data"
OHLCV = "ts, open, high, low, close, volume"
BARS = f"select ticker, {OHLCV} from ohlc_bars join symbols on id = symbol_id where timeframe = %s order by 1, 2"


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More rows than two pages hold, of two symbols, in no order."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    count = 55_000
    one = pl.DataFrame({"t": [int(start.timestamp() + 60 * number) for number in range(count)]}).with_columns(
        o=100 + (pl.col("t") % 977) / 977, v=pl.col("t") % 13 + 1.5
    )
    bars = one.with_columns(h=pl.col("o") + 0.5, l=pl.col("o") - 0.5, c=pl.col("o"))
    both = pl.concat([bars.with_columns(ticker=pl.lit(ticker)) for ticker in ("BTC/USD", "ETH/USD")])
    path = tmp_path_factory.mktemp("files") / "minutes.csv"
    both.sample(fraction=1, shuffle=True, seed=5).write_csv(path)
    return path


def stored(database: Database, timeframe: str) -> list[tuple[object, ...]]:
    with database.connection() as conn:
        return conn.execute(BARS, (timeframe,)).fetchall()


@pytest.mark.parametrize(("crash_at", "left"), [("k8:2", 60_000), ("k11:2", 10_000)])
def test_a_killed_import_goes_on_and_nothing_doubles(
    shell: Shell, database: Database, minutes: Path, crash_at: str, left: int
) -> None:
    """Killed within a page's transaction, and after its COMMIT was sent, it begins at the page it had reached."""
    killed = shell("import", str(minutes), "--timeframe", "1m", BARFILL_CRASH_AT=crash_at)
    assert killed.returncode == -signal.SIGKILL

    done = shell("import", str(minutes), "--timeframe", "1m", "--json")

    assert (done.returncode, json.loads(done.stdout)["resumed"]) == (0, 1), done.stderr
    assert json.loads(done.stdout)["rows"]["inserted"] == left
    with database.connection() as conn:
        runs = conn.execute("select status, rows_written, page_no from job_runs").fetchall()
        counted = conn.execute("select bar_count from series where timeframe = 'm1'").fetchall()
        assert conn.execute("select count(*) from bar_revisions").fetchone() == (0,)
    assert runs == [("success", 110_000, 3)]
    assert counted == [(55_000,), (55_000,)]
    source = pl.read_csv(minutes).sort("ticker", "t").select("ticker", "t", "o", "h", "l", "c", "v").rows()
    assert [(row[0], int(row[1].timestamp()), *row[2:]) for row in stored(database, "m1")] == source  # type: ignore[attr-defined]


def test_what_is_taken_out_goes_in_again(shell: Shell, database: Database, server_url: str, tmp_path: Path) -> None:
    """A table that was written as CSV gives the same table on another server, to the last digit."""
    start = datetime(2024, 1, 2, tzinfo=UTC)
    prices = [10 / 3 + number / 7 for number in range(20)]
    first = tmp_path / "first.csv"
    lines = [
        f"{(start + timedelta(days=day)).date()},BTC/USD,{p!r},{p + 1!r},{p - 1!r},{p + 0.5!r},{p * 1e6!r}"
        for day, p in enumerate(prices)
    ]
    first.write_text("\n".join(["Date,Symbol,Open,High,Low,Close,Volume", *lines]))
    assert shell("import", str(first), "--timeframe", "1d").returncode == 0
    out = shell("sql", f"select ticker as symbol, {OHLCV} from ohlc_bars join symbols on id = symbol_id "
                       "where timeframe = 'd1' order by ts", "--csv")  # fmt: skip
    second = tmp_path / "second.csv"
    second.write_text(out.stdout)

    with cloned_database(server_url) as other:
        done = shell("import", str(second), "--timeframe", "1d", DATABASE_URL=url_of(other))
        assert done.returncode == 0, done.stderr
        assert stored(other, "d1") == stored(database, "d1")
        assert [row[2] for row in stored(other, "d1")] == prices


def test_a_dry_run_shows_how_files_are_read(shell: Shell, tmp_path: Path) -> None:
    """The columns, the first bars, what the rules make of the rows; and no database is needed."""
    path = tmp_path / "spy.csv"
    path.write_text("Date;Time;Open;High;Low;Close;Vol\n20240102;093100;1;2;0,5;1;5\n20240102;093200;1;2;1;2;5\n")
    options = ["--timeframe", "1m", "--symbol", "spy", "--time-zone", "America/New_York", "--timestamp-is", "end"]

    done = shell("import", str(path), *options, "--dry-run", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    assert done.returncode == 3, done.stderr
    assert "ts=Date+Time, open=Open, high=High, low=Low, close=Close, volume=Vol" in done.stdout
    assert "1m, stamped by their end, times of America/New_York; feed files, raw prices" in done.stdout
    assert "SPY 2024-01-02T14:31:00+00:00 open 1.0 high 2.0 low 1.0 close 2.0 volume 5.0" in done.stdout
    assert "Rows      2: 1 to store" in done.stdout
    assert "1 row broke a rule (Q04 1)" in done.stdout
    assert "Nothing was stored." in done.stdout


def test_what_nobody_can_mean_is_refused(shell: Shell, tmp_path: Path) -> None:
    """Before anything is stored, with the option that helps."""
    path = tmp_path / "hours.csv"
    hours = [f"2024-01-{day:02}T{hour}:00:00-05:00,1,2,1,1,5" for day in (2, 3, 4) for hour in range(10, 16)]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *hours]))
    adjusted = tmp_path / "yahoo.csv"
    adjusted.write_text("Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1,2,1,1,1,5\n")
    for arguments, told in (
        ([str(path), "--timeframe", "1h", "--symbol", "SPY"], "18 of the first 18 rows break rule Q03"),
        ([str(adjusted), "--timeframe", "1d", "--symbol", "SPY"], "--basis split"),
    ):
        done = shell("import", *arguments)
        assert done.returncode == 2, done.stdout
        assert told in done.stderr


@pytest.mark.parametrize("text", ["EST", "New_York", "../etc/passwd", "America/Nowhere", ""])
def test_a_zone_is_a_place(text: str) -> None:
    """An abbreviation is right for half of the year (T03)."""
    with pytest.raises(InvalidInput, match="IANA"):
        parse_zone(text)


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here")
def test_real_files_come_in(shell: Shell, database: Database) -> None:
    """Days of a vendor that are stamped by New York's midnight, of several symbols beside columns that mean nothing."""
    path = DATA / "equity_4-tickers_d1_2014_quandl.parquet"
    source = pl.read_parquet(path).filter(pl.col("ticker") != "BRK_A")

    done = shell("import", str(path), "--timeframe", "1d", "--basis", "raw", "--json")

    assert done.returncode == 3, done.stderr  # BRK_A is spelt as no ticker is
    expected = [
        (ticker, datetime(on.year, on.month, on.day, tzinfo=UTC), *values)
        for ticker, on, *values in source.sort("ticker", "ts")
        .select("ticker", "session_date", "open", "high", "low", "close", "volume")
        .rows()
    ]
    assert stored(database, "d1") == expected
