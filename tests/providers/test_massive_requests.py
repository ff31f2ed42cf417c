"""What Massive is asked, and what its plans promise to the planner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from barfill.core.capabilities import PageCounts
from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, SettingsError
from barfill.providers.massive import Massive
from barfill.providers.massive_symbols import LOOKUPS_MAX
from tests.providers.conftest import KEY, bars_query
from tests.providers.dialects import at

BASE = "https://api.massive.com/v2/aggs/ticker"


def asked(query: BarsQuery, token: str | None = None) -> str:
    """The URL of a request for bars, without its query."""
    return Massive(KEY).bars_request(query, token).url


def ms(text: str) -> int:
    """An instant, UTC, in epoch milliseconds."""
    return int(at(text).timestamp() * 1000)


def test_everything_with_a_default_is_said() -> None:
    """Raw prices, ascending, with full pages; the symbol and the range are in the path."""
    request = Massive(KEY).bars_request(bars_query("BRK.B", timeframe=Timeframe.M15), None)

    assert request.url == f"{BASE}/BRK.B/range/15/minute/{ms('2024-03-05')}/{ms('2024-03-06') - 1}"
    assert dict(request.params) == {"adjusted": "false", "sort": "asc", "limit": "50000"}


def test_the_excluded_end_is_the_last_millisecond_before() -> None:
    """Both bounds are inclusive and are widened to whole bars, so one that starts at the end is not asked for."""
    start, end = datetime(2024, 3, 5, 14, 30, 0, 500, UTC), datetime(2024, 3, 5, 15, 0, 0, 0, UTC)
    query = BarsQuery(("AAPL",), Timeframe.M1, Range(start, end), "sip")

    assert asked(query).endswith(f"/{ms('2024-03-05T14:30') + 1}/{ms('2024-03-05T15:00') - 1}")


@pytest.mark.parametrize(
    ("start", "end", "wire_start", "wire_end"),
    [
        ("2024-03-05", "2024-03-06", "2024-03-05T05:00", "2024-03-05T05:00"),
        ("2024-03-08", "2024-03-12", "2024-03-08T05:00", "2024-03-11T04:00"),
    ],
    ids=["one day", "over the change to summer time"],
)
def test_days_are_asked_for_by_session_date(start: str, end: str, wire_start: str, wire_end: str) -> None:
    """A day counts by its label; the range ends with New York midnight of the last one."""
    url = asked(bars_query(timeframe=Timeframe.D1, start=start, end=end))

    assert url == f"{BASE}/AAPL/range/1/day/{ms(wire_start)}/{ms(wire_end)}"


def test_a_page_that_follows_is_asked_for_as_told() -> None:
    """Bounds and cursor are those of the URL that the page before gave; nothing is added but the key's header."""
    request = Massive(KEY).bars_request(bars_query(), "1709650860000/2024-03-06?cursor=bGltaXQ9Mg==")

    assert request.url == f"{BASE}/AAPL/range/1/minute/1709650860000/2024-03-06"
    assert dict(request.params) == {"cursor": "bGltaXQ9Mg=="}
    assert dict(request.headers) == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "query", [bars_query("AAPL", "MSFT"), BarsQuery(("AAPL",), Timeframe.M1, bars_query().range, "iex")]
)
def test_one_symbol_of_the_one_feed_at_a_time(query: BarsQuery) -> None:
    """Neither several symbols nor another feed can be asked for, so neither is answered with something else."""
    with pytest.raises(InvalidInput):
        Massive(KEY).bars_request(query, None)


