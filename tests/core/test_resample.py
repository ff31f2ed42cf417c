"""Coarser bars: the laws of resampling, and published series made from the same bars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.resample import derived_coverage, resample
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, OutsideCalendar
from tests.core.samples import (
    DAY,
    MINUTE,
    REAL_DATA,
    at,
    bars,
    needs_real_data,
    new_york,
    real_bars,
    round_the_clock,
    span,
    texts,
    us,
)

M1, M5, M15, M30, H1, H4, D1, W1 = Timeframe
XNYS = new_york()
FULL, HALF = span("2024-07-02", "2024-07-03"), span("2024-07-03", "2024-07-04")
WEEKS = span("2024-06-28", "2024-07-10")  # two weekends, a holiday and a half day
PRICES = ("open", "high", "low", "close")


def minutes_of(calendar: TradingCalendar, wanted: Range, *, seed: int = 0, density: float = 1.0) -> BarColumns:
    """Random minute bars of two symbols, of which each expected one is there with chance *density*."""
    random = np.random.default_rng(seed)
    starts = np.tile(calendar.expected_starts(M1, wanted), 2)
    symbol = np.repeat([0, 1], len(starts) // 2)
    chosen = random.random(len(starts)) < density
    corners = np.sort(random.integers(100, 10_000, (len(starts), 4)) / 100, axis=1)
    return bars(
        starts[chosen],
        symbol=symbol[chosen],
        low=corners[chosen, 0],
        open=corners[chosen, 1],
        close=corners[chosen, 2],
        high=corners[chosen, 3],
        volume=random.integers(0, 50, len(starts))[chosen] / 8,
        vwap=corners[chosen, 1],
        trade_count=random.integers(1, 9, len(starts))[chosen],
    )


def assert_same(one: BarColumns, other: BarColumns) -> None:
    """Keys, prices and counts exactly, sums of floats within rounding."""
    for name in ("symbol", "ts", *PRICES, "trade_count"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    np.testing.assert_allclose(one.volume, other.volume, rtol=1e-12)
    np.testing.assert_allclose(one.vwap, other.vwap, rtol=1e-12)


samples = st.builds(
    lambda seed, density: minutes_of(XNYS, WEEKS, seed=seed, density=density),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 0.3, 0.95, 1.0]),
)
chains = st.lists(st.sampled_from([M5, M15, M30, H1, H4, D1, W1]), min_size=2, max_size=4, unique=True)


@settings(max_examples=60, deadline=None)
@given(rows=samples, chain=chains)
def test_resampling_in_steps_is_resampling_at_once(rows: BarColumns, chain: list[Timeframe]) -> None:
    """
    m1 to m15 to h1 is m1 to h1, for any chain of timeframes and however many bars are absent.
    """
    chain.sort(key=tuple(Timeframe).index)
    stepwise, source = rows, M1
    for target in chain:
        stepwise, source = resample(stepwise, source, target, XNYS), target

    assert_same(stepwise, resample(rows, M1, chain[-1], XNYS))


@settings(max_examples=30, deadline=None)
@given(rows=samples, target=st.sampled_from([M5, H1, H4, D1, W1]))
def test_each_bar_is_what_a_loop_over_its_parts_gives(rows: BarColumns, target: Timeframe) -> None:
    """
    First open, highest high, lowest low, last close, volumes added from left to right, to the last bit.
    """
    made = resample(rows, M1, target, XNYS)
    edges = XNYS.expected_starts(target, span("2024-06-24", "2024-07-15"))
    slot = edges[np.searchsorted(edges, rows.ts, side="right") - 1]
    for position in range(len(made)):
        parts = rows.take((rows.symbol == made.symbol[position]) & (slot == made.ts[position]))
        volume = 0.0
        for part in parts.volume.tolist():
            volume += part

        bar = [getattr(made, name)[position] for name in (*PRICES, "volume", "trade_count")]
        assert bar == [
            *(parts.open[0], parts.high.max(), parts.low.min(), parts.close[-1]),
            *(volume, parts.trade_count.sum()),
        ]
    assert len(made) == len(set(zip(rows.symbol.tolist(), slot.tolist(), strict=True)))


@pytest.mark.parametrize(
    ("wanted", "counts"),
    [(FULL, [78, 26, 13, 7, 2, 1, 1]), (HALF, [42, 14, 7, 4, 1, 1, 1])],
    ids=["full day", "half day"],
)
def test_session_makes_these_many_bars(wanted: Range, counts: list[int]) -> None:
    """
    A full day makes 78 m5, 26 m15, 13 m30, 7 h1, 2 h4 and one d1; a half day 42, 14, 7, 4, 1 and one.
    """
    rows = minutes_of(XNYS, wanted)

    assert [len(resample(rows, M1, target, XNYS)) for target in (M5, M15, M30, H1, H4, D1, W1)] == [
        2 * count for count in counts
    ]


@pytest.mark.parametrize("monday", ["2025-03-10", "2025-11-03", "2026-03-09", "2026-10-26"])
def test_h4_keeps_its_anchor_over_dst(monday: str) -> None:
    """
    T04: summer or winter, h4 bars start at 09:30 and 13:30 New York, two a session.
    """
    week = Range(at(monday), from_us(us(monday) + 5 * DAY))
    made = resample(bars(XNYS.expected_starts(M15, week)), M15, H4, XNYS)

    assert made.ts.tolist() == XNYS.expected_starts(H4, week).tolist()
    assert len(made) == 10


def test_days_and_weeks_have_their_labels() -> None:
    """
    d1 is stamped with its session's date, w1 with the Monday of its ISO week, also where that is a holiday.
    """
    rows = minutes_of(XNYS, span("2024-01-12", "2024-01-17"))

    assert texts(resample(rows, M1, D1, XNYS).ts)[:2] == ["2024-01-12T00:00", "2024-01-16T00:00"]
    assert texts(resample(rows, M1, W1, XNYS).ts)[:2] == ["2024-01-08T00:00", "2024-01-15T00:00"]


def test_bars_outside_regular_hours_are_left_out() -> None:
    """
    Pre-market, the print at the close and a Saturday change no bar; the order of the rows does not matter.
    """
    regular = minutes_of(XNYS, FULL)
    strange = bars([us("2024-07-02T13:29"), us("2024-07-02T20:00"), us("2024-07-06T15:00")], high=99_999.0)

    assert_same(resample(BarColumns.concat([strange, regular]), M1, H1, XNYS), resample(regular, M1, H1, XNYS))
    assert len(resample(strange, M1, D1, XNYS)) == 0
    assert len(resample(BarColumns.empty(), M1, D1, XNYS)) == 0


def test_vwap_is_weighted_by_volume() -> None:
    """
    The mean of the parts' vwaps weighted by volume: a part without volume has no weight, known vwap or not.
    """
    ts = XNYS.expected_starts(M1, FULL)[:3]
    made = resample(bars(ts, vwap=[10.0, np.nan, 40.0], volume=[2.0, 0.0, 1.0]), M1, M15, XNYS)

    assert made.vwap.tolist() == [20.0]


@pytest.mark.parametrize(
    ("vwap", "volume"), [([10.0, np.nan, 40.0], [2.0, 1.0, 1.0]), ([10.0, 20.0, 40.0], [0.0, 0.0, 0.0])]
)
def test_vwap_is_unknown_where_a_part_lacks_it_or_nothing_was_traded(vwap: list[float], volume: list[float]) -> None:
    """
    A part with volume and without vwap, or no volume at all, leave the vwap unknown.
    """
    ts = XNYS.expected_starts(M1, FULL)[:3]

    assert np.isnan(resample(bars(ts, vwap=vwap, volume=volume), M1, M15, XNYS).vwap).tolist() == [True]


def test_trade_count_is_unknown_where_a_part_lacks_it() -> None:
    """
    Counts are added; one unknown count makes the bar's count unknown.
    """
    ts = XNYS.expected_starts(M1, FULL)[:30]
    count = np.ones(30, np.int64)
    count[20] = NO_TRADE_COUNT

    assert resample(bars(ts, trade_count=count), M1, M15, XNYS).trade_count.tolist() == [15, NO_TRADE_COUNT]


@pytest.mark.parametrize(("source", "target"), [(H1, M15), (D1, D1), (W1, D1)])
def test_finer_bars_cannot_be_made(source: Timeframe, target: Timeframe) -> None:
    """
    A target that is not coarser than the source is refused, naming both.
    """
    with pytest.raises(InvalidInput, match=f"{target.label} cannot be made from bars of {source.label}"):
        resample(BarColumns.empty(), source, target, XNYS)
    with pytest.raises(InvalidInput):
        derived_coverage(Ranges(), source, target, XNYS)


@pytest.mark.parametrize(
    ("source", "target", "covered", "derived"),
    [
        (M1, H1, span("2024-03-05T14:31", "2024-03-05T17:00"), span("2024-03-05T15:30", "2024-03-05T16:30")),
        (M15, H1, span("2024-03-05T20:30", "2024-03-05T21:00"), span("2024-03-05T20:30", "2024-03-05T21:00")),
        (M15, H4, span("2024-03-04T12:00", "2024-03-06T15:00"), span("2024-03-04T12:00", "2024-03-06T14:30")),
        (M1, D1, span("2024-03-05T14:30", "2024-03-05T21:00"), span("2024-03-05", "2024-03-06")),
        (M1, D1, span("2024-03-05T14:31", "2024-03-06T21:00"), span("2024-03-06", "2024-03-07")),
        (M1, D1, span("2024-03-05", "2024-03-06T20:59"), span("2024-03-05", "2024-03-06")),
        (M1, D1, span("2024-03-08T14:30", "2024-03-11T13:30"), span("2024-03-08", "2024-03-11")),
        (M1, D1, span("2024-03-09T05:00", "2024-03-09T18:00"), span("2024-03-09T05:00", "2024-03-09T18:00")),
        (M1, W1, span("2024-03-04T14:30", "2024-03-08T21:00"), span("2024-03-04", "2024-03-11")),
        (D1, W1, span("2024-03-01", "2024-03-09"), span("2024-03-04", "2024-03-11")),
        (D1, W1, span("2024-03-05", "2024-03-12"), None),
        (M1, H1, span("2024-03-05T14:40", "2024-03-05T15:20"), None),
        (M1, D1, span("2024-03-05T15:00", "2024-03-05T18:00"), None),
    ],
)
def test_coverage_of_the_source_covers_whole_target_bars(
    source: Timeframe, target: Timeframe, covered: Range, derived: Range | None
) -> None:
    """
    A target bar is covered when its session's part is covered to the end, and so is the closed time beside it.
    """
    assert derived_coverage(Ranges([covered]), source, target, XNYS) == Ranges([derived] if derived else [])


def test_volumes_are_added_from_left_to_right() -> None:
    """
    The sum of a bar's volumes is that of adding them one by one, so that it never depends on how they are grouped.
    """
    volumes = [1e15, *([0.06] * 389)]
    ts = XNYS.expected_starts(M1, FULL)
    one_by_one = 0.0
    for volume in volumes:
        one_by_one += volume

    assert resample(bars(ts, volume=volumes), M1, D1, XNYS).volume.tolist() == [one_by_one]
    assert one_by_one != float(np.sum(volumes))


def test_coverage_does_not_fall_to_pieces_every_night() -> None:
    """
    Slices that touch derive to one range, from the calendar's first day to its last.
    """
    slices = [span("1990-01-01", "2024-02-01"), span("2024-02-01", "2024-03-01"), span("2024-03-01", "2028-01-01")]
    for target in (H1, D1):
        parts = [derived_coverage(Ranges([one]), M1, target, XNYS) for one in slices]

        assert parts[0] | parts[1] | parts[2] == Ranges([span("1990-01-01", "2028-01-01")])
    assert derived_coverage(Ranges(), M1, H1, XNYS) == Ranges()


def test_coverage_beyond_the_calendar_is_refused() -> None:
    """
    T08: coverage that the calendar does not reach is refused, never derived.
    """
    with pytest.raises(OutsideCalendar):
        derived_coverage(Ranges([span("2027-12-01", "2028-02-01")]), M1, H1, XNYS)


@settings(max_examples=60, deadline=None)
@given(
    bounds=st.lists(st.integers(0, 12 * 1_440), min_size=2, max_size=6, unique=True),
    source=st.sampled_from([M1, M15]),
    target=st.sampled_from([M30, H1, H4, D1, W1]),
)
def test_bars_in_derived_coverage_never_change(bounds: list[int], source: Timeframe, target: Timeframe) -> None:
    """
    No look-ahead at the edges: a bar in derived coverage is the same with only the covered parts as with all.
    """
    cuts = [from_us(to_us(WEEKS.start) + bound * MINUTE) for bound in sorted(bounds)]
    covered = Ranges(Range(first, second) for first, second in zip(cuts[::2], cuts[1::2], strict=False))
    whole = minutes_of(XNYS, WEEKS) if source is M1 else resample(minutes_of(XNYS, WEEKS), M1, source, XNYS)
    ends = XNYS.bar_ends(source, whole.ts)
    is_seen = [covered.covers(Range(from_us(ts), from_us(end))) for ts, end in zip(whole.ts, ends, strict=True)]
    seen = whole.take(np.array(is_seen))

    derived = derived_coverage(covered, source, target, XNYS)
    chosen = [
        made.take(np.array([from_us(ts) in derived for ts in made.ts.tolist()], np.bool_))
        for made in (resample(seen, source, target, XNYS), resample(whole, source, target, XNYS))
    ]

    assert_same(*chosen)


def published(name: str) -> pl.DataFrame:
    return pl.read_parquet(REAL_DATA / f"{name}.parquet")


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize(
    ("fine", "source", "coarse", "target", "count"),
    [
        ("crypto_XRPETH_m1_2019-10_binance", M1, "crypto_XRPETH_m5_2019-10_binance", M5, 706),
        ("crypto_BTCUSD_m1_2016-10_coinbase", M1, "crypto_BTCUSD_d1_2014-2018_coinbase", D1, 3),
        ("crypto_BTCUSD_m1_2018-04_coinbase", M1, "crypto_BTCUSD_d1_2014-2018_coinbase", D1, 3),
    ],
)
def test_published_crypto_bars_are_made_exactly(
    fine: str, source: Timeframe, coarse: str, target: Timeframe, count: int
) -> None:
    """
    Venues' own coarser bars are equal in every price; volumes within the rounding of a sum.
    """
    made = resample(real_bars(fine), source, target, round_the_clock())
    theirs = real_bars(coarse)
    theirs = theirs.take(np.isin(theirs.ts, made.ts))

    assert len(made) == len(theirs) == count
    for name in ("ts", *PRICES):
        assert getattr(made, name).tolist() == getattr(theirs, name).tolist(), name
    np.testing.assert_allclose(made.volume, theirs.volume, rtol=1e-9)


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize("symbol", ["SPY", "AAPL"])
def test_published_days_are_made_from_published_hours(symbol: str) -> None:
    """
    All 5,800 full sessions since 1998: the d1 bar is what its h1 bars make, to the last digit.
    """
    hours = real_bars(f"equity_{symbol}_h1_1998-2021")
    # Their 09:00 covers 09:30-10:00: half an hour after each label lies within the same hour and session.
    made = resample(
        bars(hours.ts + 30 * MINUTE, **{name: getattr(hours, name) for name in (*PRICES, "volume")}), M1, D1, XNYS
    )
    days = published(f"equity_{symbol}_d1_1998-2021")
    label = days["session_date"].cast(pl.Datetime("us")).dt.epoch("us").to_numpy()
    is_full = np.isin(label, XNYS.labels[XNYS.closes - XNYS.opens == 390 * MINUTE])

    assert made.ts.tolist() == label.tolist()
    for name in (*PRICES, "volume"):
        assert getattr(made, name)[is_full].tolist() == days[name].cast(pl.Float64).to_numpy()[is_full].tolist(), name
    assert is_full.sum() > 5_700


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize(
    ("minutes", "days", "equal"),
    [
        ("equity_SPY_m1_2013-10", "equity_SPY_d1_1998-2021", [6, 6, 5, 6, 6]),
        ("equity_AAPL_m1_2014-06", "equity_AAPL_d1_1998-2021", [3, 1, 2, 3, 3]),
        ("equity_GOOG_m1_2015-12", "equity_GOOG_d1_2004-2021", [3, 2, 2, 3, 2]),
        ("equity_NWSA_m1_2013-06", "equity_NWSA_d1_2013", [2, 2, 2, 2, 2]),
        ("equity_FOXA_m1_2013-07", "equity_FOXA_d1_2013", [2, 2, 2, 2, 2]),
        ("equity_SPY_m1_2011-01_ninjatrader", "equity_SPY_d1_1998-2021", [2, 16, 15, 6, 0]),
    ],
)
def test_stock_days_agree_as_often_as_was_published(minutes: str, days: str, equal: list[int]) -> None:
    """
    As many opens, highs, lows, closes and volumes equal the published d1 as the data's own table counts.
    """
    made = resample(real_bars(minutes), M1, D1, XNYS)
    theirs = published(days).filter(pl.col("session_date").cast(pl.Datetime("us")).dt.epoch("us").is_in(made.ts))

    found = [
        int(np.count_nonzero(getattr(made, name) == theirs[name].cast(pl.Float64).to_numpy()))
        for name in (*PRICES, "volume")
    ]

    assert found == equal


def on_the_clock() -> TradingCalendar:
    """Sessions that open half an hour early, so that hours begin at full hours as in the published files."""
    return replace(XNYS, opens=XNYS.opens - 30 * MINUTE, part_opens=XNYS.part_opens - 30 * MINUTE)


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize(
    ("minutes", "hours", "count", "equal", "farthest"),
    [
        ("equity_SPY_m1_2013-10", "equity_SPY_h1_1998-2021", 42, [31, 36, 36, 35, 42], [1.26, 0.58, 0.03]),
        ("equity_AAPL_m1_2014-06", "equity_AAPL_h1_1998-2021", 21, [15, 14, 17, 17, 21], [0.03, 0.03, 0.07]),
        (
            "equity_SPY_m1_2011-01_ninjatrader",
            "equity_SPY_h1_1998-2021",
            140,
            [97, 119, 113, 97, 0],
            [0.12, 0.26, 0.12],
        ),
    ],
)
def test_stock_hours_agree_as_often_as_was_published(
    minutes: str, hours: str, count: int, equal: list[int], farthest: list[float]
) -> None:
    """
    Minutes and hours of one vendor come of different filters of its ticks, those of two vendors of different ticks: as
    many values are equal, and the others as far apart, as the data's own table says.
    """
    fine = real_bars(minutes)
    regular = fine.take(XNYS.session_of(M1, fine.ts) >= 0)
    made = resample(regular, M1, H1, on_the_clock())
    theirs = real_bars(hours)
    theirs = theirs.take(np.isin(theirs.ts, made.ts))

    assert made.ts.tolist() == theirs.ts.tolist()
    assert len(made) == count
    apart = {name: np.abs(getattr(made, name) - getattr(theirs, name)) for name in (*PRICES, "volume")}
    assert [int(np.count_nonzero(one == 0)) for one in apart.values()] == equal
    assert [round(float(apart[name].max()), 2) for name in ("high", "low", "close")] == farthest


@pytest.mark.real_data
@needs_real_data
def test_hours_that_differ_by_more_than_cents_are_the_named_blocks() -> None:
    """
    Of SPY in October 2013 two hours are more than three cents away: a block at an average price sets the high of the
    minute 15:03 on the 8th and the low of an hour on the 11th, which the published hours leave out.
    """
    fine = real_bars("equity_SPY_m1_2013-10")
    made = resample(fine.take(XNYS.session_of(M1, fine.ts) >= 0), M1, H1, on_the_clock())
    theirs = real_bars("equity_SPY_h1_1998-2021")
    theirs = theirs.take(np.isin(theirs.ts, made.ts))

    far = {
        (name, texts(made.ts[np.abs(getattr(made, name) - getattr(theirs, name)) > 0.035])[0])
        for name in PRICES
        if (np.abs(getattr(made, name) - getattr(theirs, name)) > 0.035).any()
    }

    assert far == {("high", "2013-10-08T19:00"), ("low", "2013-10-11T19:00")}


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize("name", ["SPY_m1_2013-10", "AAPL_m1_2014-06", "GOOG_m1_2015-12", "SHY_m1_2008-03"])
def test_real_minutes_make_the_same_hours_by_any_way(name: str) -> None:
    """
    Half days, missing minutes and a change to daylight time: over quarters or at once, anchored at the open.
    """
    fine = real_bars(f"equity_{name}")
    quarters = resample(fine, M1, M15, XNYS)

    for target in (H1, H4):
        made = resample(fine, M1, target, XNYS)
        assert_same(resample(quarters, M15, target, XNYS), made)
        assert np.isin(
            made.ts, XNYS.expected_starts(target, Range(from_us(int(made.ts[0])), from_us(int(made.ts[-1]) + 1)))
        ).all()
