"""Faults in the values and stamps of rows, as they look on the wire."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange

Ask = Callable[..., httpx.Response]
Spoil = Callable[..., None]
Row = dict[str, Any]
DAY = "2026-08-12"
MINUTES = {"symbols": "AAPL", "timeframe": "1Min", "start": DAY, "end": DAY, "limit": 10_000}


@pytest.fixture
def rows(ask: Ask) -> Callable[..., list[Row]]:
    """The rows of AAPL as they come."""

    def rows(**params: Any) -> list[Row]:
        found: list[Row] = ask(**{"symbols": "AAPL", **params}).json()["bars"]["AAPL"]
        return found

    return rows


Rows = Callable[..., list[Row]]


@pytest.mark.parametrize("value", ["NaN", None, "", "N/A", "Infinity", True])
def test_d01_is_no_price(rows: Rows, spoil: Spoil, value: Any) -> None:
    """A field of one row holds any JSON value."""
    right = rows()
    spoil("D01", field="o", value=value, row=1)

    spoiled = rows()

    assert spoiled[1]["o"] is value if value is None or value is True else spoiled[1]["o"] == value
    assert [spoiled[0], spoiled[2]] == [right[0], right[2]]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "1e400"])
def test_d01_bare_words(ask: Ask, spoil: Spoil, word: str) -> None:
    """literal puts the word out without quotes."""
    spoil("D01", value=word, literal=True)

    assert f'"c":{word},' in ask().text


def test_d02_zero_prices(rows: Rows, spoil: Spoil) -> None:
    """All four prices are 0, the volume is not."""
    spoil("D02", volume=77)

    first = rows()[0]

    assert [first[key] for key in "ohlcv"] == [0, 0, 0, 0, 77]


def test_d03_negative_prices(rows: Rows, spoil: Spoil) -> None:
    """All four prices are below 0 and still in order."""
    spoil("D03", row=-1)

    last = rows()[-1]

    assert last["l"] <= last["o"] <= last["h"] < 0
    assert last["l"] <= last["c"] <= last["h"]


def test_d04_high_below_low(rows: Rows, spoil: Spoil) -> None:
    """High and low are exchanged."""
    right = rows()[0]
    spoil("D04")

    first = rows()[0]

    assert (first["h"], first["l"]) == (right["l"], right["h"])


@pytest.mark.parametrize("by", [0.01, 1e-12])
@pytest.mark.parametrize(("field", "side"), [("c", "above"), ("o", "below")])
def test_d05_outside_the_range(rows: Rows, spoil: Spoil, field: str, side: str, by: float) -> None:
    """Open or close lies outside low to high, by a tick or by almost nothing."""
    spoil("D05", field=field, side=side, by=by)

    first = rows()[0]
    outside = first[field] - first["h"] if side == "above" else first["l"] - first[field]

    assert 0 < outside == pytest.approx(by, rel=0.05)


def test_d06_todays_price_in_an_old_bar(rows: Rows, spoil: Spoil, exchange: SimulatedExchange) -> None:
    """The close of last year's bar is the newest close."""
    spoil("D06")

    first = rows(start="2025-03-03", end="2025-03-05")[0]

    assert first["c"] == exchange.truth("AAPL", "d1")["close"][-1]
    assert first["t"].startswith("2025-03-03")


def test_d07_vwap_outside(rows: Rows, spoil: Spoil) -> None:
    """The VWAP lies above the high."""
    spoil("D07", by=0.2)

    first = rows()[0]

    assert first["vw"] == pytest.approx(first["h"] + 0.2)


def test_d08_a_saturday(rows: Rows, spoil: Spoil) -> None:
    """A daily bar on a Saturday with a high of 499 for a stock of 2.5 dollars."""
    spoil("D08")

    last = rows()[-1]

    assert last["t"] == "2026-08-15T04:00:00Z"
    assert datetime.fromisoformat(last["t"]).weekday() == 5
    assert (last["h"], last["c"]) == (499, 2.5)


@pytest.mark.parametrize(("side", "field", "factor"), [("above", "h", 1.1), ("below", "l", 0.9)])
def test_d09_a_long_wick(rows: Rows, spoil: Spoil, side: str, field: str, factor: float) -> None:
    """One price of one row is a tenth away, the others are as they were."""
    right = rows()
    spoil("D09", side=side, row=1)

    spoiled = rows()

    assert spoiled[1] == {**right[1], field: pytest.approx(right[1][field] * factor)}
    assert [spoiled[0], spoiled[2]] == [right[0], right[2]]


