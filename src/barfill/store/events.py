"""Corporate actions: written as a provider lists them, withdrawn when it no longer does, never deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from barfill.core.corporate import CorporateEvent, EventKind
from barfill.core.event_plan import AskedDays
from barfill.core.jumps import KnownSplit
from barfill.core.ranges import to_us
from barfill.core.tenures import Renamed
from barfill.store.database import Connection, transaction
from barfill.store.queries import load_queries

SQL = load_queries("events")

TABLES = MappingProxyType(
    {
        EventKind.SPLITS: "splits",
        EventKind.DIVIDENDS: "dividends",
        EventKind.EARNINGS: "earnings",
        EventKind.CHANGES: "ticker_changes",
        EventKind.DELISTINGS: "delistings",
    }
)
CHUNK = 5_000
"""How many rows one statement writes."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """
    What was asked of a provider to the end, and when.

    Attributes:
        symbol_ids: Of these; None for the whole market.
        end: Excluded.
        asked_at: By the database's clock, before the first request.
    """

    provider: str
    kind: EventKind
    symbol_ids: tuple[int, ...] | None
    first: date
    end: date
    asked_at: datetime

    def parameters(self) -> Row:
        """For the statements."""
        return {
            "provider": self.provider,
            "kind": self.kind.value,
            "first": self.first,
            "end": self.end,
            "asked_at": self.asked_at,
            "symbol_ids": None if self.symbol_ids is None else list(self.symbol_ids),
        }


@dataclass(frozen=True, slots=True)
class Bearer:
    """A symbol on record, as far as its identity goes."""

    id: int
    ticker: str
    created_at: datetime
    confirmed_at: datetime | None
    is_active: bool
    asset_type: str


def write_events(conn: Connection, answered: Answered, events: Iterable[tuple[int, CorporateEvent]]) -> None:
    """Events with the symbols that they are of; one that is on record is seen again, and no longer withdrawn."""
    rows = [{"symbol_id": symbol_id, **_values(event)} for symbol_id, event in events]
    for start in range(0, len(rows), CHUNK):
        given = Jsonb(rows[start : start + CHUNK], dumps=_json)
        parameters = {"rows": given, "provider": answered.provider, "asked_at": answered.asked_at}
        conn.execute(SQL[f"write_{answered.kind}"], parameters)


def find_unlisted(conn: Connection, answered: Answered, event_ids: Sequence[str] = ()) -> list[int]:
    """
    Rows that were not in an answer that should have held them.

    Args:
        event_ids: Those of the answer: a row that had one of them with other values is replaced.
    """
    given = {**answered.parameters(), "event_ids": [one for one in event_ids if one]}
    return [row[0] for row in conn.execute(_for_table("find_unlisted", answered.kind), given)]


def withdraw(conn: Connection, kind: EventKind, ids: Sequence[int]) -> int:
    """The provider no longer lists these; how many they are."""
    return conn.execute(_for_table("withdraw", kind), {"ids": list(ids)}).rowcount if ids else 0


def note_asked(conn: Connection, answered: Answered) -> None:
    """Keeps that these days were asked for, in the place of what they hold whole."""
    is_market = answered.symbol_ids is None
    given = {
        **answered.parameters(),
        "is_market": is_market,
        "symbol_ids": [None] if is_market else answered.parameters()["symbol_ids"],
    }
    conn.execute(SQL["forget_asked"], given)
    conn.execute(SQL["note_asked"], given)


def read_asked(conn: Connection, provider: str, kind: EventKind) -> list[AskedDays]:
    """What was asked of a provider so far."""
    found = conn.execute(SQL["read_asked"], {"provider": provider, "kind": kind.value})
    return [AskedDays(*row) for row in found]


def read_askers(conn: Connection, kind: EventKind | None = None) -> list[str]:
    """The providers that were ever asked for a kind, or for any."""
    found = conn.execute(SQL["read_askers"], {"kind": None if kind is None else kind.value})
    return [row[0] for row in found]


def read_events(
    conn: Connection,
    kind: EventKind,
    *,
    first: date,
    end: date,
    symbol_ids: Sequence[int] | None = None,
    providers: Sequence[str] | None = None,
) -> list[Row]:
    """
    Rows of a kind by column name, withdrawn ones too, the newest first.

    Args:
        end: Excluded.
        symbol_ids, providers: None for all.
    """
    given = {
        "first": first,
        "end": end,
        "symbol_ids": None if symbol_ids is None else list(symbol_ids),
        "providers": None if providers is None else list(providers),
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[f"read_{kind}"], given).fetchall()


def known_splits(conn: Connection, symbol_ids: Sequence[int]) -> dict[int, tuple[KnownSplit, ...]]:
    """The splits that hold of each symbol that has any, by its id, the oldest first."""
    found: dict[int, list[KnownSplit]] = {}
    for symbol_id, ex_on, numerator, denominator in conn.execute(SQL["known_splits"], {"symbol_ids": list(symbol_ids)}):
        ex_ts = to_us(datetime(ex_on.year, ex_on.month, ex_on.day, tzinfo=UTC))
        found.setdefault(symbol_id, []).append(KnownSplit(ex_ts, float(numerator / denominator)))
    return {symbol_id: tuple(splits) for symbol_id, splits in found.items()}


def closes_before(conn: Connection, days: Sequence[tuple[int, date]]) -> dict[tuple[int, date], Decimal]:
    """By symbol id and day, the close of the session before as traded, where one is stored."""
    if not days:
        return {}
    given = {"symbol_ids": [one for one, _ in days], "days": [day for _, day in days]}
    with transaction(conn):
        found = conn.execute(SQL["closes_before"], given).fetchall()
    return {(symbol_id, day): Decimal(repr(close)) for symbol_id, day, close in found}


def read_renames(conn: Connection) -> list[Renamed]:
    """All changes of tickers that hold."""
    return [Renamed(*row) for row in conn.execute(SQL["read_renames"])]


def read_applied(conn: Connection, ids: Sequence[int]) -> list[tuple[int, Renamed]]:
    """Of the changes *ids* those by which nothing else tells that a series bears its ticker."""
    return [(row[0], Renamed(*row[1:])) for row in conn.execute(SQL["read_applied"], {"ids": list(ids)})]


def read_bearers(conn: Connection) -> list[Bearer]:
    """All symbols."""
    return [Bearer(*row) for row in conn.execute(SQL["read_bearers"])]


def oldest_bar(conn: Connection) -> datetime | None:
    """The start of the oldest bar on record."""
    row = conn.execute(SQL["oldest_bar"]).fetchone()
    return row[0] if row is not None else None


def rename_symbol(conn: Connection, change: Renamed) -> bool:
    """The series goes on under its new ticker, as do its definitions; False where somebody else has that ticker."""
    given = {"symbol_id": change.symbol_id, "old": change.old, "new": change.new}
    with conn.transaction():
        if conn.execute(SQL["take_ticker"], given).rowcount == 0:
            return False
        conn.execute(SQL["note_applied"], given)
    return True


def delist_symbol(conn: Connection, symbol_id: int, on: date) -> bool:
    """Switches a symbol off, traded no more from a day on; whether that is news."""
    given = {"symbol_id": symbol_id, "on": on}
    with conn.transaction():
        is_news = conn.execute(SQL["delist"], given).rowcount == 1
        conn.execute(SQL["note_delisted"], given)
    return is_news


def current_tickers(conn: Connection, tickers: Sequence[str]) -> Mapping[str, str]:
    """Today's ticker of each of *tickers* that a series on record had before and no symbol has now."""
    return dict(conn.execute(SQL["current_tickers"], {"tickers": list(tickers)}).fetchall())


def _for_table(name: str, kind: EventKind) -> sql.Composed:
    return sql.SQL(SQL[name].decode()).format(table=sql.Identifier(TABLES[kind]))


def _values(event: CorporateEvent) -> Row:
    return {field.name: getattr(event, field.name) for field in fields(event)}


def _json(value: object) -> str:
    """Dates and decimals as text, which PostgreSQL reads without loss."""
    return json.dumps(value, default=str)
