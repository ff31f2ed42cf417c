"""Planning: nothing twice, nothing outside, nothing forgotten, and as few calls as pages allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.calendar import trading_calendar
from barfill.core.capabilities import PageCounts
from barfill.core.plan import PAGES_PER_SLICE, Need, Resampling, Slice, cut_slices, missing_ranges, sources
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from tests.core.strategies import FIRST_DAY, instants, paged_capabilities, range_values, ranges_values

NYSE = trading_calendar("XNYS", 2027)
TIMEFRAMES = st.sampled_from([Timeframe.M1, Timeframe.M15, Timeframe.D1])
TWO_YEARS = Range(datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def needs_of(ranges: list[Ranges], timeframe: Timeframe) -> list[Need]:
    return [Need(number, f"SYM{number:04}", timeframe, one) for number, one in enumerate(ranges)]


def asked(slices: tuple[Slice, ...], symbol_id: int) -> list[Range]:
    return [one.range for one in slices if symbol_id in {pair[0] for pair in one.symbols}]


@settings(deadline=None, max_examples=60)
@given(
    wanted=st.lists(ranges_values(), min_size=1, max_size=8),
    timeframe=TIMEFRAMES,
    page_size=st.sampled_from([1, 7, 300, 10_000]),
)
def test_slices_are_exactly_the_missing_ranges(wanted: list[Ranges], timeframe: Timeframe, page_size: int) -> None:
    """Every needed range is asked for once, whole, and nothing beside it."""
    trimmed = [missing_ranges(one, Ranges(), NYSE, timeframe, FIRST_DAY + timedelta(days=90)) for one in wanted]

    slices = cut_slices(needs_of(trimmed, timeframe), paged_capabilities(page_size=page_size), NYSE)

    for symbol_id, needed in enumerate(trimmed):
        pieces = asked(slices, symbol_id)
        assert Ranges(pieces) == needed
        assert sum((piece.length for piece in pieces), timedelta()) == needed.length


@settings(deadline=None)
@given(window=ranges_values(), covered=ranges_values(), horizon=instants(), timeframe=TIMEFRAMES)
def test_missing_is_within_the_window_before_the_horizon_and_uncovered(
    window: Ranges, covered: Ranges, horizon: datetime, timeframe: Timeframe
) -> None:
    """What is missing overlaps neither coverage nor the future, and no expected bar outside coverage is left out."""
    missing = missing_ranges(window, covered, NYSE, timeframe, horizon)

    assert not missing & covered
    assert missing - window == Ranges()
    assert all(one.end <= horizon for one in missing)
    for one in (window & Range(FIRST_DAY - timedelta(days=1), horizon)) - covered if horizon > FIRST_DAY else Ranges():
        starts = NYSE.expected_starts(timeframe, one)
        assert all(from_us(int(start)) in missing for start in starts)


@settings(deadline=None)
@given(window=ranges_values(), covered=ranges_values(), horizon=instants(), timeframe=TIMEFRAMES)
def test_with_extended_hours_no_instant_is_left_out_and_no_bar_is_cut(
    window: Ranges, covered: Ranges, horizon: datetime, timeframe: Timeframe
) -> None:
    """The same ranges, each from its very start on and as far as whole bars go; days are as without."""
    regular = missing_ranges(window, covered, NYSE, timeframe, horizon)

    missing = missing_ranges(window, covered, NYSE, timeframe, horizon, extended_hours=True)

    assert not missing & covered
    assert missing - window == Ranges()
    assert regular - missing == Ranges()
    if not timeframe.is_intraday:
        assert missing == regular
        return
    left = (window & Range(FIRST_DAY - timedelta(days=1), horizon)) - covered if horizon > FIRST_DAY else Ranges()
    for one, part in zip(missing, regular, strict=True):
        (whole,) = (each for each in left if each.start == one.start)
        assert part.end <= one.end <= whole.end
        assert whole.end - one.end < timeframe.length


@settings(deadline=None)
@given(window=range_values(), timeframe=TIMEFRAMES)
def test_no_range_is_asked_for_on_closed_days(window: Range, timeframe: Timeframe) -> None:
    """Each missing range begins with an expected bar and holds at least one."""
    missing = missing_ranges(Ranges([window]), Ranges(), NYSE, timeframe, FIRST_DAY + timedelta(days=400))

    for one in missing:
        assert from_us(int(NYSE.expected_starts(timeframe, one)[0])) == one.start


@settings(deadline=None)
@given(st.lists(ranges_values(), min_size=1, max_size=5), TIMEFRAMES)
def test_newest_comes_first(wanted: list[Ranges], timeframe: Timeframe) -> None:
    """Within each series the slices go from the newest range to the oldest."""
    trimmed = [missing_ranges(one, Ranges(), NYSE, timeframe, FIRST_DAY + timedelta(days=90)) for one in wanted]

    slices = cut_slices(needs_of(trimmed, timeframe), paged_capabilities(page_size=50), NYSE)

    for symbol_id in range(len(wanted)):
        ends = [piece.end for piece in asked(slices, symbol_id)]
        assert ends == sorted(ends, reverse=True)


@settings(deadline=None, max_examples=40)
@given(
    wanted=st.lists(ranges_values(days=300), min_size=1, max_size=3),
    timeframe=TIMEFRAMES,
    days=st.sampled_from([7, 11, 28]),
)
def test_no_slice_is_longer_than_one_call_may_ask_for(wanted: list[Ranges], timeframe: Timeframe, days: int) -> None:
    """What is asked for stays the same, in pieces that are short enough and that all hold bars."""
    trimmed = [missing_ranges(one, Ranges(), NYSE, timeframe, FIRST_DAY + timedelta(days=400)) for one in wanted]
    capabilities = replace(paged_capabilities(), range_per_call_max={timeframe: timedelta(days=days)})

    slices = cut_slices(needs_of(trimmed, timeframe), capabilities, NYSE)

    assert all(one.range.length <= timedelta(days=days) for one in slices)
    assert all(NYSE.expected_count(timeframe, one.range) for one in slices)
    for symbol_id, needed in enumerate(trimmed):
        pieces = asked(slices, symbol_id)
        assert Ranges(pieces) == needed
        assert sum((piece.length for piece in pieces), timedelta()) == needed.length


def test_a_market_closed_for_longer_than_a_call_loses_nothing() -> None:
    """A piece without any bar, here a weekend, is better than one that is too long."""
    wanted = Range(datetime(2024, 3, 7, tzinfo=UTC), datetime(2024, 3, 13, tzinfo=UTC))
    capabilities = replace(paged_capabilities(), range_per_call_max={Timeframe.D1: timedelta(days=2)})

    slices = cut_slices(needs_of([Ranges([wanted])], Timeframe.D1), capabilities, NYSE)

    assert [one.range.start.day for one in slices] == [11, 9, 7]
    assert Ranges(asked(slices, 0)) == Ranges([wanted])


@given(
    count=st.integers(1, 60),
    wanted=range_values(days=90),
    page_size=st.sampled_from([50_000, 100]),
)
def test_days_of_the_whole_market_are_asked_for_where_that_is_cheaper(
    count: int, wanted: Range, page_size: int
) -> None:
    """A call a session, or one a symbol, whichever is less; every session of every symbol once."""
    trimmed = missing_ranges(Ranges([wanted]), Ranges(), NYSE, Timeframe.D1, wanted.end)
    plain = replace(paged_capabilities(page_size=page_size, symbols_max=1), has_market_days=False)

    by_days = cut_slices(needs_of([trimmed] * count, Timeframe.D1), replace(plain, has_market_days=True), NYSE)
    by_symbol = cut_slices(needs_of([trimmed] * count, Timeframe.D1), plain, NYSE)

    sessions = sum(NYSE.expected_count(Timeframe.D1, one) for one in trimmed)
    assert sum(one.calls for one in by_days) <= sum(one.calls for one in by_symbol)
    if 0 < sessions < count:
        assert sum(one.calls for one in by_days) == sessions
    assert fetched(by_days) == fetched(by_symbol)
    assert all(one.calls <= PAGES_PER_SLICE for one in by_days)


def fetched(slices: Sequence[Slice]) -> dict[int, Ranges]:
    """What slices bring, by symbol id."""
    found: dict[int, Ranges] = {}
    for one in slices:
        for symbol_id, _ in one.symbols:
            assert not found.get(symbol_id, Ranges()) & one.range
            found[symbol_id] = found.get(symbol_id, Ranges()) | one.range
    return found


def test_five_thousand_symbols_of_daily_bars_cost_near_the_least_possible() -> None:
    """5,000 symbols x 2 years of d1 are planned within 5 % of full pages."""
    window = missing_ranges(Ranges([TWO_YEARS]), Ranges(), NYSE, Timeframe.D1, TWO_YEARS.end)
    sessions = NYSE.expected_count(Timeframe.D1, TWO_YEARS)

    slices = cut_slices(needs_of([window] * 5_000, Timeframe.D1), paged_capabilities(), NYSE)

    assert sum(one.calls for one in slices) <= 1.05 * math.ceil(5_000 * sessions / 10_000)


def test_no_slice_fills_its_last_page_to_the_brim() -> None:
    """A slice of exactly full pages would cost one more call, for an empty page."""
    two_hundred_sessions = Ranges([Range(TWO_YEARS.start, datetime(2024, 10, 17, tzinfo=UTC))])
    assert NYSE.expected_count(Timeframe.D1, Range(TWO_YEARS.start, datetime(2024, 10, 17, tzinfo=UTC))) == 200

    slices = cut_slices(needs_of([two_hundred_sessions] * 2_001, Timeframe.D1), paged_capabilities(), NYSE)

    assert all(one.expected_rows % 10_000 for one in slices)


def test_a_long_minute_history_is_cut_into_slices_of_pages() -> None:
    """Two years of one symbol's minutes become slices of at most 25 pages, the newest first."""
    window = missing_ranges(Ranges([TWO_YEARS]), Ranges(), NYSE, Timeframe.M1, TWO_YEARS.end)

    slices = cut_slices(needs_of([window], Timeframe.M1), paged_capabilities(), NYSE)

    assert len(slices) > 1
    assert all(one.calls <= 26 for one in slices)


