"""Corporate actions in the tables: each once, seen, withdrawn, and what was asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from barfill.core.corporate import CorporateEvent, EventKind, Split
from barfill.errors import StoreError
from barfill.store.database import Database
from barfill.store.events import (
    Answered,
    closes_before,
    find_unlisted,
    note_asked,
    read_asked,
    read_events,
    withdraw,
    write_events,
)
from barfill.store.symbols import NewSymbol, add_symbols
from tests.store.builders import query

FIRST, END = date(2024, 1, 1), date(2025, 1, 1)
NOON = datetime(2024, 12, 1, 12, tzinfo=UTC)
DAY = date(2024, 6, 10)


def answered(asked_at: datetime, *symbol_ids: int, first: date = FIRST) -> Answered:
    return Answered("massive", EventKind.SPLITS, symbol_ids or None, first, END, asked_at)


def split(numerator: int, event_id: str = "") -> Split:
    return Split(ticker="NVDA", on=DAY, filed_on=DAY, event_id=event_id, numerator=numerator, denominator=1)


def add(database: Database) -> int:
    return database.run(add_symbols, [NewSymbol("NVDA")])["NVDA"].id


def test_an_event_is_one_row_however_often_it_is_listed(database: Database) -> None:
    """Twice in an answer, in two answers, and by one that is late: the newest sight of it counts."""
    symbol_id = add(database)
    twice: list[tuple[int, CorporateEvent]] = [(symbol_id, split(10, "E2")), (symbol_id, split(10, "E1"))]

    for asked_at in (NOON, NOON + timedelta(hours=2), NOON + timedelta(hours=1)):
        database.run(write_events, answered(asked_at), twice)

    (row,) = database.run(read_events, EventKind.SPLITS, first=FIRST, end=END)
    assert (row["numerator"], row["denominator"], row["event_id"]) == (10, 1, "E1")
    assert database.run(find_unlisted, answered(NOON + timedelta(hours=2))) == []
    assert len(database.run(find_unlisted, answered(NOON + timedelta(hours=3)))) == 1


def test_what_is_withdrawn_stays_and_comes_back(database: Database) -> None:
    """Only rows of the symbols and days asked for are looked at; a withdrawn one holds again once it is listed."""
    symbol_id = add(database)
    later = NOON + timedelta(days=1)
    database.run(write_events, answered(NOON), [(symbol_id, split(10))])

    assert database.run(find_unlisted, answered(later, symbol_id + 1)) == []
    assert database.run(find_unlisted, answered(later, first=date(2024, 7, 1))) == []
    assert database.run(withdraw, EventKind.SPLITS, database.run(find_unlisted, answered(later, symbol_id))) == 1
    (gone,) = database.run(read_events, EventKind.SPLITS, first=FIRST, end=END)
    database.run(write_events, answered(later), [(symbol_id, split(10))])
    (back,) = database.run(read_events, EventKind.SPLITS, first=FIRST, end=END)

    assert gone["withdrawn_at"] is not None
    assert (back["withdrawn_at"], back["first_seen_at"]) == (None, gone["first_seen_at"])
    assert back["updated_at"] > gone["updated_at"]


def test_a_newer_question_takes_the_place_of_those_that_it_holds(database: Database) -> None:
    """The ledger does not grow by asking the same days again; the market's and a symbol's stand apart."""
    symbol_id = add(database)
    questions = [(0, FIRST, ()), (1, date(2024, 6, 1), (symbol_id,)), (2, date(2024, 3, 1), ()), (3, FIRST, ())]

    for hour, first, who in questions:
        database.run(note_asked, answered(NOON + timedelta(hours=hour), *who, first=first))

    found = database.run(read_asked, "massive", EventKind.SPLITS)
    assert {(one.symbol_id, one.first, one.asked_at.hour) for one in found} == {
        (symbol_id, date(2024, 6, 1), 13),
        (None, FIRST, 15),
    }


@pytest.mark.parametrize("terms", ["0, 1", "-1, 1", "2, 2", "4, 2"])
def test_the_table_refuses_what_is_no_split(database: Database, terms: str) -> None:
    """Whoever writes it: nothing, a negative, no change, not in lowest terms."""
    symbol_id = add(database)

    with pytest.raises((StoreError, psycopg.Error)), database.connection() as conn:
        conn.execute(
            "insert into splits (symbol_id, ex_on, form, numerator, denominator, ticker, provider, filed_on, "
            f"last_seen_at) values ({symbol_id}, '2024-06-10', 'split', {terms}, 'NVDA', 'hand', '2024-06-10', now())"
        )


def test_the_close_before_a_day_is_that_of_the_last_session(database: Database) -> None:
    """W19: of days as traded, not older than ten days; adjusted ones say nothing about what was paid."""
    a = add(database)
    query(database, f"insert into series (symbol_id, timeframe, feed) values ({a}, 'd1', 'sip')")
    query(
        database,
        "insert into ohlc_bars (symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday) "
        f"select {a}, 'd1', ts, 1, 9, 1, close, 1, 'alpaca', 'sip', false "
        "from (values ('2024-03-01Z'::timestamptz, 7.25), ('2024-03-04Z', 8)) as given (ts, close)",
    )
    days = [(a, date(2024, 3, day)) for day in (1, 4, 5, 20)]

    found = database.run(closes_before, days)
    query(database, "update series set basis = 'split'")

    assert found == {(a, date(2024, 3, 4)): Decimal("7.25"), (a, date(2024, 3, 5)): Decimal(8)}
    assert database.run(closes_before, days) == database.run(closes_before, []) == {}
