"""Bars from files: judged, proved and accounted for as those of a provider, and exactly once."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.resample import resample
from barfill.core.timeframe import Timeframe
from barfill.engine.importing import Import
from barfill.store.database import Database
from tests.engine.importing import PRICES, Importer, bars_of, without
from tests.engine.rig import NYSE, Rig, days

MONTH = days("2024-03-04", "2024-04-01")
D1, M15, W1 = Timeframe.D1, Timeframe.M15, Timeframe.W1
COVERED = "select lower(part), upper(part) from series, unnest(covered) as part where timeframe = %s order by 1"


@pytest.fixture
def bring(database: Database, tmp_path: Path) -> Importer:
    """Imports into an empty database."""
    return Importer(database, tmp_path)


def test_days_are_stored_as_they_are_and_weeks_made_of_them(bring: Importer) -> None:
    """With coverage from the first to the last row, under the provider `files`."""
    bars = bars_of(MONTH)

    report = bring(bring.write(bars), D1, symbol="AAPL")

    columns = "ts, open, high, low, close, volume, provider, feed, data_status"
    stored = bring.query(f"select {columns} from ohlc_bars where timeframe = 'd1' order by ts")
    expected = [(datetime.fromisoformat(ts), *values, "files", "files", "final") for ts, *values in bars.iter_rows()]
    assert stored == expected
    assert (report.tally.rows, report.tally.inserted, report.failures) == (len(bars), len(bars), ())
    assert (report.added, report.derived.bars, report.gaps) == (("AAPL",), 4, {})
    first, last = datetime.fromisoformat(bars["ts"][0]), datetime.fromisoformat(bars["ts"][-1])
    assert bring.query(COVERED, "d1") == [(first, last + timedelta(days=1))]
    (run,) = bring.query("select status, provider, rows_written, actual_cost, page_no from job_runs")
    assert run == ("success", "files", len(bars), 0, 1)
    assert bring.query("select asset_type, calendar from symbols") == [("stock", "XNYS")]


def test_importing_twice_changes_nothing(bring: Importer) -> None:
    """No bar, no revision, no gap, no quarantined row, no coverage."""
    bars = without(bars_of(MONTH), ["2024-03-12", "2024-03-13"])
    bars = bars.with_columns(close=pl.when(pl.int_range(pl.len()) == 5).then(-1.0).otherwise("close"))
    path = bring.write(bars)
    bring(path, D1, symbol="AAPL")
    before = bring.contents()

    again = bring(path, D1, symbol="AAPL")

    assert bring.contents() == before
    assert (again.tally.inserted, again.tally.changed, again.tally.unchanged) == (0, 0, len(bars) - 1)
    assert again.tally.by_rule == {"Q05": 1}


def test_intraday_bars_are_made_coarser(bring: Importer) -> None:
    """As after any backfill: every derived bar is the one that resampling gives."""
    bars = bars_of(days("2024-03-04", "2024-03-09"), M15)

    bring(bring.write(bars.sample(fraction=1, shuffle=True, seed=3), "bars.parquet"), M15, symbol="SPY")

    nothing = np.full(len(bars), np.nan)
    source = BarColumns(
        symbol=np.zeros(len(bars), np.int32),
        ts=NYSE.expected_starts(M15, days("2024-03-04", "2024-03-09")),
        **{name: bars[name].to_numpy() for name in (*PRICES, "volume")},
        vwap=nothing,
        trade_count=np.full(len(bars), NO_TRADE_COUNT),
    )
    for target in (Timeframe.M30, Timeframe.H1, Timeframe.H4):
        expected = resample(source, M15, target, NYSE)
        stored = bring.query(
            "select ts, open, high, low, close, volume from ohlc_bars where timeframe = %s order by ts", target.value
        )
        assert [to_us(row[0]) for row in stored] == expected.ts.tolist()
        assert [row[4] for row in stored] == expected.close.tolist()
        assert [row[5] for row in stored] == expected.volume.tolist()


Dialect = Callable[[pl.DataFrame, Path], dict[str, object]]


def yahoo_csv(bars: pl.DataFrame, path: Path) -> dict[str, object]:
    local = bars.select(
        Datetime=pl.col("ts").str.to_datetime(time_zone="UTC").dt.convert_time_zone("America/New_York").dt.to_string(
            "%Y-%m-%d %H:%M:%S%:z"
        ),
        Open="open", High="high", Low="low", Close="close", Volume="volume",
    )  # fmt: skip
    local.write_csv(path)
    return {}


def flat_file(bars: pl.DataFrame, path: Path) -> dict[str, object]:
    """As Massive's: gzipped, in nanoseconds, all symbols by their ticker."""
    text = bars.select(
        pl.lit("SPY").alias("ticker"), "volume", "open", "close", "high", "low",
        window_start=pl.col("ts").str.to_datetime(time_zone="UTC").dt.timestamp("ns"), transactions=pl.lit(-1),
    ).write_csv()  # fmt: skip
    path.write_bytes(gzip.compress(text.encode()))
    return {"symbol": None}


