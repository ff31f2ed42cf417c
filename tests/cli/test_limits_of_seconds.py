"""Commands at a provider that counts seconds besides minutes, judged by the exchange's own log."""

from __future__ import annotations

from barfill.simulate import SimulatedExchange
from tests.cli.conftest import Shell

TICKERS = [
    "AAPL",
    "MSFT",
    "AMZN",
    "GOOG",
    "GOOGL",
    "META",
    "NVDA",
    "TSLA",
    "SPY",
    "QQQ",
    "JPM",
    "V",
    "MA",
    "HD",
    "PG",
    "XOM",
    "CVX",
    "KO",
    "PEP",
    "WMT",
    "MRK",
    "ABBV",
    "ORCL",
    "CRM",
    "ADBE",
    "NFLX",
]


def test_two_commands_at_once_stay_below_finnhubs_limit_of_a_second(shell: Shell, exchange: SimulatedExchange) -> None:
    """30 requests a second over all processes: many short ones at once, and not one is refused."""
    environment = {
        "FINNHUB_API_KEY": "FINNHUBCANARY",
        "FINNHUB_BASE_URL": exchange.finnhub_url,
        "FINNHUB_PLAN": "paid",
        "FINNHUB_REQUESTS_PER_MINUTE": "300",
        "PROVIDER_ORDER": "finnhub",
        "MAX_CONCURRENT_JOBS": "8",
    }
    assert shell("symbols", "add", *TICKERS, **environment).returncode == 0
    parts = (TICKERS[::2], TICKERS[1::2])
    windows = ("--timeframes", "5m,1d", "--days", "90")

    running = [shell.begin("backfill", *part, *windows, **environment) for part in parts]
    for one in running:
        one.communicate(timeout=60)

    sent = [one for one in exchange.requests if "finnhub" in one.path or "candle" in one.path]
    assert len(sent) > 90
    assert {one.status for one in sent} == {200}
