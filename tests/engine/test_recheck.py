"""Stored bars judged again: what was written past barfill is found, by its rule, and nothing is changed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.timeframe import Timeframe
from barfill.engine import recheck as module
from barfill.engine.recheck import RecheckReport, RecheckRequest, recheck
from barfill.engine.report import EXIT_COMPLETE, EXIT_GAPS_REMAIN
from barfill.store.recheck import Survey
from tests.engine.rig import Rig, days

M15, D1, W1 = Timeframe.M15, Timeframe.D1, Timeframe.W1
WEEKS = days("2026-08-03", "2026-08-29")
SPOILED = (
    ("ts = ts + interval '1 minute'", "Q03"),
    ("ts = '2026-08-08T15:30Z'", "Q14"),
    ("ts = '2026-08-05T05:30Z'", "Q15"),
    ("ts = '2026-08-05T12:30Z'", "Q15"),  # before the open: such bars are not kept
    ("ts = '1985-08-05T15:30Z'", "Q01"),  # no calendar reaches so far
    ("ts = now() + interval '40 days'", "Q01"),
    ("open = -1, high = -1, low = -1, close = -1", "Q05"),
    ("high = greatest(open, close) - 1e-5", "Q07"),
    ("volume = 2e15", "Q09"),
    ("high = 2e12", "Q18"),
    ("open = 1, high = 1, low = 1, close = 1", "Q20"),
    ("feed = 'iex'", "Q17"),
)
"""What becomes of one quarter of an hour each, and the rule that it breaks."""


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """Four weeks of two timeframes and of what is made of them."""
    rig.backfill(["AAPL"], [M15, D1, W1], WEEKS)
    return rig


def checked(rig: Rig, **more: object) -> RecheckReport:
    return recheck(rig.database, RecheckRequest(symbol_ids=None, timeframes=tuple(Timeframe), **more))  # type: ignore[arg-type]


def test_what_barfill_stores_keeps_the_rules(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stored bar is judged, in however many parts; a price level that goes on over their bounds is none."""
    monkeypatch.setattr(module, "BARS_AT_ONCE", 26)  # a day of quarters at a time

    report = checked(filled)

    assert (report.exit_code, report.series_count) == (EXIT_COMPLETE, 3)
    assert report.checked == filled.query("select count(*) from ohlc_bars")[0][0] == 20 * 26 + 20 + 4
    assert report.to_json()["summary"]["by_rule"] == {}


def test_each_rule_finds_what_breaks_it(filled: Rig) -> None:
    """Bars are spoiled by SQL, one in each of some sessions; all are told, and nothing is repaired."""
    sessions = filled.query("select ts from ohlc_bars where timeframe = 'd1' order by ts")
    for (day,), (values, _) in zip(sessions, SPOILED, strict=False):
        filled.change(f"update ohlc_bars set {values} where timeframe = 'm15' and ts = '{day.date()}T16:30Z'")
    before = filled.query("select ohlc_bars::text from ohlc_bars order by 1")

    report = checked(filled)

    # What was moved elsewhere is missing where it was.
    moved = sum("ts =" in values for values, _ in SPOILED)
    assert report.by_rule == {**Counter(rule for _, rule in SPOILED), "unaccounted": moved}
    assert report.exit_code == EXIT_GAPS_REMAIN
    assert [(one.ticker, one.timeframe) for one in report.broken] == [("AAPL", M15)]
    assert filled.query("select ohlc_bars::text from ohlc_bars order by 1") == before


def test_a_count_that_is_not_what_is_stored_is_told(filled: Rig) -> None:
    """The ledger knows how many bars a series has, and what a week was made of; two days were deleted past it."""
    filled.change("delete from ohlc_bars where timeframe = 'd1' and ts >= '2026-08-27'")

    report = checked(filled)

    assert {one.timeframe: one.by_rule for one in report.broken} == {
        D1: {"ledger": 2, "unaccounted": 2},
        W1: {"derived": 1},
    }


def test_a_level_that_may_yet_last_is_no_breach(filled: Rig) -> None:
    """Whether the price of the last bars is a new one is known only once there are more."""
    values = ", ".join(f"{name} = {name} * 20" for name in ("open", "high", "low", "close"))
    filled.change(f"update ohlc_bars set {values} where timeframe = 'm15' and ts >= '2026-08-28T19:00Z'")

    assert checked(filled).by_rule == {}


def test_a_window_and_live_bars_bound_what_is_judged(filled: Rig) -> None:
    """Bars outside of the window are not read; live ones may still change, and stand for nothing that is covered."""
    filled.change("update ohlc_bars set volume = 2e15 where timeframe = 'm15' and ts = '2026-08-05T15:30Z'")
    filled.change("update ohlc_bars set data_status = 'live' where timeframe = 'd1' and ts = '2026-08-10'")

    outside = checked(filled, window=days("2026-08-10", "2026-08-29"))
    inside = checked(filled, window=days("2026-08-05", "2026-08-06"))

    assert (outside.live, outside.checked) == (1, 15 * 26 + 14 + 3)
    assert outside.by_rule == {"derived": 1, "unaccounted": 1}
    assert (inside.by_rule, inside.checked) == ({"Q09": 1}, 27)


