"""The gaps of real series, imported from files: exactly the bars that the files lack, and called by what they are."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.gaps import KnownGap, list_gaps
from tests.engine.importing import Importer
from tests.engine.rig import NYSE

DATA = Path(__file__).parents[3] / "shared" / "data"
SPAN = Range(datetime(1998, 1, 2, tzinfo=UTC), datetime(2021, 4, 1, tzinfo=UTC))
M1, M5, H1, D1 = Timeframe.M1, Timeframe.M5, Timeframe.H1, Timeframe.D1
BITFINEX = "crypto_BTCUSD_h1_2013-10_bitfinex.parquet"
COINBASE_DAYS = "crypto_BTCUSD_d1_2014-2018_coinbase.parquet"
CRYPTO: dict[str, tuple[str, Timeframe, dict[str, int]]] = {
    BITFINEX: ("BTC/USD", H1, {"no_trade": 9}),
    COINBASE_DAYS: ("BTC/USD", D1, {"unavailable": 34, "quarantined": 1}),
    "crypto_BTCUSDT_h1_2018-05_binance.parquet": ("BTC/USDT", H1, {}),
    "crypto_BTCPERP_m1_2022-01_ftx.parquet": ("BTC/USD", M1, {}),
    "crypto_BTCUSD_m1_2016-10_coinbase.parquet": ("BTC/USD", M1, {"no_trade": 104}),
    "crypto_BTCUSD_m1_2018-04_coinbase.parquet": ("BTC/USD", M1, {"unavailable": 432, "no_trade": 1}),
    "crypto_BTCEUR_m1_2018-04_coinbase.parquet": ("BTC/EUR", M1, {"unavailable": 431, "no_trade": 226}),
    "crypto_XRPETH_m1_2019-10_binance.parquet": ("XRP/ETH", M1, {"no_trade": 1_091}),
    "crypto_XRPETH_m5_2019-10_binance.parquet": ("XRP/ETH", M5, {"no_trade": 6}),
}
"""
Symbol, timeframe, and how many bars of the span are absent, by what they are called.

