"""The fault script: what fires when, and what is refused."""

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from barfill.errors import InvalidInput
from barfill.simulate import SimulatedExchange, fault_table, random_script
from barfill.simulate.faults import FaultScript, catalogue
from barfill.simulate.faults.script import ENDPOINTS

Ask = Callable[..., httpx.Response]
EXPECTED = (
    [f"H{n:02d}" for n in (1, 2, 3, 4, 5, 6, *range(8, 19), *range(20, 25), *range(26, 35)) if n not in {7, 19, 25}]
    + [f"D{n:02d}" for n in (*range(1, 21), 23, 24, 25)]
    + ["T07"]
)  # fmt: skip


#: Without what needs several symbols in a request, or a bar on the newest trades.
MASSIVE = (set(EXPECTED) - {"H06", "H09", "H34"}) | {"H07", "H19", "H25", "D26", "D27"}


#: Without what needs pages, several symbols, or a symbol or a count in the answer.
PAGELESS = (set(EXPECTED) - {"H06", "H09", "H13", *(f"H{n}" for n in range(20, 25)), "H27", "H34"}) | {"H19"}
#: Days are dates, so no stamp of theirs can be wrong.
TRADIER = PAGELESS - {"D15"} | {"V01", "V02", "V03", "V04"}
FINNHUB = PAGELESS | {"H07", "D26", "V05", "V06", "V07", "V08"}
#: Without keys, sessions, adjustment and, but for Kraken, a vwap and the symbol in the answer.
VENUE = PAGELESS - {"H05", "H29", "D06", "D07", "D08", "D15", "D16", "D17", "D23", "T07"} | {"D33"}
KRAKEN = VENUE | {"D07", "H27"}


def statuses(ask: Ask, count: int, **params: Any) -> list[int]:
    return [ask(**params).status_code for _ in range(count)]


def test_the_catalogue_is_complete() -> None:
    """Every fault that a vendor can produce has an entry, and the table has a line for each."""
    assert set(catalogue()) == set(EXPECTED)
    assert set(catalogue("massive")) == MASSIVE
    assert set(catalogue("tradier")) == TRADIER
    assert set(catalogue("finnhub")) == FINNHUB
    assert set(catalogue("binance")) == set(catalogue("coinbaseexchange")) == VENUE
    assert set(catalogue("kraken")) == KRAKEN
    assert set(catalogue(None)) == MASSIVE | set(EXPECTED) | TRADIER | FINNHUB | {"D33"}
    assert all(f"| {id_} |" in fault_table() for id_ in catalogue(None))


def test_scripts_know_the_endpoints_of_each_vendor(exchange: SimulatedExchange) -> None:
    """What a match may name are the endpoints that there are."""
    there = {vendor.name: {route.endpoint for route in vendor.routes} for vendor, _ in exchange.counters}

    assert {vendor: set(names) for vendor, names in ENDPOINTS.items()} == there


def test_a_line_without_a_provider_is_for_all_that_can(exchange: SimulatedExchange, ask: Ask, aggs: Ask) -> None:
    """The same line fires on every vendor, one of a single vendor's faults on that one only."""
    exchange.set_faults([{"fault": "H04"}])
    assert [ask().status_code, aggs().status_code] == [503, 503]

    exchange.set_faults([{"fault": "H07"}, {"fault": "H04", "match": {"provider": "alpaca"}}])
    assert [ask().status_code, aggs().status_code] == [503, 403]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, [503, 503, 503, 503, 503, 503]),
        ({"nth": 3}, [200, 200, 503, 200, 200, 200]),
        ({"every": 2}, [200, 503, 200, 503, 200, 503]),
        ({"times": 2}, [503, 503, 200, 200, 200, 200]),
        ({"every": 2, "times": 1}, [200, 503, 200, 200, 200, 200]),
        ({"provider": "massive"}, [200, 200, 200, 200, 200, 200]),
        ({"endpoint": "assets"}, [200, 200, 200, 200, 200, 200]),
        ({"symbol": "TSLA"}, [200, 200, 200, 200, 200, 200]),
        ({"symbol": "MSFT", "timeframe": "d1"}, [503, 503, 503, 503, 503, 503]),
        ({"timeframe": "1Min"}, [200, 200, 200, 200, 200, 200]),
    ],
)
def test_matches_narrow(exchange: SimulatedExchange, ask: Ask, match: dict[str, Any], expected: list[int]) -> None:
    """nth, every, times, provider, endpoint, symbol and timeframe each decide on which requests a line fires."""
    exchange.set_faults([{"match": match, "fault": "H04"}])

    assert statuses(ask, 6) == expected