def test_batches_respect_count_and_url_length() -> None:
    """No slice names more symbols, or a longer list, than the provider takes."""
    window = Ranges([Range(FIRST_DAY + timedelta(days=1), FIRST_DAY + timedelta(days=2))])
    needs = [Need(n, f"LONG.TICKER/{n:05}", Timeframe.D1, window) for n in range(2_000)]

    slices = cut_slices(needs, paged_capabilities(symbols_max=1_000), NYSE)

    assert all(len("%2C".join(t for _, t in one.symbols).replace("/", "%2F")) <= 6_000 for one in slices)
    assert sum(len(one.symbols) for one in slices) == 2_000


def test_eight_timeframes_need_calls_for_two() -> None:
    """With minutes and days wanted, everything else is derived."""
    plan = sources(dict.fromkeys(Timeframe, TWO_YEARS), paged_capabilities(), Resampling())

    assert set(plan.fetch) == {Timeframe.M1, Timeframe.D1}
    assert {one.target for one in plan.derive} == set(Timeframe) - {Timeframe.M1, Timeframe.D1}


def test_hours_alone_are_derived_from_fifteen_minutes() -> None:
    """h1 on its own has m15 fetched for it."""
    plan = sources({Timeframe.H1: TWO_YEARS}, paged_capabilities(), Resampling())

    assert plan.fetch == {Timeframe.M15: Ranges([TWO_YEARS])}
    assert plan.derive[0].candidates[-1] is Timeframe.M30


