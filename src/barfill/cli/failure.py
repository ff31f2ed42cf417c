"""How an error is told: one clear sentence without secrets, and the exit code that scripts see."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress

import click

from barfill.cli.terminal import clean
from barfill.errors import BarfillError, DailyBudgetSpent, InvalidInput, SettingsError
from barfill.providers.redaction import Redactor
from barfill.settings import SETTINGS, read_settings

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_GAPS_REMAIN = 3


def exit_code_of(error: Exception) -> int:
    """2 for what the user can correct in the command or the settings, 3 for what goes on tomorrow, 1 for all else."""
    if isinstance(error, DailyBudgetSpent):
        return EXIT_GAPS_REMAIN
    return EXIT_USAGE if isinstance(error, SettingsError | InvalidInput) else EXIT_FAILED


def show_failure(error: Exception, *, is_expected: bool) -> None:
    """
    Writes the error to stderr, with its traceback if BARFILL_DEBUG is set.

    Args:
        is_expected: Whether its text was written for people; another error is a defect of barfill.
    """
    redact = redactor()
    if os.environ.get("BARFILL_DEBUG", "0") not in ("", "0"):
        click.echo(redact("".join(traceback.format_exception(error))), err=True)
    lines = redact(str(error)).splitlines() or [type(error).__name__]
    if is_expected:
        click.echo("\n".join(["Error: " + clean(lines[0]), *map(clean, lines[1:])]), err=True)
        return
    click.echo(
        f"Error: barfill itself failed ({type(error).__name__}: {clean(lines[0])}). "
        "Run the command again with BARFILL_DEBUG=1 in front and report what it prints.",
        err=True,
    )


def redactor() -> Redactor:
    """Takes all secrets out of a text, even where the settings cannot be read as a whole."""
    found = [os.environ.get(info.name, "").strip() for info in SETTINGS if info.is_secret]
    with suppress(BarfillError):
        found.extend(read_settings().secrets)
    return Redactor(filter(None, found))
