"""A thousand symbols of which some are bad: each of these fails alone, whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

GOOD_COUNT = 996
SPECIAL = {"THIN", "HLTD", "NEWC", "GONE"}
UNKNOWN = ("ZZZZA", "ZZZZB", "ZZZZC")
MALFORMED = "A..B"
BAD = [MALFORMED, *UNKNOWN]


@pytest.fixture(scope="module")
def wide_exchange() -> Iterator[SimulatedExchange]:
    """An exchange with more than a thousand symbols."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", symbols=GOOD_COUNT + len(SPECIAL))) as exchange:
        yield exchange


@pytest.fixture
def good(wide_exchange: SimulatedExchange) -> list[str]:
    """Symbols that trade on every day."""
    wide_exchange.forget_requests()
    tickers = [ticker for ticker in wide_exchange.listings if ticker not in SPECIAL]
    assert len(tickers) == GOOD_COUNT
    return tickers


def test_bad_symbols_on_the_command_line_fail_alone(
    shell: Shell, wide_exchange: SimulatedExchange, good: list[str], tmp_path: Path
) -> None:
    """996 are complete, three unknown ones and a malformed one fail with SYMBOL_NOT_FOUND; exit code 1."""
    report_at = tmp_path / "report.json"
    named = ",".join([*good[:500], *UNKNOWN, MALFORMED, *good[500:]])
    options = ("--timeframe", "1d", "--start", "2026-06-01", "--end", "2026-06-06", "--output", str(report_at))

    done = shell("backfill", "--symbols", named, *options, ALPACA_BASE_URL=wide_exchange.alpaca_url)

    assert done.returncode == 1, done.stderr
    report = json.loads(report_at.read_text())
    failed = [(failure["error_code"], *failure["symbols"]) for failure in report["failures"]]
    assert sorted(failed) == [("SYMBOL_NOT_FOUND", ticker) for ticker in BAD]
    assert (report["summary"]["symbols_ok"], report["summary"]["symbols_failed"]) == (GOOD_COUNT, len(BAD))
    assert sum(series["1d"]["complete"] for series in report["matrix"].values()) == GOOD_COUNT
    assert f"SYMBOL_NOT_FOUND: {MALFORMED}: Symbol '{MALFORMED}' cannot be one. Write 1 to 20" in done.stdout


def test_bad_symbols_of_definitions_fail_alone(
    shell: Shell, database: Database, wide_exchange: SimulatedExchange, good: list[str]
) -> None:
    """The same through batches: no batch is lost, and the next look fails again without asking again."""
    tickers = sorted([*good, *BAD])
    with database.connection() as conn:
        conn.execute("alter table symbols disable trigger refuse_malformed_ticker")  # as tables of before may hold it
        conn.execute("insert into symbols (ticker) select unnest(%s::text[])", [tickers])
        for start in range(0, len(tickers), 50):
            batch = json.dumps(tickers[start : start + 50])
            conn.execute(
                "insert into job_definitions (symbols_array, timeframe, window_days) values (%s, 'd1', 5)", [batch]
            )

    done = shell("schedule", "--once", ALPACA_BASE_URL=wide_exchange.alpaca_url)

    assert done.returncode == 1, done.stderr
    with database.connection() as conn:
        states = conn.execute("select last_result, count(*) from series where timeframe = 'd1' group by 1").fetchall()
        assert dict(states) == {"ok": GOOD_COUNT, "fail": len(BAD)}
        failed = conn.execute("select ticker, last_error_code from backfill_status where last_result = 'fail'")
        assert sorted(failed) == [(ticker, "SYMBOL_NOT_FOUND") for ticker in BAD]
        assert conn.execute("select distinct status from job_runs").fetchall() == [("success",)]
    wide_exchange.forget_requests()
    assert shell("schedule", "--once", ALPACA_BASE_URL=wide_exchange.alpaca_url).returncode == 1
    assert wide_exchange.requests == []


def test_only_bad_texts_are_a_usage_error(shell: Shell) -> None:
    """Where nothing that is named can be a symbol, the command says so and fetches nothing."""
    done = shell("backfill", MALFORMED, "$")

    assert done.returncode == 2
    assert "'A..B' cannot be one" in done.stderr
    assert "'$' cannot be one" in done.stderr
