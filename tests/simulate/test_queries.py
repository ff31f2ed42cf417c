"""What the exchange refuses, in the vendor's words."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from barfill.simulate import ExchangeConfig, running_exchange

Ask = Callable[..., httpx.Response]
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
NOW = datetime(2026, 8, 17, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"symbols": "AAPL,3USL,4USL"}, "invalid symbol: 3USL"),
        ({"symbols": "aapl"}, "invalid symbol: aapl"),
        ({"symbols": "BTC/USD"}, "invalid symbol: BTC/USD"),
        ({"symbols": None}, "symbols is required"),
        ({"timeframe": "7x"}, "invalid timeframe"),
        ({"timeframe": "60Min"}, "invalid timeframe"),
        ({"timeframe": None}, "invalid timeframe"),
        ({"start": "2026-08-10T12:06:00"}, "invalid start"),
        ({"end": "2026-08-11T12:06:00"}, "invalid end"),
        ({"start": "2026-02-30"}, "invalid start"),
        ({"start": "2026-08-14"}, "end should not be before start"),
        ({"limit": "0"}, "invalid limit"),
        ({"limit": "10001"}, "invalid limit"),
        ({"limit": "many"}, "invalid limit"),
        ({"feed": "best"}, "invalid feed"),
        ({"sort": "up"}, "invalid sort"),
        ({"adjustment": "dividends"}, "invalid adjustment"),
        ({"currency": "EUR"}, "invalid currency"),
        ({"asof": "yesterday"}, "invalid asof"),
    ],
)
def test_bad_parameters_are_refused(ask: Ask, params: dict[str, str | None], message: str) -> None:
    """A bad parameter is answered with 400 and a message without a code."""
    answer = ask(**params)

    assert (answer.status_code, answer.json()) == (400, {"message": message})


@pytest.mark.parametrize(
    "timeframe", ["1Min", "5T", "59Min", "1Hour", "23H", "1Day", "1D", "1Week", "1W", "12Month", "3M"]
)
def test_all_documented_timeframes_are_known(ask: Ask, timeframe: str) -> None:
    """Each way to write a timeframe that the vendor documents gives bars."""
    answer = ask(symbols="AAPL", timeframe=timeframe, start="2026-01-01", limit=1)

    assert answer.json()["bars"]["AAPL"]


def test_long_request_lines_are_refused(ask: Ask) -> None:
    """A request line above 8 kB gets 414, one just below is served."""
    names = [f"A{number:06d}" for number in range(1200)]

    assert ask(symbols=",".join(names)).status_code == 414
    assert ask(symbols=",".join(names[:700])).status_code == 200


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({}, 401),
        ({"APCA-API-KEY-ID": "k"}, 401),
        ({"APCA-API-KEY-ID": "wrong", "APCA-API-SECRET-KEY": "s"}, 401),
        ({"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "wrong"}, 401),
        ({"APCA-API-KEY-ID": "anything", "APCA-API-SECRET-KEY": "else"}, 200),
    ],
)
def test_keys_are_asked_for(client: httpx.Client, keys: dict[str, str], status: int) -> None:
    """Any keys but missing ones and `wrong` are good, on both hosts."""
    url = str(client.base_url)

    for path in ("v2/stocks/bars?symbols=AAPL&timeframe=1Day&start=2026-08-10", "v2/assets", "v2/clock"):
        answer = httpx.get(url + path, headers=keys)
        assert answer.status_code == status
        assert status == 200 or answer.json() == {"message": "unauthorized."}


def test_unknown_paths_are_not_found(client: httpx.Client) -> None:
    """A path that the vendor has not, or that is not simulated, gets 404."""
    assert client.get("/v2/stocks/trades").status_code == 404
    assert client.post("/v2/stocks/bars").status_code == 404


def test_the_free_plan_bars_recent_sip() -> None:
    """On the free plan an explicit end in the last 15 minutes is 403 with feed sip but not iex; no end is clamped."""
    config = ExchangeConfig(port=0, plan="free", start_clock=NOW, clock_is_frozen=True, symbols=5)
    with running_exchange(config) as exchange, httpx.Client(base_url=exchange.alpaca_url, headers=KEYS) as client:
        query = "/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start=2026-08-17T17:00:00Z"
        recent = client.get(query + "&end=2026-08-17T17:46:00Z")
        clamped = client.get(query).json()["bars"]["AAPL"]
        iex = client.get(query + "&feed=iex&end=2026-08-17T17:59:00Z").json()["bars"]["AAPL"]

    assert recent.status_code == 403
    assert recent.json() == {"message": "subscription does not permit querying recent SIP data"}
    assert clamped[-1]["t"] == "2026-08-17T17:44:00Z"
    assert iex[-1]["t"] > "2026-08-17T17:50:00Z"


def test_a_wrong_key_can_be_forbidden() -> None:
    """wrong_key_status=403 answers a wrong key with forbidden."""
    with running_exchange(ExchangeConfig(port=0, wrong_key_status=403, symbols=1)) as exchange:
        answer = httpx.get(f"{exchange.alpaca_url}/v2/clock", headers={**KEYS, "APCA-API-KEY-ID": "wrong"})

    assert (answer.status_code, answer.json()) == (403, {"message": "forbidden."})
