"""`symbols`, `watchlist`, `sql`, `doctor` and `simulate` as a user meets them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from barfill.simulate import SimulatedExchange
from tests.cli.conftest import BARFILL, KEY, SECRET, Shell


def test_symbols_are_added_listed_removed_and_added_again(shell: Shell) -> None:
    """The provider gives name and kind; what is removed stays on record."""
    added = shell("symbols", "add", "aapl", "SPY", "NOSUCH")
    removed = shell("symbols", "remove", "AAPL")
    listed = json.loads(shell("symbols", "list", "--json").stdout)
    again = shell("symbols", "add", "AAPL", "SPY")

    assert again.stdout == "Switched on again, with the bars they had: AAPL.\n1 symbol known already.\n"
    assert added.returncode == 1
    assert "Added SPY  etf  SPDR S&P 500 ETF Trust" in added.stdout
    assert "'NOSUCH' is not offered" in added.stderr
    assert removed.stdout == "Removed 1 symbol; their bars stay.\n"
    assert [symbol["ticker"] for symbol in listed] == ["SPY"]
    assert shell("symbols", "list").stdout.startswith("AAPL")


def test_symbol_has_the_calendar_that_is_named(shell: Shell) -> None:
    """Any name of an exchange is taken and kept as its code; one that is on record keeps the one that it has."""
    added = shell("symbols", "add", "0700.HK", "9988.HK", "--unchecked", "--calendar", "hkex")
    asked = shell("symbols", "add", "SPY", "--calendar", "NYSE")
    unknown = shell("symbols", "add", "AAPL", "--unchecked", "--calendar", "NOWHERE")
    broken = shell("symbols", "add", "AAPL", "--unchecked", "--calendar", "XTAE")
    other = shell("symbols", "add", "SPY", "--unchecked", "--calendar", "XHKG")
    listed = json.loads(shell("symbols", "list", "--json").stdout)

    assert (added.returncode, asked.returncode) == (0, 0), added.stderr + asked.stderr
    assert {one["ticker"]: one["calendar"] for one in listed} == {"0700.HK": "XHKG", "9988.HK": "XHKG", "SPY": "XNYS"}
    assert (unknown.returncode, broken.returncode, other.returncode) == (2, 2, 2)
    assert "Calendar 'NOWHERE' is unknown. Use an exchange's code such as XNYS" in unknown.stderr
    assert "cannot tell the sessions of XTAE" in broken.stderr
    assert "another calendar than XHKG: SPY (XNYS)" in other.stderr


def test_own_days_are_gone_by_and_a_file_that_is_wrong_is_refused(shell: Shell, tmp_path: Path) -> None:
    """T07: a day that CALENDAR_FILE closes is expected to have no bar; what is unclear ends the command at once."""
    path = tmp_path / "days.toml"
    path.write_text('[[NYSE]]\non = 2024-03-05\nclosed = true\nwhy = "a test"\n')
    options = ("backfill", "SPY", "--timeframe", "1d", "--start", "2024-03-04", "--end", "2024-03-07", "--json")
    done = shell(*options, CALENDAR_FILE=str(path))
    bars = shell("sql", "select count(*) from ohlc_bars", "--csv").stdout
    path.write_text("[[XNYS]]\non = 2024-03-05\n")
    wrong = shell("symbols", "list", CALENDAR_FILE=str(path))
    absent = shell("symbols", "list", CALENDAR_FILE=str(tmp_path / "none.toml"))

    assert done.returncode == 0, done.stderr
    assert bars.split()[-1] == "2"
    assert (wrong.returncode, absent.returncode) == (2, 2)
    assert "[[XNYS]] number 1: give closed = true" in wrong.stderr
    assert "none.toml cannot be read" in absent.stderr


def test_what_cannot_be_removed_is_named(shell: Shell) -> None:
    """A symbol that is not known, and one that is not on the list; exit code 1."""
    shell("watchlist", "add", "tech", "AAPL", "SPY", "--unchecked", "--no-jobs")

    unknown = shell("symbols", "remove", "NOPE")
    absent = shell("watchlist", "remove", "tech", "SPY", "MSFT", "GOOG")

    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "Not known: NOPE" in unknown.stderr
    assert (absent.returncode, absent.stdout) == (1, "Took 1 symbol off 'tech'.\n")
    assert "Not on 'tech': MSFT, GOOG." in absent.stderr


def test_symbols_can_be_imported_unchecked_without_keys(shell: Shell, tmp_path: Path) -> None:
    """A CSV file gives names and kinds; no provider is asked."""
    path = tmp_path / "list.csv"
    path.write_text("symbol,name,asset_type\nOLDCO,=1+1,stock\nFUND,Some Fund,etf\n")

    done = shell("symbols", "import", str(path), "--unchecked", ALPACA_API_KEY=None, ALPACA_API_SECRET=None)
    listed = json.loads(shell("symbols", "list", "--json").stdout)

    assert done.returncode == 0, done.stderr
    assert [(symbol["ticker"], symbol["asset_type"]) for symbol in listed] == [("FUND", "etf"), ("OLDCO", "stock")]


def test_a_watchlist_is_made_filled_and_used(shell: Shell) -> None:
    """Adding makes list and symbols; a backfill takes the list by name."""
    added = shell("watchlist", "import", "tech", "-", stdin="AAPL\nMSFT # note\n")
    used = shell("backfill", "--watchlist", "tech", "--timeframe", "1d", "--start", "2026-06-01", "--end", "2026-06-03")
    shell("watchlist", "remove", "tech", "MSFT")
    listed = shell("watchlist", "list", "tech")
    unknown = shell("watchlist", "list", "nope")
    deleted = shell("watchlist", "delete", "tech")

    assert "Put 2 symbols on 'tech'" in added.stdout
    assert used.returncode == 0, used.stderr
    assert listed.stdout == "AAPL\n"
    assert (unknown.returncode, deleted.returncode) == (1, 0)
    assert "no watchlist 'nope'" in unknown.stderr
    assert "Make it with: barfill watchlist add nope AAPL MSFT" in unknown.stderr


def test_a_statement_is_printed_as_table_csv_or_json(shell: Shell) -> None:
    """X11: texts that a spreadsheet would run are quoted in CSV; control characters never reach the terminal."""
    statement = "select '=1+1' as formula, -5 as n, null as nothing, E'\\x1b[2J' as evil"

    table, as_csv, as_json = (shell("sql", statement, *form) for form in ([], ["--csv"], ["--json"]))

    assert table.stdout.splitlines()[1].split() == ["=1+1", "-5", r"\x1b[2J"]
    assert as_csv.stdout.splitlines()[:2] == ["formula,n,nothing,evil", "'=1+1,-5,,\x1b[2J"]
    assert json.loads(as_json.stdout) == [{"formula": "=1+1", "n": -5, "nothing": None, "evil": "\x1b[2J"}]


def test_statements_may_change_data_or_be_several(shell: Shell) -> None:
    """Each tells what became of it."""
    done = shell("sql", "insert into symbols (ticker) values ('AAPL'), ('MSFT'); select count(*) from symbols")

    assert done.stdout.splitlines() == ["INSERT 0 2", "count", "    2", "(1 row)"]


def test_a_wrong_statement_is_one_sentence(shell: Shell) -> None:
    """PostgreSQL's reason, exit code 1."""
    done = shell("sql", "selec 1")

    assert done.returncode == 1
    assert 'syntax error at or near "selec"' in done.stderr