def test_a_rate_is_seeded(exchange: SimulatedExchange, ask: Ask) -> None:
    """A rate fires on about that share, and on the same requests when the script starts again."""
    line = {"match": {"rate": 0.3}, "fault": "H04"}
    exchange.set_faults([line])
    first = statuses(ask, 60)
    exchange.set_faults([line])

    assert statuses(ask, 60) == first
    assert 8 <= Counter(first)[503] <= 28


def test_lines_work_together(exchange: SimulatedExchange, ask: Ask) -> None:
    """All page faults that fire are applied; the first fault that replies wins."""
    exchange.set_faults(
        [
            {"match": {"symbol": "AAPL"}, "fault": "D20", "args": {"row": 0}},
            {"match": {"symbol": "MSFT"}, "fault": "D12"},
            {"match": {"nth": 2}, "fault": "H05"},
            {"match": {"nth": 2}, "fault": "H04"},
        ]
    )

    bars = ask().json()["bars"]

    assert (len(bars["AAPL"]), len(bars["MSFT"])) == (2, 6)
    assert ask().status_code == 401


def test_a_fault_is_noted_in_the_log(exchange: SimulatedExchange, ask: Ask) -> None:
    """The request log says which faults fired."""
    exchange.set_faults([{"fault": "D12"}, {"fault": "H16", "match": {"nth": 2}}])
    ask()
    ask()

    assert [request.fault for request in exchange.requests] == ["D12", "D12+H16"]


def test_a_firing_with_nothing_to_spoil_does_not_count(exchange: SimulatedExchange, ask: Ask) -> None:
    """times 1 waits for a page that holds rows of the symbol."""
    exchange.set_faults([{"match": {"symbol": "MSFT", "times": 1}, "fault": "D02"}])

    assert ask(limit=2).json()["bars"]["AAPL"][0]["o"] != 0
    assert ask().json()["bars"]["MSFT"][0]["o"] == 0
    assert ask().json()["bars"]["MSFT"][0]["o"] != 0


def test_scripts_come_over_http(exchange: SimulatedExchange, ask: Ask) -> None:
    """POST /simulate/faults replaces the script, as a JSON list or as lines of JSON."""
    url = f"{exchange.url}/simulate/faults"

    assert httpx.post(url, json=[{"fault": "H05"}]).json() == {"lines": 1}
    assert ask().status_code == 401
    assert httpx.post(url, content='{"fault": "H04"}\n\n{"fault": "D12"}\n').json() == {"lines": 2}
    assert ask().status_code == 503
    assert httpx.post(url, json=[]).json() == {"lines": 0}
    assert ask().status_code == 200
    assert httpx.post(url, json=[{"fault": "H99"}]).status_code == 400
    assert httpx.post(url, content="[{]").status_code == 400


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ({"fault": "H99"}, "Use one of D01"),
        ({"fault": "H07", "match": {"provider": "alpaca"}}, "unknown to /alpaca. Use one of D01"),
        ({"fault": "H34", "match": {"provider": "massive"}}, "unknown to /massive. Use one of D01"),
        ({"fault": "H01", "args": {"secs": 1}}, "Its args are: header, seconds"),
        ({"fault": "H01", "args": {"header": "x"}}, "Use one of retry_after, http_date, reset_s, reset_ms"),
        ({"fault": "H01", "args": {"seconds": "3"}}, "use that type"),
        ({"fault": "H01", "match": {"ticker": "A"}}, "Use provider, symbol, endpoint"),
        ({"fault": "H01", "match": {"endpoint": "trades"}}, "Use one of asset, assets, bars"),
        ({"fault": "H01", "match": {"nth": 0}}, "whole number from 1"),
        ({"fault": "H01", "match": {"timeframe": "m7x"}}, "Write m1 or 1Min"),
        ({"fault": "H01", "when": 1}, "Use match, fault, args"),
        ({}, "unknown to /alpaca"),
    ],
)
def test_bad_lines_are_refused(line: dict[str, Any], part: str) -> None:
    """An unknown id, arg, match or value is an error that says which are known."""
    with pytest.raises(InvalidInput, match=part):
        FaultScript([line], seed=1)


