"""The executable as a whole: help, speed, and how every error ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from barfill.cli.main import COMMANDS, barfill
from tests.cli.conftest import BARFILL, KEY, SECRET, Shell, clean_environment

REPORTING = (
    ("backfill",),
    ("status",),
    ("gaps",),
    ("doctor",),
    ("sql",),
    ("symbols", "list"),
    ("watchlist", "list"),
    ("jobs", "list"),
    ("jobs", "show"),
    ("jobs", "watch"),
    ("jobs", "definitions", "list"),
)


def find(*path: str) -> click.Command:
    command: click.Command = barfill
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


def leaves() -> list[tuple[str, ...]]:
    """All commands that do something, by their words."""
    return [leaf for name in COMMANDS for leaf in below(name)]


def below(*path: str) -> list[tuple[str, ...]]:
    command = find(*path)
    if not isinstance(command, click.Group):
        return [path]
    return [leaf for name in command.commands for leaf in below(*path, name)]


def test_help_lists_every_command_with_its_own_words() -> None:
    """The table in main.py says what each command says of itself."""
    text = subprocess.run([BARFILL, "--help"], capture_output=True, text=True, check=True).stdout

    for name, summary in COMMANDS.items():
        assert f"{name} " in text
        assert find(name).get_short_help_str(limit=200) == summary


def test_help_loads_nothing_heavy() -> None:
    """That is why it answers at once."""
    heavy = "numpy psycopg polars rich httpx aiohttp pandas exchange_calendars barfill.settings"
    code = f"import sys, barfill.cli.main; print([name for name in '{heavy}'.split() if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_answers_at_once() -> None:
    """It takes less than 0.3 s of processor time, the best of three: other tests may run beside."""

    def took_s() -> float:
        before = os.times()
        subprocess.run([BARFILL, "--help"], capture_output=True, check=True)
        after = os.times()
        return (after.children_user - before.children_user) + (after.children_system - before.children_system)

    assert min(took_s() for _ in range(3)) < 0.3


@pytest.mark.parametrize("path", leaves(), ids=" ".join)
def test_every_command_has_examples(path: tuple[str, ...]) -> None:
    """Help shows what to type."""
    command = find(*path)
    text = command.get_help(click.Context(command, info_name="barfill"))

    assert "Example" in text
    assert f"barfill {' '.join(path)}" in text


@pytest.mark.parametrize("path", REPORTING, ids=" ".join)
def test_every_command_that_reports_can_print_json(path: tuple[str, ...]) -> None:
    """--json wherever there is something to report."""
    assert any("--json" in option.opts for option in find(*path).params)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["backfill"], "No symbols are named"),
        (["backfill", "AAPL", "--timeframes", "7m"], "Timeframe '7m' is unknown. Use one of 1m, 5m"),
        (["backfill", "AAPL", "--start", "2024-03-01T09:30"], "has no time zone. Write 2024-03-01T09:30"),
        (["backfill", "AAPL", "--start", "2024-03-02", "--end", "2024-03-01"], "is not after --start"),
        (["backfill", "AAPL", "--start", "2999-01-01"], "lies in the future"),
        (["backfill", "AAPL", "--days", "0"], "--days"),
        (["backfill", "AAPL", "--provider", "nosuch"], "no crypto venue 'nosuch'"),
        (["backfill", "A'; drop table ohlc_bars;--"], "cannot be one"),
        (["backfill", "AAPL", "--output", "/no/such/place/report.json"], "the directory does not exist"),
        (["backfil", "AAPL"], "No such command"),
        (["gaps", "--kind", "odd"], "'odd' is not"),
        (["sql", "select 1", "--csv", "--json"], "exclude each other"),
        (["watchlist", "create", "-x"], "-x"),
        (["jobs", "list", "--status", "odd"], "'odd' is not"),
        (["jobs", "list", "--timeframe", "7m"], "Timeframe '7m' is unknown"),
        (["jobs", "show", "abc"], "'abc' is not"),
        (["jobs", "retry"], "No runs are named. Give their ids (see: barfill jobs list), or --failed"),
        (["jobs", "cancel", "1", "--queued"], "Runs are named and --queued is given"),
        (["jobs", "watch", "--every", "0"], "--every"),
        (["jobs", "definitions", "add"], "Name symbols, or give --watchlist"),
        (["jobs", "definitions", "add", "AAPL", "--priority", "1001"], "--priority"),
        (["jobs", "definitions", "enable", "1", "--symbol", "AAPL"], "Give ids (see: barfill jobs definitions list)"),
        (["simulate", "--port", "99999"], "99999"),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence_and_exit_code_2(
    arguments: list[str], text: str, shell: Shell
) -> None:
    """Nothing is started, and no traceback is shown."""
    done = shell(*arguments)

    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_keys_the_text_names_them_and_the_way_to_try_without(shell: Shell) -> None:
    """A newcomer learns both in one go, before any server is started."""
    done = shell("backfill", "AAPL", ALPACA_API_KEY=None, ALPACA_API_SECRET=None, DATABASE_URL=None)

    assert done.returncode == 2
    for words in ("ALPACA_API_KEY", "ALPACA_API_SECRET", "barfill simulate"):
        assert words in done.stderr


def test_a_wrong_setting_is_exit_code_2(shell: Shell) -> None:
    """All problems stand below each other."""
    done = shell("status", MAX_CONCURRENT_JOBS="many", ALPACA_PLAN="gold")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: 2 settings need a correction:\n  - ")


def test_wrong_keys_are_told_without_showing_them(shell: Shell) -> None:
    """Exit code 1, with what to check."""
    done = shell("backfill", "AAPL", "--days", "5", ALPACA_API_KEY="wrong", ALPACA_API_SECRET=SECRET)

    assert done.returncode == 1
    assert "Check ALPACA_API_KEY and ALPACA_API_SECRET" in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_a_dead_database_is_one_sentence(shell: Shell) -> None:
    """The connection string is not shown."""
    done = shell("status", DATABASE_URL="postgresql://someone:hunter2@127.0.0.1:1/bars")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: The database does not answer")
    assert "hunter2" not in done.stderr


def test_a_home_that_is_a_file_is_one_sentence(shell: Shell, tmp_path: Path) -> None:
    """It says what to set."""
    (tmp_path / "file").write_text("")

    done = shell("status", DATABASE_URL=None, BARFILL_HOME=str(tmp_path / "file"))

    assert done.returncode == 1
    assert "BARFILL_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_without_the_keys(shell: Shell) -> None:
    """X15: what is shown for a report holds no secret."""
    done = shell("backfill", "AAPL", "--days", "5", ALPACA_BASE_URL="http://127.0.0.1:1", BARFILL_DEBUG="1")

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert KEY not in done.stderr
    assert SECRET not in done.stderr


def test_keys_are_no_arguments() -> None:
    """X16: the list of processes is readable by all."""
    for path in leaves():
        options = [name for option in find(*path).params for name in option.opts]
        assert not [name for name in options if "key" in name or "secret" in name or "token" in name]


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    """`barfill ... | head` ends quietly."""
    with shell.begin("sql", "select * from generate_series(1, 300000)", "--csv") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()

    assert "Traceback" not in said
    assert "Error" not in said


def test_the_version_is_told() -> None:
    """As in the package."""
    done = subprocess.run([BARFILL, "--version"], capture_output=True, text=True, check=True, env=clean_environment())

    assert done.stdout.startswith("barfill, version 0.")


def test_a_service_told_to_end_in_the_middle_of_an_import_has_not_failed(tmp_path: Path) -> None:
    """P06: where SIGTERM meets the source that a dataclass compiles, `python -m` ends with 0 as well."""
    (tmp_path / "starting.py").write_text(
        "import sys\n"
        "from barfill.cli import main\n"
        "end = 'import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)'\n"
        "main.run_command = lambda _: exec(end)\n"
        "sys.argv[1:] = ['worker']\n"
        "main.main()\n"
    )

    done = subprocess.run([sys.executable, "-m", "starting"], cwd=tmp_path, env=clean_environment(), check=False)

    assert done.returncode == 0