def test_hours_alone_come_from_minutes_where_they_cost_the_same() -> None:
    """A provider that counts base minutes has the minutes themselves fetched."""
    capabilities = paged_capabilities(counts=PageCounts.BASE_MINUTES)

    plan = sources({Timeframe.H1: TWO_YEARS}, capabilities, Resampling())

    assert plan.fetch == {Timeframe.M1: Ranges([TWO_YEARS])}


def test_only_the_part_without_minutes_is_fetched_coarse() -> None:
    """Fifteen minutes beyond the minutes' window are fetched, those within it derived."""
    months = Range(datetime(2025, 9, 1, tzinfo=UTC), TWO_YEARS.end)
    windows = {Timeframe.M1: months, Timeframe.M15: TWO_YEARS}

    plan = sources(windows, paged_capabilities(), Resampling())

    assert plan.fetch[Timeframe.M15] == Ranges([Range(TWO_YEARS.start, months.start)])
    assert plan.derive[0].target is Timeframe.M15


def test_weeks_are_made_of_whole_weeks_of_days() -> None:
    """A weekly window has the days of its first and last week fetched whole."""
    window = Range(datetime(2024, 3, 6, tzinfo=UTC), datetime(2024, 3, 13, tzinfo=UTC))

    plan = sources({Timeframe.W1: window}, paged_capabilities(), Resampling())

    assert plan.fetch[Timeframe.D1] == Ranges(
        [Range(datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 3, 18, tzinfo=UTC))]
    )


def test_what_the_provider_does_not_offer_is_derived_whatever_is_set() -> None:
    """Hours that begin at the open, which nobody sends, are made of quarters also where derivation is switched off."""
    off = Resampling(from_m1=False, h1=False, h4=False, w1=False)

    plan = sources({Timeframe.H1: TWO_YEARS, Timeframe.W1: TWO_YEARS}, paged_capabilities(), off)

    assert plan.fetch.keys() == {Timeframe.M15, Timeframe.D1}
    assert [one.target for one in plan.derive] == [Timeframe.H1, Timeframe.W1]


def test_what_is_switched_off_is_fetched_where_it_is_offered() -> None:
    """Each switch has its own timeframes fetched; without minutes as a source, hours come from quarters."""
    offered = replace(paged_capabilities(), timeframes=frozenset(Timeframe) - {Timeframe.H4})
    wanted = dict.fromkeys(Timeframe, TWO_YEARS)

    hours = sources(wanted, offered, Resampling(h1=False))
    minutes = sources(wanted, offered, Resampling(from_m1=False))
    weeks = sources(wanted, offered, Resampling(w1=False))

    assert hours.fetch.keys() == {Timeframe.M1, Timeframe.H1, Timeframe.D1}
    assert minutes.fetch.keys() == {Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.D1}
    assert {one.target: one.candidates[0] for one in minutes.derive}[Timeframe.H1] is Timeframe.M5
    assert weeks.fetch.keys() == {Timeframe.M1, Timeframe.D1, Timeframe.W1}
