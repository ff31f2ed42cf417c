"""The one place where foreign errors (of PostgreSQL, its driver and the file system) become barfill's own."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from barfill.errors import StoreCrowded, StoreError, StoreFull, StoreReadOnly, StoreUnavailable

PASSING_SQLSTATES = frozenset({"40001", "40P01", "55P03", "57014"})
"""Serialisation failure, deadlock, lock timeout, statement timeout: the same transaction may be tried again."""

_TOLD: Mapping[str, tuple[type[StoreError], str]] = {
    "53100": (
        StoreFull,
        "The disk below the database is full ({said}). Free some space; what was begun is undone.",
    ),
    "53300": (
        StoreCrowded,
        (
            "The database has no connection to give ({said}). End what holds some, or allow more (max_connections, the "
            "role's limit), or put a transaction pooler between (DATABASE_POOLER=true)."
        ),
    ),
    "25006": (StoreReadOnly, "The database takes no writes ({said}). Point DATABASE_URL at the primary server."),
    "42501": (StoreReadOnly, "The database role may not do this ({said}). Grant it, or use another role."),
}
"""What is said of the SQLSTATEs that somebody can do something about."""
_CROWDED = ("too many connections", "too many clients", "connection slots are reserved", "no more connections allowed")
"""What PostgreSQL and PgBouncer say while a connection is being made: the driver gives no SQLSTATE then."""
_FULL = "No space left on device"
_READ_ONLY = ("Read-only file system", "Permission denied", "Operation not permitted")


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the driver inside leave as `StoreError`s; what they were stays their cause."""
    try:
        yield
    except psycopg.Error as error:
        raise from_driver(error) from error


def from_driver(error: psycopg.Error) -> StoreError:
    """What a driver's error means to us."""
    said = _first_line(error.diag.message_primary or str(error)) or type(error).__name__
    state = error.sqlstate or ("53300" if any(words in said for words in _CROWDED) else "")
    if state in _TOLD:
        kind, text = _TOLD[state]
        return kind(text.format(said=said))
    if _is_connection_trouble(error, state):
        return StoreUnavailable(
            f"The database does not answer ({said}). Check it with: barfill doctor; then run the same command again, "
            "it goes on where it stopped."
        )
    if state in PASSING_SQLSTATES:
        return StoreUnavailable(f"The database was too busy for this transaction ({said}). It can be tried again.")
    return StoreError(f"PostgreSQL refused a statement: {said} (SQLSTATE {state or 'none'}). Nothing was written.")


def behind(error: BaseException) -> StoreError | None:
    """What another library's error means to us, where the driver's own is its cause."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, psycopg.Error):
        cause = cause.__cause__
    return from_driver(cause) if cause is not None else None


def from_os(error: OSError, directory: Path) -> StoreError:
    """What a failure to make or open something in *directory* means."""
    return store_error(
        "No space left on device" if error.errno == errno.ENOSPC else (error.strerror or str(error)),
        directory,
        otherwise=f"BARFILL_HOME {str(directory)!r} cannot be made or used: {error.strerror or error}. "
        "Set it to a directory that can be written, such as ~/barfill.",
    )


def store_error(text: str, directory: Path, *, otherwise: str) -> StoreError:
    """The error that *text*, said by a program or the system about *directory*, stands for."""
    if _FULL in text:
        return StoreFull(
            f"The disk that holds {directory} is full. Free some space, or set BARFILL_HOME to another disk."
        )
    if any(words in text for words in _READ_ONLY):
        return StoreReadOnly(
            f"{directory} cannot be written. Give yourself the right to, or set BARFILL_HOME to another directory."
        )
    return StoreUnavailable(otherwise)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".?! \t")


def _is_connection_trouble(error: psycopg.Error, state: str) -> bool:
    if state:
        return state.startswith(("08", "57P")) or state in {"25P03", "25P04"}
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
