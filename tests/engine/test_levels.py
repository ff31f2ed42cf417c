"""Prices that leap (Q20, D10), from the file to the table: false ones stay out, true ones come in."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from barfill.core.timeframe import Timeframe
from barfill.engine.recheck import RecheckRequest, recheck
from barfill.store.database import Database
from barfill.store.symbols import NewSymbol, add_symbols
from tests.engine.importing import PRICES, Importer, bars_of
from tests.engine.rig import days

D1, M15 = Timeframe.D1, Timeframe.M15
MONTH = days("2024-03-04", "2024-04-01")
REVERSE_SPLIT = (
    "insert into splits (symbol_id, ex_on, form, numerator, denominator, ticker, provider, filed_on, last_seen_at) "
    "select id, '2024-03-20', 'split', 1, 20, ticker, 'alpaca', '2024-03-20', now() from symbols"
)


@pytest.fixture
def bring(database: Database, tmp_path: Path) -> Importer:
    """Imports into an empty database."""
    return Importer(database, tmp_path)


def times(bars: pl.DataFrame, factor: float, *, start: str, end: str = "9999") -> pl.DataFrame:
    """*bars* with other prices from one stamp up to another."""
    chosen = (pl.col("ts") >= start) & (pl.col("ts") < end)
    return bars.with_columns(pl.when(chosen).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in PRICES)


def test_d10_a_false_level_is_kept_out_and_the_true_bars_come_in_later(bring: Importer) -> None:
    """BRK.A at 0.0003 of its price for some bars: none of these is stored; corrected, all are, and nothing is open."""
    bars = bars_of(days("2024-03-04", "2024-03-09"), M15)
    false = times(bars, 0.0003, start="2024-03-06T15", end="2024-03-06T17")
    bring(bring.write(false), M15, symbol="BRK.A")
    stored = bring.query("select min(close), count(*) from ohlc_bars where timeframe = 'm15'")[0]
    kept = bring.query("select rule, state, count(*) from quarantine group by 1, 2")

    bring(bring.write(bars), M15, symbol="BRK.A")

    assert (stored[0] > 50, stored[1]) == (True, len(bars) - 8)
    assert kept == [("Q20", "open", 8)]
    assert bring.query("select count(*) from ohlc_bars where timeframe = 'm15'") == [(len(bars),)]
    assert bring.query("select distinct state from quarantine") == [("superseded",)]
    assert bring.query("select * from gaps where timeframe = 'm15'") == []


def test_d10_a_new_level_is_believed_once_it_has_lasted(bring: Importer) -> None:
    """A reverse split that nobody filed: two sessions of it are held, with the third all are stored, marked by W18."""
    bars = times(bars_of(MONTH), 20.0, start="2024-03-20")
    young = bars.filter(pl.col("ts") < "2024-03-22")
    bring(bring.write(young), D1, symbol="NEWC")
    before = bring.query("select max(ts)::date::text from ohlc_bars where timeframe = 'd1'")

    bring(bring.write(bars.filter(pl.col("ts") < "2024-03-23"), "more.csv"), D1, symbol="NEWC")

    assert before == [("2024-03-19",)]
    assert bring.query("select max(ts)::date::text from ohlc_bars where timeframe = 'd1'") == [("2024-03-22",)]
    assert bring.query("select ts::date::text, rule from bar_warnings where rule = 'W18'") == [("2024-03-20", "W18")]
    assert bring.query("select * from quarantine") == []


def test_a_split_on_file_explains_a_level_at_once(bring: Importer) -> None:
    """Filed before the bars come, it is no jump: nothing is held, nothing is marked, and verify has nothing to say."""
    bring.database.run(add_symbols, [NewSymbol("NEWC")])
    with bring.database.connection() as conn:
        conn.execute(REVERSE_SPLIT)
    bars = times(bars_of(MONTH), 20.0, start="2024-03-20").filter(pl.col("ts") < "2024-03-21")

    bring(bring.write(bars), D1, symbol="NEWC")

    assert bring.query("select max(ts)::date::text from ohlc_bars where timeframe = 'd1'") == [("2024-03-20",)]
    assert bring.query("select * from bar_warnings where rule = 'W18'") == []
    assert recheck(bring.database, RecheckRequest(symbol_ids=None, timeframes=(D1,))).by_rule == {}


def test_a_split_that_was_withdrawn_explains_nothing(bring: Importer) -> None:
    """The provider no longer lists it: the level is held as any other."""
    bring.database.run(add_symbols, [NewSymbol("NEWC")])
    with bring.database.connection() as conn:
        conn.execute(REVERSE_SPLIT)
        conn.execute("update splits set withdrawn_at = now()")
    bars = times(bars_of(MONTH), 20.0, start="2024-03-20").filter(pl.col("ts") < "2024-03-21")

    bring(bring.write(bars), D1, symbol="NEWC")

    assert bring.query("select max(ts)::date::text from ohlc_bars where timeframe = 'd1'") == [("2024-03-19",)]


def test_adjusted_prices_do_not_jump_at_a_split(bring: Importer) -> None:
    """In a series that is adjusted for splits one on file explains no leap."""
    bring.database.run(add_symbols, [NewSymbol("NEWC")])
    with bring.database.connection() as conn:
        conn.execute(REVERSE_SPLIT)
    bars = times(bars_of(MONTH), 20.0, start="2024-03-20").filter(pl.col("ts") < "2024-03-21")

    bring(bring.write(bars), D1, symbol="NEWC", basis="split")

    assert bring.query("select max(ts)::date::text from ohlc_bars where timeframe = 'd1'") == [("2024-03-19",)]
