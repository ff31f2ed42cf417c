"""Alpaca's pages of many symbols, beyond what all providers' pages must keep."""

from __future__ import annotations

import json

import pytest

from barfill.core.ranges import from_us
from tests.providers.conftest import bars_query
from tests.providers.dialects import ALPACA

row, page_of, parse, refusal = ALPACA.row, ALPACA.page, ALPACA.parse, ALPACA.refusal


def test_a_page_becomes_columns() -> None:
    """Rows keep their order, symbols theirs, values all digits; token, feed and basis are there."""
    page = parse(
        {
            "bars": {"NIO": [row(), row("2024-03-05T15:01", v=9099.618093)], "AAPL": [row(o=9.0000000001)]},
            "next_page_token": "QUFQTA==",
        },
        bars_query("AAPL", "NIO"),
    )

    assert page.symbols == ("NIO", "AAPL")
    assert page.rows.symbol.tolist() == [0, 0, 1]
    assert [from_us(ts).minute for ts in page.rows.ts] == [0, 1, 0]
    assert page.rows.volume.tolist() == [100, 9099.618093, 100]
    assert page.rows.open.tolist() == [10.5, 10.5, 9.0000000001]
    assert page.rows.trade_count.tolist() == [7, 7, 7]
    assert (page.next_token, page.feed, page.basis, page.received) == ("QUFQTA==", "sip", "raw", 3)


@pytest.mark.parametrize(
    "page",
    [
        {"bars": {"AAPL": [row()], "MSFT": [row()]}},
        {"bars": [row()], "symbol": "MSFT"},
        {"bars": {"aapl": [row()]}},
        {"bars": {"MSFT": [row(o=None)]}},
        b'{"bars":{"\\ud800":[' + json.dumps(row()).encode() + b"]}}",
    ],
)
def test_rows_of_a_symbol_not_asked_for_refuse_the_page(page: object) -> None:
    """One foreign symbol is enough: the answer belongs to another question (H27, Q16)."""
    assert refusal(page) == "wrong_symbol"


def minutes(count: int, **changes: object) -> list[object]:
    """So many good bars, one a minute."""
    return [row(f"2024-03-05T15:{minute:02d}", **changes) for minute in range(count)]


def test_one_symbols_rows_under_two_names_refuse_the_page() -> None:
    """Three equal rows in which the price moves are not two symbols' (H27: a sandbox key answered AAPL for all)."""
    page = {"bars": {"AAPL": minutes(3), "MSFT": [row(c=11.5)], "NIO": minutes(3)}}

    assert refusal(page, bars_query("AAPL", "MSFT", "NIO")) == "wrong_symbol"


@pytest.mark.parametrize(
    "alike",
    [minutes(2), minutes(30, o=10, h=10, l=10, c=10, vw=10)],
    ids=["two rows", "one price all along"],
)
def test_quiet_symbols_may_look_alike(alike: list[object]) -> None:
    """Few rows, or rows at one price, can be equal by chance."""
    page = parse({"bars": {"AAPL": alike, "NIO": alike}}, bars_query("AAPL", "NIO"))

    assert page.received == 2 * len(alike)


def test_an_answer_may_call_itself_what_was_asked_for() -> None:
    """The right currency, feed and basis are no harm (H29, Q17)."""
    assert len(parse({**page_of(row()), "currency": "USD", "feed": "sip", "adjustment": "raw"}).rows) == 1
