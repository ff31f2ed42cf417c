"""What property tests of the core draw from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from barfill.core.capabilities import Capabilities, PageCounts
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def instants(days: int = 60) -> st.SearchStrategy[datetime]:
    """Whole quarters of an hour from 2024-01-01 on."""
    return st.integers(0, days * 96).map(lambda count: FIRST_DAY + timedelta(minutes=15 * count))


@st.composite
def range_values(draw: st.DrawFn, days: int = 60) -> Range:
    """Ranges of a quarter of an hour up to *days*."""
    first, second = draw(st.lists(instants(days), min_size=2, max_size=2, unique=True))
    return Range(min(first, second), max(first, second))


def ranges_values(days: int = 60) -> st.SearchStrategy[Ranges]:
    """Sets of up to six ranges."""
    return st.lists(range_values(days), max_size=6).map(Ranges)


def paged_capabilities(
    *, page_size: int = 10_000, symbols_max: int = 500, counts: PageCounts = PageCounts.BARS
) -> Capabilities:
    """A provider that pages like Alpaca."""
    return Capabilities(
        provider="paged",
        follows_companies=True,
        timeframes=frozenset({Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.D1}),
        symbols_per_call_max=symbols_max,
        symbols_length_max=6_000,
        page_size=page_size,
        page_counts=counts,
        delay=timedelta(minutes=16),
        history_start=datetime(2016, 1, 1, tzinfo=UTC),
        has_extended_hours=True,
        requests_per_minute=200,
        feed="sip",
        bars_per_session={Timeframe.M1: 900.0, Timeframe.M5: 190.0, Timeframe.M15: 64.0, Timeframe.M30: 32.0},
    )
