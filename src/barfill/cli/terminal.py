"""
What all commands write with: results to stdout, progress to stderr, nothing that a terminal would obey.

Texts that come from providers or from data pass through `clean` before they are shown.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = "Interrupted. Run the same command again to resume where it stopped."
"""What whoever stops a backfill reads, however early or often Ctrl-C was pressed."""

_PLAIN_WIDTH = 200


def json_option(command: Command) -> Command:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def clean(text: str) -> str:
    """The text with control and invisible formatting characters written out, so that it can only be read."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else _written_out(char) for char in text)


def say(text: str = "") -> None:
    """A line of progress or advice, to stderr."""
    click.echo(clean(text), err=True)


def print_json(value: object) -> None:
    """A value to stdout, instants as RFC 3339."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def print_json_line(value: object) -> None:
    """The same on one line, for output that goes on."""
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False))


def console(*, to_stderr: bool = False) -> Console:
    """A console on stdout or stderr that reads no markup; a file or a pipe is wide, unless COLUMNS says otherwise."""
    from rich.console import Console  # noqa: PLC0415  slow to load, and not needed for --json

    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdecimal() else _PLAIN_WIDTH
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width, soft_wrap=False)


def print_table(table: Table, *, width: int | None = None) -> None:
    """A table to stdout; without blanks at the ends of lines where it goes to a file or a pipe."""
    output = console()
    output.width = width or output.width
    if sys.stdout.isatty():
        output.print(table, crop=False)
        return
    with output.capture() as captured:
        output.print(table, crop=False)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def ago(instant: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that says enough: `5 min ago`."""
    seconds = max(0, int((now - instant).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def shown_bytes(count: float) -> str:
    """A size in the largest unit that leaves a number of at least one: `3.4 MB`."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def shown_duration(seconds: float) -> str:
    """A duration as people say it: `3.2 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f} s"
    if whole < 3_600:  # noqa: PLR2004  an hour
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 gap`, `1,204 gaps`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _is_harmless(char: str) -> bool:
    # C: controls, formatting (direction overrides among them), surrogates, unassigned; Zl, Zp: line separators.
    category = unicodedata.category(char)
    return not category.startswith("C") and category not in ("Zl", "Zp")


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