def test_d10_a_false_level(rows: Rows, spoil: Spoil) -> None:
    """All prices of a run of rows, by number or by stamp, are a multiple; volumes stay."""
    right = rows()
    spoil("D10", row=1, bars=1)
    by_number = rows()
    spoil("D10", start=right[1]["t"], end=right[2]["t"])
    by_stamp = rows()
    spoil("D10", factor=20, start=right[1]["t"])
    for_ever = rows()

    assert by_number == by_stamp
    assert [by_number[0], by_number[2]] == [right[0], right[2]]
    assert by_number[1]["v"] == right[1]["v"]
    for name in ("o", "h", "l", "c", "vw"):
        assert by_number[1][name] == pytest.approx(0.0003 * right[1][name])
        assert [row[name] for row in for_ever[1:]] == pytest.approx([20 * row[name] for row in right[1:]])


def test_d19_less_within_the_day(rows: Rows, spoil: Spoil) -> None:
    """The volumes of minutes are short; the day's own is not, and the fault has not fired on it."""
    day, right = rows(), rows(**MINUTES)
    spoil("D19", {"times": 1})

    assert rows() == day
    assert [row["v"] for row in rows(**MINUTES)] == pytest.approx([0.87 * row["v"] for row in right])


@pytest.mark.parametrize("form", ["equal", "different"])
def test_d11_a_row_twice(rows: Rows, spoil: Spoil, form: str) -> None:
    """One stamp comes twice, with equal values or with another close."""
    right = rows()
    spoil("D11", form=form, row=1)

    spoiled = rows()

    assert [row["t"] for row in spoiled] == [right[number]["t"] for number in (0, 1, 1, 2)]
    assert (spoiled[1] == spoiled[2]) == (form == "equal")


def test_d12_every_row_twice(ask: Ask, spoil: Spoil) -> None:
    """All rows of all symbols are doubled."""
    right = ask().json()["bars"]
    spoil("D12")

    assert ask().json()["bars"] == {symbol: [row for row in rows for _ in (0, 1)] for symbol, rows in right.items()}


@pytest.mark.parametrize(("offset_s", "tail"), [(14.789, ":14.789Z"), (1694.789, ":28:14.789Z")])
def test_d13_off_the_grid(rows: Rows, spoil: Spoil, offset_s: float, tail: str) -> None:
    """Stamps are shifted by fractions of a minute or hour."""
    spoil("D13", offset_s=offset_s)

    assert all(row["t"].endswith(tail) for row in rows(timeframe="1Hour"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("s", 1786507200),
        ("ms", 1786507200000),
        ("us", 1786507200000000),
        ("ns", 1786507200000000000),
        ("1970", "1970-01-21T16:15:07.2Z"),
        ("55840", "58582-02-27T16:00:00Z"),
    ],
)
def test_d14_another_unit(rows: Rows, spoil: Spoil, form: str, expected: int | str) -> None:
    """Stamps are numbers of some unit, or instants of 1970 or the far future."""
    spoil("D14", form=form)

    assert rows(start=DAY)[0]["t"] == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("ny_midnight", "04:00:00Z"),
        ("ny_close", "20:00:00Z"),
        ("utc_midnight", "00:00:00Z"),
        ("utc_5", "05:00:00Z"),
        ("open", "13:30:00Z"),
    ],
)
def test_d15_days_stamped_otherwise(rows: Rows, spoil: Spoil, form: str, expected: str) -> None:
    """The daily stamp is another instant of the same date."""
    spoil("D15", form=form)

    assert [row["t"] for row in rows()] == [f"2026-08-{day}T{expected}" for day in (10, 11, 12)]


def test_d15_the_stamp_moves(rows: Rows, spoil: Spoil) -> None:
    """The same bar is stamped differently the next time."""
    spoil("D15", form="moving")

    assert [rows()[0]["t"] for _ in range(3)] == [
        "2026-08-10T04:00:00Z",
        "2026-08-10T00:00:00Z",
        "2026-08-10T04:00:00Z",
    ]


def test_d16_more_extended_hours(rows: Rows, spoil: Spoil) -> None:
    """Minutes before the open that had no bar get one, in order."""
    right = rows(**MINUTES)
    spoil("D16", count=20)

    spoiled = rows(**MINUTES)
    added = {row["t"] for row in spoiled} - {row["t"] for row in right}

    assert len(spoiled) == len(right) + 20
    assert all("T08:00" <= stamp[10:16] < "T13:30" for stamp in added)
    assert [row["t"] for row in spoiled] == sorted(row["t"] for row in spoiled)


