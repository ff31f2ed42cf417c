"""What Tradier is asked, and what is peculiar to its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import CredentialsRejected, InvalidInput, RateLimited, SettingsError, SymbolNotOffered, TooOld
from barfill.providers.base import HttpResponse
from barfill.providers.tradier import Tradier
from tests.providers.conftest import KEY, bars_query
from tests.providers.dialects import JSON, NOW, TRADIER, at

DAYS = bars_query(timeframe=Timeframe.D1, start="2012-05-25", end="2012-06-02")
ROW = {"date": "2012-05-25", "open": 564.59, "high": 565.85, "low": 558.472, "close": 562.29, "volume": 11730936}


def asked(query: BarsQuery) -> tuple[str, dict[str, str]]:
    """Path and parameters of a request for bars."""
    request = Tradier(KEY, base_url="http://127.0.0.1:1").bars_request(query, None)
    return request.url.removeprefix("http://127.0.0.1:1"), dict(request.params)


def test_minutes_are_asked_for_in_new_york_time() -> None:
    """Regular hours alone, from the start to the excluded end, as nobody tells whether that is included."""
    query = bars_query("BRK.B", timeframe=Timeframe.M15, start="2024-03-05T14:30", end="2024-03-05T21:00:30")

    assert asked(query) == (
        "/v1/markets/timesales",
        {
            "symbol": "BRK/B",
            "interval": "15min",
            "start": "2024-03-05 09:30",
            "end": "2024-03-05 16:01",
            "session_filter": "open",
        },
    )


@pytest.mark.parametrize(
    ("start", "end", "wire_start", "wire_end"),
    [
        ("2025-03-07T14:30", "2025-03-10T20:00", "2025-03-07 09:30", "2025-03-10 16:00"),
        ("2025-10-31T13:30", "2025-11-03T21:00", "2025-10-31 09:30", "2025-11-03 16:00"),
    ],
    ids=["to summer time", "to winter time"],
)
def test_new_york_time_follows_its_summer(start: str, end: str, wire_start: str, wire_end: str) -> None:
    """Each bound has the offset of its own day (T04)."""
    _, params = asked(bars_query(start=start, end=end))

    assert (params["start"], params["end"]) == (wire_start, wire_end)


def test_days_are_asked_for_by_date() -> None:
    """Both dates are included, so the last one is that of the last session asked for."""
    path, params = asked(DAYS)

    assert path == "/v1/markets/history"
    assert params == {"symbol": "AAPL", "interval": "daily", "start": "2012-05-25", "end": "2012-06-01"}


def test_no_two_tickers_mean_the_same() -> None:
    """A slash is a dot of barfill's at Tradier; what has one itself is none of its symbols."""
    with pytest.raises(SymbolNotOffered):
        asked(bars_query("BTC/USD"))
    with pytest.raises(InvalidInput):
        asked(bars_query("AAPL", "MSFT"))


@pytest.mark.parametrize("day", [ROW, [ROW], [ROW | {"date": "2012-05-29"}, ROW]])
def test_a_day_is_stamped_by_its_date_and_split_adjusted(day: object) -> None:
    """An object is a list of one; the page says that its prices are adjusted for splits."""
    page = TRADIER.parse({"history": {"day": day}}, DAYS)

    assert to_us(at("2012-05-25")) in page.rows.ts
    assert page.rows.close.tolist() == [562.29] * len(page.rows)
    assert (page.basis, page.next_token, page.symbols) == ("split", None, ("AAPL",))


@pytest.mark.parametrize("date", ["2012-05-25T00:00:00", "2012-5-25", "2012-02-30", "25.05.2012", None, 15485, ""])
def test_what_is_no_date_sets_its_row_aside(date: object) -> None:
    """By Q01, with its JSON as sent."""
    page = TRADIER.parse({"history": {"day": [ROW, ROW | {"date": date}]}}, DAYS)

    assert [(one.rule, one.ts) for one in page.rejected] == [("Q01", None)]
    assert '"close"' in page.rejected[0].raw


def test_days_before_2001_are_days_too() -> None:
    """AAPL has days since 1990 for us: fewer digits of an epoch are no reason to refuse them."""
    query = bars_query(timeframe=Timeframe.D1, start="1998-01-02", end="1998-01-03")

    assert len(TRADIER.parse({"history": {"day": ROW | {"date": "1998-01-02"}}}, query).rows) == 1


def test_price_and_time_are_not_read() -> None:
    """`timestamp` counts, whatever the other stamp says; `price` is no price of the tape."""
    row = TRADIER.row() | {"time": "2017-01-01T00:00:00", "price": "NaN", "date": "x"}

    page = TRADIER.parse(TRADIER.page(row))

    assert page.rows.ts.tolist() == [to_us(at("2024-03-05T15:00"))]
    assert page.basis == "raw"


def test_rows_of_nan_are_set_aside_and_the_page_stays() -> None:
    """Even if all rows are so: the text NaN is no number written as text."""
    page = TRADIER.parse(TRADIER.page(TRADIER.row(o="NaN", h="NaN", l="NaN", c="NaN", v=0, vw="NaN")))

    assert (len(page.rows), [one.rule for one in page.rejected]) == (0, ["Q04"])