def test_examples_are_bounded_and_counts_are_not(filled: Rig) -> None:
    """However many bars are wrong."""
    filled.change("update ohlc_bars set volume = 2e15 where timeframe = 'm15'")

    report = checked(filled, examples_max=3)

    (series,) = report.broken
    assert (series.by_rule, len(series.breaches)) == ({"Q09": 520}, 3)
    assert "larger than any that can be true" in series.breaches[0].reason


def test_a_year_of_minutes_is_read_in_parts(filled: Rig) -> None:
    """Around the clock no part holds many more bars than are meant to be held at once."""
    day = 1_440
    survey = Survey(0, 0, 0, 0, WEEKS.start.replace(year=2020), WEEKS.start)

    parts = list(module._stretches(Timeframe.M1, survey, trading_calendar("24/7", 2027)))

    assert max(part.length.days for part in parts) * day <= module.BARS_AT_ONCE
    assert all(before.end == after.start for before, after in pairwise(parts))
    assert (parts[0].start, parts[-1].end > WEEKS.start) == (survey.first, True)


def test_quiet_halted_and_new_symbols_are_accounted_for(rig: Rig) -> None:
    """Where bars are absent for a reason, in what was fetched and in what was made of it, nothing is wrong."""
    rig.backfill(["THIN", "HLTD", "AAPL"], list(Timeframe), days("2026-07-20", "2026-07-25"))
    rig.backfill(["NEWC"], [M15, Timeframe.H4, D1, W1], days("2026-04-20", "2026-06-01"))

    report = checked(rig)

    assert (report.by_rule, report.series_count) == ({}, 28)


def test_the_ledger_is_compared_with_the_table(filled: Rig) -> None:
    """Bounds that are wrong, bars outside of coverage, and covered bars that are neither stored nor a gap."""
    filled.change("update series set oldest_ts = oldest_ts - interval '1 day' where timeframe = 'w1'")
    filled.change("update series set covered = covered - '{[2026-08-05,2026-08-06)}' where timeframe = 'm15'")
    filled.change("update series set covered = covered + '{[2026-09-01,2026-09-03)}' where timeframe = 'd1'")

    found = {one.timeframe: one for one in checked(filled).broken}

    assert {timeframe: one.by_rule for timeframe, one in found.items()} == {
        M15: {"uncovered": 26},
        D1: {"unaccounted": 2},
        W1: {"ledger": 1},
    }
    assert found[D1].breaches[0].ts.isoformat() == "2026-09-01T00:00:00+00:00"


def test_derived_bars_are_compared_with_their_sources(rig: Rig) -> None:
    """Values that differ, bars that nothing makes, bars that are not there; what rounding leaves is no difference."""
    rig.backfill(["AAPL"], [M15, Timeframe.H1, Timeframe.H4], WEEKS)
    rig.change("update ohlc_bars set volume = volume * (1 + 1e-12) where timeframe = 'h4'")
    rig.change("update ohlc_bars set close = close + 0.01 where timeframe = 'h1' and ts = '2026-08-05T15:30Z'")
    rig.change("delete from ohlc_bars where timeframe = 'h1' and ts = '2026-08-06T15:30Z'")
    rig.change(
        "delete from ohlc_bars where timeframe = 'm15' and ts >= '2026-08-07T17:30Z' and ts < '2026-08-07T18:30Z'"
    )
    before = rig.query("select ohlc_bars::text from ohlc_bars order by 1")

    found = {one.timeframe: one for one in checked(rig).broken}

    told = {f"{one.ts:%d %H:%M}": one.reason for one in found[Timeframe.H1].breaches if one.rule == "derived"}
    assert told.keys() == {"05 15:30", "06 15:30", "07 17:30"}
    assert told["05 15:30"].startswith("its close is")
    assert told["06 15:30"] == "its source makes such a bar, and none is stored"
    assert told["07 17:30"] == "its source has no bar of it"
    assert found[Timeframe.H4].by_rule == {"derived": 1}
    assert rig.query("select ohlc_bars::text from ohlc_bars order by 1") == before


def test_what_its_source_no_longer_covers_is_told(rig: Rig) -> None:
    """A derived bar is as good as its source: where somebody has taken that out of coverage, it is not proved."""
    rig.backfill(["AAPL"], [M15, Timeframe.H1], WEEKS)
    rig.change(
        "update series set covered = covered - '{[2026-08-05T15:45Z,2026-08-05T16:00Z)}' where timeframe = 'm15'"
    )

    found = {one.timeframe: one for one in checked(rig).broken}

    (breach,) = found[Timeframe.H1].breaches
    assert (breach.rule, f"{breach.ts:%d %H:%M}") == ("derived", "05 15:30")
    assert "15m, of which it was made" in breach.reason
