"""A provider that corrects 1 % of the bars of the last three sessions, up to what every reader sees of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import barfill
from barfill.core.ranges import Range, from_us
from barfill.core.resample import resample
from barfill.core.timeframe import Timeframe
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.bars import read_bars
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.symbols import find_symbols
from tests.cli.conftest import BARFILL, Shell, clean_environment, url_of
from tests.engine.rig import NYSE, Rig
from tests.engine.test_rereading import go_to, keep_up, look, work

assert BARFILL.exists()
M1, M15, D1, W1 = Timeframe.M1, Timeframe.M15, Timeframe.D1, Timeframe.W1
FETCHED = (M1, D1)
DERIVED = {M15: M1, Timeframe.H1: M1, Timeframe.H4: M1, W1: D1}
TICKERS = ("AAPL", "MSFT", "QQQ", "THIN", "XOM")
WEDNESDAY, THURSDAY = (datetime(2026, 9, day, 21, 5, tzinfo=UTC) for day in (16, 17))
"""Soon after two closes in a row."""
WINDOW_DAYS = 16
PAGE_SIZE = 2_000
LAST_THREE = Range(datetime(2026, 9, 14, tzinfo=UTC), datetime(2026, 9, 16, 20, tzinfo=UTC))
HOURS = 69
"""From Monday's midnight to Wednesday's look: what is younger is corrected, what is older stays."""
WITHDRAWN = datetime(2026, 9, 15, 16, tzinfo=UTC)
"""A minute that it has no more on Thursday."""
VALUES = "ticker, timeframe, ts, open, high, low, close, volume, vwap, trade_count, data_status"
Key = tuple[str, str, datetime]
"""Ticker, timeframe and start of a bar."""


@pytest.fixture(scope="module")
def session() -> Iterator[SimulatedExchange]:
    """An exchange soon after a close."""
    config = ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000, start_clock=WEDNESDAY)
    with running_exchange(config) as exchange:
        yield exchange


@pytest.fixture
def rig(session: SimulatedExchange, database: Database) -> Rig:
    """Five symbols, of which minutes and days are fetched and four timeframes derived."""
    rig = Rig(session, database, page_size=PAGE_SIZE)
    go_to(rig, WEDNESDAY)
    rig.add_symbols(TICKERS)
    database.run(keep_series, TICKERS, [*FETCHED, *DERIVED], window_days=WINDOW_DAYS)
    return rig


@pytest.fixture
def shell(session: SimulatedExchange, database: Database, tmp_path: Path) -> Shell:
    """Commands that find the database."""
    return Shell(clean_environment() | {"BARFILL_HOME": str(tmp_path / "home"), "DATABASE_URL": url_of(database)})


def late_minute(rig: Rig) -> datetime:
    """A minute with a trade, on Tuesday, of a symbol that has none in most of its minutes."""
    tuesday = Range(datetime(2026, 9, 15, tzinfo=UTC), datetime(2026, 9, 16, tzinfo=UTC))
    return from_us(sorted(rig.truth("THIN", M1, tuesday))[3])


def uncorrected(late: datetime) -> list[dict[str, Any]]:
    """Of the last days, one bar in a hundred with another close or volume, and one that is not there yet."""
    bars = {"endpoint": "bars"}
    minutes, daily = {**bars, "timeframe": "m1"}, {**bars, "timeframe": "d1"}
    return [
        {"match": minutes, "fault": "D25", "args": {"share": 0.01, "hours": HOURS, "by": 0.5}},
        {"match": minutes, "fault": "D24", "args": {"share": 0.005, "hours": HOURS, "factor": 0.8}},
        {"match": daily, "fault": "D24", "args": {"share": 0.3, "hours": HOURS, "factor": 0.9}},
        {"match": {**minutes, "symbol": "THIN"}, "fault": "D20", "args": {"at": late.isoformat()}},
    ]


def dump(rig: Rig, source: str) -> dict[Key, tuple[Any, ...]]:
    """All values of all bars of *source*."""
    rows = rig.query(f"select {VALUES} from {source} join symbols on symbols.id = symbol_id order by 1, 2, 3")
    return {row[:3]: row[3:] for row in rows}


def truth(rig: Rig) -> dict[Key, tuple[float, ...]]:
    """What the exchange has of the fetched timeframes, up to what is final on Wednesday: prices and volumes."""
    start = WEDNESDAY - timedelta(days=WINDOW_DAYS - 1)
    ends = {M1: LAST_THREE.end, D1: datetime(2026, 9, 16, tzinfo=UTC)}
    return {
        (ticker, timeframe.value, from_us(ts)): bar
        for ticker in TICKERS
        for timeframe in FETCHED
        for ts, bar in rig.truth(ticker, timeframe, Range(start, ends[timeframe])).items()
    }


def rebuilt(rig: Rig, ticker: str, target: Timeframe) -> dict[Key, tuple[Any, ...]]:
    """The bars of *target* made anew of all that is stored of its source."""
    symbol_id = rig.database.run(find_symbols, [ticker])[ticker].id
    wanted = Range(WEDNESDAY - timedelta(days=60), THURSDAY + timedelta(days=1))
    made = resample(rig.database.run(read_bars, symbol_id, DERIVED[target], wanted), DERIVED[target], target, NYSE)
    columns = (made.open, made.high, made.low, made.close, made.volume)
    rows = zip(made.ts.tolist(), *(column.tolist() for column in columns), strict=True)
    return {(ticker, target.value, from_us(ts)): tuple(values) for ts, *values in rows}


def exported(shell: Shell, folder: Path, *arguments: str) -> dict[Key, tuple[Any, ...]]:
    """All values of all bars that `barfill export` writes."""
    labels = ",".join(timeframe.label for timeframe in (*FETCHED, *DERIVED))
    done = shell("export", *TICKERS, "--timeframes", labels, "--output", str(folder), *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[Key, tuple[Any, ...]] = {}
    for path in folder.glob("*.parquet"):
        ticker, _, timeframe = path.stem.rpartition("_")
        rows = pl.read_parquet(path).select("ts", *VALUES.split(", ")[3:]).rows()
        found |= {(ticker, timeframe, ts): tuple(values) for ts, *values in rows}
    return found


def revised(shell: Shell) -> list[Key]:
    """The bars that `barfill revisions` lists, each as often as it does."""
    told = json.loads(shell("revisions", "--limit", "100000", "--json").stdout)["revisions"]
    return sorted(
        (one["symbol"], Timeframe.parse(one["timeframe"]).value, datetime.fromisoformat(one["ts"])) for one in told
    )


def test_one_bar_in_a_hundred_is_corrected(rig: Rig, shell: Shell, tmp_path: Path) -> None:
    """
    All are found by the schedule and its worker, each is revised once and no other; what was made of them is made anew;
    both states are read exactly; and another turn finds nothing.
    """
    late = ("THIN", "m1", late_minute(rig))
    rig.exchange.set_faults(uncorrected(late[2]))
    keep_up(rig, WEDNESDAY)
    then, before = rig.database.now(), dump(rig, "ohlc_bars")
    right = truth(rig)
    wrong = {key for key, bar in right.items() if key in before and before[key][:5] != bar}
    assert {timeframe for _, timeframe, _ in wrong} == {"m1", "d1"}
    assert {ts in LAST_THREE for _, _, ts in wrong} == {True}
    minutes = [key for key in right if key[1] == "m1" and key[2] in LAST_THREE]
    assert len([key for key in wrong if key[1] == "m1"]) / len(minutes) == pytest.approx(0.01, abs=0.003)
    assert right.keys() - before.keys() == {late}

    withdrawn = {
        "match": {"endpoint": "bars", "timeframe": "m1"},
        "fault": "D20",
        "args": {"at": WITHDRAWN.isoformat()},
    }
    rig.exchange.set_faults([withdrawn])
    go_to(rig, THURSDAY)
    look(rig)
    work(rig)
    look(rig)
    work(rig)

    after, now = dump(rig, "ohlc_bars"), rig.database.now()
    corrected = {key for key in before if key[1] in ("m1", "d1") and after.get(key) != before[key]}
    assert corrected == wrong
    assert {key: after[key][:5] for key in right} == right
    for target in DERIVED:
        for ticker in TICKERS:
            made = {key: bar[:5] for key, bar in after.items() if key[:2] == (ticker, target.value)}
            anew = rebuilt(rig, ticker, target)
            assert made == {key: anew[key] for key in made}

    rereads = rig.query("select timeframe, status, actual_cost, rows_received from job_runs where is_reread order by 1")
    assert [row[:2] for row in rereads] == [("d1", "success"), ("m1", "success")]
    assert all(calls == -(-rows // PAGE_SIZE) for _, _, calls, rows in rereads)
    changed = [key for key in before if key in after and after[key][:7] != before[key][:7]]
    kept = rig.query(
        "select ticker, timeframe, ts, reason from bar_revisions join symbols on symbols.id = symbol_id "
        "order by 1, 2, 3"
    )
    assert [row[:3] for row in kept] == sorted(changed)
    assert {(row[1] in ("m1", "d1"), row[3]) for row in kept} == {(True, "corrected"), (False, "derived")}
    assert revised(shell) == sorted(changed)

    assert dump(rig, f"bars_as_of('{then.isoformat()}')") == before
    assert exported(shell, tmp_path / "then", "--as-of", then.isoformat()) == before
    assert dump(rig, f"bars_as_of('{now.isoformat()}')") == after
    assert exported(shell, tmp_path / "now", "--as-of", now.isoformat()) == after
    with barfill.connect(url_of(rig.database)) as db:
        for ticker, timeframe in {key[:2] for key in before}:
            for as_of, state in ((then, before), (now, after)):
                rows = db.bars(ticker, timeframe, as_of=as_of).select("ts", *VALUES.split(", ")[3:]).rows()
                assert {(ticker, timeframe, ts): tuple(values) for ts, *values in rows} == {
                    key: bar for key, bar in state.items() if key[:2] == (ticker, timeframe)
                }

    rig.change("update series set read_again_until = '2026-09-01Z'")
    rig.exchange.set_faults([])
    again = look(rig)
    work(rig)
    look(rig)
    work(rig)

    assert again.rereads > 0
    assert dump(rig, "ohlc_bars") == after
    assert rig.query("select count(*) from bar_revisions") == [(len(kept),)]