def terminal_export(bars: pl.DataFrame, path: Path) -> dict[str, object]:
    """Semicolons, date and time apart, the clock of New York, stamped by the end."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    end = (pl.col("ts").str.to_datetime(time_zone="UTC") + timedelta(minutes=15)).dt.convert_time_zone(
        "America/New_York"
    )
    bars.select(
        end.dt.to_string("%Y%m%d").alias("<DATE>"), end.dt.to_string("%H%M%S").alias("<TIME>"),
        *(pl.col(name).alias(f"<{name.upper()}>") for name in PRICES), pl.col("volume").alias("<VOL>"),
    ).write_csv(path, separator=";", line_terminator="\r\n")  # fmt: skip
    return {"zone": ZoneInfo("America/New_York"), "is_end": True}


def frame_of_pandas(bars: pl.DataFrame, path: Path) -> dict[str, object]:
    """Parquet with instants of a zone, prices as decimals."""
    stamps = (
        pl.col("ts")
        .str.to_datetime(time_zone="UTC")
        .dt.convert_time_zone("Asia/Kolkata")
        .cast(pl.Datetime("ns", "Asia/Kolkata"))
    )
    bars.with_columns(stamps, *(pl.col(name).cast(pl.Decimal(12, 4)) for name in PRICES)).reverse().write_parquet(path)
    return {}


def test_all_dialects_say_the_same(bring: Importer) -> None:
    """The first brings the bars, and each other finds every one of them stored already."""
    bars = bars_of(days("2024-03-07", "2024-03-13"), M15)  # summer time begins in between
    bars = bars.with_columns(pl.col(*PRICES).round(2))
    told = []
    for dialect in (yahoo_csv, flat_file, terminal_export, frame_of_pandas):
        path = bring.directory / dialect.__name__
        reading = {"symbol": "SPY"} | dialect(bars, path)
        tally = bring(path, M15, **reading).tally  # type: ignore[arg-type]
        told.append((tally.rows, tally.inserted, tally.changed, tally.unchanged))
    assert told == [(len(bars), len(bars), 0, 0), *[(len(bars), 0, 0, len(bars))] * 3]


def test_what_a_file_lacks_is_a_settled_gap(bring: Importer) -> None:
    """A second look would find the same: the kind says so, and whoever has the same feed and basis may be asked."""
    bring(bring.write(without(bars_of(MONTH), ["2024-03-12", "2024-03-13"])), D1, symbol="AAPL")

    rows = bring.query(
        "select gap_from, gap_to, expected_bars, kind, next_check_at, reason from gaps where timeframe = 'd1'"
    )
    ((start, end, count, kind, due, reason),) = rows
    assert (start.date().isoformat(), end.date().isoformat(), count) == ("2024-03-12", "2024-03-14", 2)
    assert (kind, due) == ("unavailable", None)
    assert reason.startswith("files had none: ")
    assert len(bring.query(COVERED, "d1")) == 2


def test_each_symbol_is_proved_as_far_as_its_own_rows_reach(bring: Importer) -> None:
    """Not as far as those of others in the same file."""
    late, early = bars_of(MONTH, ticker="LATE")[5:], bars_of(MONTH, ticker="SOON")[:9]

    report = bring(bring.write(pl.concat([late, early])), D1)

    spans = [
        (datetime.fromisoformat(bars["ts"][0]), datetime.fromisoformat(bars["ts"][-1]) + timedelta(days=1))
        for bars in (early, late)
    ]
    assert bring.query(COVERED, "d1") == spans
    assert (report.gaps, len(bring.query("select 1 from job_runs"))) == ({}, 1)


def test_a_file_may_hold_more_than_can_be_expected(bring: Importer) -> None:
    """Such as days on which nothing trades: those are kept out, however many pages they make."""
    bring.page_rows = 10
    first = datetime(2023, 1, 3, tzinfo=UTC)
    lines = [f"{(first + timedelta(days=day)).date()},1,2,0.5,1,5" for day in range(600)]
    path = bring.directory / "filled.csv"
    path.write_text("\n".join(["date,open,high,low,close,volume", *lines]))

    report = bring(path, D1, symbol="AAPL")

    assert (report.failures, report.tally.rows) == ((), 600)
    assert report.tally.inserted == NYSE.expected_count(D1, Range(first, first + timedelta(days=600)))
    assert set(report.tally.by_rule) == {"Q14"}


def test_a_provider_of_the_same_feed_fills_what_a_file_lacks(rig: Rig, tmp_path: Path) -> None:
    """It is asked for the hole and nothing else; one of another feed is refused."""
    bring = Importer(rig.database, tmp_path)
    rig.add_symbols(["AAPL", "MSFT"])
    holes = ["2026-09-16"]
    wanted = days("2026-09-07", "2026-09-26")
    for ticker, feed in (("AAPL", "sip"), ("MSFT", "files")):
        truth = rig.truth(ticker, D1, wanted)
        bars = pl.DataFrame(
            [[from_us(ts).isoformat(), *values[:5]] for ts, values in truth.items()],
            schema=["ts", *PRICES, "volume"], orient="row",
        )  # fmt: skip
        bring(bring.write(without(bars, holes)), D1, symbol=ticker, feed=feed)
    rig.exchange.forget_requests()

    report = rig.backfill(["AAPL", "MSFT"], [D1], days("2026-09-08", "2026-09-26"))

    assert rig.stored("AAPL", D1) == rig.truth("AAPL", D1, wanted)
    of_days = "select kind from gaps join symbols on id = symbol_id where ticker = 'AAPL' and timeframe = 'd1'"
    assert rig.query(of_days) == []
    assert len(rig.stored("MSFT", D1)) == len(rig.truth("MSFT", D1, wanted)) - 1
    (failure,) = report.failures
    assert (failure.symbols, failure.error_code) == (("MSFT",), "VALIDATION_FAILED")
    assert "'files'" in failure.message
    assert "'sip'" in failure.message


def test_bars_of_another_feed_or_basis_are_refused(bring: Importer) -> None:
    """Not one row is written, and the text names both."""
    bring(bring.write(bars_of(MONTH)), D1, symbol="AAPL", feed="sip")
    before = bring.contents()
    both = pl.concat([bars_of(MONTH, ticker="AAPL", seed=2), bars_of(MONTH, ticker="MSFT")])

    for feed, basis in (("iex", "raw"), ("sip", "split")):
        report = bring(bring.write(both.filter(pl.col("symbol") == "AAPL")), D1, feed=feed, basis=basis)
        (failure,) = report.failures
        assert (failure.symbols, failure.error_code) == (("AAPL",), "VALIDATION_FAILED")
        assert f"{basis} bars of feed {feed!r}" in failure.message
        assert "raw bars of feed 'sip'" in failure.message
        assert report.tally.rows == 0
    assert bring.contents() == before

    report = bring(bring.write(both), D1, feed="iex")
    assert (report.symbols, report.tally.inserted) == (("MSFT",), 19)


def test_bad_rows_are_kept_out_with_their_reason(bring: Importer) -> None:
    """Each beside the bars around it, which are stored; the gap that it leaves says so."""
    bars = bars_of(MONTH, ticker="AAPL").with_columns(pl.col(*PRICES, "volume").cast(pl.String))
    rows = bars.rows()
    bad = {
        3: {"close": "N/A"},
        5: {"high": "0.5"},
        7: {"volume": "-1"},
        9: {"symbol": "nothing; drop"},
        11: {"open": "NaN"},
    }
    rows = [
        tuple(bad.get(number, {}).get(name, value) for name, value in zip(bars.columns, row, strict=True))
        for number, row in enumerate(rows)
    ]
    rows += [
        (rows[15][0], "1", "2", "0.5", "1", "5", "AAPL"),
        rows[16],
        ("2024-03-09", "1", "2", "0.5", "1", "5", "AAPL"),
    ]

    report = bring(bring.write(pl.DataFrame(rows, schema=bars.columns, orient="row")), D1)

    assert report.tally.by_rule == {"Q04": 2, "Q06": 1, "Q08": 1, "Q16": 1, "Q11": 2, "Q14": 1}
    assert (report.tally.inserted, report.tally.collapsed, report.tally.rows) == (13, 1, 22)
    assert report.gaps["quarantined"] == 5
    (raw,) = bring.query("select symbol, symbol_id, raw from quarantined_bars where rule = 'Q16'")
    assert raw[:2] == ("?", None)
    assert "NOTHING" not in str(raw[2])
    assert "nothing; drop" in str(raw[2])


def test_a_bar_that_is_not_over_is_held(bring: Importer) -> None:
    """It is not stored, not covered, and no gap."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    lines = [f"{(hour - timedelta(hours=back)).isoformat()},1,2,0.5,1,5" for back in range(5, -1, -1)]
    path = bring.directory / "now.csv"
    path.write_text("\n".join(["ts,open,high,low,close,volume", *lines]))

    report = bring(path, Timeframe.H1, symbol="BTC/USD")

    assert (report.tally.inserted, report.tally.held) == (5, 1)
    assert bring.query(COVERED, "h1") == [(hour - timedelta(hours=5), hour)]
    assert report.gaps == {}


