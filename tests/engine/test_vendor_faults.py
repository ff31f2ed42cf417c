"""Every fault that a vendor can produce, at every provider: nothing wrong is stored, and in the end all is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.settings import EngineSettings
from barfill.providers.http import Timeouts
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.simulate.faults import catalogue
from barfill.store.database import Database
from barfill.store.series import read_series
from tests.engine.rig import Bars
from tests.engine.test_every_provider import VENUES, ProviderRig

M15, D1 = Timeframe.M15, Timeframe.D1
SEEN_BY_NOBODY = {
    "D06": "a price that could be",
    "D09": "a high that could be",
    "D18": "a volume that could be",
    "D19": "volumes that could be",
    "D20": "one bar that is absent, as a bar without a trade is",
    "D24": "an earlier volume of a bar",
    "D25": "an earlier close of a bar",
    "H33": "an earlier value of a bar",
    "T07": "a day of a calendar, not a bar",
}
"""What breaks no rule: a second reading, or another provider (`barfill verify`), tells."""
SEEN_AT_OTHERS = {("kraken", "H30"): "columns go by position there: one more shifts the others"}
WAITED_OUT = frozenset({"H01", "H02", "H03"})
"""Told waits are the client's business, whoever the vendor is: tests/providers/test_client.py, test_faults_http.py."""
NAMES = ("massive", "tradier", "finnhub", *VENUES)
BARS = {
    ("massive", M15): "aggs",
    ("massive", D1): "aggs",
    ("tradier", M15): "timesales",
    ("tradier", D1): "history",
    ("finnhub", M15): "candle",
    ("finnhub", D1): "candle",
    ("binance", M15): "klines",
    ("binance", D1): "klines",
    ("kraken", M15): "ohlc",
    ("kraken", D1): "ohlc",
}
"""Endpoints of bars; those of the others are called candles."""
OF_DAYS = frozenset({"D08", "D15", "V07", "D33"})
ALL_TABLES = (
    "truncate symbols, series, ohlc_bars, job_runs, bar_revisions, series_gaps, quarantined_bars, watchlists cascade"
)


@pytest.fixture(scope="module")
def paid() -> Iterator[SimulatedExchange]:
    """An exchange whose keys are on paying plans."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.mark.parametrize("name", NAMES)
def test_nothing_wrong_is_stored_and_all_is_there_in_the_end(
    paid: SimulatedExchange, database: Database, name: str
) -> None:
    """What is stored is the exchange's, what is covered is stored or a gap, and a second run makes it whole."""
    rig = ProviderRig(
        paid,
        database,
        name=name,
        timeouts=Timeouts(connect_s=1, read_s=0.3, total_s=0.6),
        attempts=2,
        settings=EngineSettings(max_concurrent_jobs=2, gap_attempts=1, gap_retry_waits_s=(0.0,)),
    )
    told: list[str] = []
    for fault in sorted(catalogue(name)):
        if fault not in WAITED_OUT | SEEN_BY_NOBODY.keys() and (name, fault) not in SEEN_AT_OTHERS:
            rig.change(ALL_TABLES)
            told += [f"{fault}: {what}" for what in _wrong(rig, fault)]

    assert told == []


def _wrong(rig: ProviderRig, fault: str) -> Iterator[str]:
    """What goes wrong under one fault."""
    timeframe = D1 if fault in OF_DAYS else M15
    wanted = rig.window(timeframe)
    match = {"provider": rig.name, "endpoint": BARS.get((rig.name, timeframe), "candles")}
    rig.exchange.set_faults([{"match": match, "fault": fault, "args": _args(fault)}])
    try:
        rig.fill(timeframe, wanted)
    finally:
        rig.exchange.set_faults([])
    truth = rig.traded(timeframe, wanted)
    if untrue := _untrue(rig, timeframe, truth):
        yield f"{len(untrue)} bars are not the exchange's, such as {next(iter(untrue.items()))}"
    if lost := _covered_for_nothing(rig, timeframe, truth, wanted):
        yield f"{len(lost)} bars are covered and neither stored nor a gap"
    for _ in range(3):
        rig.change(
            "update series_gaps set next_check_at = now() - interval '1 s', first_seen_at = now() - interval '2 h'"
        )
        rig.fill(timeframe, wanted)
        if rig.query("select count(*) from series_gaps") == [(0,)] and len(_traded(rig, timeframe)) == len(truth):
            break
    if (lacking := len(truth) - len(_traded(rig, timeframe))) or _untrue(rig, timeframe, truth):
        kinds = rig.query("select kind, count(*) from series_gaps group by 1")
        yield f"in the end {lacking} of {len(truth)} bars are not there; gaps {kinds}"


def _args(fault: str) -> dict[str, Any]:
    """Short waits, and differences that a venue's rounding leaves."""
    return {"H17": {"seconds": 0.5}, "D05": {"by": 5.0}, "D11": {"by": 5.0}}.get(fault, {})


def _traded(rig: ProviderRig, timeframe: Timeframe) -> Bars:
    return {ts: bar for ts, bar in rig.stored(rig.ticker, timeframe).items() if bar[-1] > 0}


def _untrue(rig: ProviderRig, timeframe: Timeframe, truth: Bars) -> Bars:
    return {ts: bar for ts, bar in _traded(rig, timeframe).items() if truth.get(ts) != bar}


def _covered_for_nothing(rig: ProviderRig, timeframe: Timeframe, truth: Bars, wanted: Range) -> list[int]:
    """Starts of bars that the exchange has and that count as fetched although they are neither stored nor a gap."""
    rows = rig.database.run(read_series, None, [timeframe]).values()
    covered = Ranges(one for row in rows for one in row.covered)
    gaps = Ranges(Range(*row) for row in rig.query("select gap_from, gap_to from series_gaps"))
    stored = rig.stored(rig.ticker, timeframe)
    return [
        ts
        for ts in truth
        if ts not in stored and from_us(ts) in covered - gaps and to_us(wanted.start) <= ts < to_us(wanted.end)
    ]
