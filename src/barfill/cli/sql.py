"""`barfill sql`: one statement, a prompt, or the connection string."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

import click
import psycopg

from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, counted, json_option, print_json, print_table, say
from barfill.errors import InvalidInput
from barfill.settings import read_settings
from barfill.store.failures import translated

if TYPE_CHECKING:
    from barfill.store.database import Connection, Database

TABLE_ROWS_MAX = 1_000
FETCHED_AT_ONCE = 1_000
ENDLESS_WIDTH = 100_000  # a file or a pipe has no width to fit
Row = tuple[Any, ...]

# One statement that only reads; anything else may be several, or give no rows.
_PLAIN_QUERY = re.compile(r"\s*(select|table|values)\b[^;]*;?\s*", re.IGNORECASE)
# A cursor takes no `select into`, and locks rows differently than the statement alone.
_NOT_FOR_CURSORS = re.compile(r"\b(into|for)\b", re.IGNORECASE)
# What psql's \d shows, without partitions: there are hundreds.
_RELATIONS = """
select c.relname as name, case c.relkind when 'v' then 'view' else 'table' end as kind
from pg_class as c
where c.relnamespace = current_schema()::regnamespace
and c.relkind in ('r', 'p', 'v')
and not c.relispartition
order by kind, name"""
_PROMPT_HELP = """\
Statements end with a semicolon. Ctrl-C clears what is typed so far.
  \\d     lists tables and views
  help   shows this
  \\q     leaves, as does Ctrl-D"""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_LIBPQ_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "options": "PGOPTIONS",
}

EPILOG = """\
\b
Examples:
  barfill sql                                   a prompt (psql, if it is installed)
  barfill sql "select * from backfill_status"
  barfill sql "select * from market_data where symbol = 'AAPL'" --csv > aapl.csv
  barfill sql --url                             for other programs

