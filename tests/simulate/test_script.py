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

Ask = Callable[..., httpx.Response]
EXPECTED = (
    [f"H{n:02d}" for n in (1, 2, 3, 4, 5, 6, *range(8, 19), *range(20, 25), *range(26, 35)) if n not in {7, 19, 25}]
    + [f"D{n:02d}" for n in (*range(1, 9), *range(11, 19), 20, 23)]
)  # fmt: skip


def statuses(ask: Ask, count: int, **params: Any) -> list[int]:
    return [ask(**params).status_code for _ in range(count)]


def test_the_catalogue_is_complete() -> None:
    """Every fault that Alpaca can produce has an entry, and the table has a line for each."""
    assert set(catalogue()) == set(EXPECTED)
    assert all(f"| {id_} |" in fault_table() for id_ in EXPECTED)


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
        ({"fault": "H07"}, "unknown to /alpaca"),
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
