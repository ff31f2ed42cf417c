"""What Alpaca is asked, and what the adapter promises to the planner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from barfill.core.capabilities import PageCounts
from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import SettingsError
from barfill.providers.alpaca import SYMBOLS_LENGTH_MAX, Alpaca
from tests.providers.conftest import KEY, SECRET, bars_query


def asked(query: BarsQuery, token: str | None = None) -> dict[str, str]:
    """The parameters of a request for bars."""
    return dict(Alpaca(KEY, SECRET).bars_request(query, token).params)


def test_everything_with_a_default_is_said() -> None:
    """Feed, adjustment, limit, sort, start and end are explicit; `asof` is left to the provider's today."""
    query = bars_query("BRK.B", "AAPL", timeframe=Timeframe.M15)

    assert asked(query) == {
        "symbols": "AAPL,BRK.B",
        "timeframe": "15Min",
        "start": "2024-03-05T00:00:00Z",
        "end": "2024-03-05T23:59:59Z",
        "limit": "10000",
        "adjustment": "raw",
        "feed": "sip",
        "sort": "asc",
    }
    assert asked(query, "QUFQTA==") == {**asked(query), "page_token": "QUFQTA=="}


def test_the_excluded_end_is_the_last_second_before() -> None:
    """Both bounds are inclusive on the wire, so a bar that starts at the end is not asked for."""
    start, end = datetime(2024, 3, 5, 14, 30, 0, 500, UTC), datetime(2024, 3, 5, 15, 0, 0, 7, UTC)
    query = BarsQuery(("AAPL",), Timeframe.M1, Range(start, end), "sip")

    assert (asked(query)["start"], asked(query)["end"]) == ("2024-03-05T14:30:01Z", "2024-03-05T15:00:00Z")


@pytest.mark.parametrize(
    ("start", "end", "wire_start", "wire_end"),
    [
        ("2024-03-05", "2024-03-06", "2024-03-05T05:00:00Z", "2024-03-05T05:00:01Z"),
        ("2024-03-08", "2024-03-12", "2024-03-08T05:00:00Z", "2024-03-11T04:00:01Z"),
        ("2024-03-05T09:00", "2024-03-08T09:00", "2024-03-06T05:00:00Z", "2024-03-08T05:00:01Z"),
    ],
    ids=["one day", "over the change to summer time", "bounds inside a day"],
)
def test_days_are_asked_for_by_session_date(start: str, end: str, wire_start: str, wire_end: str) -> None:
    """A day counts by its label; the end reaches no farther than the last day's own stamp, New York midnight."""
    params = asked(bars_query(timeframe=Timeframe.D1, start=start, end=end))

    assert (params["start"], params["end"]) == (wire_start, wire_end)


def test_a_list_of_the_greatest_length_keeps_the_url_below_8_kb() -> None:
    """The promised length of the symbol list leaves room for the rest of the line."""
    symbols = tuple(sorted(f"S{number:04}.WS" for number in range(SYMBOLS_LENGTH_MAX // 9)))
    request = Alpaca(KEY, SECRET).bars_request(
        bars_query(*symbols), "QUFQTHxEfDIwMjItMDItMDFUMDU6MDA6MDAuMDAwMDAwMDAwWg=="
    )

    assert len(request.params["symbols"]) > SYMBOLS_LENGTH_MAX - 20
    assert len(str(httpx.URL(request.url, params=dict(request.params))).replace("%2C", ",")) < 8_000


def test_capabilities_follow_plan_and_feed() -> None:
    """Delay, history and rate are those of the plan; the page size counts bars over all symbols."""
    free, paid = Alpaca(KEY, SECRET).capabilities, Alpaca(KEY, SECRET, plan="paid").capabilities
    iex = Alpaca(KEY, SECRET, feed="iex", page_size=500, requests_per_minute=50).capabilities

    assert (free.feed, free.delay, free.requests_per_minute) == ("sip", timedelta(minutes=16), 200)
    assert (paid.feed, paid.delay, paid.requests_per_minute) == ("sip", timedelta(minutes=1), 10_000)
    assert (iex.feed, iex.delay, iex.requests_per_minute, iex.page_size) == ("iex", timedelta(minutes=1), 50, 500)
    assert free.history_start == datetime(2016, 1, 1, tzinfo=UTC)
    assert free.page_counts is PageCounts.BARS
    assert (
        set(free.bars_per_session) == free.timeframes == {Timeframe(name) for name in ("m1", "m5", "m15", "m30", "d1")}
    )


def test_paper_keys_ask_the_paper_host() -> None:
    """The trading host follows the key; a base URL replaces both hosts, and nothing else is pinned."""
    assert Alpaca("PKabc", "s").base_urls == ("https://data.alpaca.markets", "https://paper-api.alpaca.markets")
    assert Alpaca("AKabc", "s").base_urls == ("https://data.alpaca.markets", "https://api.alpaca.markets")
    assert Alpaca("AKabc", "s", base_url="http://127.0.0.1:8900/alpaca/").base_urls == ("http://127.0.0.1:8900/alpaca",)


@pytest.mark.parametrize(
    ("key", "secret", "settings", "text"),
    [
        ("", "s", {}, "ALPACA_API_KEY is not set"),
        ("k", "", {}, "ALPACA_API_SECRET is not set"),
        ("k\n", "s", {}, "ALPACA_API_KEY holds"),
        ("k", "hunter 2", {}, "ALPACA_API_SECRET holds"),
        ("k", "s", {"plan": "gold"}, "'gold'"),
        ("k", "s", {"feed": "otc"}, "'otc'"),
        ("k", "s", {"page_size": 10_001}, "10001"),
        ("k", "s", {"page_size": 0}, "0"),
    ],
)
def test_settings_without_meaning_are_refused(key: str, secret: str, settings: dict[str, object], text: str) -> None:
    """A key that is missing or cannot be a header, an unknown plan or feed: the text names the setting, not the key."""
    with pytest.raises(SettingsError, match=text) as caught:
        Alpaca(key, secret, **settings)  # type: ignore[arg-type]

    assert "hunter" not in str(caught.value)


def test_symbols_with_a_slash_stay_one_path_segment() -> None:
    """A pair is quoted, so that it names one asset."""
    (request,) = Alpaca(KEY, SECRET).symbol_requests(["BTC/USD"])

    assert request.url.endswith("/v2/assets/BTC%2FUSD")