def test_a_pipe_of_statements_goes_on_after_an_error(shell: Shell) -> None:
    """As at a prompt."""
    done = shell("sql", stdin="select 1 as a;\nselec;\nselect\n2 as b;\n")

    assert done.returncode == 0
    assert done.stdout.split() == ["a", "1", "(1", "row)", "b", "2", "(1", "row)"]
    assert "syntax error" in done.stderr


def test_a_long_result_is_shortened_in_a_table_only(shell: Shell) -> None:
    """CSV has every row."""
    statement = "select * from generate_series(1, 2500) as n"

    assert "(the first 1,000 rows; use --csv or --json to see all)" in shell("sql", statement).stdout
    assert len(shell("sql", statement, "--csv").stdout.splitlines()) == 2501


def test_a_table_does_not_wait_for_rows_that_it_does_not_show(shell: Shell) -> None:
    """The server stops after the first thousand: these would take it more than two hours."""
    done = shell("sql", "select n, pg_sleep(case when n > 1500 then 1 end) from generate_series(1, 10000) as n")

    assert (done.returncode, "the first 1,000 rows" in done.stdout) == (0, True)


def test_the_prompt_lists_relations_and_leaves_in_the_middle_of_a_statement(shell: Shell) -> None:
    """Without partitions, of which there are many."""
    done = shell("sql", stdin="\\d\nselect\nhelp\n\\q\n1;\n")

    words = done.stdout.split()
    assert {"market_data", "ohlc_bars", "symbols", "view", "table"} <= set(words)
    assert not [word for word in words if re.match(r"ohlc_bars_[mhdw]\d", word)]
    assert "Statements end with a semicolon" in done.stderr
    assert "syntax error" not in done.stderr


