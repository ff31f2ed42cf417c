"""
The vendor's own Python client reads all of it, unchanged.

It puts its base before the path of next_url, so the URL must name the vendor's host, which has no path before it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from massive import RESTClient
from massive.exceptions import BadResponse
from urllib3.exceptions import MaxRetryError

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

NOW = datetime(2026, 8, 17, 18, tzinfo=UTC)


@pytest.fixture(scope="module")
def vendors_host() -> Iterator[SimulatedExchange]:
    config = ExchangeConfig(
        port=0, plan="paid", start_clock=NOW, clock_is_frozen=True, symbols=60, next_url_host="vendor"
    )
    with running_exchange(config) as exchange:
        yield exchange


@pytest.fixture
def exchange(vendors_host: SimulatedExchange) -> Iterator[SimulatedExchange]:
    """An exchange whose next_url names the vendor's host."""
    vendors_host.forget_requests()
    yield vendors_host
    vendors_host.set_faults([])


# The client's return types are unions with raw replies, so its objects are Any here.
@pytest.fixture
def rest(exchange: SimulatedExchange) -> Any:
    return RESTClient(api_key="k", base=exchange.massive_url, retries=0)


def as_frame(bars: list[Any]) -> pl.DataFrame:
    """The client's bars in the form of the exchange's truth."""
    return pl.DataFrame(
        {
            "ts": [datetime.fromtimestamp(bar.timestamp / 1000, UTC) for bar in bars],
            "open": [bar.open for bar in bars],
            "high": [bar.high for bar in bars],
            "low": [bar.low for bar in bars],
            "close": [bar.close for bar in bars],
            "volume": [int(bar.volume) for bar in bars],
            "trades": [bar.transactions for bar in bars],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize(
    ("multiplier", "timespan", "timeframe", "start", "end", "pages"),
    [
        (1, "minute", "m1", "2026-06-01", "2026-06-30", 4),
        (15, "minute", "m15", "2026-03-01", "2026-03-31", 4),
        (1, "hour", "h1", "2026-06-01", "2026-06-30", 4),
        (1, "day", "d1", "2020-01-01", "2026-08-01", 1),
    ],
)
@pytest.mark.parametrize("adjusted", [True, False])
def test_bars_are_the_truth(
    rest: Any, exchange: SimulatedExchange, multiplier: int, timespan: str, timeframe: str, start: str, end: str,
    pages: int, adjusted: bool,
) -> None:  # fmt: skip
    """Over several pages the client's bars equal what the exchange holds."""
    bars = list(rest.list_aggs("SPLT", multiplier, timespan, start, end, adjusted=adjusted))

    bounds = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (f"{start}T04:00", f"{end}T23:59"))
    truth = exchange.truth("SPLT", timeframe, *bounds, adjustment="split" if adjusted else "raw")
    assert as_frame(bars).equals(truth.drop("vwap"))
    assert len(exchange.requests) == pages
    assert {request.vendor for request in exchange.requests} == {"massive"}


@pytest.mark.parametrize(
    ("ticker", "span", "start", "end", "pages"),
    [
        ("X:BTCUSD", (1, "minute", "1Min"), "2026-05-01", "2026-06-14", 2),
        ("X:DUSTUSD", (1, "hour", "1Hour"), "2026-05-01", "2026-07-31", 1),
        ("X:SOLUSD", (4, "hour", "4Hour"), "2026-05-01", "2026-07-31", 3),
        ("X:ETHUSD", (1, "day", "1Day"), "2024-01-01", "2026-08-17", 1),
    ],
)
def test_crypto_is_the_truth(
    rest: Any, exchange: SimulatedExchange, ticker: str, span: tuple[int, str, str], start: str, end: str, pages: int
) -> None:
    """Pairs have volumes with fractions, days in UTC, and pages of base bars that go on where they ended."""
    symbol = f"{ticker[2:-3]}/USD"

    bars = list(rest.list_aggs(ticker, span[0], span[1], start, end, limit=50_000))

    bounds = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, f"{end}T23:59"))
    truth = exchange.crypto_truth("massive", symbol, span[2], *bounds)
    assert [bar.timestamp for bar in bars] == truth["ts"].dt.timestamp("ms").to_list()
    for field in ("open", "high", "low", "close", "volume"):
        assert [getattr(bar, field) for bar in bars] == truth[field].to_list()
    assert len(exchange.requests) == pages


def test_crypto_days_and_tickers(rest: Any, exchange: SimulatedExchange) -> None:
    """Grouped days of pairs are stamped by their start; the tickers of crypto are a list of their own."""
    rows = rest.get_grouped_daily_aggs("2020-01-06", locale="global", market_type="crypto")
    tickers = list(rest.list_tickers(market="crypto", limit=3))

    assert [row.ticker for row in rows] == ["X:BTCUSD", "X:ETHUSD"]
    assert {row.timestamp for row in rows} == {int(datetime(2020, 1, 6, tzinfo=UTC).timestamp() * 1000)}
    truth = exchange.crypto_truth("massive", "BTC/USD", "d1", datetime(2020, 1, 6, tzinfo=UTC))
    assert rows[0].close == truth["close"][0]
    assert [one.ticker for one in tickers] == ["X:BTCUSD", "X:DUSTUSD", "X:ETHUSD", "X:SOLUSD"]
    assert rest.get_ticker_details("X:SOLUSD").base_currency_symbol == "SOL"
    assert list(rest.list_aggs("X:NOPEUSD", 1, "day", "2026-08-10", "2026-08-12")) == []


