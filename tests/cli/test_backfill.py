"""`barfill backfill`, `status` and `gaps` as a user meets them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import BARFILL, KEY, SECRET, Shell

WEEK = ("--start", "2026-06-01", "--end", "2026-06-06")
BARS = "bars"


def bars_requests(exchange: SimulatedExchange) -> int:
    return sum(request.endpoint == BARS for request in exchange.requests)


def test_a_backfill_shows_matrix_summary_and_what_to_type_next(shell: Shell) -> None:
    """Results on stdout, progress on stderr, exit code 0."""
    done = shell("backfill", "AAPL", "msft", "--timeframes", "15m,1d", *WEEK)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["symbol", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"]
    assert lines[2].split() == ["AAPL", "·", "·", "✓", "·", "·", "·", "✓", "·"]
    for words in (
        "Duration",
        "2 ok, 0 failed",
        "2 made, 2 the least possible",
        "0 detected",
        "Done: complete.",
        "barfill sql",
    ):
        assert words in done.stdout
    assert "added 2 symbols: AAPL, MSFT" in done.stderr
    assert "1 Fetching: 270 expected bars" in done.stderr


def test_a_second_backfill_asks_for_nothing(shell: Shell, exchange: SimulatedExchange) -> None:
    """What is covered is never paid for twice."""
    shell("backfill", "AAPL", "--timeframes", "15m,1d", *WEEK)
    exchange.forget_requests()

    done = shell("backfill", "AAPL", "--timeframes", "15m,1d", *WEEK)

    assert done.returncode == 0
    assert exchange.requests == []
    assert done.stderr.strip() == "plan: nothing to fetch: all of it is covered"
    assert "of 2026-06-01 to 2026-06-05" in done.stdout
    assert "Done: complete." in done.stdout
    assert "Calls" not in done.stdout


def test_a_series_goes_on_with_the_provider_that_was_named_for_it(shell: Shell, exchange: SimulatedExchange) -> None:
    """Its later runs need no --provider; of whom they were named for, nothing is said to be of another."""
    venues = {f"{name.upper()}_BASE_URL": exchange.venue_url(name) for name in ("binance", "coinbaseexchange")}
    shell("backfill", "BTC/USD", "--timeframe", "1d", *WEEK, "--provider", "binance", **venues)
    exchange.forget_requests()

    later = shell(
        "backfill", "BTC/USD", "--timeframes", "1h,1d", "--start", "2026-06-01", "--end", "2026-06-10", **venues
    )

    assert later.returncode == 0, later.stdout + later.stderr
    found = shell("sql", "select distinct timeframe, provider from ohlc_bars order by 1", "--csv")
    assert found.stdout.split() == ["timeframe,provider", "d1,binance", "h1,binance"]
    assert {request.endpoint for request in exchange.requests} == {"exchange_info", "klines"}  # none of Coinbase
    named = shell("backfill", "BTC/USD", "--timeframe", "1d", *WEEK, "--provider", "coinbaseexchange", **venues)
    assert "covered with bars of binance (barfill verify --provider coinbaseexchange compares them)" in named.stderr


def test_full_asks_again_and_changes_nothing(shell: Shell, exchange: SimulatedExchange) -> None:
    """The same bars come and are recognised."""
    shell("backfill", "AAPL", "--timeframe", "1d", *WEEK)
    exchange.forget_requests()

    report = json.loads(shell("backfill", "AAPL", "--timeframe", "1d", *WEEK, "--full", "--json").stdout)

    assert bars_requests(exchange) == 1
    assert (report["summary"]["bars_written"], report["summary"]["bars_changed"]) == (0, 0)


def test_json_and_output_hold_the_same_report(shell: Shell, tmp_path: Path) -> None:
    """Nothing but JSON is on stdout; the file is written too."""
    path = tmp_path / "report.json"

    done = shell("backfill", "AAPL", "--timeframe", "1d", *WEEK, "--json", "--output", str(path))

    report = json.loads(done.stdout)
    assert json.loads(path.read_text()) == report
    assert set(report) >= {"summary", "gaps_detected", "gaps_filled", "matrix", "failures"}
    assert report["matrix"]["AAPL"]["1d"]["complete"] is True
    assert report["summary"]["exit_code"] == 0
    assert (report["gaps_filled"], report["summary"]["gaps_filled"]) == ([], 0)


def test_a_symbol_that_is_not_offered_fails_alone(shell: Shell) -> None:
    """The others go on; the exit code is 1."""
    done = shell("backfill", "AAPL", "NOSUCH", "--timeframe", "1d", *WEEK)

    assert done.returncode == 1
    assert "SYMBOL_NOT_FOUND: NOSUCH" in done.stdout
    assert (done.stdout + done.stderr).count("'NOSUCH' is not offered by alpaca") == 1
    assert "1 ok, 1 failed" in done.stdout


def test_a_symbol_that_cannot_be_looked_up_fails_alone(shell: Shell, exchange: SimulatedExchange) -> None:
    """With its own error; what is on record is fetched."""
    shell("symbols", "add", "AAPL")
    exchange.set_faults([{"match": {"endpoint": "asset"}, "fault": "H06"}])

    done = shell("backfill", "AAPL", "MSFT", "--timeframe", "1d", *WEEK)

    assert done.returncode == 1
    assert "1 ok, 1 failed" in done.stdout
    assert (done.stdout + done.stderr).count("Symbol 'MSFT' could not be looked up: ") == 1
    assert bars_requests(exchange) > 0


def test_only_symbols_that_are_not_offered_is_one_sentence(shell: Shell, exchange: SimulatedExchange) -> None:
    """No bars are asked for; the spelling is to be checked."""
    done = shell("backfill", "NOSUCH", "--timeframe", "1d")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: Symbol 'NOSUCH' is not offered by alpaca. Check the spelling")
    assert bars_requests(exchange) == 0


def test_a_range_without_a_session_is_told_as_such(shell: Shell, exchange: SimulatedExchange) -> None:
    """A weekend is neither fetched nor called covered."""
    weekend = ("--start", "2026-06-06", "--end", "2026-06-08")

    done = shell("backfill", "AAPL", "--timeframe", "1d", *weekend)
    planned = shell("backfill", "AAPL", "--timeframe", "1d", *weekend, "--dry-run")

    assert done.returncode == 0
    assert "plan: no sessions in this range" in done.stderr
    assert "Done: no sessions in this range." in done.stdout
    assert "No sessions in this range." in planned.stdout
    assert bars_requests(exchange) == 0


def test_a_symbol_that_is_no_longer_traded_is_told_as_such(shell: Shell) -> None:
    """When it is added, and in the list of all."""
    added = shell("symbols", "add", "GONE")

    assert "GONE is no longer traded, says alpaca: its history is fetched" in added.stderr
    assert "(inactive)" in shell("symbols", "list", "--all").stdout


def test_a_dry_run_tells_the_cost_and_fetches_nothing(shell: Shell, exchange: SimulatedExchange) -> None:
    """Calls by timeframe, time, bars."""
    done = shell("backfill", "AAPL", "--timeframes", "1m,1h,1d", *WEEK, "--dry-run")
    as_json = json.loads(shell("backfill", "AAPL", "--timeframes", "1m,1h,1d", *WEEK, "--dry-run", "--json").stdout)

    assert done.returncode == 0, done.stderr
    assert bars_requests(exchange) == 0
    for words in ("Calls", "at the rate limit", "1h", "Nothing was fetched"):
        assert words in done.stdout
    assert as_json["dry_run"] is True
    assert as_json["by_timeframe"] == {"1d": 1, "1m": 1}
    assert as_json["bars_by_timeframe"] == {"1d": 5, "1m": 1_950}


def test_max_calls_bounds_a_run_and_the_next_one_goes_on(shell: Shell, exchange: SimulatedExchange) -> None:
    """Exit code 3 until all is there; no page is fetched twice."""
    wanted = ("backfill", "AAPL", "--timeframe", "15m", *WEEK, "--max-calls", "2")

    first, second = (shell(*wanted, ALPACA_PAGE_SIZE="100") for _ in range(2))

    assert (first.returncode, second.returncode) == (3, 0)
    assert re.search(r"Gaps +0 detected, .* 0 remaining\nStill to get +\d+ expected bars", first.stdout)
    assert "1 part of an interrupted backfill is gone on with" in second.stderr
    assert bars_requests(exchange) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backfill_resumes(number: signal.Signals, shell: Shell, exchange: SimulatedExchange) -> None:
    """The first signal ends it after the pages in hand with exit code 130; the same command goes on from there."""
    exchange.set_faults([{"match": {"endpoint": BARS, "nth": 3}, "fault": "H17", "args": {"seconds": 1.5}}])
    wanted = ("backfill", "AAPL", "--timeframe", "1m", *WEEK)
    with shell.begin(*wanted, ALPACA_PAGE_SIZE="100") as process:
        assert process.stderr is not None
        while "1 Fetching" not in process.stderr.readline():
            pass
        process.send_signal(number)
        told, said = process.communicate(timeout=30)

    again = shell(*wanted, ALPACA_PAGE_SIZE="100")

    assert process.returncode == 130
    assert "Stopping after the pages in hand" in said
    assert re.search(r"Gaps +0 detected", told)
    assert re.search(r"Still to get +[\d,]+ expected bars", told)
    assert "Interrupted. Run the same command again to resume where it stopped." in told
    assert again.returncode == 0, again.stderr


def test_a_second_interrupt_leaves_at_once(shell: Shell) -> None:
    """Even while the rate limit makes it wait for a minute."""
    wanted = ("backfill", "AAPL", "--timeframe", "1m", *WEEK)
    with shell.begin(*wanted, ALPACA_PAGE_SIZE="100", ALPACA_REQUESTS_PER_MINUTE="1") as process:
        assert process.stderr is not None
        while "waiting" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        while "leave at once" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=5)

    assert process.returncode == 130
    assert said.strip() == "Interrupted. Run the same command again to resume where it stopped."


def test_an_early_interrupt_says_what_to_do_next_too(shell: Shell, exchange: SimulatedExchange) -> None:
    """While the provider is asked for a symbol, before anything is fetched."""
    exchange.set_faults([{"match": {"endpoint": "asset"}, "fault": "H17", "args": {"seconds": 5}}])
    with shell.begin("backfill", "AAPL", "--timeframe", "1d", *WEEK) as process:
        while not exchange.requests:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said.strip() == "Interrupted. Run the same command again to resume where it stopped."


def test_a_dead_provider_gets_one_piece_of_advice(shell: Shell) -> None:
    """Nothing can be corrected, and what was never asked for is no gap."""
    shell("symbols", "add", "AAPL")

    done = shell("backfill", "AAPL", "--timeframe", "1d", *WEEK, ALPACA_BASE_URL="http://127.0.0.1:9/alpaca")

    assert done.returncode == 1
    assert "Finished, but something failed (above). Run the same command again once it is over." in done.stdout
    assert "Correct it" not in done.stdout


def test_nothing_shows_the_keys(shell: Shell, exchange: SimulatedExchange, database: Database) -> None:
    """X15: neither the output nor the run table holds them, also when they are rejected in the middle."""
    exchange.set_faults([{"match": {"endpoint": BARS}, "fault": "H05"}])

    done = shell("backfill", "AAPL", "--timeframe", "1d", *WEEK, BARFILL_DEBUG="1")
    with database.connection() as conn:
        stored = str(conn.execute("select * from job_runs").fetchall())

    assert done.returncode == 1
    for secret in (KEY, SECRET):
        assert secret not in done.stdout + done.stderr + stored


def test_on_a_terminal_the_bars_move(shell: Shell) -> None:
    """With a terminal on stderr the progress is drawn in place, and the matrix is still whole."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [BARFILL, "backfill", "AAPL", "--timeframes", "1m,1d", *WEEK],
        env=shell.changed({"TERM": "xterm", "COLUMNS": "120"}),
        stdout=subprocess.PIPE,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    drawn = os.read(ours, 1_000_000).decode()
    os.close(ours)

    assert done.returncode == 0
    assert "\x1b[" in drawn
    assert "1,955/1,955 bars" in drawn
    assert "AAPL" in done.stdout.decode()


