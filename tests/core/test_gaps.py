"""Rule S1: what of a proof becomes coverage, and what absent bars are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.busy import BARS_AROUND, TRADES_MIN
from barfill.core.calendar import TradingCalendar
from barfill.core.density import BLOCKS_MAX, block_bars
from barfill.core.gaps import Evidence, Gap, GapKind, Reconciled, SymbolRanges, reconcile
from barfill.core.judged import BlockedSlots
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from tests.core.samples import MINUTE, at, needs_real_data, new_york, real_bars, round_the_clock, span, us

M1, M5, M15, M30, H1, H4, D1, W1 = Timeframe
XNYS, CRYPTO = new_york(), round_the_clock()
TUESDAY = span("2024-03-05", "2024-03-06")
MARCH = span("2024-03-01", "2024-04-01")
OPEN = us("2024-03-05T14:30")
NAN = float("nan")


def ranges_of(*wanted: Range, symbols: int = 1) -> SymbolRanges:
    """The same ranges for each symbol."""
    names = [str(number) for number in range(symbols)]
    return SymbolRanges.of([(name, one) for name in names for one in wanted], {name: int(name) for name in names})


def blocked_at(starts: Any, *, symbol: Any = 0, is_held: Any = False, unplaced: Any = ()) -> BlockedSlots:
    stamps = np.asarray(starts, np.int64)
    symbols = np.broadcast_to(np.asarray(symbol, np.int32), stamps.shape)
    held = np.broadcast_to(np.asarray(is_held, np.bool_), stamps.shape)
    return BlockedSlots(symbols, stamps, held, np.asarray(unplaced, np.int32))


def reconciled(
    ts: Any,
    *wanted: Range,
    timeframe: Timeframe = M1,
    symbol: Any = 0,
    density: Any = NAN,
    has_older: Any = True,
    doubted: Sequence[Range] = (),
    is_lossy: Any = False,
    blocked: BlockedSlots | None = None,
    calendar: TradingCalendar = XNYS,
    symbols: int = 1,
    trades: Any = NO_TRADE_COUNT,
) -> Reconciled:
    """What becomes of *wanted*, proven for each of the symbols, when these bars came."""
    stamps = np.asarray(ts, np.int64)
    evidence = Evidence(
        proven=ranges_of(*(wanted or (TUESDAY,)), symbols=symbols),
        symbol=np.broadcast_to(np.asarray(symbol, np.int32), stamps.shape),
        ts=stamps,
        trades=np.broadcast_to(np.asarray(trades, np.int64), stamps.shape),
        blocked=BlockedSlots.none() if blocked is None else blocked,
        doubted=ranges_of(*doubted, symbols=symbols),
        is_lossy=np.broadcast_to(np.asarray(is_lossy, np.bool_), (symbols,)).copy(),
        density=np.broadcast_to(np.asarray(density, np.float64), (symbols,)).copy(),
        has_older=np.broadcast_to(np.asarray(has_older, np.bool_), (symbols,)).copy(),
    )
    return reconcile(evidence, calendar, timeframe)


def starts_in(wanted: Range = TUESDAY, timeframe: Timeframe = M1, *, less: Any = ()) -> NDArray[np.int64]:
    """The expected starts without those at these positions."""
    return np.delete(XNYS.expected_starts(timeframe, wanted), np.asarray(less, np.intp))


def covered_by(result: Reconciled, symbol: int = 0) -> Ranges:
    return result.covered.by_symbol().get(symbol, Ranges())


def minute_range(first: int, end: int) -> Range:
    return Range(from_us(OPEN + first * MINUTE), from_us(OPEN + end * MINUTE))


def described(gap: Gap) -> tuple[Range, int, GapKind]:
    return gap.range, gap.expected_bars, gap.kind


@pytest.mark.parametrize("timeframe", Timeframe)
def test_complete_range_is_covered_to_its_bounds(timeframe: Timeframe) -> None:
    """
    Where every expected bar came, all of the proven range is covered and the density is 1.
    """
    wanted = span("2024-03-02", "2024-04-03T12:00")
    result = reconciled(starts_in(wanted, timeframe), wanted, timeframe=timeframe)

    assert covered_by(result) == Ranges([wanted])
    assert result.gaps == ()
    assert result.density.tolist() == [1.0]


def test_closed_time_is_covered_without_a_bar() -> None:
    """
    T06: a weekend, a holiday and a night are covered by an empty answer, as nothing is expected.
    """
    for wanted in (
        span("2024-03-09", "2024-03-11"),
        span("2024-03-29", "2024-03-30"),
        span("2024-03-05T21:00", "2024-03-06T14:30"),
    ):
        result = reconciled([], wanted)

        assert covered_by(result) == Ranges([wanted])
        assert result.gaps == ()
        assert np.isnan(result.density).all()


@pytest.mark.parametrize(("density", "run"), [(1.0, 3), (0.99, 3), (0.9, 6), (0.5, 20), (0.05, 270), (0.035, 388)])
def test_run_is_suspicious_from_this_length_on(density: float, run: int) -> None:
    """
    S1: (1 - d)^k < 1e-6, d at most 0.99: 3 absent minutes of a liquid symbol, 20 at 0.5, 270 at 0.05.
    """
    first = 195 - run // 2
    shorter, longer = (
        reconciled(starts_in(less=range(first, first + length)), density=density) for length in (run - 1, run)
    )

    assert [gap.kind for gap in shorter.gaps] == [GapKind.NO_TRADE]
    assert [gap.kind for gap in longer.gaps] == [GapKind.MISSING]
    assert covered_by(shorter) == Ranges([TUESDAY])


def test_symbol_that_hardly_trades_is_never_suspicious_within_a_session() -> None:
    """
    S1: at a density of 0.01 a session without a bar is no alarm.
    """
    result = reconciled([], density=0.01)

    assert [described(gap) for gap in result.gaps] == [(minute_range(0, 390), 390, GapKind.NO_TRADE)]


@pytest.mark.parametrize(("timeframe", "run"), [(H1, 3), (H4, 2), (D1, 1), (W1, 1)])
def test_liquid_symbol_does_not_miss_a_day(timeframe: Timeframe, run: int) -> None:
    """
    D22: of a symbol that has all its days, a single absent day is suspicious; of its hours three.
    """
    wanted = span("2023-01-01", "2024-01-01")
    holes = (
        reconciled(starts_in(wanted, timeframe, less=range(30, 30 + k)), wanted, timeframe=timeframe)
        for k in (run - 1, run)
    )

    assert [[gap.kind for gap in result.gaps] for result in holes] == [
        [GapKind.NO_TRADE] if run > 1 else [],
        [GapKind.MISSING],
    ]


def test_thin_days_are_no_alarm() -> None:
    """
    D20: a symbol that misses a tenth of its days, evenly, has no suspicious one.
    """
    wanted = span("2022-01-01", "2024-01-01")
    result = reconciled(starts_in(wanted, D1, less=range(5, 500, 10)), wanted, timeframe=D1)

    assert [(gap.kind, gap.expected_bars) for gap in result.gaps] == [(GapKind.NO_TRADE, 50)]
    assert result.density[0] == pytest.approx(0.9)


def test_days_absent_now_and_then_are_no_alarm_and_a_single_one_is() -> None:
    """
    Of a symbol known to have all its days, one absent day in 400 is suspicious; one in every second month is not.
    """
    wanted = span("2022-05-01", "2024-01-01")
    once = reconciled(starts_in(wanted, D1, less=[210]), wanted, timeframe=D1, density=1.0)
    often = reconciled(starts_in(wanted, D1, less=range(10, 400, 40)), wanted, timeframe=D1, density=1.0)

    assert [gap.kind for gap in once.gaps] == [GapKind.MISSING]
    assert [(gap.kind, gap.expected_bars) for gap in often.gaps] == [(GapKind.NO_TRADE, 10)]


def test_absence_at_both_ends_does_not_vouch_for_itself() -> None:
    """
    H19: days that are cut off before and after those that came say nothing about how often the symbol trades.
    """
    result = reconciled(starts_in(MARCH, D1)[6:14], MARCH, timeframe=D1)

    assert [(gap.kind, gap.expected_bars) for gap in result.gaps] == [(GapKind.MISSING, 6), (GapKind.MISSING, 6)]


def test_quiet_minutes_that_cluster_are_no_alarm() -> None:
    """
    S1: a run that the symbol's other runs make likely is believed; without them it is not.
    """
    runs = [1] * 30 + [2] * 12 + [3] * 5
    starts = np.arange(len(runs)) * 7
    quiet = [number for first, run in zip(starts, runs, strict=True) for number in range(first, first + run)]
    lone, clustered = (reconciled(starts_in(less=[*others, *range(340, 349)]), density=0.79) for others in ([], quiet))

    assert [gap.kind for gap in clustered.gaps] == [GapKind.NO_TRADE]
    assert [gap.kind for gap in lone.gaps] == [GapKind.MISSING]


def test_few_holes_do_not_make_each_other_likely() -> None:
    """
    S1: a cluster is believed only of a symbol that has single quiet minutes too.
    """
    result = reconciled(starts_in(less=[*range(50, 55), *range(100, 105), *range(200, 205)]), density=1.0)

    assert [gap.expected_bars for gap in result.gaps if gap.kind is GapKind.MISSING] == [5, 5, 5]


def test_one_coarse_bar_among_busy_ones_is_not_quiet() -> None:
    """
    S1: where all bars around hold 20 trades a quarter of an hour without any is a hole, which its density can not tell.
    """
    starts = starts_in(MARCH, M15, less=[40])
    busy = np.full(len(starts), TRADES_MIN)

    def kinds(trades: Any, density: float = 1.0) -> list[GapKind]:
        return [gap.kind for gap in reconciled(starts, MARCH, timeframe=M15, trades=trades, density=density).gaps]

    def less(position: int) -> Any:
        return np.where(np.arange(len(starts)) == position, TRADES_MIN - 1, busy)

    assert kinds(busy) == [GapKind.MISSING]
    assert kinds(NO_TRADE_COUNT) == [GapKind.NO_TRADE]
    first, last = 40 - BARS_AROUND, 40 + BARS_AROUND - 1
    assert [kinds(less(first)), kinds(less(last))] == [[GapKind.NO_TRADE]] * 2
    assert [kinds(less(first - 1)), kinds(less(last + 1))] == [[GapKind.MISSING]] * 2


def test_busy_bars_of_a_symbol_that_lacks_some_say_nothing() -> None:
    """
    Where a symbol often lacks bars its trades come in bursts; minutes are told by the length of the run.
    """
    often = starts_in(MARCH, M15, less=range(3, 400, 9))
    minutes = starts_in(less=[200])

    of_the_thin = reconciled(often, MARCH, timeframe=M15, trades=500, density=0.9)
    of_minutes = reconciled(minutes, trades=500, density=1.0)

    assert {gap.kind for gap in (*of_the_thin.gaps, *of_minutes.gaps)} == {GapKind.NO_TRADE}


def test_of_each_symbol_its_own_trades_count() -> None:
    """
    Neither another symbol's bars nor those of the other side of what was asked for vouch for a run.
    """
    starts = starts_in(timeframe=M15, less=[2])
    trades = np.repeat([TRADES_MIN, 1, TRADES_MIN], len(starts))
    symbol = np.repeat(np.arange(3), len(starts))

    result = reconciled(np.tile(starts, 3), timeframe=M15, symbol=symbol, symbols=3, trades=trades, density=1.0)

    assert [gap.kind for gap in result.gaps] == [GapKind.MISSING, GapKind.NO_TRADE, GapKind.MISSING]
    few = minute_range(0, 15 * BARS_AROUND)
    of_few = starts_in(few, M15, less=[2])
    assert [gap.kind for gap in reconciled(of_few, few, timeframe=M15, trades=500, density=1.0).gaps] == [
        GapKind.NO_TRADE
    ]


def test_few_rows_with_holes_teach_no_density() -> None:
    """
    Three rows of a first answer say nothing about how often the symbol trades; many rows do.
    """
    few, many = (reconciled(starts_in(less=range(present, 390))) for present in (3, 300))

    assert np.isnan(few.density[0])
    assert many.density[0] > 0


def test_large_hole_of_a_first_answer_does_not_vouch_for_itself() -> None:
    """
    Where nothing is known before, a hole of half the bars is judged by the other half.
    """
    result = reconciled(starts_in(less=range(100, 300)))

    assert [(gap.kind, gap.expected_bars) for gap in result.gaps] == [(GapKind.MISSING, 200)]


def test_hole_is_cut_out_exactly() -> None:
    """
    A suspicious run is a gap with exact edges; the bars on both sides are covered.
    """
    result = reconciled(starts_in(less=range(60, 90)))
    (gap,) = result.gaps

    assert described(gap) == (minute_range(60, 90), 30, GapKind.MISSING)
    assert gap.reason == "30 expected bars in a row are absent; the symbol usually has 100.0 % of its bars"
    assert covered_by(result) == Ranges([TUESDAY]) - minute_range(60, 90)
    assert not gap.is_leading


def test_reasons_are_written_for_people() -> None:
    """
    One bar is absent, thousands have a separator.
    """
    week = span("2024-03-05", "2024-03-09")
    (one,) = reconciled(starts_in(less=[389]), doubted=[TUESDAY]).gaps
    (many,) = reconciled([], week).gaps

    assert one.reason == "1 expected bar is absent; the symbol usually has 100.0 % of its bars"
    assert many.reason == "1,560 expected bars did not come, and how often the symbol trades is not known"


def test_run_goes_on_over_the_night() -> None:
    """
    S1: two minutes before the close and two after the next open are a run of four, too long for chance.
    """
    wanted = span("2024-03-05", "2024-03-07")
    result = reconciled(starts_in(wanted, less=range(388, 392)), wanted)

    assert [described(gap) for gap in result.gaps] == [
        (span("2024-03-05T20:58", "2024-03-06T14:32"), 4, GapKind.MISSING)
    ]


def test_hole_at_the_end_takes_the_closed_time_along() -> None:
    """
    An absent end leaves the night after it uncovered too, so that the next request is one range; so does the start.
    """
    late = reconciled(starts_in(less=range(300, 390)))
    early = reconciled(starts_in(less=range(90)))

    assert covered_by(late) == Ranges([span("2024-03-05", "2024-03-05T19:30")])
    assert covered_by(early) == Ranges([span("2024-03-05T16:00", "2024-03-06")])


def test_quiet_minutes_are_one_record() -> None:
    """
    D20: minutes without a trade become one `no_trade` record from the first to the last, and are covered.
    """
    result = reconciled(starts_in(less=[7, 50, 51, 200]), density=0.95)

    assert [described(gap) for gap in result.gaps] == [(minute_range(7, 201), 4, GapKind.NO_TRADE)]
    assert result.gaps[0].reason == "no trade in 4 of 194 bars; the symbol usually has 95.0 % of its bars"
    assert covered_by(result) == Ranges([TUESDAY])


def test_quiet_minutes_on_both_sides_of_a_hole_are_two_records() -> None:
    """
    A `no_trade` record lies in coverage as a whole: a hole between them parts the minutes without a trade.
    """
    result = reconciled(starts_in(less=[7, 9, *range(60, 90), 200]))

    assert [described(gap) for gap in result.gaps] == [
        (minute_range(7, 10), 2, GapKind.NO_TRADE),
        (minute_range(60, 90), 30, GapKind.MISSING),
        (minute_range(200, 201), 1, GapKind.NO_TRADE),
    ]


def test_empty_answer_of_an_unknown_symbol_is_held() -> None:
    """
    H11: where nothing is known and nothing came, nothing is covered on one answer.
    """
    result = reconciled([])
    (gap,) = result.gaps

    assert covered_by(result) == Ranges()
    assert described(gap) == (minute_range(0, 390), 390, GapKind.MISSING)
    assert gap.reason == "390 expected bars did not come, and how often the symbol trades is not known"
    assert np.isnan(result.density).all()


@pytest.mark.parametrize(("density", "kinds"), [(0.9, [GapKind.MISSING]), (0.02, [GapKind.NO_TRADE])])
def test_empty_answer_is_judged_by_the_density_known_before(density: float, kinds: list[GapKind]) -> None:
    """
    H11: no rows of a liquid symbol are held, of one that trades twice an hour they may be true.
    """
    result = reconciled([], density=density)

    assert [gap.kind for gap in result.gaps] == kinds
    assert result.density.tolist() == [density]


def test_false_empties_do_not_make_themselves_plausible() -> None:
    """
    H11: sessions without any row do not lower the density by which they are judged.
    """
    sessions = starts_in(MARCH).reshape(-1, 390)
    result = reconciled(np.concatenate((sessions[3], sessions[11])), MARCH)

    assert [gap.expected_bars for gap in result.gaps] == [3 * 390, 7 * 390, 8 * 390]
    assert {gap.kind for gap in result.gaps} == {GapKind.MISSING}


def test_silent_cap_is_found() -> None:
    """
    H19: 504 days asked, the first hundred sent: the rest is missing, not quiet.
    """
    wanted = span("2022-01-01", "2024-01-01")
    result = reconciled(starts_in(wanted, D1)[:100], wanted, timeframe=D1)

    assert [(gap.kind, gap.expected_bars) for gap in result.gaps] == [(GapKind.MISSING, 401)]
    assert covered_by(result) == Ranges([span("2022-01-01", "2022-05-26")])


@pytest.mark.parametrize("has_older", [False, True])
def test_absence_before_the_first_bar_may_be_the_time_before_listing(has_older: bool) -> None:
    """
    D32: a long absence before everything known of a symbol is `unavailable` until a second answer; else it is missing.
    """
    result = reconciled(starts_in(MARCH, D1)[8:], MARCH, timeframe=D1, has_older=has_older)
    (gap,) = result.gaps

    assert gap.kind is (GapKind.MISSING if has_older else GapKind.UNAVAILABLE)
    assert gap.is_leading != has_older
    assert covered_by(result) == Ranges([span("2024-03-13", "2024-04-01")])


def test_only_the_first_range_of_a_symbol_leads() -> None:
    """
    An absence in a later range of the symbol is not before its first bar.
    """
    first, second = span("2024-03-04", "2024-03-09"), span("2024-03-11", "2024-03-16")
    result = reconciled(starts_in(first, D1), first, second, timeframe=D1, has_older=False)

    assert [(gap.kind, gap.is_leading) for gap in result.gaps] == [(GapKind.MISSING, False)]


def test_nothing_of_an_unknown_symbol_leads_but_is_not_called_unlisted() -> None:
    """
    A symbol of which no bar was ever seen: missing, flagged as leading, for the second answer to decide.
    """
    (gap,) = reconciled([], has_older=False).gaps

    assert (gap.kind, gap.is_leading) == (GapKind.MISSING, True)


def test_quarantined_bars_are_gaps_and_held_ones_only_uncovered() -> None:
    """
    Both stay out of coverage; a quarantined run is a settled gap, a held bar is just asked for again.
    """
    blocked = blocked_at([OPEN + n * MINUTE for n in (10, 11, 20, 30)], is_held=[False, False, True, False])
    result = reconciled(starts_in(less=[10, 11, 20, 30]), blocked=blocked)

    assert [described(gap) for gap in result.gaps] == [
        (minute_range(10, 12), 2, GapKind.QUARANTINED),
        (minute_range(30, 31), 1, GapKind.QUARANTINED),
    ]
    holes = [minute_range(10, 12), minute_range(20, 21), minute_range(30, 31)]
    assert covered_by(result) == Ranges([TUESDAY]) - Ranges(holes)
    assert result.density.tolist() == [1.0]


def test_quarantined_bars_of_touching_ranges_are_two_gaps() -> None:
    """
    A gap belongs to one proven range, also where the next one begins with the next bar.
    """
    middle = at("2024-03-05T15:30")
    ranges = Range(TUESDAY.start, middle), Range(middle, TUESDAY.end)
    blocked = blocked_at([OPEN + 59 * MINUTE, OPEN + 60 * MINUTE])
    result = reconciled(starts_in(less=[59, 60]), *ranges, blocked=blocked)

    assert [described(gap) for gap in result.gaps] == [
        (minute_range(59, 60), 1, GapKind.QUARANTINED),
        (minute_range(60, 61), 1, GapKind.QUARANTINED),
    ]


def test_row_that_was_kept_out_breaks_a_run() -> None:
    """
    A quarantined row is a row: the provider did answer there, so two absent minutes on either side are two runs.
    """
    result = reconciled(starts_in(less=range(50, 55)), blocked=blocked_at([OPEN + 52 * MINUTE]))

    assert [gap.kind for gap in result.gaps] == [GapKind.NO_TRADE, GapKind.QUARANTINED, GapKind.NO_TRADE]


def test_blocked_bars_outside_the_proof_and_off_the_grid_are_no_harm() -> None:
    """
    What lies outside of the proven range is for the page that proves it.
    """
    blocked = blocked_at([us("2024-03-04T15:00"), OPEN + 5, us("2024-03-06T15:00")])
    result = reconciled(starts_in(), blocked=blocked)

    assert covered_by(result) == Ranges([TUESDAY])
    assert result.gaps == ()


def test_row_without_an_instant_makes_every_absence_suspicious() -> None:
    """
    Q01: a quarantined row that could be any bar: no absent bar of its symbol is called quiet.
    """
    ts = np.tile(starts_in(less=[5]), 2)
    result = reconciled(ts, symbol=np.repeat([0, 1], 389), symbols=2, blocked=blocked_at([], unplaced=[1]), density=0.9)

    assert [(gap.symbol, gap.kind) for gap in result.gaps] == [(0, GapKind.NO_TRADE), (1, GapKind.MISSING)]


def test_extended_hours_neither_help_nor_harm() -> None:
    """
    Rows outside the regular grid do not count as expected bars.
    """
    ts = np.concatenate(([OPEN - MINUTE], starts_in(less=range(60, 90)), [OPEN + 390 * MINUTE]))

    assert [gap.expected_bars for gap in reconciled(ts).gaps] == [30]


def test_no_proof_is_no_coverage() -> None:
    """
    Rows without a proven range change nothing.
    """
    evidence = Evidence(
        proven=SymbolRanges.of([], {}),
        symbol=np.zeros(1, np.int32),
        ts=np.array([OPEN]),
        trades=np.array([NO_TRADE_COUNT]),
        blocked=BlockedSlots.none(),
        doubted=SymbolRanges.of([], {}),
        is_lossy=np.array([False]),
        density=np.array([0.7]),
        has_older=np.array([True]),
    )
    result = reconcile(evidence, XNYS, M1)

    assert len(result.covered) == 0
    assert result.density.tolist() == [0.7]


def test_density_moves_with_what_came() -> None:
    """
    A session moves the known density by a twentieth, twenty sessions replace it; an unknown one is taken as found.
    """
    thin = starts_in(less=range(0, 390, 2))
    month = starts_in(MARCH).reshape(-1, 390)[:, ::2].ravel()

    assert reconciled(thin, density=0.9).density[0] == pytest.approx(0.9 - 0.4 / BLOCKS_MAX, abs=1e-3)
    assert reconciled(thin).density[0] == pytest.approx(0.5, abs=2e-3)
    assert reconciled(month, MARCH, density=0.9).density[0] == pytest.approx(0.5, abs=2e-3)
    assert [block_bars(timeframe) for timeframe in Timeframe] == [390, 78, 26, 20, 20, 20, 20, 20]


def test_kinds_are_those_of_the_ledger() -> None:
    """
    The kinds of the specification, and which of them account for a bar for good.
    """
    settled = {kind.value for kind in GapKind if kind.is_settled}
    assert settled == {"no_trade", "halted", "unavailable", "not_entitled"}
    assert {kind.value for kind in GapKind} - settled == {"uncovered", "missing", "failed", "quarantined"}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.02, 0.5, 0.97, 1.0]),
    timeframe=st.sampled_from([M15, H1, D1]),
    known=st.sampled_from([NAN, 0.01, 0.6, 1.0]),
    cuts=st.lists(st.integers(0, 31 * 96), min_size=2, max_size=6, unique=True),
)
def test_every_expected_bar_is_accounted_for(
    seed: int, share: float, timeframe: Timeframe, known: float, cuts: list[int]
) -> None:
    """
    Promise 1: each expected bar of the proof is stored, quiet in coverage, a gap, or held; and nothing else is covered.
    """
    random = np.random.default_rng(seed)
    bounds = [from_us(to_us(MARCH.start) + cut * 15 * MINUTE) for cut in sorted(cuts)]
    proven = [Range(first, second) for first, second in zip(bounds[::2], bounds[1::2], strict=False)]
    expected = starts_in(MARCH, timeframe)
    fate = random.choice(4, size=(2, len(expected)), p=[0.98 * share, 0.01, 0.01, 0.98 * (1 - share)])
    symbol, slot = np.nonzero(fate == 0)
    blocked_symbol, blocked_slot = np.nonzero((fate == 1) | (fate == 2))
    is_held = fate[blocked_symbol, blocked_slot] == 2
    blocked = blocked_at(expected[blocked_slot], symbol=blocked_symbol, is_held=is_held)

    result = reconciled(
        expected[slot], *proven, timeframe=timeframe, symbol=symbol, symbols=2, density=known, blocked=blocked
    )

    for number in (0, 1):
        covered, mine = covered_by(result, number), [gap for gap in result.gaps if gap.symbol == number]
        assert not covered - Ranges(proven)
        quiet = [gap for gap in mine if gap.kind is GapKind.NO_TRADE]
        assert all(covered.covers(gap.range) for gap in quiet)
        held = 0
        for start, bar_fate in zip(expected.tolist(), fate[number].tolist(), strict=True):
            if from_us(start) not in Ranges(proven):
                continue
            kinds = [gap.kind for gap in mine if from_us(start) in gap.range]
            is_covered = from_us(start) in covered
            if bar_fate == 0:
                assert is_covered
            elif bar_fate == 1:
                assert (is_covered, kinds) == (False, [GapKind.QUARANTINED])
            elif bar_fate == 2:
                assert (is_covered, kinds) == (False, [])
                held += 1
            else:
                assert len(kinds) == 1
                assert is_covered == (kinds[0] is GapKind.NO_TRADE)
        absent = sum(
            bar_fate in {1, 3} and from_us(start) in Ranges(proven)
            for start, bar_fate in zip(expected.tolist(), fate[number].tolist(), strict=True)
        )
        assert sum(gap.expected_bars for gap in mine) == absent


def test_perfect_source_has_no_false_gap() -> None:
    """
    R19, T06: from 2010 to 2026 a complete series of every timeframe has no gap, half days and closures included.
    """
    wanted = span("2010-01-01", "2027-01-01")
    for timeframe in (M15, H1, H4, D1, W1):
        assert reconciled(starts_in(wanted, timeframe), wanted, timeframe=timeframe).gaps == ()


def test_seeded_holes_are_all_found_with_exact_edges() -> None:
    """
    R19: 500 holes of 3 to 2,000 bars in 17 years of m15 are found, each with its exact edges.
    """
    wanted = span("2010-01-01", "2027-01-01")
    random = np.random.default_rng(19)
    expected = starts_in(wanted, M15)
    first = np.arange(100, 100 + 500 * 220, 220)
    length = np.minimum(random.geometric(0.05, 500) + 2, 200)
    holes = np.concatenate([np.arange(a, a + k) for a, k in zip(first, length, strict=True)])

    result = reconciled(np.delete(expected, holes), wanted, timeframe=M15, density=1.0)
    ends = XNYS.bar_ends(M15, expected)

    assert [(gap.range, gap.expected_bars) for gap in result.gaps] == [
        (Range(from_us(expected[a]), from_us(ends[a + k - 1])), k)
        for a, k in zip(first.tolist(), length.tolist(), strict=True)
    ]


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize(
    ("name", "wanted", "calendar", "sessions"),
    [
        ("equity_SPY_m1_2013-10", span("2013-10-04", "2013-10-12"), XNYS, 6),
        ("equity_SPY_m1_2011-01_ninjatrader", span("2011-01-03", "2011-02-01"), XNYS, 20),
        ("equity_AAPL_m1_2014-06", span("2014-06-05", "2014-06-10"), XNYS, 3),
        ("equity_GOOG_m1_2015-12", span("2015-12-23", "2015-12-29"), XNYS, 3),
        ("equity_SHY_m1_2008-03", span("2008-03-07", "2008-03-11"), XNYS, 2),
        ("crypto_XRPETH_m1_2019-10_binance", span("2019-10-11", "2019-10-13"), CRYPTO, 2),
        ("crypto_BTCUSD_m1_2016-10_coinbase", span("2016-10-07", "2016-10-10"), CRYPTO, 3),
        ("crypto_BTCEUR_m1_2018-04_coinbase", span("2018-04-05", "2018-04-07"), CRYPTO, 2),
    ],
)
def test_real_sessions_raise_no_false_alarm(name: str, wanted: Range, calendar: TradingCalendar, sessions: int) -> None:
    """
    S1 is calibrated: in 34 real sessions, thin SHY included, and 7 crypto days no run of absent minutes is suspicious.
    """
    result = reconciled(real_bars(name).ts, wanted, calendar=calendar)
    chosen = calendar.sessions(wanted, by_label=False)

    assert chosen.stop - chosen.start == sessions
    assert {gap.kind for gap in result.gaps} <= {GapKind.NO_TRADE}
    assert covered_by(result) == Ranges([wanted])


@pytest.mark.real_data
@needs_real_data
def test_false_alarms_stay_below_one_in_a_thousand_thin_sessions() -> None:
    """
    S1: 2,000 sessions made of SHY's real runs of minutes with and without a trade have at most 2 false alarms.
    """
    wanted = span("2008-03-07", "2008-03-11")
    present = np.isin(XNYS.expected_starts(M1, wanted), real_bars("equity_SHY_m1_2008-03").ts)
    random, alarms = np.random.default_rng(1), 0
    lengths = {bar: _run_lengths(present == bar) for bar in (True, False)}
    going_on = {bar: 1 - 1 / length.mean() for bar, length in lengths.items()}
    expected = starts_in(span("2008-01-02", "2008-02-27"))
    for _ in range(50):
        runs = np.concatenate([random.geometric(1 - going_on[bar], len(expected)) for bar in (True, False)])
        runs = runs.reshape(2, -1).T.ravel()
        is_there = np.repeat(np.arange(len(runs)) % 2 == 0, runs)[: len(expected)]
        result = reconciled(expected[is_there], span("2008-01-02", "2008-02-27"))
        alarms += sum(gap.kind is GapKind.MISSING for gap in result.gaps)

    assert 50 * len(expected) // 390 >= 1_900
    assert alarms <= 2


def _run_lengths(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]


@pytest.mark.real_data
@needs_real_data
def test_real_hours_that_never_came_are_found() -> None:
    """
    Coinbase's minutes of 2018-04-04 stop at 16:47: the rest of the day is one missing run.
    """
    wanted = span("2018-04-04", "2018-04-07")
    result = reconciled(real_bars("crypto_BTCUSD_m1_2018-04_coinbase").ts, wanted, calendar=CRYPTO)

    assert [described(gap) for gap in result.gaps if gap.kind is GapKind.MISSING] == [
        (span("2018-04-04T16:48", "2018-04-05"), 432, GapKind.MISSING)
    ]
    assert at("2018-04-04T16:47") in covered_by(result)


@pytest.mark.parametrize(("density", "believed"), [(1.0, 0), (0.99, 2), (0.8, 8), (0.5, 19)])
def test_doubted_silence_is_believed_up_to_this_length(density: float, believed: int) -> None:
    """
    Where an answer may have been cut, no bar of a symbol that never lacks any may be absent; all others are judged by
    the same chance as ever, so that quiet symbols raise no alarm.
    """

    def kinds(length: int) -> set[GapKind]:
        absent = range(390 - length, 390)
        result = reconciled(starts_in(less=absent), density=density, doubted=[minute_range(360, 390)])
        return {gap.kind for gap in result.gaps}

    assert kinds(believed) == ({GapKind.NO_TRADE} if believed else set())
    assert kinds(believed + 1) == {GapKind.MISSING}


def test_doubt_ends_where_its_range_ends() -> None:
    """
    A quiet minute beside what is doubted is a quiet minute; one that starts within is not.
    """
    doubted = minute_range(10, 20)

    outside = reconciled(starts_in(less=[9, 20]), density=1.0, doubted=[doubted])
    inside = reconciled(starts_in(less=[10]), density=1.0, doubted=[doubted])

    assert [gap.kind for gap in outside.gaps] == [GapKind.NO_TRADE]
    assert list(map(described, inside.gaps)) == [(minute_range(10, 11), 1, GapKind.MISSING)]
    assert covered_by(inside) == Ranges([TUESDAY]) - minute_range(10, 11)


def test_of_each_symbol_its_own_ranges_are_doubted() -> None:
    """
    The doubt about one symbol is none about its neighbours.
    """
    starts = starts_in(less=[10])
    evidence = Evidence(
        proven=ranges_of(TUESDAY, symbols=3),
        symbol=np.repeat(np.arange(3, dtype=np.int32), len(starts)),
        ts=np.tile(starts, 3),
        trades=np.full(3 * len(starts), NO_TRADE_COUNT),
        blocked=BlockedSlots.none(),
        doubted=SymbolRanges.of([("B", minute_range(0, 30))], {"B": 1}),
        is_lossy=np.zeros(3, np.bool_),
        density=np.ones(3),
        has_older=np.ones(3, np.bool_),
    )

    gaps = reconcile(evidence, XNYS, M1).gaps

    assert [gap.kind for gap in gaps] == [GapKind.NO_TRADE, GapKind.MISSING, GapKind.NO_TRADE]


def test_a_lossy_answer_says_nothing_about_how_often_a_symbol_trades() -> None:
    """
    Where rows may have been lost, absence is judged by what was known before, and that is not changed.
    """
    every_tenth = starts_in(less=[number for number in range(390) if number % 10])

    thin = reconciled(every_tenth)
    unknown = reconciled(every_tenth, doubted=[TUESDAY], is_lossy=True)
    liquid = reconciled(every_tenth, doubted=[TUESDAY], is_lossy=True, density=1.0)

    assert {gap.kind for gap in thin.gaps} == {GapKind.NO_TRADE}
    assert {gap.kind for gap in unknown.gaps} == {gap.kind for gap in liquid.gaps} == {GapKind.MISSING}
    assert np.isnan(unknown.density).all()
    assert liquid.density.tolist() == [1.0]