def test_weeks_and_months_of_crypto_snap_in_utc(rest: Any) -> None:
    """Weeks begin on Sunday, months on the first, at 00:00 UTC; a bound inside widens to the whole window."""
    weeks, months = (
        [datetime.fromtimestamp(bar.timestamp / 1000, UTC).isoformat()[:16] for bar in rest.list_aggs(
            "X:BTCUSD", 1, span, "2026-06-03", "2026-06-09", sort=sort)]
        for span, sort in (("week", "asc"), ("month", "desc"))
    )  # fmt: skip

    assert weeks == ["2026-05-31T00:00", "2026-06-07T00:00"]
    assert months == ["2026-06-01T00:00"]


def test_a_day_of_all_tickers(rest: Any) -> None:
    """Grouped, with the two extra parameters that the client sends, and prev and open-close."""
    rows = rest.get_grouped_daily_aggs("2026-08-05", adjusted=False)
    (last,) = rest.get_previous_close_agg("AAPL")
    day = rest.get_daily_open_close_agg("AAPL", "2026-08-14")

    assert len(rows) == 58
    assert {row.timestamp for row in rows} == {int(datetime(2026, 8, 5, 20, tzinfo=UTC).timestamp() * 1000)}
    assert (last.ticker, last.close) == ("AAPL", day.close)
    assert day.symbol == "AAPL"
    assert rest.get_grouped_daily_aggs("2026-08-08") == []


def test_reference_data(rest: Any) -> None:
    """Tickers, details, events, splits and dividends in both forms, page by page."""
    tickers = list(rest.list_tickers(market="stocks", active=True, limit=25))
    details = rest.get_ticker_details("META", date="2021-12-01")
    events = rest.get_ticker_events("META")
    splits = list(rest.list_splits(execution_date_gte="2021-01-01", limit=1))
    new_splits = list(rest.list_stocks_splits(ticker_any_of="GE,SPLT", limit=1))
    dividends = list(rest.list_dividends(ticker="AAPL", ex_dividend_date_gte="2025-01-01", limit=2))
    new_dividends = list(rest.list_stocks_dividends(ticker="AAPL", limit=5))

    assert len({one.ticker for one in tickers}) == 59
    assert (details.ticker, details.list_date) == ("META", "2021-06-30")
    assert [event["ticker_change"]["ticker"] for event in events.events] == ["META", "FB"]
    assert [(one.ticker, one.split_from, one.split_to) for one in splits] == [
        ("SPLT", 1, 4), ("GE", 1000, 1253), ("GE", 8, 1),
    ]  # fmt: skip
    assert len(new_splits) == 3
    assert len({one.ex_dividend_date for one in dividends}) == 7
    assert len(new_dividends) > 40


def test_the_market(rest: Any) -> None:
    """Status and holidays."""
    assert rest.get_market_status().market == "open"
    assert rest.get_market_holidays()[0].name == "Labor Day"


def test_errors_carry_the_body(exchange: SimulatedExchange, rest: Any) -> None:
    """A wrong key, a bad bound and an unknown ticker surface as BadResponse with the vendor's words."""
    wrong = RESTClient(api_key="wrong", base=exchange.massive_url, retries=0)

    with pytest.raises(BadResponse, match="Unknown API Key"):
        wrong.get_aggs("AAPL", 1, "day", "2026-08-10", "2026-08-12")
    with pytest.raises(BadResponse, match="Could not parse the time parameter: 'from'"):
        rest.get_aggs("AAPL", 1, "day", "soon", "2026-08-12")
    with pytest.raises(BadResponse, match="NOT_FOUND"):
        rest.get_ticker_details("NOSUCH")


def test_its_retries_burn_the_limit(exchange: SimulatedExchange) -> None:
    """With the client's default a 429 costs four requests and ends in another error."""
    exchange.set_faults([{"match": {"provider": "massive"}, "fault": "H02"}])

    with pytest.raises(MaxRetryError):
        RESTClient(api_key="k", base=exchange.massive_url).get_aggs("AAPL", 1, "day", "2026-08-10", "2026-08-12")

    assert [request.status for request in exchange.requests] == [429] * 4


def test_a_null_breaks_it(exchange: SimulatedExchange, rest: Any) -> None:
    """results null is a TypeError in the client; absent results end its pages in silence."""
    exchange.set_faults([{"match": {"times": 1}, "fault": "H12", "args": {"form": "null"}}])

    with pytest.raises(TypeError):
        list(rest.list_aggs("AAPL", 1, "day", "2026-08-10", "2026-08-12"))
    assert list(rest.list_aggs("AAPL", 1, "day", "2026-08-08", "2026-08-09")) == []