def test_status_says_how_far_behind_everything_is(shell: Shell) -> None:
    """A series that ends long ago is unhealthy: exit code 1 with --unhealthy, 0 without."""
    shell("backfill", "AAPL", "--timeframe", "1d", *WEEK)

    shown, unhealthy = shell("status"), shell("status", "--unhealthy")
    report = json.loads(shell("status", "--json").stdout)

    assert (shown.returncode, unhealthy.returncode) == (0, 1)
    assert "Fetch what is missing:\n  barfill backfill AAPL --timeframes 1d --days" in shown.stdout
    assert "of all that was ever asked for" in shown.stdout
    assert report["healthy"] is False
    assert report["symbols"][0]["timeframes"]["1d"]["bar_count"] == 5
    assert report["symbols"][0]["sessions_behind"] > 1


def test_the_command_that_status_names_reaches_what_failed(shell: Shell, exchange: SimulatedExchange) -> None:
    """However old the oldest gap is: the command finishes what had failed."""
    exchange.set_faults([{"match": {"endpoint": BARS}, "fault": "H04", "args": {"status": 500}}])
    shell("backfill", "AAPL", "--timeframe", "1d", "--days", "1200")
    exchange.set_faults([])

    shown = shell("status").stdout
    command = re.search(r"^  barfill (backfill AAPL .*)$", shown, re.MULTILINE)
    assert command is not None, shown
    assert re.search(r"^\d+ open gaps?: barfill gaps AAPL$", shown, re.MULTILINE)
    assert int(command[1].rpartition(" ")[2]) >= 1200