def wait_for(terminal: int, text: str) -> None:
    """Reads what a terminal shows until *text* comes."""
    seen = ""
    while text not in seen:
        seen += os.read(terminal, 1024).decode()


def test_on_a_terminal_the_start_of_the_private_server_is_explained(shell: Shell) -> None:
    """Making it takes seconds, in which nothing else would be shown."""
    ours, theirs = pty.openpty()
    environment = shell.changed({"DATABASE_URL": None})
    with subprocess.Popen([BARFILL, "status"], env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        wait_for(ours, "starting the database")
        wait_for(ours, "There are no symbols yet")

        assert process.wait(timeout=20) == 0
    os.close(ours)


def test_the_connection_string_opens_the_private_server_while_it_runs(shell: Shell) -> None:
    """--keep-open holds it until Ctrl-C."""
    with shell.begin("sql", "--url", "--keep-open", DATABASE_URL=None) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with psycopg.connect(url) as conn:
            found = conn.execute("select count(*) from symbols").fetchone()
        process.send_signal(signal.SIGINT)

    assert found == (0,)
    assert process.returncode == 0


def test_doctor_is_content_when_all_is_well(shell: Shell) -> None:
    """Every check has its tick; no secret and no home directory is shown (X14)."""
    done = shell("doctor", HOME="/tmp/somebody", BARFILL_HOME="/tmp/somebody/bars")

    assert done.returncode == 0, done.stdout
    for name in ("settings", "directory", "disk", "database", "clock", "keys", "calendar"):
        assert f"✓ {name}" in done.stdout
    for hidden in (KEY, SECRET, "/tmp/somebody", "postgresql://"):
        assert hidden not in done.stdout
    assert "~/bars" in done.stdout
    assert f"({len(KEY)} characters)" not in done.stdout


def test_doctor_makes_the_directory_and_says_so(shell: Shell, tmp_path: Path) -> None:
    """With the private database in it, which the other checks need."""
    done = shell("doctor", BARFILL_HOME=str(tmp_path / "new"), DATABASE_URL=None)

    assert re.search(r"✓ directory  \S+/new, made just now, mode \d+, can be written", done.stdout)
    assert "when it is needed" not in done.stdout


def test_doctor_names_what_is_wrong(shell: Shell) -> None:
    """A rejected key fails its check alone; the exit code is 1; JSON says the same."""
    done = shell("doctor", "--json", ALPACA_API_SECRET="wrong")

    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert [check["name"] for check in report["checks"] if not check["is_ok"]] == ["keys"]
    assert {"name": "ALPACA_API_KEY", "value": "set", "source": "environment"} in report["settings"]


def test_doctor_tells_what_providers_say_of_the_calendar(shell: Shell, exchange: SimulatedExchange) -> None:
    """Each day that differs, and whose calendar could not be read; neither is a failure (T07)."""
    exchange.set_faults(
        [
            {"match": {"provider": "alpaca", "endpoint": "calendar"}, "fault": "T07"},
            {"match": {"provider": "massive", "endpoint": "market_upcoming"}, "fault": "H07", "args": {"form": "data"}},
        ]
    )
    keys = {f"{vendor}_API_KEY": "k" for vendor in ("MASSIVE", "FINNHUB")} | {"TRADIER_API_TOKEN": "k"}
    urls = {
        "MASSIVE_BASE_URL": exchange.massive_url,
        "TRADIER_BASE_URL": exchange.tradier_url,
        "FINNHUB_BASE_URL": exchange.finnhub_url,
    }

    done = shell("doctor", "--json", **keys, **urls)

    checks = [check for check in json.loads(done.stdout)["checks"] if check["name"] in {"keys", "calendar", "clock"}]
    assert (done.returncode, all(check["is_ok"] for check in checks)) == (0, True)
    names = ["clock", "keys", "calendar", "keys", "calendar", "keys", "calendar", "clock", "keys", "calendar"]
    assert [check["name"] for check in checks] == names
    differing, unread, agreeing, theirs = (checks[place] for place in (2, 4, 6, 7))
    assert [check["is_warning"] for check in (differing, unread, agreeing, theirs)] == [True, True, False, False]
    assert re.match(
        r"\S+: http://\S+/alpaca says closed, exchange_calendars \S+ says \d\d:30 to \S+ UTC.\nSee the exchange's own ",
        differing["text"],
    )
    assert "massive's calendar cannot be read, so nothing is compared: Massive's plan" in unread["text"]
    assert re.search(r"tradier and exchange_calendars \S+ agree on the sessions from \S+ to \S+$", agreeing["text"])
    assert theirs["text"].endswith("/tradier's")


def test_doctor_marks_a_difference(shell: Shell, exchange: SimulatedExchange) -> None:
    """With a sign of its own, of a day as of Tradier's clock."""
    exchange.set_faults([{"fault": "T07", "args": {"form": "short"}}])
    exchange.set_clock(datetime.now(UTC) + timedelta(minutes=10))
    try:
        done = shell("doctor", TRADIER_API_TOKEN="k", TRADIER_BASE_URL=exchange.tradier_url)
    finally:
        exchange.set_clock(datetime.now(UTC))

    assert done.returncode == 0
    assert done.stdout.count("  ! calendar   20") == 2
    assert re.search(r"  ! clock      This machine's clock is (599|600) s behind http://\S+/tradier's", done.stdout)


def test_doctor_works_with_settings_that_cannot_be_read(shell: Shell) -> None:
    """It shows every problem, which is what it is for."""
    done = shell("doctor", ALPACA_PLAN="gold")

    assert done.returncode == 1
    assert "✗ settings" in done.stdout
    assert "ALPACA_PLAN 'gold'" in done.stdout


def test_simulate_prints_what_to_export_and_serves(shell: Shell) -> None:
    """The lines keep invented bars away from real ones; Ctrl-C ends it and tells the counts."""
    with shell.begin("simulate", "--port", "0", "--symbols", "3") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(15)]
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        url = exported["ALPACA_BASE_URL"].removesuffix("/alpaca")
        counts = json.load(urllib.request.urlopen(f"{url}/simulate/requests"))
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)

    assert set(exported) == {
        "ALPACA_BASE_URL", "ALPACA_API_KEY", "ALPACA_API_SECRET", "MASSIVE_BASE_URL", "MASSIVE_API_KEY",
        "TRADIER_BASE_URL", "TRADIER_API_TOKEN", "FINNHUB_BASE_URL", "FINNHUB_API_KEY",
        "BINANCE_BASE_URL", "COINBASEEXCHANGE_BASE_URL", "KRAKEN_BASE_URL", "BARFILL_HOME",
    }  # fmt: skip
    assert "barfill-simulated" in exported["BARFILL_HOME"]
    assert "total" in counts
    assert (process.returncode, "requests" in rest) == (0, True)


