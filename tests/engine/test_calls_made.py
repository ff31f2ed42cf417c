"""The ledger's count of requests is the exchange's own, whatever becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.worker import QueueWorker
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from tests.engine.rig import Rig
from tests.engine.test_worker import define, look, work

D1 = Timeframe.D1
BARS = {"endpoint": "bars"}


def calls_in_ledger(rig: Rig) -> int:
    """As documented for dashboards, but for the time."""
    ((calls,),) = rig.query("select sum(actual_cost)::integer from job_runs")
    return int(calls)


def states_of_runs(rig: Rig) -> list[tuple[str, str | None]]:
    """How runs stand, with their error codes, each once."""
    return [(status, code) for status, code in rig.query("select distinct status, error_code from job_runs order by 1")]


@pytest.mark.parametrize(
    ("fault", "states"),
    [
        pytest.param({"match": BARS, "fault": "H04", "args": {}}, [("queued", None)], id="503: put off"),
        pytest.param(
            {"match": BARS | {"symbol": "MSFT"}, "fault": "H09", "args": {"named": True}},
            [("cancelled", "CANCELLED"), ("failed", "SYMBOL_NOT_FOUND"), ("success", None)],
            id="a bad symbol: split",
        ),
        pytest.param({"match": BARS | {"times": 1}, "fault": "H04", "args": {}}, [("success", None)], id="once"),
    ],
)
def test_what_fails_is_counted(rig: Rig, fault: dict[str, Any], states: list[tuple[str, str | None]]) -> None:
    """Refused and repeated requests are in the ledger like all others."""
    define(rig, D1, window_days=60)
    rig.page_size = 50
    rig.attempts = 2
    look(rig)
    rig.exchange.set_faults([fault])

    work(rig)

    assert states_of_runs(rig) == states
    assert calls_in_ledger(rig) == rig.bar_requests() > 1


def test_a_rejected_key_is_counted(rig: Rig) -> None:
    """The one request that was answered by 401."""
    define(rig, D1)
    look(rig)
    rig.key = "wrong"

    work(rig)

    assert calls_in_ledger(rig) == rig.bar_requests() == 1


class Meanwhile(Alpaca):
    """Alpaca; while its first page is read, something happens."""

    happens: Callable[[], None] | None = None

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page, late."""
        page = super().parse_bars(query, response)
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return page


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("status = 'cancelled', error_code = 'CANCELLED', finished_at = clock_timestamp()", "cancelled"),
        ("epoch = epoch + 1, worker = 'other'", "running"),
    ],
)
def test_a_page_that_is_dropped_is_counted(rig: Rig, change: str, left: str) -> None:
    """A run that was cancelled, or that another has taken over, while its page was under way."""
    define(rig, D1)
    look(rig)

    async def work_meanwhile() -> None:
        provider = Meanwhile(rig.key, "secret", base_url=rig.exchange.alpaca_url)
        provider.happens = lambda: rig.change(f"update job_runs set {change} where status = 'running'")
        client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000))
        await QueueWorker(rig.database, Clients(client), rig.settings, rig.listener).run_until_empty()
        await client.aclose()

    asyncio.run(work_meanwhile())

    assert left in dict(states_of_runs(rig))
    assert calls_in_ledger(rig) == rig.bar_requests() > 0


class Broken(Alpaca):
    """Alpaca, read by code with a defect."""

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """Fails as no error of ours does."""
        raise ZeroDivisionError(f"{query} and {response.status}")


def test_a_defect_is_counted(rig: Rig) -> None:
    """What was answered and could not be read was paid for, too."""
    define(rig, D1)
    look(rig)

    async def work_broken() -> None:
        provider = Broken(rig.key, "secret", base_url=rig.exchange.alpaca_url)
        client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000))
        await QueueWorker(rig.database, Clients(client), rig.settings, rig.listener).run_until_empty()
        await client.aclose()

    asyncio.run(work_broken())

    assert calls_in_ledger(rig) == rig.bar_requests() > 0