def test_what_a_file_is_said_to_hold_counts(bring: Importer) -> None:
    """Rows outside are left out, and what lacks inside is absent for good."""
    claimed = days("2024-02-26", "2024-03-30")
    report = bring(bring.write(bars_of(MONTH)), D1, symbol="AAPL", claims=claimed)

    assert report.gaps == {"unavailable": 5}
    assert bring.query(COVERED, "d1") == [(datetime(2024, 3, 2, tzinfo=UTC), claimed.end)]


def test_symbols_of_several_calendars_come_in_one_file(bring: Importer) -> None:
    """Each is judged by its own; tickers that look like values are tickers (D29)."""
    tickers = ["NA", "NULL", "TRUE", "1E5", "CON", "BRK.B"]
    stocks = [bars_of(MONTH, ticker=ticker, seed=number) for number, ticker in enumerate(tickers)]
    first = datetime(2024, 3, 1, tzinfo=UTC)
    crypto = pl.DataFrame(
        [[(first + timedelta(days=day)).isoformat(), 1.0, 2.0, 0.5, 1.0, 5.0, "BTC/USD"] for day in range(10)],
        schema=stocks[0].columns, orient="row",
    )  # fmt: skip

    report = bring(bring.write(pl.concat([*stocks, crypto]).sample(fraction=1, shuffle=True, seed=1)), D1)

    assert report.symbols == tuple(sorted([*tickers, "BTC/USD"]))
    assert report.tally.inserted == report.tally.rows == 19 * len(tickers) + 10
    counts = bring.query("select ticker, bar_count from series join symbols on id = symbol_id where timeframe = 'd1'")
    assert dict(counts) == dict.fromkeys(tickers, 19) | {"BTC/USD": 10}
    assert len(bring.query("select 1 from job_runs")) == 2


