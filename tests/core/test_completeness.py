"""Expected bars are present, absent for a settled reason, or missing: always, and each once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from barfill.core.completeness import KnownGap, completeness
from barfill.core.gaps import GapKind
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from tests.core.samples import MINUTE, at, new_york, us

M1 = Timeframe.M1
SESSION = Range(at("2024-03-05T14:30"), at("2024-03-05T21:00"))
OPEN = us("2024-03-05T14:30")


def part(start: int, end: int) -> Range:
    """From one minute of the session to another."""
    return Range(from_us(OPEN + start * MINUTE), from_us(OPEN + end * MINUTE))


@st.composite
def pieces(draw: st.DrawFn) -> list[tuple[int, int, str]]:
    """The session in pieces: covered, covered and absent for a kind of gap, only a gap, or neither."""
    cuts = sorted(draw(st.sets(st.integers(1, 389), max_size=8)))
    kinds = ["covered", "nothing", *(kind.value for kind in GapKind if kind is not GapKind.UNCOVERED)]
    return [(*bounds, draw(st.sampled_from(kinds))) for bounds in zip([0, *cuts], [*cuts, 390], strict=True)]


@given(pieces=pieces(), settled=st.booleans())
def test_expected_is_present_and_gaps(pieces: list[tuple[int, int, str]], settled: bool) -> None:
    """Whatever is covered, settled or open; a `missing` run may be settled as well."""
    bars: Counter[str] = Counter()
    covered = Ranges()
    gaps = []
    for start, end, kind in pieces:
        bars[kind] += end - start
        if kind in {"covered", "no_trade"}:  # quiet minutes lie within coverage
            covered = covered | part(start, end)
        if kind not in {"covered", "nothing"}:
            one = GapKind(kind)
            is_settled = one.is_settled or (settled and one is GapKind.MISSING)
            gaps.append(KnownGap(part(start, end), end - start, one, is_settled))

    found = completeness(SESSION, covered, gaps, new_york(), M1)

    accounted: Counter[GapKind] = Counter()
    for gap in gaps:
        accounted[gap.kind] += gap.expected_bars if gap.is_settled else 0
    assert dict(found.settled) == {kind: count for kind, count in accounted.items() if count}
    assert found.expected == 390 - accounted.total()
    assert found.present == bars["covered"]
    lacking = sum(gap.expected_bars for gap in gaps if not gap.is_settled) + bars["nothing"]
    assert found.expected == found.present + lacking
    assert sum(new_york().expected_count(M1, one) for one in found.unexplained) == bars["nothing"]


def test_of_a_gap_that_reaches_out_of_the_window_its_part_counts() -> None:
    """A run by its bars; a quiet stretch, which has bars in it, evenly."""
    window = part(0, 100)
    run = KnownGap(part(90, 110), 20, GapKind.HALTED, True)
    quiet = KnownGap(part(80, 120), 20, GapKind.NO_TRADE, True)

    of_a_run = completeness(window, Ranges([part(0, 90)]), [run], new_york(), M1)
    of_a_stretch = completeness(window, Ranges([part(0, 390)]), [quiet], new_york(), M1)

    assert (of_a_run.settled, of_a_run.expected, of_a_run.present) == ({GapKind.HALTED: 10}, 90, 90)
    assert (of_a_stretch.settled, of_a_stretch.expected) == ({GapKind.NO_TRADE: 10}, 90)