def test_status_counts_the_open_gaps_of_a_healthy_symbol(shell: Shell, exchange: SimulatedExchange) -> None:
    """Where an old range failed and the last run went well, it points to the list of gaps."""
    exchange.set_faults([{"match": {"endpoint": BARS}, "fault": "H04", "args": {"status": 500}}])
    shell("backfill", "AAPL", "--timeframe", "1d", *WEEK)
    exchange.set_faults([])
    shell("backfill", "AAPL", "--timeframe", "1d", "--days", "10")

    shown = shell("status").stdout
    report = json.loads(shell("status", "--json").stdout)

    assert "1 open gap: barfill gaps AAPL\nAll symbols are at most one session behind" in shown
    assert report["symbols"][0]["timeframes"]["1d"]["open_gaps"] == 1


def test_status_of_a_fresh_symbol_is_healthy(shell: Shell) -> None:
    """At most one session behind."""
    shell("backfill", "AAPL", "--timeframe", "1d", "--days", "10")

    done = shell("status", "--unhealthy")

    assert done.returncode == 0, done.stdout
    assert "All symbols are at most one session behind" in done.stdout


def test_status_of_an_empty_database_says_how_to_begin(shell: Shell) -> None:
    """No table, a command to type."""
    done = shell("status")

    assert (done.returncode, done.stdout) == (0, "")
    assert "barfill backfill AAPL" in done.stderr