@pytest.mark.parametrize("told", [{"fault": {"faultstring": "x"}}, {"errors": {"error": "x"}}])
def test_a_fault_with_status_200_is_no_page(told: dict[str, object]) -> None:
    """It is asked again, as every body that is none."""
    assert TRADIER.refusal(told) == "body"
    assert TRADIER.refusal({"history": None}) == "schema"


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
def test_the_text_of_the_quota_tells_the_end_of_the_window(status: int) -> None:
    """Its last word is the instant in milliseconds, whatever the status."""
    reset_ms = int((NOW + timedelta(seconds=42)).timestamp() * 1000)
    response = HttpResponse(status, {"content-type": "text/plain"}, f"Quota Violation ... {reset_ms}".encode(), NOW)

    if status == 200:
        with pytest.raises(RateLimited) as caught:
            TRADIER.provider.parse_bars(bars_query(), response)
        error = caught.value
    else:
        refused = TRADIER.provider.error_of(TRADIER.provider.bars_request(bars_query(), None), response)
        assert isinstance(refused, RateLimited)
        error = refused
    assert error.retry_after_s == 42


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"x-ratelimit-available": "0", "x-ratelimit-expiry": "1717200030000"}, 30),
        ({"x-ratelimit-available": "0", "x-ratelimit-expiry": "1717200030"}, 30),
        ({"x-ratelimit-available": "1", "x-ratelimit-expiry": "1717200030000"}, None),
        ({}, None),
    ],
)
def test_the_window_ends_in_milliseconds_or_seconds(headers: dict[str, str], wait_s: float | None) -> None:
    """Nothing left on a 200 is no error, and the next request waits (H01)."""
    response = HttpResponse(200, {**JSON, **headers, "x-ratelimit-allowed": "60"}, TRADIER.body(TRADIER.row()), NOW)
    provider = TRADIER.provider

    assert provider.told_wait_s(response) == wait_s
    assert provider.told_limit(provider.bars_request(bars_query(), None), response) == 60
    assert len(provider.parse_bars(bars_query(), response).rows) == 1


def test_a_start_that_is_too_old_tells_the_first_one() -> None:
    """New York's midnight, as an instant."""
    error = TRADIER.meaning(400, b"Invalid parameter, start: must be on or after 2024-01-15 00:00:00.")

    assert isinstance(error, TooOld)
    assert error.offered_from == at("2024-01-15T05:00")


def test_a_rejected_token_names_the_settings() -> None:
    """The variable, and that the sandbox has tokens of its own."""
    error = TRADIER.meaning(401, {"fault": {"faultstring": "Invalid Access Token"}})

    assert isinstance(error, CredentialsRejected)
    assert "TRADIER_API_TOKEN" in str(error)
    assert "TRADIER_PLAN" in str(error)


@pytest.mark.parametrize(
    ("plan", "url", "per_minute", "delay"),
    [
        ("free", "https://sandbox.tradier.com", 60, timedelta(minutes=31)),
        ("paid", "https://api.tradier.com", 120, timedelta(minutes=16)),
    ],
)
def test_capabilities_follow_the_plan(plan: str, url: str, per_minute: int, delay: timedelta) -> None:
    """The host, the limit and the delay are those of the plan; histories are those of the timeframes."""
    provider = Tradier(KEY, plan=plan)
    capabilities, now = provider.capabilities, at("2024-06-01T12:00")

    assert provider.base_urls == (url,)
    assert (capabilities.requests_per_minute, capabilities.delay) == (per_minute, delay)
    starts = [capabilities.history_start_at(now, one) for one in (Timeframe.M1, Timeframe.H1, Timeframe.D1)]
    assert starts == [at("2024-05-13"), at("2024-04-23"), None]
    assert [capabilities.basis(one) for one in (Timeframe.M1, Timeframe.D1)] == ["raw", "split"]


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8900/tradier", "http://127.0.0.1:8900/tradier/v1/"])
def test_a_base_url_may_end_with_the_version(base_url: str) -> None:
    """As the vendor's documentation writes it."""
    provider = Tradier(KEY, base_url=base_url)

    assert provider.bars_request(DAYS, None).url == "http://127.0.0.1:8900/tradier/v1/markets/history"
    assert provider.base_urls == ("http://127.0.0.1:8900/tradier",)


@pytest.mark.parametrize(
    ("token", "plan", "text"),
    [("", "free", "TRADIER_API_TOKEN is not set"), ("hunter 2", "free", "holds"), ("k", "gold", "Use free, paid")],
)
def test_settings_without_meaning_are_refused(token: str, plan: str, text: str) -> None:
    """The text names the setting, not the token."""
    with pytest.raises(SettingsError, match=text) as caught:
        Tradier(token, plan=plan)

    assert "hunter" not in str(caught.value)


def test_a_range_within_a_minute_is_a_range() -> None:
    """No request is turned around."""
    start = datetime(2024, 3, 5, 15, 0, 10, tzinfo=UTC)
    query = BarsQuery(("AAPL",), Timeframe.M1, Range(start, start + timedelta(seconds=20)), "sip")

    _, params = asked(query)

    assert params["start"] < params["end"]
