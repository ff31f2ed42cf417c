"""Alpaca's pages: what is read, what is set aside row by row, and what is refused as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.ranges import from_us, to_us
from barfill.errors import BadResponse
from tests.providers.conftest import bars_query
from tests.providers.pages import page_of, parse, refusal, row


def test_a_page_becomes_columns() -> None:
    """Rows keep their order, symbols theirs, values all digits; token, feed and basis are there."""
    page = parse(
        {
            "bars": {"NIO": [row(), row(t="2024-03-05T15:01:00Z", v=9099.618093)], "AAPL": [row(o=9.0000000001)]},
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


def test_what_is_not_given_is_marked() -> None:
    """Rows without count and vwap are good rows."""
    page = parse(page_of(row(n=..., vw=...), row(n=None, vw=None)))

    assert page.rows.trade_count.tolist() == [NO_TRADE_COUNT] * 2
    assert np.isnan(page.rows.vwap).all()


@pytest.mark.parametrize(
    "page",
    [
        {"bars": {}, "next_page_token": None},
        {"bars": {"AAPL": []}, "next_page_token": None},
        {"bars": None, "next_page_token": None},
        {"bars": "null"},
        {"next_page_token": None},
        {"bars": {"AAPL": None}},
        {"bars": [], "symbol": "AAPL"},
        {},
    ],
)
def test_a_page_without_rows_is_a_page(page: object) -> None:
    """Nothing, null, or no key at all is a page without rows and without symbols (H11, H12)."""
    parsed = parse(page)

    assert (parsed.received, parsed.symbols, parsed.next_token) == (0, (), None)


def test_an_empty_page_with_a_token_goes_on() -> None:
    """Only a null token ends the chain (H20)."""
    assert parse({"bars": {}, "next_page_token": "abc"}).next_token == "abc"
    assert parse({"bars": None, "next_page_token": "abc"}).next_token == "abc"


@pytest.mark.parametrize(
    "page",
    [
        {"bars": [row()], "symbol": "AAPL", "next_page_token": None},
        {"bars": [row()]},
        {"bars": row()},
        {"bars": {"AAPL": row()}},
    ],
)
def test_other_shapes_of_the_same_rows_are_read(page: object) -> None:
    """The single-symbol form and an object instead of a list hold the same row (H12)."""
    assert parse(page).rows.close.tolist() == [11.25]


@pytest.mark.parametrize("key", ["o", "h", "l", "c", "v"])
@pytest.mark.parametrize("value", [None, "", "NaN", "N/A", "Infinity", True, [], {}, "10.5", ..., 10**400])
def test_a_row_without_a_number_is_set_aside(key: str, value: object) -> None:
    """One unreadable price or volume rejects its row by Q04, with its JSON; the others stay (D01)."""
    page = parse(page_of(row(), row(t="2024-03-05T15:01:00Z", **{key: value}), row(t="2024-03-05T15:02:00Z")))

    (rejected,) = page.rejected
    assert len(page.rows) == 2
    assert (rejected.symbol, rejected.rule) == ("AAPL", "Q04")
    assert rejected.ts == to_us(datetime(2024, 3, 5, 15, 1, tzinfo=UTC))
    assert json.loads(rejected.raw)["t"] == "2024-03-05T15:01:00Z"


@pytest.mark.parametrize(
    "change", [{"n": -1}, {"n": 1.5}, {"n": "x"}, {"n": True}, {"n": 2**63}, {"vw": "x"}, {"vw": []}]
)
def test_a_bad_count_or_vwap_sets_its_row_aside(change: Mapping[str, object]) -> None:
    """Where given, count and vwap must be numbers (Q10)."""
    page = parse(page_of(row(), row(**change)))

    assert [one.rule for one in page.rejected] == ["Q10"]
    assert len(page.rows) == 1


@pytest.mark.parametrize(
    ("volume", "stored"), [(1.300741e06, 1300741.0), (0, 0.0), (-1, -1.0), (1e16, 1e16), (2**63, 2.0**63)]
)
def test_volumes_are_kept_exactly(volume: float, stored: float) -> None:
    """Fractions, exponents and odd values are not for this layer to judge (D18)."""
    assert parse(page_of(row(v=volume))).rows.volume.tolist() == [stored]


def test_the_json_of_a_rejected_row_is_as_sent() -> None:
    """Evidence keeps its own spelling of numbers."""
    bad = b'{"t":"2024-03-05T15:00:00Z","o":1.50,"h":"NaN","l":1e0,"c":1.5,"v":1,"extra":"x"}'

    page = parse(b'{"bars":{"AAPL":[' + json.dumps(row()).encode() + b"," + bad + b"]}}")

    assert page.rejected[0].raw == bad.decode()


@pytest.mark.parametrize(
    "rows",
    [
        [row(o=...)],
        [row(t=...), row(t=...)],
        [{**row(c=...), "close": 1}],
        [row(o="10.5"), row(o="10.6")],
        [row(vw="11.1")],
        [row(n="7")],
        [[1, 2, 3]],
        ["row"],
    ],
)
def test_another_schema_is_refused_as_a_whole(rows: list[object]) -> None:
    """A key that no row has, or numbers that are text in every row, mean that the contract has changed (H30)."""
    assert refusal(page_of(*rows)) == "schema"


@pytest.mark.parametrize(
    "page",
    [
        {"results": [row()]},
        {"bars": {"AAPL": [row()]}, "nextPageToken": "abc"},
        {"bars": {"AAPL": [row()]}, "next_page_token": 7},
        {"bars": 7},
        {"bars": {"AAPL": 7}},
    ],
)
def test_a_renamed_or_mistyped_field_is_refused(page: object) -> None:
    """A list or token under another name never reads as 'no rows' or 'last page' (H30)."""
    assert refusal(page) == "schema"


def test_unknown_fields_are_ignored() -> None:
    """What a provider adds does no harm (H30)."""
    page = parse({**page_of(row(z={"deep": [1]}), row(x="1")), "took_ms": 3})

    assert (len(page.rows), len(page.rejected)) == (2, 0)


@pytest.mark.parametrize(
    "body",
    [
        b'{"bars":{"AAPL":[',
        b'{"bars":{},"next_page_token":null}{"bars":{}}',
        b'{"bars":{"AAPL":[' + json.dumps(row()).encode().replace(b"10.5", b"NaN") + b"]}}",
        b'{"bars":{"AAPL":[' + json.dumps(row()).encode().replace(b"10.5", b"Infinity") + b"]}}",
        b'{"bars":{"AAPL":[' + json.dumps(row()).encode().replace(b"10.5", b"1e400") + b"]}}",
        b'{"bars":{"AAPL":[' + json.dumps(row()).encode().replace(b'"v"', b'"o": 3, "v"') + b"]}}",
        b'{"bars":{"AAPL":[]},"bars":{}}',
        b'{"bars":{"AAPL":[' + json.dumps(row()).encode() + b'],"AAPL":[]}}',
        b'{"bars":{},"x":1e999}',
        b'{"bars":{},"x":"\xff"}',
        b'\xef\xbb\xbf{"bars":{}}',
    ],
)
def test_lax_json_is_refused(body: bytes) -> None:
    """Cut, doubled, with NaN or overflow or a key twice: no such page is believed (H16)."""
    assert refusal(body) == "json"


def test_oversized_answers_are_refused_unread() -> None:
    """More than twice the rows asked for, endless lists and nesting bombs are too large (H31)."""
    nested = b"[" * 100_000 + b"]" * 100_000
    bombs: list[tuple[object, int]] = [
        (page_of(*[row()] * 21), 10),
        (b'{"bars":{},"x":[' + b"0," * 1_000_000 + b"0]}", 10),
        (b'{"bars":{},"x":"' + b"0" * 1_000_000 + b'"}', 10),
        (b'{"bars":' + nested + b"}", 10_000),
        (b'{"bars":{},"x":' + nested + b"}", 10_000),
        (b'{"bars":{"AAPL":[{"t":' + nested + b"}]}}", 10_000),
    ]

    assert [refusal(page, page_size=page_size) for page, page_size in bombs] == ["too_large"] * len(bombs)


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
    return [row(t=f"2024-03-05T15:{minute:02d}:00Z", **changes) for minute in range(count)]


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


@pytest.mark.parametrize("echo", [{"currency": "EUR"}, {"feed": "iex"}, {"adjustment": "split"}])
def test_an_answer_that_calls_itself_something_else_is_refused(echo: Mapping[str, object]) -> None:
    """Another currency, feed or basis than asked for is no answer; the same one is (H29, Q17)."""
    assert refusal({**page_of(row()), **echo}) == "wrong_variant"
    assert len(parse({**page_of(row()), "currency": "USD", "feed": "sip", "adjustment": "raw"}).rows) == 1


def test_rows_stay_in_the_order_sent() -> None:
    """Descending and off-grid rows are kept as they are: sorting and judging is for the rules (H32, Q03)."""
    stamps = ["2024-03-05T15:02:00Z", "2024-03-05T15:00:14Z", "2024-03-05T15:01:00Z"]

    page = parse(page_of(*[row(t=stamp) for stamp in stamps]))

    assert [from_us(ts).strftime("%M:%S") for ts in page.rows.ts] == ["02:00", "00:14", "01:00"]


@settings(deadline=None, max_examples=300)
@given(
    body=st.one_of(
        st.binary(max_size=60), st.text(alphabet='{}[]":,01eE-.nulNtrafsbAPLo ', max_size=60).map(str.encode)
    )
)
def test_garbage_is_refused_and_nothing_worse(body: bytes) -> None:
    """Any bytes give a page or a BadResponse."""
    reason, received = "", 0
    try:
        received = parse(body).received
    except BadResponse as error:
        reason = error.reason

    assert reason in {"", "json", "body", "schema", "wrong_symbol", "too_large"}
    assert received == 0