def test_an_import_that_was_stopped_goes_on_at_its_page(bring: Importer) -> None:
    """And no row is written twice."""
    bring.page_rows = 10
    bars = pl.concat([bars_of(MONTH, ticker=ticker) for ticker in ("A", "B", "C")])
    path = bring.write(bars)

    first = bring(path, D1, when_begun=lambda engine: stop_after(bring, engine, 3))
    assert (first.was_interrupted, first.tally.rows) == (True, 30)
    assert bring.query("select status, page_no from job_runs") == [("queued", 3)]
    second = bring(path, D1)

    assert (second.resumed, second.tally.rows, second.tally.inserted) == (1, 27, 27)
    assert bring.query("select status, rows_written from job_runs") == [("success", 57)]


@pytest.mark.parametrize("has_moved", [False, True], ids=["same range", "other range"])
def test_other_files_are_read_anew(bring: Importer, has_moved: bool) -> None:
    """What an interrupted import has stored of former ones is corrected, and kept as revisions."""
    bring.page_rows = 10
    first, second = bars_of(MONTH), bars_of(MONTH, seed=2)
    bring(bring.write(first), D1, symbol="A", when_begun=lambda engine: stop_after(bring, engine, 1))

    report = bring(bring.write(second[:-1] if has_moved else second), D1, symbol="A")

    assert (report.tally.changed, report.tally.rows) == (10, len(second) - has_moved)
    revised = bring.query("select count(*) from bar_revisions where timeframe = 'd1'")
    assert revised == [(10,)]
    stored = bring.query("select close from ohlc_bars where timeframe = 'd1' order by ts")
    assert [row[0] for row in stored] == second["close"].to_list()[: len(stored)]
    left = bring.query("select distinct status from job_runs")
    assert sorted(row[0] for row in left) == (["queued", "success"] if has_moved else ["cancelled", "success"])