@pytest.mark.parametrize(
    ("plan", "per_minute", "delay", "oldest"),
    [
        ("free", 5, timedelta(hours=15), "2022-06-03"),
        ("starter", 3000, timedelta(minutes=31), "2019-06-04"),
        ("developer", 3000, timedelta(minutes=31), "2014-06-05"),
        ("advanced", 3000, timedelta(minutes=16), "2003-09-10"),
        ("paid", 3000, timedelta(minutes=31), "2003-09-10"),
    ],
)
def test_capabilities_follow_the_plan(plan: str, per_minute: int, delay: timedelta, oldest: str) -> None:
    """Requests, delay and history are those of the plan; pages count the minutes behind the bars of one symbol."""
    capabilities = Massive(KEY, plan=plan).capabilities

    assert (capabilities.requests_per_minute, capabilities.delay) == (per_minute, delay)
    assert capabilities.history_start_at(at("2024-06-01T12:00"), Timeframe.M1) == at(oldest)
    assert (capabilities.page_size, capabilities.page_counts) == (50_000, PageCounts.BASE_MINUTES)
    assert capabilities.symbols_per_call_max == 1
    assert capabilities.bars_per_session[Timeframe.M15] == capabilities.bars_per_session[Timeframe.M1]


def test_a_simulated_exchange_keeps_the_plan_and_has_any_year() -> None:
    """A base URL replaces the host; a moving history stays, a first day falls away."""
    free = Massive(KEY, base_url="http://127.0.0.1:8900/massive/")
    paid = Massive(KEY, base_url="http://127.0.0.1:8900/massive", plan="paid", requests_per_minute=60)

    assert free.base_urls == paid.base_urls == ("http://127.0.0.1:8900/massive",)
    assert free.capabilities.history_start_at(at("2024-06-01T12:00"), Timeframe.M1) == at("2022-06-03")
    assert paid.capabilities.history_start_at(at("2024-06-01T12:00"), Timeframe.M1) is None
    assert paid.capabilities.requests_per_minute == 60


def test_the_day_is_over_in_new_york_before_the_free_plan_is_asked() -> None:
    """The first regular bar, over at 09:31, is asked for only after midnight, when its day can be had."""
    first_bar_ends = datetime(2024, 3, 5, 14, 31, tzinfo=UTC)

    assert first_bar_ends + Massive(KEY).capabilities.delay > datetime(2024, 3, 6, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "settings", "text"),
    [
        ("", {}, "MASSIVE_API_KEY is not set"),
        ("hunter 2", {}, "MASSIVE_API_KEY holds"),
        ("k", {"plan": "gold"}, "'gold' is unknown. Use free, starter, developer, advanced, paid."),
        ("k", {"page_size": 50_001}, "50001"),
        ("k", {"page_size": 0}, "0"),
    ],
)
def test_settings_without_meaning_are_refused(key: str, settings: dict[str, object], text: str) -> None:
    """The text names the setting, not the key."""
    with pytest.raises(SettingsError, match=text) as caught:
        Massive(key, **settings)  # type: ignore[arg-type]

    assert "hunter" not in str(caught.value)


def test_a_few_symbols_are_looked_up_one_by_one() -> None:
    """One call each, among those that trade or among those that no longer do."""
    active, delisted = (
        requests_for(["MSFT", "BRK.B"])
        for requests_for in (Massive(KEY).symbol_requests, Massive(KEY).delisted_requests)
    )

    assert [(request.params["ticker"], request.params["active"]) for request in (*active, *delisted)] == [
        ("BRK.B", "true"),
        ("MSFT", "true"),
        ("BRK.B", "false"),
        ("MSFT", "false"),
    ]


def test_many_symbols_are_looked_up_by_one_list() -> None:
    """From the first to the last of them by pages of 1,000: that costs at most what the whole market does."""
    tickers = [f"S{number}" for number in range(LOOKUPS_MAX + 1)]

    (request,) = Massive(KEY).symbol_requests(tickers)

    assert request.url == "https://api.massive.com/v3/reference/tickers"
    assert (request.params["ticker.gte"], request.params["ticker.lte"]) == ("S0", "S9")
    assert (request.params["limit"], request.params["market"], request.params["sort"]) == ("1000", "stocks", "ticker")
