"""The vendor's own Python client reads all of it, unchanged."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import finnhub
import httpx
import pytest
from finnhub.exceptions import FinnhubAPIException

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.simulate.market.events import earnings_of
from barfill.simulate.market.listings import listings
from tests.simulate.conftest import NOW


def seconds(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


# The client has no types.
def client_of(exchange: SimulatedExchange, key: str = "k") -> Any:
    client = finnhub.Client(api_key=key)
    client.API_URL = f"{exchange.finnhub_url}/api/v1"
    return client


@pytest.fixture
def rest(exchange: SimulatedExchange) -> Iterator[Any]:
    with client_of(exchange) as client:
        yield client


@pytest.fixture(scope="module")
def free_exchange() -> Iterator[SimulatedExchange]:
    config = ExchangeConfig(port=0, start_clock=NOW, clock_is_frozen=True, symbols=12, requests_per_minute=1_000)
    with running_exchange(config) as exchange:
        yield exchange


@pytest.mark.parametrize("resolution", ["1", "60", "D"])
def test_candles(rest: Any, exchange: SimulatedExchange, resolution: str) -> None:
    """Its path has two slashes; the arrays are as long as each other."""
    page = rest.stock_candles("AAPL", resolution, seconds(2026, 8, 12), seconds(2026, 8, 13))

    assert page["s"] == "ok"
    assert len({len(page[name]) for name in "ohlcvt"}) == 1
    assert exchange.requests[-1].path == "/finnhub/api/v1//stock/candle"
    assert rest.stock_candles("NOPE", resolution, seconds(2026, 8, 12), seconds(2026, 8, 13)) == {"s": "no_data"}


def test_candles_as_text(rest: Any) -> None:
    """CSV comes as a str."""
    text = rest.stock_candles("AAPL", "D", seconds(2026, 8, 12), seconds(2026, 8, 12), format="csv")

    assert text.splitlines()[0] == "t,o,h,l,c,v"
    assert len(text.splitlines()) == 2


def test_splits_dividends_and_changes(rest: Any) -> None:
    """Of one company between two dates, and of all symbols."""
    splits = rest.stock_splits("GE", _from="2020-01-01", to="2026-01-01")
    later = rest.stock_splits("GE", _from="2022-01-01", to="2026-01-01")
    dividends = rest.stock_dividends("AAPL", _from="2025-01-01", to="2025-12-31")
    basic = rest.stock_basic_dividends("AAPL")
    changes = rest.symbol_change(_from="2022-01-01", to="2022-12-31")

    assert [(row["date"], row["fromFactor"], row["toFactor"]) for row in splits] == [
        ("2024-04-02", 1000, 1253), ("2021-08-02", 8, 1),
    ]  # fmt: skip
    assert later == splits[:1]
    assert (len(dividends), dividends[0]["symbol"], dividends[0]["currency"]) == (4, "AAPL", "USD")
    assert {"exDate": dividends[0]["date"], "amount": dividends[0]["amount"]} in basic["data"]
    assert [(row["oldSymbol"], row["newSymbol"]) for row in changes["data"]] == [("FB", "META"), ("META", "METV")]


def test_a_dividend_is_told_in_shares_of_its_time_and_of_today(rest: Any) -> None:
    """GE had one share for eight on 2021-08-02, and 1253 for 1000 on 2024-04-02."""
    rows = rest.stock_dividends("GE", _from="2021-01-01", to="2024-12-31")

    ratios = {row["date"][:7]: row["amount"] / row["adjustedAmount"] for row in rows}
    assert ratios["2021-05"] == pytest.approx(1253 / 1000 / 8, rel=1e-3)
    assert ratios["2021-08"] == pytest.approx(1253 / 1000, rel=1e-3)
    assert ratios["2024-05"] == pytest.approx(1)


def test_earnings(rest: Any, exchange: SimulatedExchange) -> None:
    """Reported quarters, newest first; the calendar has those to come without what is not known yet."""
    quarters = rest.company_earnings("AAPL", limit=5)
    to_come = rest.earnings_calendar(_from="2026-08-17", to="2026-11-30", symbol="AAPL", international=False)
    everybody = rest.earnings_calendar(_from="2026-07-20", to="2026-08-14", symbol="", international=False)

    assert [row["period"] for row in quarters[:2]] == ["2026-06-30", "2026-03-31"]
    assert len(quarters) == 5
    (row,) = to_come["earningsCalendar"]
    assert (row["epsActual"], row["revenueActual"], row["quarter"], row["year"]) == (None, None, 3, 2026)
    assert row["hour"] in {"bmo", "amc"}
    assert row["epsEstimate"] > 0
    reported = {row["symbol"]: row for row in everybody["earningsCalendar"]}
    assert reported["AAPL"]["epsActual"] == quarters[0]["actual"]
    assert not {"SPY", "QQQ", "GONE"} & set(reported)


def test_earnings_are_known_when_they_are_reported(rest: Any, exchange: SimulatedExchange) -> None:
    """Before the open at 07:30 New York, or after the close at 16:15, and not a second before."""
    report = next(one for one in earnings_of(listings(1)["AAPL"]) if one.reported_on > NOW.date())
    at = datetime.fromtimestamp(report.at_ns / 1e9, UTC)

    exchange.set_clock(at - timedelta(milliseconds=1))
    before = rest.company_earnings("AAPL", limit=1)
    exchange.set_clock(at)
    (after,) = rest.company_earnings("AAPL", limit=1)

    assert before[0]["period"] == "2026-06-30"
    assert (after["period"], after["actual"]) == ("2026-09-30", report.eps_actual)


def test_each_company_has_its_own_rhythm() -> None:
    """Four reports a year, on sessions, 20 to 50 days after the quarter; estimates and results never far apart."""
    both = set()
    for listing in listings(50).values():
        reports = list(earnings_of(listing))
        both |= {report.hour for report in reports}
        assert bool(reports) is (listing.kind == "stock")
        assert len([one for one in reports if one.reported_on.year == 2024]) == 4 * bool(
            listing.kind == "stock" and listing.listed_on < date(2024, 1, 1)
        )
        for one in reports:
            assert listing.listed_on < one.reported_on <= (listing.delisted_on or date(2029, 12, 31))
            assert 20 <= (one.reported_on - one.period_end).days <= 50
            assert one.reported_on.weekday() < 5
            assert 0.85 < one.eps_actual / one.eps_estimate < 1.15

    assert both == {"before_open", "after_close"}


def test_reference_data(rest: Any, exchange: SimulatedExchange) -> None:
    """Symbols, search, quotes, holidays, the state of the market."""
    symbols = rest.stock_symbols("US")
    funds = rest.stock_symbols("US", security_type="ETP", mic="ARCX")
    quote, unknown = rest.quote("AAPL"), rest.quote("NOPE")
    holidays = {row["atDate"]: row["tradingHour"] for row in rest.market_holiday(exchange="US")["data"]}
    found = rest.symbol_lookup("brk")

    assert len(symbols) == 59
    assert {row["symbol"] for row in funds} == {"SPY", "IWM", "METV"}
    day = exchange.truth("AAPL", "d1", datetime(2026, 8, 17, tzinfo=UTC)).row(0, named=True)
    assert [quote[name] for name in "ohlc"] == [day[name] for name in ("open", "high", "low", "close")]
    assert (unknown["c"], unknown["t"]) == (0, 0)
    assert (holidays["2026-11-26"], holidays["2026-11-27"]) == ("", "09:30-13:00")
    assert "2026-11-28" not in holidays
    assert [row["symbol"] for row in found["result"]] == ["BRK.B"]


@pytest.mark.parametrize(
    ("now", "session", "holiday"),
    [
        ("2026-08-17T08:00:00Z", "pre-market", None),
        ("2026-08-17T18:00:00Z", "regular", None),
        ("2026-08-17T21:00:00Z", "post-market", None),
        ("2026-08-18T01:00:00Z", None, None),
        ("2026-08-15T18:00:00Z", None, None),
        ("2026-11-26T18:00:00Z", None, "Thanksgiving Day"),
    ],
)
def test_the_state_of_the_market(
    rest: Any, exchange: SimulatedExchange, now: str, session: str | None, holiday: str | None
) -> None:
    """Which part of the day it is, and which holiday."""
    exchange.set_clock(datetime.fromisoformat(now))

    status = rest.market_status(exchange="US")

    assert (status["session"], status["holiday"], status["isOpen"]) == (session, holiday, session == "regular")


def test_the_free_plan_has_no_candles(free_exchange: SimulatedExchange) -> None:
    """403 on what is premium; earnings are the last four quarters, the calendar reaches back a month."""
    with client_of(free_exchange) as rest:
        asked: list[Callable[[], Any]] = [
            lambda: rest.stock_candles("AAPL", "D", 1785715200, 1786492800),
            lambda: rest.stock_splits("SPLT", _from="2020-01-01", to="2026-08-01"),
            lambda: rest.stock_dividends("AAPL", _from="2020-01-01", to="2026-08-01"),
            lambda: rest.stock_basic_dividends("AAPL"),
            lambda: rest.symbol_change(_from="2022-01-01", to="2022-12-31"),
            lambda: rest.stock_symbols("L"),
        ]
        for ask in asked:
            with pytest.raises(FinnhubAPIException, match="You don't have access to this resource") as refused:
                ask()
            assert refused.value.status_code == 403
        past = rest.earnings_calendar(_from="2020-01-01", to="2026-08-16", symbol="", international=False)

        assert len(rest.company_earnings("AAPL", limit=20)) == 4
        assert {row["date"] > "2026-07-16" for row in past["earningsCalendar"]} == {True}
        assert rest.quote("AAPL")["c"] > 0


@pytest.mark.parametrize(
    ("headers", "query", "status", "text"),
    [
        ({}, "", 401, "Please use an API key."),
        ({}, "&token=wrong", 401, "Invalid API key."),
        ({"X-Finnhub-Token": "wrong"}, "", 401, "Invalid API key."),
        ({}, "&token=", 429, "API limit reached. Please sign up for a free account to continue using the API"),
        ({"X-Finnhub-Token": "any"}, "", 200, ""),
        ({}, "&token=any", 200, ""),
    ],
)
def test_tokens_are_asked_for(
    exchange: SimulatedExchange, headers: dict[str, str], query: str, status: int, text: str
) -> None:
    """In the URL or in a header, in the vendor's words; the path with one slash is the same."""
    answer = httpx.get(f"{exchange.finnhub_url}/api/v1/quote?symbol=AAPL{query}", headers=headers)

    assert answer.status_code == status
    if text:
        assert answer.json() == {"error": text}
    assert httpx.get(f"{exchange.finnhub_url}/api/v2/quote").status_code == 404


