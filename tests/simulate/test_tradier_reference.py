"""Tradier's tokens, limits, calendar, clock, quotes and fundamentals."""

import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from tests.simulate.conftest import NOW

HEADERS = {"Authorization": "Bearer k", "Accept": "application/json"}


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("Bearer wrong", 401), ("Bearer", 401), ("Basic k", 401), ("Bearer any", 200)]
)
def test_tokens_are_asked_for(exchange: SimulatedExchange, token: str | None, status: int) -> None:
    """401 with a fault in JSON, whatever is accepted."""
    headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": token})

    answer = httpx.get(f"{exchange.tradier_url}/v1/markets/clock", headers=headers)

    assert answer.status_code == status
    if status == 401:
        assert answer.json()["fault"]["faultstring"] == "Invalid Access Token"
        assert "errorcode" in answer.json()["fault"]["detail"]


@pytest.mark.parametrize(("plan", "allowed"), [("free", 60), ("paid", 120)])
def test_limits_of_the_plans(plan: str, allowed: int) -> None:
    """All replies tell of the window; beyond its end the text's last word is the reset in milliseconds."""
    began_s = time.time()
    config = ExchangeConfig(port=0, plan=plan, symbols=1, start_clock=NOW, clock_is_frozen=True)
    with (
        running_exchange(config) as exchange,
        httpx.Client(base_url=exchange.tradier_url, headers=HEADERS, trust_env=False) as client,
    ):
        answers = [client.get("/v1/markets/clock") for _ in range(allowed + 1)]
        other = client.get("/v1/markets/clock", headers={"Authorization": "Bearer another"})
        summary = httpx.get(f"{exchange.url}/simulate/requests").json()["by_vendor"]["tradier"]

    told = [tuple(int(answer.headers[f"X-Ratelimit-{name}"]) for name in ("Allowed", "Used", "Available"))
            for answer in answers]  # fmt: skip
    assert told == [(allowed, used, allowed - used) for used in [*range(1, allowed + 1), allowed]]
    expiry = {answer.headers["X-Ratelimit-Expiry"] for answer in answers}
    assert len(expiry) == 1
    assert 59_000 < int(expiry.pop()) - began_s * 1000 < 63_000
    assert [answer.status_code for answer in answers] == [200] * allowed + [429]
    assert answers[-1].headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answers[-1].text.startswith("Quota Violation")
    assert answers[-1].text.split()[-1] == answers[-1].headers["X-Ratelimit-Expiry"]
    assert other.status_code == 200
    assert (summary["requests_per_minute"], summary["limit_was_exceeded"]) == (allowed, True)


def test_a_month_of_the_calendar(tradier: httpx.Client) -> None:
    """Every day of it: closed ones, half days, extended hours in New York times; by default this month."""
    days = {day["date"]: day for day in
            tradier.get("/v1/markets/calendar?month=11&year=2026").json()["calendar"]["days"]["day"]}  # fmt: skip
    now = tradier.get("/v1/markets/calendar").json()["calendar"]

    assert len(days) == 30
    assert days["2026-11-26"] == {"date": "2026-11-26", "status": "closed", "description": "Market is closed"}
    assert days["2026-11-27"]["open"] == {"start": "09:30", "end": "13:00"}
    assert days["2026-11-27"]["postmarket"] == {"start": "13:00", "end": "17:00"}
    assert days["2026-11-30"]["premarket"] == {"start": "04:00", "end": "09:30"}
    assert (now["month"], now["year"], len(now["days"]["day"])) == (8, 2026, 31)
    assert tradier.get("/v1/markets/calendar?month=13").status_code == 400


@pytest.mark.parametrize(
    ("now", "state", "following"),
    [
        ("2026-08-17T07:59:59Z", "closed", ("premarket", "04:00")),
        ("2026-08-17T08:00:00Z", "premarket", ("open", "09:30")),
        ("2026-08-17T13:30:00Z", "open", ("postmarket", "16:00")),
        ("2026-08-17T20:00:00Z", "postmarket", ("closed", "20:00")),
        ("2026-08-18T00:00:00Z", "closed", ("premarket", "04:00")),
        ("2026-11-27T18:00:00Z", "postmarket", ("closed", "17:00")),
    ],
)
def test_the_clock(
    tradier: httpx.Client, exchange: SimulatedExchange, now: str, state: str, following: tuple[str, str]
) -> None:
    """State and next change follow the exchange's clock."""
    exchange.set_clock(datetime.fromisoformat(now))

    clock = tradier.get("/v1/markets/clock").json()["clock"]

    assert (clock["state"], (clock["next_state"], clock["next_change"])) == (state, following)
    assert clock["timestamp"] == int(datetime.fromisoformat(now).timestamp())


@pytest.mark.parametrize(
    ("symbols", "quoted", "unmatched"),
    [
        ("AAPL", "AAPL", None),
        ("AAPL,BRK/B", ["AAPL", "BRK/B"], None),
        ("BRK.B,GONE,AAPL", "AAPL", ["BRK.B", "GONE"]),
        ("NOPE", None, "NOPE"),
    ],
)
def test_quotes_of_many(tradier: httpx.Client, symbols: str, quoted: Any, unmatched: Any) -> None:
    """One quote is an object, several a list; the unknown are listed apart in the same way."""
    quotes = tradier.get("/v1/markets/quotes", params={"symbols": symbols}).json()["quotes"]

    found = quotes.get("quote")
    names = [one["symbol"] for one in found] if isinstance(found, list) else found and found["symbol"]
    assert names == quoted
    assert quotes.get("unmatched_symbols", {}).get("symbol") == unmatched


def test_a_quote_is_of_now(tradier: httpx.Client, exchange: SimulatedExchange) -> None:
    """Its prices are those of the session under way, its change that against the close before."""
    quote = tradier.get("/v1/markets/quotes?symbols=SPY").json()["quotes"]["quote"]

    days = exchange.truth("SPY", "d1", datetime(2026, 8, 14, tzinfo=UTC)).rows(named=True)
    assert [quote[name] for name in ("open", "high", "low", "last", "volume")] == [
        days[-1][name] for name in ("open", "high", "low", "close", "volume")
    ]
    assert (quote["prevclose"], quote["type"]) == (days[-2]["close"], "etf")
    assert quote["change"] == pytest.approx(days[-1]["close"] - days[-2]["close"])
    assert tradier.get("/v1/markets/quotes").status_code == 400


def test_fundamentals(tradier: httpx.Client) -> None:
    """A result for each symbol; of one row alone the table is an object, of none null."""
    path = "/beta/markets/fundamentals"
    splits = tradier.get(f"{path}/corporate_actions?symbols=SPLT,GE,AAPL,NOPE").json()
    dividends = tradier.get(f"{path}/dividends?symbols=AAPL").json()

    tables = [one.get("results", [{}])[0].get("tables") for one in splits]
    assert (tables[0]["stock_splits"]["ex_date"], tables[0]["stock_splits"]["split_to"]) == ("2026-03-16", 4)
    assert [row["ex_date"] for row in tables[1]["stock_splits"]] == ["2024-04-02", "2021-08-02"]
    assert (tables[2], tables[3]) == ({"stock_splits": None}, None)
    rows = dividends[0]["results"][0]["tables"]["cash_dividends"]
    assert rows[0]["ex_date"] == "2026-08-13"
    assert rows[0]["ex_date"] > rows[1]["ex_date"]


def test_unknown_paths_are_not_found(tradier: httpx.Client) -> None:
    """A path that is not simulated gives a fault."""
    answer = tradier.get("/v1/markets/options/chains")

    assert (answer.status_code, "fault" in answer.json()) == (404, True)