@pytest.mark.parametrize(("day", "close"), [("2026-08-12", "20:00"), ("2025-11-28", "18:00")])
def test_d17_a_bar_at_the_close(rows: Rows, spoil: Spoil, day: str, close: str) -> None:
    """There is exactly one bar at the close, 13:00 New York on a half day, with the auction's volume."""
    spoil("D17", volume=123_456)

    at_close = [row for row in rows(**{**MINUTES, "start": day, "end": day}) if row["t"] == f"{day}T{close}:00Z"]

    assert [row["v"] for row in at_close] == [123_456]


@pytest.mark.parametrize(
    ("value", "literal", "text"),
    [
        (9099.618093, False, "9099.618093"),
        ("1.300741e+06", True, "1.300741e+06"),
        (0, False, "0"),
        (-1, False, "-1"),
        ("1e16", True, "1e16"),
        (2**63, False, "9223372036854775808"),
    ],
)
def test_d18_odd_volumes(ask: Ask, spoil: Spoil, value: Any, literal: bool, text: str) -> None:
    """A volume is fractional, in exponents, zero, negative or too large."""
    spoil("D18", value=value, literal=literal)

    assert f'"v":{text},' in ask(symbols="AAPL").text


def test_d20_a_row_is_missing(rows: Rows, spoil: Spoil) -> None:
    """One row by its number, or one stamp of all symbols, is left out."""
    right = rows(**MINUTES)
    spoil("D20", row=5)
    by_number = rows(**MINUTES)
    spoil("D20", at="2026-08-12T15:30:00Z")
    by_stamp = rows(**MINUTES)

    assert by_number == right[:5] + right[6:]
    assert by_stamp == [row for row in right if row["t"] != "2026-08-12T15:30:00Z"]
    assert len(by_stamp) == len(right) - 1


@pytest.mark.parametrize(
    ("timeframe", "stamp"), [("1Min", "T18:00:00Z"), ("1Hour", "T18:00:00Z"), ("1Day", "T04:00:00Z")]
)
def test_d23_the_forming_bar(rows: Rows, spoil: Spoil, exchange: SimulatedExchange, timeframe: str, stamp: str) -> None:
    """The last row is the bar that holds now, and it differs a second later."""
    spoil("D23")
    query = {"timeframe": timeframe, "start": "2026-08-17", "end": "2026-08-17T18:05:00Z", "limit": 10_000}

    first = rows(**query)
    exchange.clock.advance(1)
    second = rows(**query)

    assert first[-1]["t"] == second[-1]["t"] == f"2026-08-17{stamp}"
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]


def test_d23_only_where_now_is_asked_for(rows: Rows, spoil: Spoil) -> None:
    """A page that ends before now has no forming bar."""
    right = rows()
    spoil("D23")

    assert rows() == right


def test_d20_rows_between_two_stamps_are_missing(rows: Rows, spoil: Spoil) -> None:
    """All rows from one stamp up to another, excluded, are left out; a page that has none of them is whole."""
    right = rows(**MINUTES)
    spoil("D20", at="2026-08-12T15:30:00Z", until="2026-08-12T15:40:00Z")
    between = rows(**MINUTES)
    spoil("D20", at="2026-01-12T15:30:00Z", until="2026-01-12T15:40:00Z")

    assert between == [row for row in right if not "2026-08-12T15:30:00Z" <= row["t"] < "2026-08-12T15:40:00Z"]
    assert len(between) == len(right) - 10
    assert rows(**MINUTES) == right


def test_d04_a_row_of_a_stamp_is_broken(rows: Rows, spoil: Spoil, exchange: SimulatedExchange) -> None:
    """The row of a stamp, and no other; a page without it does not count."""
    right = rows(**MINUTES)
    spoil("D04", {"times": 1}, at="2026-08-12T15:30:00Z")
    rows(symbols="AAPL", timeframe="1Day", start="2026-08-10", end="2026-08-12")
    broken = rows(**MINUTES)

    assert [new["t"] for new, old in zip(broken, right, strict=True) if new != old] == ["2026-08-12T15:30:00Z"]
    assert [row["t"] for row in broken if row["h"] < row["l"]] == ["2026-08-12T15:30:00Z"]
    assert exchange.requests[-1].fault == "D04"
