"""
`barfill doctor`: each setting with its source, and whether database, keys, clocks, calendar and disk are in order.

What it prints may be shown to others: no secret, no connection string, the home directory as `~`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from barfill.cli.doctor_calendar import agreement, differences
from barfill.cli.failure import redactor
from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, console, json_option, print_json, shown_bytes
from barfill.errors import BarfillError
from barfill.settings import FILE_NAME, SETTINGS, Settings, read_settings, shown_path
from barfill.settings.kinds import is_loopback
from barfill.wiring import configured, open_clients, sessions_source

if TYPE_CHECKING:
    from barfill.providers.client import ProviderClient
    from barfill.store.database import Database

FREE_BYTES_MIN = 500_000_000
SKEW_S_MAX = 5.0
KEY_CHECK_TICKER = "AAPL"
EXIT_FAILED = 1
INDENT = 15
"""Where the text of a check begins."""
WIDTH_MIN = 60

EPILOG = """\
\b
Examples:
  barfill doctor
  barfill doctor --json

\b
Exit codes: 0 all is well, or marked ! for you to look at; 1 a check failed.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """
    What was looked at, whether it is in order, and what was found or can be done.

    Attributes:
        is_warning: It is in order, but a provider says something else that is worth a look.
    """

    name: str
    is_ok: bool
    text: str
    is_warning: bool = False


class _Found(Exception):
    """A check's finding that is not in order."""


@click.command(epilog=EPILOG)
@json_option
def doctor(as_json: bool) -> int:
    """
    Check settings, database, keys, clock and disk.

    The market calendar is compared with those of the providers, too: what differs is told, and is no failure.

    The output holds no secret and may be passed on when you ask for help.
    """
    try:
        settings = read_settings()
    except BarfillError as error:
        checks = [Check("settings", is_ok=False, text=_tidy(str(error)))]
        _show(None, checks, as_json=as_json)
        return EXIT_FAILED
    is_new = not settings.barfill_home.exists()
    checks = [
        Check("settings", is_ok=True, text="none contradicts another"),
        *_database_checks(settings),
    ]
    # Last, as the private database is made in it; shown where they are looked for.
    checks[1:1] = [
        _checked("directory", lambda: _directory(settings, is_new=is_new)),
        _checked("disk", lambda: _disk(settings)),
    ]
    _show(settings, checks, as_json=as_json)
    return 0 if all(check.is_ok for check in checks) else EXIT_FAILED


def _database_checks(settings: Settings) -> Iterator[Check]:
    began = time.monotonic()
    try:
        with open_store(settings) as database:
            took_s = time.monotonic() - began
            yield _checked("database", lambda: _database(settings, database, took_s))
            yield _checked("clock", lambda: _clock(database))
            yield from _key_checks(settings, database)
    except BarfillError as error:
        yield Check("database", is_ok=False, text=_tidy(str(error)))
        yield from _key_checks(settings, None)


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, is_ok=True, text=_tidy(look()))
    except (BarfillError, _Found) as error:
        return Check(name, is_ok=False, text=_tidy(str(error)))


