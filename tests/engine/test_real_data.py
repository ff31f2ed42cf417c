"""Real bars of SPY and AAPL, replayed by the exchange and stored bar for bar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.rig import NYSE, Bars, Rig, days

DATA = Path(__file__).parents[3] / "shared" / "data"
REAL = {
    "SPY": ("equity_SPY_m1_2013-10.parquet", days("2013-10-04", "2013-10-12")),
    "AAPL": ("equity_AAPL_m1_2014-06.parquet", days("2014-06-05", "2014-06-10")),
    "GOOG": ("equity_GOOG_m1_2015-12.parquet", days("2015-12-23", "2015-12-29")),
    "NWSA": ("equity_NWSA_m1_2013-06.parquet", days("2013-06-27", "2013-06-29")),
    "FOXA": ("equity_FOXA_m1_2013-07.parquet", days("2013-07-01", "2013-07-03")),
    "SHY": ("equity_SHY_m1_2008-03.parquet", days("2008-03-07", "2008-03-11")),
}
ASKED = (Timeframe.M1, Timeframe.H1, Timeframe.D1)

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]


@pytest.fixture(scope="module")
def replaying() -> Iterator[SimulatedExchange]:
    """An exchange that serves the real bars."""
    with running_exchange(ExchangeConfig(port=0, replay=DATA, requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def rig(replaying: SimulatedExchange, database: Database) -> Rig:
    """A backfill from the real bars."""
    replaying.forget_requests()
    return Rig(replaying, database)


def regular_minutes(name: str, wanted: Range) -> Bars:
    """The regular-hours bars of a file, read here and nowhere else."""
    frame = pl.read_parquet(DATA / name)
    expected = set(NYSE.expected_starts(Timeframe.M1, wanted).tolist())
    columns = zip(
        frame["ts"].dt.epoch("us").to_list(),
        *(frame[column].cast(pl.Float64).to_list() for column in ("open", "high", "low", "close", "volume")),
        strict=True,
    )
    return {ts: tuple(values) for ts, *values in columns if ts in expected}


@pytest.mark.parametrize("ticker", REAL)
def test_real_minutes_are_stored_bar_for_bar(rig: Rig, ticker: str) -> None:
    """The stored regular-hours minutes are the file's, and a second backfill makes no call."""
    name, wanted = REAL[ticker]
    report = rig.backfill([ticker], [Timeframe.M1], wanted)

    assert rig.stored(ticker, Timeframe.M1) == regular_minutes(name, wanted)
    assert report.exit_code == EXIT_COMPLETE
    assert rig.backfill([ticker], [Timeframe.M1], wanted).summary.calls_made == 0


def test_spy_in_minutes_hours_and_days(rig: Rig) -> None:
    """Hours are made of the minutes, days are the file's, and everything is complete."""
    name, wanted = REAL["SPY"]

    report = rig.backfill(["SPY"], ASKED, wanted)

    assert report.exit_code == EXIT_COMPLETE
    days_on_file = pl.read_parquet(DATA / "equity_SPY_d1_1998-2021.parquet").filter(
        pl.col("ts").is_between(wanted.start, wanted.end)
    )
    assert [bar[3] for bar in rig.stored("SPY", Timeframe.D1).values()] == days_on_file["close"].to_list()
    minutes = regular_minutes(name, wanted)
    hours = rig.stored("SPY", Timeframe.H1)
    assert len(hours) == 6 * 7
    for start, bar in hours.items():
        parts = [minute for ts, minute in minutes.items() if start <= ts < start + 3_600_000_000]
        assert bar[1:3] == (max(part[1] for part in parts), min(part[2] for part in parts))
        assert bar[4] == pytest.approx(sum(part[4] for part in parts), rel=1e-12)