Hours that Bitfinex lacks come one or two at a time, as hours without a trade do; the cut day of 2018-04-04 lacks its
end; a day of Coinbase is there, with a low of six cents that rule Q20 does not believe.
"""

MINUTES = {
    "equity_SPY_m1_2013-10.parquet": ("SPY", 0),
    "equity_SPY_m1_2011-01_ninjatrader.parquet": ("SPY", 0),
    "equity_AAPL_m1_2014-06.parquet": ("AAPL", 0),
    "equity_NWSA_m1_2013-06.parquet": ("NWSA", 0),
    "equity_FOXA_m1_2013-07.parquet": ("FOXA", 0),
    "equity_GOOG_m1_2015-12.parquet": ("GOOG", 8),
    "equity_SHY_m1_2008-03.parquet": ("SHY", 134),
}
"""Symbol, and how many regular minutes had no trade: GOOG's hold a half day, SHY's the change to summer time."""

Starts = NDArray[np.int64]

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]


@pytest.fixture
def bring(database: Database, tmp_path: Path) -> Importer:
    """Imports into an empty database."""
    return Importer(database, tmp_path)


def gaps_of(bring: Importer, timeframe: Timeframe) -> list[KnownGap]:
    """All gaps on record of a timeframe."""
    return [one.gap for one in bring.database.run(list_gaps, timeframes=[timeframe])]


def absent_by_kind(bring: Importer, timeframe: Timeframe, expected: Starts) -> Counter[str]:
    """How many of the *expected* bars are absent, by kind; each in one gap that counts it, and no gap counts others."""
    stored = [to_us(ts) for (ts,) in bring.query("select ts from ohlc_bars where timeframe = %s", timeframe.value)]
    absent = expected[~np.isin(expected, stored)]
    kinds: Counter[str] = Counter()
    named = np.zeros(len(absent), np.int64)
    for one in gaps_of(bring, timeframe):
        inside = (absent >= to_us(one.range.start)) & (absent < to_us(one.range.end))
        assert np.count_nonzero(inside) == one.expected_bars, one
        kinds[one.kind] += one.expected_bars
        named += inside
    assert (named == 1).all(), [from_us(start) for start in absent[named != 1].tolist()[:5]]
    return kinds


def stamps(name: str) -> Starts:
    """The stamps of a file, read here and nowhere else."""
    return pl.read_parquet(DATA / name)["ts"].dt.epoch("us").to_numpy().astype(np.int64)


def holes(there: Starts, timeframe: Timeframe) -> list[Range]:
    """The runs of absent bars between *there*, around the clock."""
    ends = there[:-1] + timeframe.length_us
    return [Range(from_us(end), from_us(start)) for end, start in zip(ends, there[1:], strict=True) if end < start]


def told(bring: Importer) -> list[str]:
    """Which value of each row in quarantine broke the rule of levels, as its reason says."""
    ending = " is more than ten times away from the last accepted close, "
    return [reason.partition(ending)[0] for (reason,) in bring.query("select reason from quarantined_bars")]


@pytest.mark.parametrize("name", CRYPTO)
def test_the_bars_that_a_crypto_file_lacks_are_its_gaps(bring: Importer, name: str) -> None:
    """Each absent bar lies in exactly one gap, which names as many bars as are absent in it; no other gap is told."""
    symbol, timeframe, kinds = CRYPTO[name]
    there = stamps(name)
    expected = np.arange(there[0], there[-1] + timeframe.length_us, timeframe.length_us)

    report = bring(DATA / name, timeframe, symbol=symbol)

    assert absent_by_kind(bring, timeframe, expected) == kinds
    assert len(expected) - len(there) == sum(kinds.values()) - kinds.get("quarantined", 0)
    assert report.tally.by_rule == ({"Q20": 1} if name == COINBASE_DAYS else {})
    assert told(bring) == (["the low 0.06"] if name == COINBASE_DAYS else [])


def test_long_holes_have_the_edges_of_the_file(bring: Importer) -> None:
    """The days that Coinbase lacks are a gap each, from the first absent one to the next that is there."""
    bring(DATA / COINBASE_DAYS, D1, symbol="BTC/USD")

    found = [one.range for one in gaps_of(bring, D1) if one.kind == "unavailable"]

    expected = holes(stamps(COINBASE_DAYS), D1)
    assert found == expected
    assert {one.length.days for one in expected} == {1, 4, 5, 20}


@pytest.mark.parametrize("pair", ["BTC/USD", "BTC/EUR"])
def test_a_file_that_stops_at_16_47_lacks_the_rest_of_its_day(bring: Importer, pair: str) -> None:
    """Seven hours are one gap, beside the quiet minutes before and behind it."""
    name = f"crypto_{pair.replace('/', '')}_m1_2018-04_coinbase.parquet"
    bring(DATA / name, M1, symbol=pair)

    (cut,) = (one for one in gaps_of(bring, M1) if one.kind == "unavailable")

    assert cut.range == max(holes(stamps(name), M1), key=lambda hole: hole.length)
    assert (cut.range.start.date(), cut.range.start.hour) == (date(2018, 4, 4), 16)
    assert cut.range.end.date() == date(2018, 4, 5)


@pytest.mark.parametrize("name", MINUTES)
def test_quiet_minutes_of_stocks_are_quiet(bring: Importer, name: str) -> None:
    """Regular minutes without a trade are `no_trade`, all of them and no others; none is missing or unavailable."""
    ticker, quiet = MINUTES[name]

    report = bring(DATA / name, M1, symbol=ticker)

    first, last = (from_us(int(stamps(name)[place])) for place in (0, -1))
    expected = NYSE.expected_starts(M1, Range(first, last + M1.length))
    kinds = absent_by_kind(bring, M1, expected)
    assert kinds == ({"no_trade": quiet} if quiet else {})
    assert not report.failures


@pytest.mark.parametrize(("ticker", "rules"), [("SPY", {}), ("AAPL", {"Q20": 1})])
def test_23_years_of_days_have_no_false_gap(bring: Importer, ticker: str, rules: dict[str, int]) -> None:
    """
    Half days, special closures and changes of the clock are no gaps: not a session is absent.

    One is kept out: Apple's low of 2009-09-21 is a print at a seventeenth of its price.
    """
    report = bring(DATA / f"equity_{ticker}_d1_1998-2021.parquet", D1, symbol=ticker)

    assert (report.tally.rows, report.tally.by_rule) == (5_849, rules)
    kinds = absent_by_kind(bring, D1, NYSE.expected_starts(D1, SPAN))
    assert kinds == ({"quarantined": rules["Q20"]} if rules else {})
    assert told(bring) == (["the low 10.59"] if rules else [])


def test_a_fund_that_traded_under_another_ticker_lacks_those_years(bring: Importer) -> None:
    """QQQ was QQQQ from December 2004 to March 2011: one gap with exact edges, and no other."""
    bring(DATA / "equity_QQQ_d1_1999-2021.parquet", D1, symbol="QQQ")

    (found,) = gaps_of(bring, D1)

    assert (found.kind, found.range.start, found.range.end) == (
        "unavailable",
        datetime(2004, 12, 1, tzinfo=UTC),
        datetime(2011, 3, 23, tzinfo=UTC),
    )
    assert found.expected_bars == NYSE.expected_count(D1, found.range)


def test_indian_minutes_are_judged_by_their_own_calendar(bring: Importer) -> None:
    """Of three sessions of Bombay not a minute is absent, once the symbol is on record with its calendar."""
    name = "equity_YESBANK_m1_2019-07.parquet"
    with bring.database.connection() as conn:
        conn.execute("insert into symbols (ticker, calendar, confirmed_at) values ('YESBANK', 'XBOM', now())")

    report = bring(DATA / name, M1, symbol="YESBANK")

    bombay = trading_calendar("XBOM", 2027)
    expected = bombay.expected_starts(M1, Range(datetime(2019, 7, 9, tzinfo=UTC), datetime(2019, 7, 12, tzinfo=UTC)))
    assert len(expected) == 3 * 375
    assert absent_by_kind(bring, M1, expected) == {}
    assert not report.failures