def test_thirty_requests_a_second() -> None:
    """On every plan; the refusal is the vendor's, without headers of the limit, and ends a second later."""
    config = ExchangeConfig(port=0, plan="paid", symbols=1, start_clock=NOW, clock_is_frozen=True)
    with running_exchange(config) as exchange, httpx.Client(trust_env=False) as client:
        url = f"{exchange.finnhub_url}/api/v1/stock/market-status?exchange=US&token=k"
        answers = [client.get(url) for _ in range(31)]

    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert answers[-1].json() == {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
    assert not any("limit" in name.lower() for name in answers[-1].headers)


def test_the_free_plan_has_sixty_requests_a_minute() -> None:
    """What a key may ask follows from the plan, but at crypto venues, which know no plans."""
    limits = {
        plan: {vendor.name: vendor.requests_per_minute for vendor, _ in
               SimulatedExchange(ExchangeConfig(plan=plan, symbols=1)).counters}
        for plan in ("free", "paid")
    }  # fmt: skip

    venues = {"binance": 6_000, "coinbaseexchange": 600, "kraken": 60}
    assert limits == {
        "free": {"alpaca": 200, "massive": 5, "tradier": 60, "finnhub": 60, **venues},
        "paid": {"alpaca": 10_000, "massive": 6_000, "tradier": 120, "finnhub": 300, **venues},
    }