def test_random_scripts_are_valid_and_seeded() -> None:
    """A random script is made of known lines, the same for the same seed."""
    lines = random_script(seed=7, count=200)

    FaultScript(lines, seed=7)
    assert lines == random_script(seed=7, count=200)
    assert {line["fault"] for line in random_script(seed=1, count=20, ids=["H11", "D12"])} == {"H11", "D12"}


def test_random_scripts_can_be_quick() -> None:
    """seconds_max caps every wait and hang."""
    lines = random_script(seed=3, count=300, seconds_max=0.5)

    told = [line["args"][name] for line in lines for name in ("seconds", "interval_s") if name in line["args"]]
    assert told
    assert max(told) <= 0.5


@pytest.mark.parametrize("seed", range(4))
def test_everything_at_once_never_breaks_the_exchange(exchange: SimulatedExchange, ask: Ask, seed: int) -> None:
    """Under a random script of all faults every request reaches its end in the log, and afterwards all is well."""
    lines = random_script(seed=seed, count=120, rate=0.05, seconds_max=0.02)
    exchange.set_faults([line for line in lines if line["args"].get("form") not in {"gzip_bomb", "endless"}])

    token = None
    for number in range(120):
        with contextlib.suppress(httpx.TransportError, ValueError, RecursionError):
            answer = ask(limit=number % 4 + 1, page_token=token)
            page = answer.json()
            token = page["next_page_token"] if answer.status_code == 200 and "bars" in page else None

    assert len(exchange.requests) == 120
    exchange.set_faults([])
    assert ask().json()["bars"].keys() == {"AAPL", "MSFT"}


@pytest.mark.parametrize("seed", range(4))
def test_everything_at_once_never_breaks_massive(exchange: SimulatedExchange, massive: httpx.Client, seed: int) -> None:
    """As above, for the other vendor: ranges, grouped days and splits."""
    lines = random_script(seed=seed, count=120, rate=0.05, seconds_max=0.02, vendor="massive")
    exchange.set_faults([line for line in lines if line["args"].get("form") not in {"gzip_bomb", "endless"}])
    first = "/v2/aggs/ticker/AAPL/range/1/day/2026-08-03/2026-08-12?limit=3"
    others = "/v2/aggs/grouped/locale/us/market/stocks/2026-08-12", "/v3/reference/splits"

    path = first
    for number in range(120):
        with contextlib.suppress(httpx.TransportError, httpx.InvalidURL, ValueError, RecursionError):
            answer = massive.get(others[number % 2] if number % 5 == 0 else path)
            following = answer.json().get("next_url", "") if answer.status_code == 200 else ""
            path = following if following.startswith(str(massive.base_url)) else first

    assert len(exchange.requests) == 120
    exchange.set_faults([])
    assert massive.get(first).json()["resultsCount"] == 3


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("vendor", ["tradier", "finnhub"])
def test_everything_at_once_never_breaks_those_without_pages(
    request: pytest.FixtureRequest, exchange: SimulatedExchange, vendor: str, seed: int
) -> None:
    """As above: bars of minutes and days, and events."""
    client: httpx.Client = request.getfixturevalue(vendor)
    lines = random_script(seed=seed, count=120, rate=0.05, seconds_max=0.02, vendor=vendor)
    exchange.set_faults([line for line in lines if line["args"].get("form") not in {"gzip_bomb", "endless"}])
    paths = {
        "tradier": (
            "/v1/markets/history?symbol=AAPL&start=2026-08-03&end=2026-08-12",
            "/v1/markets/timesales?symbol=AAPL&interval=5min&start=2026-08-14&end=2026-08-14 11:00",
            "/v1/markets/quotes?symbols=AAPL",
        ),
        "finnhub": (
            "/stock/candle?symbol=AAPL&resolution=D&from=1785715200&to=1786492800",
            "/stock/candle?symbol=AAPL&resolution=60&from=1786665600&to=1786752000",
            "/stock/split?symbol=GE",
        ),
    }[vendor]

    for number in range(120):
        with contextlib.suppress(httpx.TransportError):
            assert client.get(paths[number % 3]).status_code != 500 or exchange.requests[-1].fault

    assert len(exchange.requests) == 120
    exchange.set_faults([])
    assert client.get(paths[0]).status_code == 200
