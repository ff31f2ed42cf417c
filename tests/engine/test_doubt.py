"""Answers that lack a bar or two, and answers that prove nothing: what is not there is asked for again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

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
from tests.engine.rig import days

M15 = Timeframe.M15
SESSION = Range(datetime(2026, 9, 15, 13, 30, tzinfo=UTC), datetime(2026, 9, 15, 20, tzinfo=UTC))
"""26 quarter hours, all of them regular."""
TWO_WEEKS = days("2026-08-31", "2026-09-12")
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


def test_a_bar_that_answers_lack_is_held_for_an_hour(faulty: FaultyRig) -> None:
    """What an incremental run asks for is short: silence is believed only when a later answer agrees."""
    is_complete(faulty.backfill(["AAPL"], [M15], ALL_BUT_ONE))
    faulty.inject("D20", at=f"{ALL_BUT_ONE.end:%Y-%m-%dT%H:%M:%SZ}")

    for _ in range(2):
        report = faulty.backfill(["AAPL"], [M15], SESSION)
        nothing_is_silently_successful(faulty, report, M15, SESSION, ["AAPL"])
        leaves_gaps(report, "missing")
        faulty.change("update series_gaps set next_check_at = now() - interval '1 second'")
    faulty.change("update series_gaps set first_seen_at = now() - interval '61 minutes'")
    settled = faulty.backfill(["AAPL"], [M15], SESSION)

    assert settled.exit_code == EXIT_COMPLETE
    assert set(faulty.query("select kind, gap_from from series_gaps")) == {("no_trade", ALL_BUT_ONE.end)}


@pytest.mark.parametrize("stopped_after", [1, 2, 5])
@pytest.mark.parametrize(("timeframe", "page_size"), [(Timeframe.M1, 800), (M15, 60)])
def test_a_stopped_backfill_of_a_quiet_symbol_ends_complete(
    faulty: FaultyRig, timeframe: Timeframe, page_size: int, stopped_after: int
) -> None:
    """Where nothing is wrong with the answers, a chain that another process goes on with raises no alarm."""
    tickers = ("AAPL", "THIN")
    faulty.add_symbols(tickers)
    faulty.page_size = page_size
    faulty.backfill(tickers, [timeframe], TWO_WEEKS, max_calls=stopped_after)

    report = faulty.backfill(tickers, [timeframe], TWO_WEEKS)

    nothing_is_silently_successful(faulty, report, timeframe, TWO_WEEKS, tickers)
    is_complete(report)


def test_quiet_minutes_behind_a_lossy_first_answer_settle_in_few_calls(faulty: FaultyRig) -> None:
    """Held for an hour they are asked for by whole days, and then believed."""
    faulty.add_symbols(["THIN"])
    faulty.page_size = 2_000
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H20", {"nth": 1}, form="empty")
    first = faulty.backfill(["THIN"], [Timeframe.M1], TWO_WEEKS)
    leaves_gaps(first, "missing")
    assert len(first.gaps_remaining) > 50
    faulty.heal()
    faulty.change("update series_gaps set first_seen_at = now() - interval '61 minutes'")

    again = faulty.backfill(["THIN"], [Timeframe.M1], TWO_WEEKS)

    is_complete(again)
    assert again.summary.calls_made <= 12, "about a page for each session"


def test_quiet_symbols_raise_no_alarm_when_they_are_asked_for_often(faulty: FaultyRig) -> None:
    """Every five minutes one short answer: what a quiet symbol lacks in it is quiet, and nothing is held."""
    tickers = ("AAPL", "MSFT", "THIN")
    faulty.add_symbols(tickers)
    is_complete(faulty.backfill(tickers, [Timeframe.M1], TWO_WEEKS))
    begun = datetime(2026, 9, 14, 13, 30, tzinfo=UTC)

    reports = [
        faulty.backfill(tickers, [Timeframe.M1], Range(TWO_WEEKS.start, begun + timedelta(minutes=5 * step)))
        for step in range(1, 25)
    ]

    assert [report.exit_code for report in reports] == [EXIT_COMPLETE] * len(reports)


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