\b
Without DATABASE_URL the private server runs only while a barfill command does;
'barfill sql --url --keep-open' keeps it running for others until Ctrl-C.
"""


@click.command(epilog=EPILOG)
@click.argument("statement", required=False)
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print CSV; texts that a spreadsheet would run get a quote in front."
)
@json_option
@click.option("--url", "shows_url", is_flag=True, help="Print the connection string, password included.")
@click.option("--keep-open", is_flag=True, help="With --url: keep the private server running until Ctrl-C.")
def sql(statement: str | None, as_csv: bool, as_json: bool, shows_url: bool, keep_open: bool) -> int:
    """
    A prompt on the database, or one statement.

    Statements run as they are given, each for itself, and may change data. Of a long result a table shows, and
    the server works out, the first 1,000 rows; --csv and --json print them all.
    """
    if as_csv and as_json:
        raise InvalidInput("--csv and --json exclude each other. Give one of them.")
    if shows_url and statement:
        raise InvalidInput("--url takes no statement. Give one or the other.")
    if keep_open and not shows_url:
        raise InvalidInput("--keep-open belongs to --url.")
    settings = read_settings()
    with open_store(settings) as database:
        if shows_url:
            _show_url(database, is_private=settings.database_url is None, keep_open=keep_open)
        elif statement is None:
            _prompt(database)
        else:
            with database.connection() as conn:
                _run(conn, statement, "csv" if as_csv else "json" if as_json else "table")
    return 0


def neutralised(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: such texts get an apostrophe in front; numbers stay."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value


def _show_url(database: Database, *, is_private: bool, keep_open: bool) -> None:
    click.echo(database.url)
    if not is_private:
        return
    sys.stdout.flush()
    if not keep_open:
        say(
            "The private server stops with the last barfill command. To use it meanwhile: barfill sql --url --keep-open"
        )
        return
    say("The private server runs until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _run(conn: Connection, text: str, form: str) -> None:
    """
    Runs what was given and prints the rows of each statement.

    A plain query is read as it is printed, so that the number of its rows does not matter.
    """
    if not _PLAIN_QUERY.fullmatch(text):
        _run_any(conn, text, form)
    elif form == "table" and not _NOT_FOR_CURSORS.search(text):
        _run_beginning(conn, text)
    else:
        _run_stream(conn, text, form)


def _run_beginning(conn: Connection, text: str) -> None:
    """As many rows as a table shows; the server does not work out the others."""
    with translated(), conn.transaction(), conn.cursor(name="shown") as cursor:
        cursor.execute(text.encode())
        _print_result(cursor, iter(cursor.fetchmany(TABLE_ROWS_MAX + 1)), "table")


def _run_stream(conn: Connection, text: str, form: str) -> None:
    with conn.cursor() as cursor, translated():
        # Closed whatever happens: a stream that is left open blocks its connection for good.
        stream = cast("Generator[Row, None, None]", cursor.stream(text.encode(), size=FETCHED_AT_ONCE))
        with closing(stream) as rows:
            first = list(islice(rows, 1))
            _print_result(cursor, chain(first, rows), form)


def _run_any(conn: Connection, text: str, form: str) -> None:
    with conn.cursor() as cursor, translated():
        cursor.execute(text.encode())
        _print_result(cursor, iter(cursor) if cursor.description else iter(()), form)
        while cursor.nextset():
            _print_result(cursor, iter(cursor) if cursor.description else iter(()), form)


def _print_result(cursor: psycopg.Cursor[Row] | psycopg.ServerCursor[Row], rows: Iterator[Row], form: str) -> None:
    if cursor.description is None:
        click.echo(cursor.statusmessage or "done")
    else:
        _PRINTERS[form]([column.name for column in cursor.description], rows)


def _print_table(names: Sequence[str], rows: Iterator[Row]) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    shown = list(islice(rows, TABLE_ROWS_MAX))
    has_more = next(rows, None) is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, name in enumerate(names):
        is_number = any(isinstance(row[position], int | float) for row in shown)
        table.add_column(Text(clean(name)), justify="right" if is_number else "left", no_wrap=not sys.stdout.isatty())
    for row in shown:
        table.add_row(*(Text(_shown(value)) for value in row))
    print_table(table, width=None if sys.stdout.isatty() else ENDLESS_WIDTH)
    first, more = ("the first ", "; use --csv or --json to see all") if has_more else ("", "")
    click.echo(f"({first}{counted(len(shown), 'row')}{more})")


def _print_csv(names: Sequence[str], rows: Iterator[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(neutralised, names))
    writer.writerows([neutralised(_portable(value)) for value in row] for row in rows)


def _print_json(names: Sequence[str], rows: Iterator[Row]) -> None:
    print_json([dict(zip(names, map(_jsonable, row), strict=True)) for row in rows])


_PRINTERS = {"table": _print_table, "csv": _print_csv, "json": _print_json}


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S%z").removesuffix("00") if value.tzinfo else str(value)
    return clean(str(value))


def _portable(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else value


def _jsonable(value: object) -> object:
    if isinstance(value, float) and value != value:  # noqa: PLR0124  NaN has no JSON
        return None
    return value if isinstance(value, str | int | float | list | dict | None) else _portable(value)


def _prompt(database: Database) -> None:
    psql = shutil.which("psql")
    if psql is not None and sys.stdin.isatty():
        _psql(psql, database.url)
    else:
        _own_prompt(database)


def _psql(program: str, url: str) -> None:
    """Hands over to psql; the URL travels in the environment, since all may read the list of processes."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    variables = {variable: str(given[name]) for name, variable in _LIBPQ_VARIABLES.items() if given.get(name)}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's
    try:
        subprocess.run([program], env=os.environ | variables, check=False)  # noqa: S603  found in PATH, as typed
    finally:
        signal.signal(signal.SIGINT, before)


def _own_prompt(database: Database) -> None:
    """Statements that end with a semicolon, from a terminal or a pipe; an error does not end it."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        import readline  # noqa: F401, PLC0415  gives input() its editing keys

        say("Statements end with a semicolon; \\d lists tables, help helps, \\q or Ctrl-D leaves.")
    with database.connection() as conn:
        for statement in _statements(is_terminal=is_terminal):
            _try(conn, statement)


def _statements(*, is_terminal: bool) -> Iterator[str]:
    """What is typed, one statement at a time; a Ctrl-C at a terminal drops what was begun."""
    waiting: list[str] = []
    while True:
        try:
            line = input(("   ...> " if waiting else "barfill> ") if is_terminal else "")
        except EOFError:
            break
        except KeyboardInterrupt:
            if not is_terminal:
                raise
            waiting = []
            click.echo(err=True)
            continue
        word = line.strip().rstrip(";")
        if word == "\\q" or (not waiting and word in ("quit", "exit")):
            return
        if word == "help":
            click.echo(_PROMPT_HELP, err=True)
        elif word == "\\d":
            yield _RELATIONS
        else:
            waiting.append(line)
            if line.rstrip().endswith(";"):
                yield "\n".join(waiting)
                waiting = []
    if "".join(waiting).strip():
        yield "\n".join(waiting)


def _try(conn: Connection, statement: str) -> None:
    from barfill.errors import StoreError, StoreUnavailable  # noqa: PLC0415

    try:
        _run(conn, statement, "table")
    except StoreUnavailable:
        raise
    except StoreError as error:
        say(f"Error: {error}")
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        say("Stopped.")
