"""
The `barfill` executable: its commands, and how every error ends.

Commands are loaded when they are called, so that `barfill --help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

import click

from barfill import __version__

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
SERVICES = ("schedule", "serve", "worker")
"""What runs until it is told to end: a signal is the orderly end, also while it still starts."""

COMMANDS = {
    "backfill": "Fetch what is missing, so that the database is complete.",
    "status": "How complete each symbol is, and how far behind.",
    "serve": "Serve the HTTP API, and keep everything complete meanwhile.",
    "schedule": "Keep what the job definitions want complete.",
    "worker": "Carry out runs from the queue.",
    "import": "Bring in bars from CSV and Parquet files.",
    "gaps": "Expected bars that are not there, each with its reason.",
    "revisions": "Final bars that were changed or taken out, with what was there before.",
    "quarantine": "Rows that broke a rule: look at them, accept or reject them.",
    "events": "Splits, dividends, earnings, ticker changes and delistings.",
    "jobs": "Job runs and definitions: list, show, watch, retry, cancel.",
    "symbols": "Add, list, remove and import symbols.",
    "watchlist": "Named lists of symbols.",
    "resample": "Derive coarser timeframes from stored bars.",
    "verify": "Check stored bars: by the rules, or against another provider.",
    "export": "Write stored bars to Parquet, CSV or Arrow files.",
    "sql": "A prompt on the database, or one statement.",
    "doctor": "Check settings, database, keys, clock and disk.",
    "init": "Write a settings file, or what runs barfill unattended.",
    "simulate": "Run a simulated exchange, to try barfill without keys.",
}


MODULES = {"import": "importing"}
"""Of commands that are words of Python."""


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, loaded when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now."""
        if cmd_name not in COMMANDS:
            return None
        name = MODULES.get(cmd_name, cmd_name)
        command = getattr(import_module(f"barfill.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


EPILOG = """\
\b
Examples:
  barfill backfill AAPL MSFT            two years of all eight timeframes
  barfill backfill AAPL --timeframe 1d --days 30
  barfill status
  barfill sql "select * from market_data where symbol = 'AAPL' limit 5"

\b
Exit codes: 0 done and complete, 1 something failed, 2 usage or settings,
3 finished but gaps remain that may still fill, 130 interrupted.
"""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="barfill")
def barfill() -> None:
    """Your own complete, verified history of market bars, in PostgreSQL."""


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a tick must not fail on an ASCII terminal
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C, so that a service manager's stop or a closed terminal lets go of the private database too.
        signal.signal(number, _told_to_end)
    try:
        code = run_command(sys.argv[1:])
    except KeyboardInterrupt:  # just before a command began, or on its way out
        code = _interrupted(sys.argv[1:])
    sys.exit(code)


class ToldToEnd(KeyboardInterrupt):
    """
    SIGTERM or SIGHUP came.

    A class of its own, as CPython remembers a bare KeyboardInterrupt that leaves an `exec` of source code, such as
    dataclasses make, and then ends `python -m` as if killed by SIGINT, though it was caught (`run_eval_code_obj` and
    `Py_RunMain` of CPython 3.11).
    """


def _told_to_end(_number: int, _frame: FrameType | None) -> None:
    raise ToldToEnd


def run_command(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code; errors go to stderr as one sentence each."""
    try:
        code = barfill.main(args=list(arguments), prog_name="barfill", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        return _interrupted(arguments)
    except BrokenPipeError:
        # Whoever read us has seen enough (`barfill status | head`). Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from barfill.cli.failure import exit_code_of, show_failure  # noqa: PLC0415
        from barfill.errors import BarfillError  # noqa: PLC0415

        show_failure(error, is_expected=isinstance(error, BarfillError))
        return exit_code_of(error)


def _interrupted(arguments: Sequence[str]) -> int:
    """The exit code of a command that was told to end; to a service that is no failure."""
    if arguments[:1] and arguments[0] in SERVICES:
        return 0
    from barfill.cli.terminal import INTERRUPTED  # noqa: PLC0415  kept out of --help's way

    click.echo(INTERRUPTED if arguments[:1] in (["backfill"], ["import"]) else "Interrupted.", err=True)
    return EXIT_INTERRUPTED


if __name__ == "__main__":
    main()
