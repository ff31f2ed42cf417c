"""`barfill jobs` as a user meets it: runs listed, shown, retried, cancelled, pruned and watched; definitions."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from datetime import datetime

import click
import pytest

from barfill.cli.numbers import Number
from barfill.cli.runs_table import shown_slice, what
from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.definitions import list_definitions
from barfill.store.runlist import find_runs, list_runs
from barfill.store.runs import NewRun, cancel_runs, claim_run, create_pieces, create_runs, fail_run
from barfill.store.workers import Presence
from tests.cli.conftest import BARFILL, Shell
from tests.store.builders import WORKER, add, minute, minutes, query


def make(database: Database, *, count: int = 1) -> list[int]:
    """Queued runs of two symbols."""
    ids = tuple(add(database, "AAPL", "MSFT"))
    run = NewRun(
        symbols=("AAPL", "MSFT"),
        symbol_ids=ids,
        timeframe=Timeframe.M15,
        range=minutes(0, 3 * 1440),
        provider="alpaca",
        feed="sip",
        calendar_version="sessions 1.0",
    )
    return database.run(create_runs, [run] * count)


def fail(database: Database, run_id: int) -> None:
    run = database.run(claim_run, run_id, WORKER)
    assert run is not None
    said = "Alpaca gave the same token twice \x1b[2J and again, so that the chain of pages would never have ended."
    database.run(fail_run, run_id, run.epoch, error_code="BAD_RESPONSE", reason="page_loop", message=said)


def status_of(database: Database, run_id: int) -> str:
    return database.run(find_runs, [run_id])[0].status


def on_terminal(shell: Shell, *arguments: str, columns: int = 80) -> str:
    """What a command prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = shell.changed({"COLUMNS": str(columns), "LINES": "24"})
    with subprocess.Popen([BARFILL, *arguments], env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:
                break
            seen += part
        process.wait(timeout=20)
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def test_runs_are_listed_with_what_went_wrong(shell: Shell, database: Database) -> None:
    """Newest first; a pipe gets one line for each run, and nothing that a terminal would obey."""
    first, second = make(database, count=2)
    fail(database, first)

    lines = shell("jobs", "list").stdout.splitlines()

    assert lines[0].split()[:3] == ["id", "symbols", "timeframe"]
    assert lines[1].split()[:5] == [str(second), "AAPL,", "MSFT", "15m", "2024-03-04..2024-03-07"]
    assert r"failed" in lines[2]
    assert r"BAD_RESPONSE: Alpaca gave the same token twice \x1b[2J and" in lines[2]
    assert lines[3:] == ["1 queued, 1 failed"]


def test_the_list_fits_a_terminal_of_80_columns(shell: Shell, database: Database) -> None:
    """The reason stands below its run; long numbers make the gaps narrower."""
    query(database, "alter table job_runs alter column id restart with 1234567890")
    (first,) = make(database)
    fail(database, first)
    query(database, "update job_runs set rows_written = 12345678, created_at = now() - interval '59 minutes'")

    shown = on_terminal(shell, "jobs", "list").splitlines()
    lines = [line for line in shown if line != "connecting to the database"]  # where that takes a while

    plain = [line.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x1b[1m", "") for line in lines]
    assert max(map(len, plain)) <= 80
    assert "AAPL +1 15m" in plain[1]
    assert plain[2].startswith("    BAD_RESPONSE: Alpaca gave the same token")


def test_the_list_is_filtered_and_cut(shell: Shell, database: Database) -> None:
    """JSON has every column by its name in job_runs; the limit says how many more there are."""
    first, *_ = make(database, count=3)
    fail(database, first)

    failed = json.loads(shell("jobs", "list", "--status", "failed", "--symbol", "msft", "--json").stdout)
    none = shell("jobs", "list", "--timeframe", "1d")
    cut = shell("jobs", "list", "--limit", "1")
    unknown = shell("jobs", "list", "--symbol", "NOPE")

    assert [run["id"] for run in failed["runs"]] == [first]
    assert failed["counts"] == {"failed": 1}
    assert failed["runs"][0]["slice_from"] == "2024-03-04T14:30:00+00:00"
    assert failed["runs"][0]["timeframe"] == "15m"
    assert failed["runs"][0]["advice"] == "run it again; if it stays, report it with the request id"
    assert {"symbols", "page_no", "actual_cost", "heartbeat_at", "reason"} <= set(failed["runs"][0])
    assert (none.stdout, none.stderr) == ("", "No runs like that.\n")
    assert "... and 2 more: --limit 3" in cut.stdout
    assert (unknown.returncode, "'NOPE' is not on record" in unknown.stderr) == (1, True)


def test_an_empty_ledger_says_how_to_begin(shell: Shell) -> None:
    """Exit code 0: nothing is wrong."""
    done = shell("jobs", "list")

    assert (done.returncode, done.stdout) == (0, "")
    assert "Begin with: barfill backfill AAPL MSFT" in done.stderr


def test_a_run_is_shown_with_what_to_do(shell: Shell, database: Database) -> None:
    """Slice, pages, error and the command that tries it again; JSON says the same."""
    (run_id,) = make(database)
    fail(database, run_id)

    lines = on_terminal(shell, "jobs", "show", str(run_id)).splitlines()
    as_json = json.loads(shell("jobs", "show", str(run_id), "--json").stdout)

    assert max(map(len, lines[1:])) <= 80
    assert f"Run {run_id}: failed after 0.0 s" in lines[0]
    text = "\n".join(lines)
    assert "slice       2024-03-04 14:30 to 2024-03-07 14:30 UTC, the end excluded" in text
    assert r"error       BAD_RESPONSE (page_loop): Alpaca gave the same token twice \x1b[2J" in text
    assert "what to do  run it again; if it stays, report it with the request id" in text
    assert f"again       barfill jobs retry {run_id}" in text
    assert (as_json["id"], as_json["status"], as_json["reason"]) == (run_id, "failed", "page_loop")


def test_t07_a_run_says_by_which_calendar_it_was_planned(shell: Shell, database: Database) -> None:
    """A backfill's runs do, and the runs in which another goes on have that one's calendar."""
    assert (
        shell("backfill", "AAPL", "--timeframe", "1d", "--start", "2026-09-14", "--end", "2026-09-16").returncode == 0
    )
    version = trading_calendar("XNYS", 2027).version
    (run_id,) = make(database)
    (run,) = database.run(find_runs, [run_id])
    piece = NewRun(
        symbols=run.symbols,
        symbol_ids=tuple(add(database, *run.symbols)),
        timeframe=run.timeframe,
        range=run.range,
        provider=run.provider,
        feed=run.feed,
    )
    pieces = database.run(create_pieces, run_id, [piece])

    shown = shell("jobs", "show", str(pieces[0]))

    assert "sessions 1.0" in shown.stdout
    listed = database.run(list_runs, limit=100)
    assert {one.calendar_version for one in listed if one.id not in {run_id, *pieces}} == {version}


def test_a_run_whose_worker_is_gone_says_so(shell: Shell, database: Database) -> None:
    """And that another worker or the next backfill goes on with it."""
    (run_id,) = make(database)
    database.run(claim_run, run_id, WORKER)
    query(database, "update job_runs set heartbeat_at = now() - interval '2 minutes'")

    shown = shell("jobs", "show", str(run_id)).stdout

    assert f"Run {run_id}: running, but its worker is gone\n" in shown
    assert "worker      tester, gone, epoch 1" in shown
    assert "then        another worker, or the next backfill of its symbols, goes on with it" in shown
    assert "its worker is gone" in shell("jobs", "list").stdout


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_an_unknown_run_is_one_sentence_and_changes_nothing(shell: Shell, database: Database, command: str) -> None:
    """Also where others are named beside it; exit code 1."""
    (run_id,) = make(database)

    done = shell("jobs", command, *([] if command == "show" else [str(run_id)]), "999")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: There is no job run 999, or no longer. See: barfill jobs list\n"
    assert status_of(database, run_id) == "queued"


@pytest.mark.parametrize("text", ["abc", "", "0", "-1", "1.5", "1" * 19, "9" * 5000])
def test_what_is_no_id_is_told_with_what_to_give(text: str) -> None:
    """Words, what is no whole number and what is too great."""
    with pytest.raises(
        click.BadParameter, match=r"is not the id of a thing\. Give its number, as it stands in: list it"
    ):
        Number("a thing", "list it", 2**31 - 1).convert(text, None, None)


def test_ids_of_runs_and_definitions_are_known_apart(shell: Shell) -> None:
    """Each says which command lists them; a usage error."""
    run, definition = shell("jobs", "show", "abc"), shell("jobs", "definitions", "remove", "abc")

    assert (run.returncode, definition.returncode) == (2, 2)
    assert "'abc' is not the id of a run. Give its number, as it stands in: barfill jobs list" in run.stderr
    assert "'abc' is not the id of a job definition. Give its number, as it stands in: barfill jobs definitions" in (
        definition.stderr
    )


def test_runs_are_retried_by_id_or_all_that_failed(shell: Shell, database: Database) -> None:
    """What cannot be tried again is named with the reason; exit code 1."""
    first, second, third, queued = make(database, count=4)
    apart = "(id - %s) * interval '7 days'"
    moved = f"update job_runs set slice_from = slice_from + {apart}, slice_to = slice_to + {apart}"
    query(database, moved, first, first)
    for run_id in (first, second):
        fail(database, run_id)
    database.run(cancel_runs, [third])

    named = shell("jobs", "retry", str(third), str(queued))
    every = shell("jobs", "retry", "--failed")
    none = shell("jobs", "retry", "--failed")

    assert named.returncode == 1
    assert named.stdout.startswith(f"Queued again: run {third}. ")
    assert named.stderr == f"Run {queued} stays queued: only failed and cancelled runs can be tried again.\n"
    assert (every.returncode, every.stdout.startswith(f"Queued again: runs {first}, {second}. ")) == (0, True)
    assert (none.returncode, none.stdout) == (0, "No run has failed.\n")
    assert {run.status for run in database.run(list_runs, limit=9)} == {"queued"}


def test_runs_are_cancelled_by_id_or_all_that_wait(shell: Shell, database: Database) -> None:
    """A running one as well, when it is named; --queued leaves it."""
    running, other, *queued = make(database, count=4)
    for run_id in (running, other):
        database.run(claim_run, run_id, WORKER)

    waiting = shell("jobs", "cancel", "--queued")
    named = shell("jobs", "cancel", str(running))
    again = shell("jobs", "cancel", str(running))
    none = shell("jobs", "cancel", "--queued")

    assert waiting.stdout == f"Cancelled: runs {', '.join(map(str, queued))}. What they have written stays.\n"
    assert (named.returncode, named.stdout) == (0, f"Cancelled: run {running}. What they have written stays.\n")
    assert (again.returncode, again.stderr) == (1, f"Run {running} stays cancelled: it is over already.\n")
    assert none.stdout == "No run is queued.\n"
    assert status_of(database, other) == "running"


def test_old_runs_are_forgotten(shell: Shell, database: Database) -> None:
    """After as many days as the setting or --days says; unfinished ones stay."""
    old, older, _ = make(database, count=3)
    database.run(cancel_runs, [old, older])
    query(database, "update job_runs set finished_at = now() - interval '60 days' where id = %s", old)
    query(database, "update job_runs set finished_at = now() - interval '100 days' where id = %s", older)

    by_default = shell("jobs", "prune")
    by_setting = shell("jobs", "prune", JOB_RUNS_RETENTION_DAYS="70")
    by_option = shell("jobs", "prune", "--days", "1")

    assert by_default.stdout == "Forgot 1 run that finished more than 90 days ago.\n"
    assert by_setting.stdout == "Forgot 0 runs that finished more than 70 days ago.\n"
    assert by_option.stdout == "Forgot 1 run that finished more than 1 day ago.\n"
    assert len(database.run(list_runs, limit=9)) == 1


def test_a_watch_without_anything_to_see_ends_at_once(shell: Shell) -> None:
    """Exit code 0."""
    done = shell("jobs", "watch")

    assert done.returncode == 0
    assert done.stdout.splitlines() == ["0 running (0 rows, 0 calls), 0 queued", "Nothing is running."]


def test_a_watch_follows_runs_to_their_end(shell: Shell, database: Database) -> None:
    """As lines, from another process; a failure makes the exit code 1."""
    first, second, _ = make(database, count=3)
    with Presence(database) as presence:
        run = database.run(claim_run, first, presence.worker)
        assert run is not None
        with shell.begin("jobs", "watch", "--every", "0.2") as process:
            assert process.stdout is not None
            begun = process.stdout.readline()
            query(database, "update job_runs set progress_percent = 42.9, rows_written = 1234, actual_cost = 2")
            moved = process.stdout.readline()
            database.run(claim_run, second, presence.worker)
            database.run(fail_run, first, run.epoch, error_code="TIMEOUT", reason="read", message="slow")
            database.run(cancel_runs, [second])
            rest, _ = process.communicate(timeout=30)

    assert begun == "1 running (0 rows, 0 calls), 2 queued; AAPL +1 15m 0%\n"
    assert moved == "1 running (1,234 rows, 2 calls), 2 queued; AAPL +1 15m 42%\n"
    assert process.returncode == 1
    *_, told, waiting, hint = rest.splitlines()
    assert told.startswith("Nothing is running. Since ")
    assert told.endswith(" UTC: 1 failed, 1 cancelled.")
    assert waiting.startswith("1 run waits in the queue")
    assert hint == "What failed, and why: barfill jobs list --status failed"


def test_a_watch_shows_bars_on_a_terminal_and_ends_with_ctrl_c(shell: Shell, database: Database) -> None:
    """130, and the run that was watched goes on."""
    first, _ = make(database, count=2)
    ours, theirs = pty.openpty()
    environment = shell.changed({"COLUMNS": "80", "LINES": "24"})
    with Presence(database) as presence:
        database.run(claim_run, first, presence.worker)
        query(database, "update job_runs set progress_percent = 50 where id = %s", first)
        with subprocess.Popen([BARFILL, "jobs", "watch"], env=environment, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            seen = ""
            while "queued" not in seen.rpartition("%")[2]:
                seen += os.read(ours, 1024).decode()
            process.send_signal(signal.SIGINT)
            while "Interrupted." not in seen:
                seen += os.read(ours, 1024).decode()
            code = process.wait(timeout=20)
        still = status_of(database, first)
    os.close(ours)

    assert "━" * 9 in seen
    assert "AAPL +1 15m" in seen
    assert (code, still) == (130, "running")


def test_a_watch_as_json_is_one_object_a_line(shell: Shell, database: Database) -> None:
    """For whoever logs or draws it."""
    (run_id,) = make(database)
    with Presence(database) as presence:
        database.run(claim_run, run_id, presence.worker)
        with shell.begin("jobs", "watch", "--json", "--every", "0.2") as process:
            assert process.stdout is not None
            looks = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)

    assert [[run["id"] for run in look["running"]] for look in looks] == [[run_id], [run_id]]
    assert looks[0]["queued"] == 0
    assert looks[0]["ended"] == {"success": 0, "failed": 0, "cancelled": 0}
    assert looks[0]["at"] < looks[1]["at"]


def test_list_and_watch_write_instants_alike(shell: Shell, database: Database) -> None:
    """A run's JSON is the same from both, its instants in ISO 8601 with a T."""
    (run_id,) = make(database)
    with Presence(database) as presence:
        database.run(claim_run, run_id, presence.worker)
        with shell.begin("jobs", "watch", "--json", "--every", "0.2") as process:
            assert process.stdout is not None
            (watched,) = json.loads(process.stdout.readline())["running"]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        (listed,) = json.loads(shell("jobs", "list", "--json").stdout)["runs"]

    assert watched == listed
    instants = [value for name, value in watched.items() if name.endswith("_at") and value]
    assert len(instants) >= 4
    for instant in instants:
        assert datetime.fromisoformat(instant).isoformat() == instant


def test_definitions_are_added_listed_switched_and_removed(shell: Shell, database: Database) -> None:
    """By id or by symbol; what is so already is said."""
    add(database, "AAPL", "MSFT")

    added = shell("jobs", "definitions", "add", "aapl", "MSFT", "--timeframes", "15m,1d", "--priority", "150")
    changed = shell("jobs", "definitions", "add", "AAPL", "--timeframe", "1d", "--days", "30")
    listed = shell("jobs", "definitions", "list").stdout.splitlines()
    off = shell("jobs", "definitions", "disable", "--symbol", "AAPL", "--timeframe", "1d")
    again = shell("jobs", "definitions", "disable", "--symbol", "AAPL", "--timeframe", "1d")
    on = shell("jobs", "definitions", "enable", *(str(one.id) for one in database.run(list_definitions)))
    removed = shell("jobs", "definitions", "remove", "--symbol", "MSFT")
    left = json.loads(shell("jobs", "definitions", "list", "--json").stdout)

    assert added.stdout == "Job definitions: 4 added (15m 1d; 730 days).\n"
    assert changed.stdout == "Job definitions: 0 added, 1 changed (1d; 30 days).\n"
    assert listed[0].split() == ["id", "what", "batch", "window", "priority", "state", "last", "run"]
    assert [line.split()[1:] for line in listed[1:]] == [
        ["AAPL", "15m", "730", "d", "150", "on", "none"],
        ["MSFT", "15m", "730", "d", "150", "on", "none"],
        ["MSFT", "1d", "730", "d", "150", "on", "none"],
        ["AAPL", "1d", "30", "d", "100", "on", "none"],
    ]
    assert off.stdout == "Switched 1 definition off; the bars stay.\n"
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "1 definition off already.\n")
    assert (on.stdout, on.stderr) == ("Switched 1 definition on.\n", "3 definitions on already.\n")
    assert removed.stdout == "Removed 2 definitions; the bars stay.\n"
    assert [(one["symbols"], one["timeframe"], one["enabled"]) for one in left] == [
        (["AAPL"], "15m", True),
        (["AAPL"], "1d", True),
    ]


def test_batches_are_defined_from_a_watchlist(shell: Shell, database: Database) -> None:
    """Each says which it is of how many; --symbol finds the batch that holds one, but changes none."""
    shell("watchlist", "add", "tech", "AAPL", "MSFT", "SPY", "--unchecked", "--no-jobs")

    added = shell("jobs", "definitions", "add", "--watchlist", "tech", "--timeframe", "1d", "--batch-size", "2")
    again = shell("jobs", "definitions", "add", "--watchlist", "tech", "--timeframe", "1d", "--batch-size", "2")
    listed = shell("jobs", "definitions", "list", "--symbol", "MSFT").stdout.splitlines()
    kept = shell("jobs", "definitions", "remove", "--symbol", "MSFT")

    assert added.stdout == "Job definitions: 2 added (1d; 730 days).\n"
    assert again.stdout == "Job definitions: 0 added, 2 as before (1d; 730 days).\n"
    assert [line.split()[1:7] for line in listed[1:]] == [["AAPL", "+1", "1d", "1", "of", "2"]]
    assert (kept.stdout, kept.stderr[:40]) == ("", "MSFT has no definitions of its own. See:")
    assert len(database.run(list_definitions)) == 2


def test_batches_whose_members_have_changed_are_replaced(shell: Shell, database: Database) -> None:
    """The command says how many; of batches that hold other symbols too it says how to take them away."""
    add(database, "A", "B", "C", "D", "E", "F")
    command = ("--timeframe", "1d", "--batch-size", "2")
    shell("jobs", "definitions", "add", "C", "D", "E", "F", *command)

    more = shell("jobs", "definitions", "add", "A", "C", "D", "E", "F", *command)
    fewer = shell("jobs", "definitions", "add", "A", "C", "D", *command)

    assert more.stdout == "Job definitions: 3 added, 2 replaced (1d; 730 days).\n"
    assert more.stderr == ""
    assert fewer.stdout == "Job definitions: 1 added, 1 changed (1d; 730 days).\n"
    ((stays,),) = [[one.id] for one in database.run(list_definitions) if one.symbols == ("D", "E")]
    assert f"and more, and stay: {stays}. If they are no longer wanted: barfill jobs definitions remove {stays}" in (
        " ".join(fewer.stderr.split())
    )


def test_mistakes_with_definitions_are_one_sentence(shell: Shell, database: Database) -> None:
    """Symbols and ids that are not there; nothing is changed."""
    add(database, "AAPL")
    shell("jobs", "definitions", "add", "AAPL", "--timeframe", "1d")
    (one,) = database.run(list_definitions)

    symbol = shell("jobs", "definitions", "add", "AAPL", "NOPE", "--timeframe", "1h")
    number = shell("jobs", "definitions", "remove", str(one.id), "999")
    watchlist = shell("jobs", "definitions", "add", "--watchlist", "nope")

    assert (symbol.returncode, number.returncode, watchlist.returncode) == (1, 1, 1)
    assert symbol.stderr == "Error: Symbol 'NOPE' is not on record. Add it with: barfill symbols add NOPE\n"
    assert "There is no job definition 999. Nothing was changed." in number.stderr
    assert "no watchlist 'nope'" in watchlist.stderr
    assert database.run(list_definitions) == [one]


def test_a_watchlist_defines_what_is_kept_complete(shell: Shell, database: Database) -> None:
    """The timeframes and the window of the settings; a definition that is there keeps what people set in it."""
    settings = {"DEFAULT_TIMEFRAMES": "1d,15Min", "DEFAULT_WINDOW_DAYS": "90"}
    add(database, "AAPL")
    shell("jobs", "definitions", "add", "AAPL", "--timeframe", "1d", "--days", "7")

    added = shell("watchlist", "add", "tech", "AAPL", "--unchecked", **settings)
    imported = shell("watchlist", "import", "tech", "-", "--unchecked", stdin="AAPL\nMSFT\n", **settings)
    without = shell("watchlist", "add", "tech", "SPY", "--unchecked", "--no-jobs", **settings)

    assert added.stdout.splitlines()[-1] == "Job definitions: 1 added, 1 as before (15m 1d; 90 days)."
    assert imported.stdout.splitlines()[-1] == "Job definitions: 2 added, 2 as before (15m 1d; 90 days)."
    assert "Job definitions" not in without.stdout
    assert [(one.symbols[0], one.timeframe.label, one.window_days) for one in database.run(list_definitions)] == [
        ("AAPL", "1d", 7),
        ("AAPL", "15m", 90),
        ("MSFT", "15m", 90),
        ("MSFT", "1d", 90),
    ]


def test_leaving_the_last_watchlist_switches_definitions_off(shell: Shell, database: Database) -> None:
    """By removal or with the list; --no-jobs leaves them on; adding again switches them on."""
    daily = {"DEFAULT_TIMEFRAMES": "1d"}
    for name, tickers in (("tech", ["AAPL", "MSFT", "SPY"]), ("more", ["MSFT"])):
        shell("watchlist", "add", name, *tickers, "--unchecked", **daily)

    removed = shell("watchlist", "remove", "tech", "AAPL", "MSFT")
    kept = shell("watchlist", "remove", "tech", "SPY", "--no-jobs")
    off = [one.symbols[0] for one in database.run(list_definitions, is_enabled=False)]
    deleted = shell("watchlist", "delete", "more")
    again = shell("watchlist", "add", "tech", "AAPL", "--unchecked", **daily)

    switched = "Switched 1 job definition off, of symbols that are on no watchlist any more.\n"
    assert removed.stdout == "Took 2 symbols off 'tech'.\n" + switched
    assert kept.stdout == "Took 1 symbol off 'tech'.\n"
    assert off == ["AAPL"]
    assert deleted.stdout == "Deleted the watchlist 'more'.\n" + switched
    assert again.stdout.splitlines()[-1] == "Job definitions: 0 added, 1 changed (1d; 730 days)."
    assert [one.symbols[0] for one in database.run(list_definitions, is_enabled=True)] == ["AAPL", "SPY"]


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (0, 60, "2024-03-04 14:30..15:30"),
        (0, 1440, "2024-03-04..2024-03-05"),
        (570, 570 + 1440, "2024-03-05"),
        (570, 570 + 2880, "2024-03-05..2024-03-06"),
    ],
)
def test_a_slice_is_shown_by_the_days_it_touches(start: int, end: int, shown: str) -> None:
    """The end is excluded, so midnight belongs to the day before."""
    assert shown_slice(Range(minute(start), minute(end))) == shown


def test_a_batch_is_named_by_its_first_symbol() -> None:
    """And by how many more there are."""
    assert what(["AAPL"], Timeframe.M1) == "AAPL 1m"
    assert what(["AAPL", "MSFT", "SPY"], Timeframe.D1) == "AAPL +2 1d"
