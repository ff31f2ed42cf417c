"""What the planner makes of Massive's capabilities: slices in pages of base bars, one symbol each."""

from __future__ import annotations

import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.plan import Need, Resampling, Slice, cut_slices, sources
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.providers.massive import Massive
from tests.providers.conftest import KEY
from tests.providers.dialects import at

NYSE = trading_calendar("XNYS", 2027)
CAPABILITIES = Massive(KEY).capabilities
TWO_YEARS = Range(at("2024-01-02"), at("2026-01-02"))


def slices_of(timeframe: Timeframe, *tickers: str) -> tuple[Slice, ...]:
    """The slices that fetch two years of each."""
    needs = [Need(number, ticker, timeframe, Ranges([TWO_YEARS])) for number, ticker in enumerate(tickers)]
    return cut_slices(needs, CAPABILITIES, NYSE)


@pytest.mark.parametrize(
    ("timeframe", "pages"), [(Timeframe.M1, 8), (Timeframe.M15, 8), (Timeframe.M30, 8), (Timeframe.D1, 1)]
)
def test_a_symbol_is_one_chain_of_full_pages(timeframe: Timeframe, pages: int) -> None:
    """Whatever the intraday timeframe, the minutes behind it fill the pages: 502 sessions of up to 800 minutes."""
    (one,) = slices_of(timeframe, "AAPL")

    assert one.calls == pages
    assert one.range == TWO_YEARS


def test_no_two_symbols_share_a_slice() -> None:
    """A request names one."""
    assert [len(one.symbols) for one in slices_of(Timeframe.D1, "AAPL", "MSFT", "NVDA")] == [1, 1, 1]


def test_minutes_are_fetched_for_what_can_only_be_derived() -> None:
    """They cost the same calls as quarters, so hours are made of them."""
    plan = sources({Timeframe.H1: TWO_YEARS}, CAPABILITIES, Resampling())

    assert set(plan.fetch) == {Timeframe.M1}