def test_a_replay_has_a_home_of_its_own_and_tells_left_out_files_by_reason(shell: Shell, tmp_path: Path) -> None:
    """Few files are named, of many only the number is told, except with --verbose."""
    day = "ts,open,high,low,close,volume\n2026-06-01T13:30:00Z,1,2,1,2,100\n"
    (tmp_path / "equity_ABC_m1_2026.csv").write_text(day)
    (tmp_path / "equity_ABC_m1_2026_other.csv").write_text(day)
    for number in range(5):
        (tmp_path / f"note{number}.txt").write_text("")

    told = {}
    for options in ((), ("--verbose",)):
        with shell.begin("simulate", "--port", "0", "--replay", str(tmp_path), *options) as process:
            assert process.stdout is not None
            told[options] = [process.stdout.readline().strip() for _ in range(17)]
            process.send_signal(signal.SIGINT)

    first, second, *rest = told[()]
    assert first == "# 5 files left out: not a .parquet or .csv file"
    assert second.startswith("# equity_ABC_m1_2026_other.csv left out: another file holds the same series")
    assert "barfill-replay" in "".join(rest + told["--verbose",])
    assert "# ABC 1m: 2026-06-01 to 2026-06-01" in rest
    assert rest[-1] == "#   barfill backfill ABC --timeframes 1m --start 2026-06-01 --end 2026-06-02"
    assert told["--verbose",][0].startswith("# note0.txt, note1.txt, note2.txt, note3.txt, note4.txt left out")


def test_a_fault_script_that_cannot_be_read_is_refused(shell: Shell, tmp_path: Path) -> None:
    """Not JSON, or a fault that does not exist: exit code 2."""
    broken, unknown = tmp_path / "broken.json", tmp_path / "unknown.json"
    broken.write_text("{match")
    unknown.write_text('[{"fault": "H99"}]')

    for path, words in ((broken, "is not JSON"), (unknown, "H99")):
        done = shell("simulate", "--port", "0", "--faults", str(path))
        assert done.returncode == 2, done.stderr
        assert words in done.stderr


def test_a_port_in_use_is_one_sentence(shell: Shell, exchange: SimulatedExchange) -> None:
    """It names the port, who may be there, and another port."""
    port = exchange.url.rpartition(":")[2]

    done = shell("simulate", "--port", port)

    assert done.returncode == 2
    assert f"Port {port} is in use: another program, maybe another 'barfill simulate', listens there." in done.stderr
    assert f"--port {int(port) + 1}, or --port 0" in done.stderr
