"""Answers that lack a bar or two, and answers that prove nothing: what is not there is asked for again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import Quota, SlidingQuota
from barfill.store.series import read_series
from tests.engine.honesty import (
    PAIR,
    FaultyRig,
    fails_with,
    is_complete,
    leaves_gaps,
    nothing_is_silently_successful,
)

M15 = Timeframe.M15
SESSION = Range(datetime(2026, 9, 15, 13, 30, tzinfo=UTC), datetime(2026, 9, 15, 20, tzinfo=UTC))
"""26 quarter hours, all of them regular."""
ALL_BUT_ONE = Range(SESSION.start, datetime(2026, 9, 15, 19, 45, tzinfo=UTC))


@pytest.mark.parametrize("kept", [24, 25])
def test_the_last_bars_that_an_empty_last_page_hides_are_held(faulty: FaultyRig, kept: int) -> None:
    """Where a chain ends with an empty page, the one or two bars that have not come are asked for again."""
    faulty.page_size = kept
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H11", {"nth": 2})

    report = faulty.backfill(["AAPL"], [M15], SESSION)

    assert faulty.fired() == ["H11"]
    nothing_is_silently_successful(faulty, report, M15, SESSION, ["AAPL"])
    leaves_gaps(report, "missing")


def test_an_empty_answer_about_one_bar_is_held_for_an_hour(faulty: FaultyRig) -> None:
    """What an incremental run asks for is short: silence is believed only when a later answer agrees."""
    is_complete(faulty.backfill(PAIR, [M15], ALL_BUT_ONE))
    faulty.inject("H11")

    for _ in range(2):
        report = faulty.backfill(PAIR, [M15], SESSION)
        nothing_is_silently_successful(faulty, report, M15, SESSION)
        leaves_gaps(report, "missing")
        faulty.change("update series_gaps set next_check_at = now() - interval '1 second'")
    faulty.change("update series_gaps set first_seen_at = now() - interval '61 minutes'")
    settled = faulty.backfill(PAIR, [M15], SESSION)

    assert settled.exit_code == EXIT_COMPLETE
    assert set(faulty.query("select kind, gap_from from series_gaps")) == {("no_trade", ALL_BUT_ONE.end)}


class Disorderly(Alpaca):
    """Alpaca, but its pages have their symbols in descending order."""

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page with its symbols turned round."""
        page = super().parse_bars(query, response)
        turned = np.arange(len(page.symbols), dtype=np.int32)[::-1]
        return replace(page, symbols=page.symbols[::-1], rows=page.rows.with_symbols(turned))


class Overtaken(Disorderly):
    """The same; and while a page is read, another worker takes its run over."""

    rig: DisorderlyRig

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page, late."""
        self.rig.change("update job_runs set epoch = epoch + 1, status = 'running' where status = 'running'")
        return super().parse_bars(query, response)


@dataclass
class DisorderlyRig(FaultyRig):
    """A rig with such a provider."""

    is_overtaken: bool = False

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client whose pages prove nothing."""
        adapter = Overtaken if self.is_overtaken else Disorderly
        provider = adapter(self.key, "secret", base_url=self.exchange.alpaca_url, page_size=self.page_size)
        if isinstance(provider, Overtaken):
            provider.rig = self
        return ProviderClient(provider, HttpClient(provider.base_urls), quota or SlidingQuota(10_000), attempts=1)


def covered(rig: FaultyRig) -> set[Ranges]:
    """The coverage of all quarter-hour series."""
    return {row.covered for row in rig.database.run(read_series, None, [M15]).values()}


@pytest.mark.parametrize("is_overtaken", [False, True])
def test_pages_out_of_order_take_back_what_was_proved_unless_overtaken(faulty: FaultyRig, is_overtaken: bool) -> None:
    """
    Symbols in another order than asked prove nothing: the run fails and its range is no longer covered. A worker that
    was taken for dead takes nothing back.
    """
    is_complete(faulty.backfill(PAIR, [M15], SESSION))
    before = covered(faulty)
    rig = DisorderlyRig(faulty.exchange, faulty.database, settings=faulty.settings, is_overtaken=is_overtaken)

    report = rig.backfill(PAIR, [M15], SESSION, is_full=True)

    assert covered(faulty) == (before if is_overtaken else {Ranges()})
    if not is_overtaken:
        fails_with(report, "BAD_RESPONSE", "page_order")
        faulty.heal()
        is_complete(faulty.backfill(PAIR, [M15], SESSION))
