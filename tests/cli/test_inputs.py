"""What the command line makes of texts: symbols, timeframes, instants, windows, imported files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from barfill.cli.inputs import (
    SymbolRow,
    parse_symbol_file,
    parse_ticker,
    parse_tickers,
    parse_timeframes,
    parse_window,
)
from barfill.core.instants import parse_instant
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, NaiveTimestamp, UnknownTimeframe

NOW = datetime(2026, 8, 17, 15, 30, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_tickers_may_be_listed_with_commas_and_in_any_case() -> None:
    """Each comes once, in the order given."""
    assert parse_tickers(["aapl,msft", " brk.b ", "AAPL", "btc/usd"]) == ("AAPL", "MSFT", "BRK.B", "BTC/USD")


@pytest.mark.parametrize(
    "text",
    [
        "AAPL'; DROP TABLE ohlc_bars;--",
        "X' OR '1'='1",
        "../../v1/admin",
        "..",
        ".",
        "A..B",
        "AAPL?apiKey=x",
        "A#x",
        "A%2e%2e%2fB",
        "A\r\nX: y",
        "\u0410APL",
        "A" * 21,
        "",
    ],
)
def test_a_text_that_cannot_be_a_ticker_is_refused(text: str) -> None:
    """X07, X08: nothing that means something to a database, a URL or a header gets through."""
    with pytest.raises(InvalidInput, match="cannot be one"):
        parse_ticker(text)


def test_no_timeframe_means_all_eight() -> None:
    """Named ones come finest first, each once."""
    assert parse_timeframes([]) == tuple(Timeframe)
    assert parse_timeframes(["1d,1h", "m1", "daily"]) == (Timeframe.M1, Timeframe.H1, Timeframe.D1)


def test_an_unknown_timeframe_is_refused() -> None:
    """The text lists the eight."""
    with pytest.raises(UnknownTimeframe, match="1m, 5m, 15m"):
        parse_timeframes(["7m"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01", "2024-03-01T00:00"),
        ("2024-03-01T09:30Z", "2024-03-01T09:30"),
        ("2024-03-01T09:30:15-05:00", "2024-03-01T14:30:15"),
        ("2024-03-01 09:30+0100", "2024-03-01T08:30"),
    ],
)
def test_dates_and_instants_with_a_zone_are_taken(text: str, expected: str) -> None:
    """A date is 00:00 UTC, which is the stamp of its daily bar."""
    assert parse_instant(text, "--start") == at(expected)


def test_a_time_of_day_without_a_zone_is_refused() -> None:
    """The text shows how to add one."""
    with pytest.raises(NaiveTimestamp, match=r"--start '2024-03-01T09:30:00' has no time zone"):
        parse_instant("2024-03-01T09:30", "--start")


@pytest.mark.parametrize(
    "text", ["2024-02-30", "2024-13-01", "yesterday", "20240301", "1709280000", "2024-03-01T25:00Z"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidInput, match=r"^--end '"):
        parse_instant(text, "--end")


def test_a_window_of_days_begins_with_a_whole_day() -> None:
    """So the same command asks for the same window all day long, and a second run finds nothing to do."""
    window = parse_window(days=2, start=None, end=None, now=NOW)

    assert (window.start, window.end) == (at("2026-08-15T00:00"), NOW)


def test_without_any_bound_a_window_is_two_years() -> None:
    """730 days is the default."""
    assert parse_window(days=None, start=None, end=None, now=NOW).start == at("2024-08-17T00:00")


def test_days_count_back_from_the_end_that_is_given() -> None:
    """--days and --end go together."""
    window = parse_window(days=3, start=None, end="2024-01-10", now=NOW)

    assert (window.start, window.end) == (at("2024-01-07T00:00"), at("2024-01-10T00:00"))


def test_an_end_in_the_future_is_now() -> None:
    """There are no bars later."""
    assert parse_window(days=None, start="2026-08-01", end="2027-01-01", now=NOW).end == NOW


@pytest.mark.parametrize(
    ("days", "start", "end", "reason"),
    [
        (5, "2024-01-01", None, "--days and --start"),
        (None, "2024-01-05", "2024-01-05", "not after --start"),
        (None, "2024-01-05", "2024-01-01", "not after --start"),
        (None, "2026-08-18", None, "in the future"),
        (None, "1985-01-01", None, "known from 1990"),
        (20_000, None, None, "known from 1990"),
        (99_999_999, None, None, "before history"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(
    days: int | None, start: str | None, end: str | None, reason: str
) -> None:
    """Before anything is started, with the option to change."""
    with pytest.raises(InvalidInput, match=reason):
        parse_window(days=days, start=start, end=end, now=NOW)


def test_a_symbol_file_may_be_plain_text() -> None:
    """One per line or several, with comments."""
    rows = parse_symbol_file("# tech\nAAPL\nmsft, nvda  # chips\n\nAAPL\n", "list.txt")

    assert [row.ticker for row in rows] == ["AAPL", "MSFT", "NVDA"]


def test_a_symbol_file_may_be_csv_with_a_header() -> None:
    """The columns are found by name; others are left alone."""
    text = '\ufeffWeight,Symbol,Name,asset_type\n7.1,aapl,"Apple, Inc.",stock\n6.5,SPY,SPDR,etf\n,,,\n'

    assert parse_symbol_file(text, "holdings.csv") == (
        SymbolRow("AAPL", "Apple, Inc.", "stock"),
        SymbolRow("SPY", "SPDR", "etf"),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AAPL\n=HYPERLINK(1)\n", r"^list, line 2: Symbol"),
        ("ticker,asset_type\nAAPL,shares\n", r"^list, line 2: asset type 'shares'"),
        ("# nothing\n\n", "names no symbol"),
        ("", "names no symbol"),
    ],
)
def test_a_symbol_file_with_a_bad_line_is_refused_with_its_number(text: str, reason: str) -> None:
    """Nothing of it is imported."""
    with pytest.raises(InvalidInput, match=reason):
        parse_symbol_file(text, "list")
