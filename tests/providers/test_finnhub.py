"""What Finnhub is asked, and what is peculiar to its answers."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.plan import Need, cut_slices
from barfill.core.ranges import Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import PlanTooSmall, SettingsError
from barfill.providers.base import HttpResponse
from barfill.providers.finnhub import Finnhub
from tests.providers.conftest import KEY, bars_query
from tests.providers.dialects import FINNHUB, NOW, at


def epoch_s(text: str) -> int:
    """An instant, UTC, in epoch seconds."""
    return int(at(text).timestamp())


def candles(*stamps: int, **changes: object) -> dict[str, object]:
    """Equal candles at *stamps*."""
    arrays = {"o": 10.5, "h": 12, "l": 10, "c": 11.25, "v": 100}
    return {"s": "ok", "t": list(stamps), **{key: [value] * len(stamps) for key, value in arrays.items()}, **changes}


@pytest.mark.parametrize(
    ("timeframe", "start", "end", "resolution", "first", "last"),
    [
        (Timeframe.M5, "2024-03-05T14:30", "2024-03-05T21:00", "5", "2024-03-05T14:30", "2024-03-05T21:00"),
        (Timeframe.D1, "2024-03-05", "2024-03-07", "D", "2024-03-05", "2024-03-07"),
    ],
)
def test_a_range_is_asked_for_with_its_end(
    timeframe: Timeframe, start: str, end: str, resolution: str, first: str, last: str
) -> None:
    """In seconds, up to the excluded end: a day of before 2021-07 is stamped by its open."""
    request = Finnhub(KEY, plan="paid").bars_request(bars_query(timeframe=timeframe, start=start, end=end), None)

    assert request.url == "https://finnhub.io/api/v1/stock/candle"
    bounds = {"from": str(epoch_s(first)), "to": str(epoch_s(last))}
    assert dict(request.params) == {"symbol": "AAPL", "resolution": resolution, **bounds}


def test_a_day_may_come_by_midnight_and_by_the_open() -> None:
    """Both mean its date, which so may come twice; the page says that its prices are adjusted for splits."""
    query = bars_query(timeframe=Timeframe.D1, start="2021-06-28", end="2021-07-03")
    stamps = ["2021-06-28T13:30", "2021-06-29T00:00", "2021-06-29T13:30", "2021-07-02T04:00"]

    page = FINNHUB.parse(candles(*map(epoch_s, stamps)), query)

    assert [from_us(ts).day for ts in page.rows.ts] == [28, 29, 29, 2]
    assert (page.basis, page.next_token) == ("split", None)


def test_a_row_before_the_start_is_left_to_the_rules() -> None:
    """Finnhub sends such rows; they are dropped and counted (W01)."""
    query = bars_query(timeframe=Timeframe.D1, start="2012-01-03", end="2012-01-05")

    assert len(FINNHUB.parse(candles(epoch_s("2011-12-30"), epoch_s("2012-01-03")), query).rows) == 2


def test_days_before_2001_are_days_too() -> None:
    """Seconds had nine digits then (D14)."""
    query = bars_query(timeframe=Timeframe.D1, start="1998-01-02", end="1998-01-03")

    page = FINNHUB.parse(candles(epoch_s("1998-01-02")), query)

    assert [from_us(ts) for ts in page.rows.ts] == [at("1998-01-02")]


@pytest.mark.parametrize("key", ["t", "o", "h", "l", "c", "v"])
@pytest.mark.parametrize("change", [[], [1, 2, 3], None, 5, "ok", {"0": 1}])
def test_arrays_must_be_there_and_of_one_length(key: str, change: object) -> None:
    """Nothing of an answer is believed whose values cannot be told apart (H30)."""
    assert (
        FINNHUB.refusal(candles(epoch_s("2024-03-05T15:00"), epoch_s("2024-03-05T15:01"), **{key: change})) == "schema"
    )


def test_another_status_is_no_page() -> None:
    """What is neither ok nor no_data is asked again; a text in the place of JSON is none either (H10)."""
    assert FINNHUB.refusal(candles(s="busy")) == "body"
    assert FINNHUB.refusal(json.dumps("You don't have access to this resource.").encode()) == "body"


def test_the_json_of_a_rejected_row_is_put_together() -> None:
    """Of arrays there is none as sent."""
    page = FINNHUB.parse(candles(epoch_s("2024-03-05T15:00"), epoch_s("2024-03-05T15:01"), o=[10.5, None]))

    assert json.loads(page.rejected[0].raw) == {
        "t": epoch_s("2024-03-05T15:01"),
        "o": None,
        "h": 12,
        "l": 10,
        "c": 11.25,
        "v": 100,
    }


def test_the_free_plan_has_no_bars() -> None:
    """Nothing is offered, and nothing is sent for what is asked all the same; symbols can be looked up."""
    provider = Finnhub(KEY)

    assert provider.capabilities.timeframes == frozenset()
    with pytest.raises(PlanTooSmall, match="FINNHUB_PLAN"):
        provider.bars_request(bars_query(), None)
    assert provider.symbol_requests(["AAPL"])


def test_a_range_of_an_answer_is_bounded() -> None:
    """A week of minutes, a month of coarser bars, and years of days stay below 5,000 rows."""
    capabilities = Finnhub(KEY, plan="paid").capabilities

    for timeframe, longest in capabilities.range_per_call_max.items():
        sessions = longest / timedelta(days=7) * 5
        assert sessions * capabilities.bars_per_session[timeframe] < capabilities.page_size
    assert capabilities.range_per_call_max.keys() == capabilities.timeframes


def test_a_month_of_quarters_is_one_call() -> None:
    """29 days are asked for at once, and none of the month's days twice."""
    need = Need(1, "AAPL", Timeframe.M15, Ranges([bars_query(start="2024-03-01", end="2024-03-30").range]))

    slices = cut_slices([need], Finnhub(KEY, plan="paid").capabilities, trading_calendar("XNYS", 2026))

    assert [one.calls for one in slices] == [1]


def test_limits_are_read_where_they_are_told() -> None:
    """No recorded answer has the headers; where they come they count."""
    provider = FINNHUB.provider
    headers = {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1717200012"}
    response = HttpResponse(200, headers, b"{}", NOW)

    assert provider.told_wait_s(response) == 12
    assert provider.told_limit(provider.bars_request(bars_query(), None), response) == 30
    assert provider.told_limit(provider.bars_request(bars_query(), None), HttpResponse(200, {}, b"{}", NOW)) is None


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8900/finnhub", "http://127.0.0.1:8900/finnhub/api/v1/"])
def test_a_base_url_may_end_with_the_version(base_url: str) -> None:
    """As the vendor's documentation writes it."""
    provider = Finnhub(KEY, base_url=base_url, plan="paid", requests_per_minute=300)

    assert provider.bars_request(bars_query(), None).url == "http://127.0.0.1:8900/finnhub/api/v1/stock/candle"
    assert provider.capabilities.requests_per_minute == 300


@pytest.mark.parametrize(
    ("key", "plan", "text"),
    [("", "free", "FINNHUB_API_KEY is not set"), ("hunter 2", "free", "holds"), ("k", "gold", "Use free, paid")],
)
def test_settings_without_meaning_are_refused(key: str, plan: str, text: str) -> None:
    """The text names the setting, not the key."""
    with pytest.raises(SettingsError, match=text) as caught:
        Finnhub(key, plan=plan)

    assert "hunter" not in str(caught.value)