def test_gaps_are_listed_with_kind_and_reason(shell: Shell) -> None:
    """Quiet minutes of an illiquid symbol are settled; they are counted, and listed when asked for."""
    shell("backfill", "THIN", "--timeframe", "1m", *WEEK)

    shown = shell("gaps", "THIN")
    listed = json.loads(shell("gaps", "THIN", "--kind", "no_trade", "--json").stdout)

    assert shown.returncode == 0
    assert "No open gaps" in shown.stdout
    assert "no_trade" in shown.stdout
    assert {gap["kind"] for gap in listed["gaps"]} == {"no_trade"}
    assert sum(gap["expected_bars"] for gap in listed["gaps"]) == listed["counts"]["no_trade"]["bars"] > 1_000


def test_gaps_of_an_unknown_symbol_is_one_sentence(shell: Shell) -> None:
    """Exit code 1."""
    done = shell("gaps", "NOSUCH")

    assert done.returncode == 1
    assert "'NOSUCH' is not on record" in done.stderr


def on_terminal(shell: Shell, *arguments: str, columns: int = 80) -> list[str]:
    """The lines that a command writes to a terminal of that width, without colours."""
    ours, theirs = pty.openpty()
    environment = shell.changed({"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)})
    with subprocess.Popen([BARFILL, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=theirs) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 65_536):
                written += part
        process.wait(timeout=60)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).splitlines()


def test_gaps_fit_a_terminal_of_80_columns(shell: Shell) -> None:
    """One line holds the gap, unbroken, the next ones its reason."""
    shell("backfill", "THIN", "--timeframe", "1m", *WEEK)

    lines = on_terminal(shell, "gaps", "THIN", "--kind", "no_trade", "--limit", "3")

    assert lines[0].split() == ["symbol", "timeframe", "from", "to", "(UTC,", "excluded)", "bars", "kind"]
    assert lines[1].startswith("THIN    1m         2026-06-01 13:")
    assert lines[1].endswith("no_trade")
    assert lines[2].startswith("    ")
    assert max(map(len, lines[:7])) <= 80


def test_gaps_are_listed_from_the_finest_timeframe_on(shell: Shell) -> None:
    """Not by the letters of their names; the limit cuts the last ones."""
    shell("backfill", "THIN", *WEEK, "--timeframes", "5m,15m,1h")

    first = json.loads(shell("gaps", "THIN", "--kind", "no_trade", "--json", "--limit", "1").stdout)["gaps"]

    timeframes = list(dict.fromkeys(gap["timeframe"] for gap in json.loads(all_gaps(shell))["gaps"]))
    assert len(timeframes) > 1
    assert timeframes == [one for one in ("1m", "5m", "15m", "30m", "1h") if one in timeframes]
    assert [gap["timeframe"] for gap in first] == ["5m"]


def all_gaps(shell: Shell) -> str:
    return shell("gaps", "THIN", "--settled", "--json", "--limit", "100000").stdout


def test_a_kind_of_which_there_is_no_gap_is_told_as_such(shell: Shell) -> None:
    """Instead of a sentence about open gaps."""
    shell("symbols", "add", "AAPL", "--unchecked")

    assert shell("gaps", "--kind", "halted").stdout == "No gaps of this kind.\n"


def test_status_fits_a_terminal_of_80_columns(shell: Shell) -> None:
    """What is written out elsewhere is short there, and nothing is cut off."""
    shell("backfill", "AAPL", "--timeframes", "1m,1d", *WEEK)

    lines = on_terminal(shell, "status")

    assert lines[0].split()[-4:] == ["behind", "last", "run", "result"]
    assert re.search(r" \d+s \d+d +\d+ (s|min) +ok", lines[1])
    assert "behind: s sessions, d days" in lines[2]
    assert max(map(len, lines[:2])) <= 80


def test_a_pipe_is_as_wide_as_columns_says(shell: Shell) -> None:
    """Nothing of the matrix reaches beyond 80 columns there."""
    shell("backfill", "AAPL", "--timeframe", "1d", *WEEK)

    lines = shell("status", COLUMNS="80").stdout.splitlines()

    assert max(map(len, lines)) <= 80


def test_how_far_behind_is_told_of_one_timeframe(shell: Shell) -> None:
    """Sessions and days are those of the series that is farthest behind."""
    shell("backfill", "AAPL", "--timeframe", "1d", *WEEK)
    shell("backfill", "AAPL", "--timeframe", "1h", "--days", "10")

    found = json.loads(shell("status", "--json").stdout)["symbols"][0]

    worst = found["timeframes"]["1d"]
    assert found["sessions_behind"] == worst["sessions_behind"] > found["timeframes"]["1h"]["sessions_behind"]
    assert found["days_behind"] == worst["days_behind"]