def test_nobody_waits_for_an_interrupted_import(rig: Rig, tmp_path: Path) -> None:
    """A backfill of the same series brings the bars; the import, later, finds them there."""
    bring = Importer(rig.database, tmp_path, page_rows=5)
    rig.add_symbols(["AAPL"])
    wanted = days("2026-09-08", "2026-09-26")
    truth = rig.truth("AAPL", D1, wanted)
    path = bring.write(
        pl.DataFrame(
            [[from_us(ts).isoformat(), *values[:5]] for ts, values in truth.items()],
            schema=["ts", *PRICES, "volume"],
            orient="row",
        )
    )
    bring(path, D1, symbol="AAPL", feed="sip", when_begun=lambda engine: stop_after(bring, engine, 1))

    report = rig.backfill(["AAPL"], [D1], wanted)
    assert (report.failures, rig.stored("AAPL", D1)) == ((), truth)

    again = bring(path, D1, symbol="AAPL", feed="sip")
    assert (again.tally.inserted, rig.stored("AAPL", D1)) == (0, truth)
    assert rig.query("select distinct status from job_runs") == [("success",)]


def stop_after(bring: Importer, engine: Import, pages: int) -> None:
    """Stops *engine* once so many pages are written."""
    listener = bring.listener
    before, written = len(listener.pages), listener.page_written

    def count(page: object) -> None:
        written(page)  # type: ignore[arg-type]
        if len(listener.pages) == before + pages:
            engine.stop()

    listener.page_written = count  # type: ignore[method-assign]