def _directory(settings: Settings, *, is_new: bool) -> str:
    home = settings.barfill_home
    nearest = _existing(home)
    if not nearest.is_dir():
        raise _Found(f"{nearest} is a file. Set BARFILL_HOME to a directory.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _Found(f"{nearest} cannot be written. Give yourself the right to, or set BARFILL_HOME elsewhere.")
    if nearest != home:
        return f"{home} will be made when it is needed"
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & stat.S_IWOTH:
        raise _Found(f"{home} can be written by everybody (mode {mode:o}). Run: chmod 700 {home}")
    made = "made just now, " if is_new else ""
    return f"{home}, {made}mode {mode:o}, can be written"


def _disk(settings: Settings) -> str:
    free = shutil.disk_usage(_existing(settings.barfill_home)).free
    if settings.database_url is None and free < FREE_BYTES_MIN:
        raise _Found(f"{shown_bytes(free)} free where BARFILL_HOME lies. Free some space: minute bars need much.")
    return f"{shown_bytes(free)} free where BARFILL_HOME lies"


def _database(settings: Settings, database: Database, took_s: float) -> str:
    with database.connection() as conn:
        # Sizes and counts come from the catalogue: no table is scanned.
        row = conn.execute(
            b"select current_setting('server_version'), pg_database_size(current_database()), count(*), max(name) "
            b"from schema_migrations"
        ).fetchone()
    assert row is not None
    version, size, migrations, newest = row
    which = "private" if settings.database_url is None else "yours,"
    return (
        f"PostgreSQL {str(version).split()[0]} ({which} ready in {took_s:.1f} s), {shown_bytes(size)}, "
        f"schema at {newest} ({migrations} applied)"
    )


def _clock(database: Database) -> str:
    before = datetime.now(UTC)
    theirs = database.now()
    skew_s = (theirs - before - (datetime.now(UTC) - before) / 2).total_seconds()
    if abs(skew_s) > SKEW_S_MAX:
        raise _Found(
            f"This machine's clock is {abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} the database's. "
            "barfill goes by the database's; set this one right, with NTP."
        )
    return f"{abs(skew_s):.1f} s from the database's"


def _key_checks(settings: Settings, database: Database | None) -> Iterator[Check]:
    """Of each provider that has a key; of none where none has."""
    try:
        names = [one.provider.name for one in configured(settings, tickers=(KEY_CHECK_TICKER,))]
    except BarfillError as error:
        yield Check("keys", is_ok=False, text=_tidy(str(error)))
        return
    for name in names:
        yield from asyncio.run(_provider_checks(settings, database, name))


async def _provider_checks(settings: Settings, database: Database | None, name: str) -> list[Check]:
    """Its key and, where that is accepted, what else it can tell."""
    try:
        async with open_clients(settings, database, purpose="interactive", only=name) as clients:
            accepted = Check("keys", is_ok=True, text=await _key(clients[name]))
            return [accepted, *await _calendar_checks(settings, clients[name])]
    except BarfillError as error:
        return [Check("keys", is_ok=False, text=_tidy(str(error)))]


async def _key(client: ProviderClient) -> str:
    began = time.monotonic()
    await client.find_symbols([KEY_CHECK_TICKER])
    return _tidy(f"accepted by {_who(client)} in {time.monotonic() - began:.1f} s")


async def _calendar_checks(settings: Settings, client: ProviderClient) -> list[Check]:
    """What the provider says of sessions and time: told, and never a failure, since bars come all the same."""
    source = sessions_source(settings, client)
    if source is None:
        return []
    from barfill.engine.market_calendar import compare_calendars  # noqa: PLC0415

    who = _who(client)
    try:
        report = await compare_calendars(source, datetime.now(UTC))
    except BarfillError as error:
        return [_told("calendar", f"{who}'s calendar cannot be read, so nothing is compared: {error}")]
    found = "\n".join(differences(who, report))
    agreed = Check("calendar", is_ok=True, text=_tidy(agreement(who, report))) if not found else None
    return [agreed or _told("calendar", found), *_clock_of(who, report.skew_s)]


def _clock_of(who: str, skew_s: float | None) -> list[Check]:
    """By the provider's clock, which tells whole seconds."""
    if skew_s is None:
        return []
    if abs(skew_s) > SKEW_S_MAX:
        side = "behind" if skew_s > 0 else "ahead of"
        return [_told("clock", f"This machine's clock is {abs(skew_s):.0f} s {side} {who}'s. Set it right, with NTP.")]
    return [Check("clock", is_ok=True, text=_tidy(f"{abs(skew_s):.0f} s from {who}'s"))]


def _told(name: str, text: str) -> Check:
    return Check(name, is_ok=True, text=_tidy(text), is_warning=True)


def _who(client: ProviderClient) -> str:
    """The provider's name, or its address where that is on this machine."""
    url = client.provider.base_urls[0]
    return url if is_loopback(urlsplit(url)) else client.provider.name.capitalize()


def _existing(path: Path) -> Path:
    """The path itself, or the nearest one above it that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _tidy(text: str) -> str:
    """Without secrets, without the user's name, and without the advice to run what is running."""
    home = str(Path.home())
    shown = redactor()(text).replace(" with: barfill doctor", ".")
    return shown.replace(home, "~") if home != "/" else shown


def _show(settings: Settings | None, checks: list[Check], *, as_json: bool) -> None:
    if as_json:
        shown = []
        if settings is not None:
            shown = [
                {"name": info.name, "value": settings.shown(info), "source": settings.source(info).value}
                for info in SETTINGS
            ]
        print_json({"settings": shown, "checks": [asdict(check) for check in checks]})
        return
    if settings is not None:
        click.echo(f"Settings (environment, then {shown_path(settings.barfill_home / FILE_NAME)}, then defaults)")
        width = max(len(info.name) for info in SETTINGS)
        for info in SETTINGS:
            click.echo(clean(f"  {info.name:<{width}}  {settings.source(info).value:<11}  {settings.shown(info)}"))
        click.echo()
    click.echo("Checks")
    width = max(console().width, WIDTH_MIN)
    for check in checks:
        mark = "!" if check.is_warning else "✓" if check.is_ok else "✗"
        indent = " " * INDENT
        lines = [line for text in check.text.splitlines() for line in textwrap.wrap(clean(text), width - INDENT)]
        click.echo(f"  {mark} {check.name:<9}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{indent}{line}")
