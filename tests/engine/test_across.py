"""Sessions whose timeframes contradict each other, or that are thin: found in what is stored, kept as warnings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine import schedule
from barfill.engine.across import look_across
from barfill.engine.clients import Clients
from barfill.engine.schedule import Schedule
from tests.engine.rig import Rig, days

M15, D1 = Timeframe.M15, Timeframe.D1
WEEK = days("2026-08-03", "2026-08-08")
DAY = "2026-08-05"


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """A week of quarters and of days."""
    rig.backfill(["AAPL"], [M15, D1], WEEK)
    return rig


def found(rig: Rig, window: Range = WEEK) -> list[tuple[str, str, str]]:
    """Rule, timeframe and date of what is kept, once the sessions are compared."""
    look_across(rig.database, None, window)
    return rig.query(
        "select rule, timeframe, (ts at time zone 'UTC')::date::text from bar_warnings "
        "where rule in ('W12', 'W17', 'W20') order by 1, 2, 3"
    )


def test_sessions_that_agree_are_not_mentioned(filled: Rig) -> None:
    """All five are compared, and nothing is found in a market whose days are made of its minutes."""
    done = look_across(filled.database, None, WEEK)

    assert done.sessions == 5
    assert done.by_rule["W17"] == 0
    assert done.by_rule["W20"] == 0


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ("volume = volume * 2", "W12", "the volumes"),
        ("high = greatest(open, close)", "W17", "the day's high"),
        ("low = least(open, close)", "W17", "the day's low"),
        ("close = low * 0.98, low = low * 0.98", "W17", "the day's close"),
    ],
)
def test_w12_w17_a_day_that_contradicts_its_bars_is_marked(filled: Rig, change: str, rule: str, words: str) -> None:
    """D19: the sum of the volumes, the high, the low and the close; put right, the mark is gone at the next look."""
    before = found(filled)
    filled.change(f"create table kept as select * from ohlc_bars where timeframe = 'd1' and ts = '{DAY}'")
    filled.change(f"update ohlc_bars set {change} where timeframe = 'd1' and ts = '{DAY}'")

    spoiled = found(filled)

    assert (rule, "d1", DAY) in spoiled
    assert {one[2] for one in set(spoiled) - set(before)} <= {DAY}
    details = filled.query("select detail from bar_warnings where rule = %s and ts = %s", rule, DAY)
    assert any((words in detail and "of its 15m bars" in detail) or words in detail for (detail,) in details)
    filled.change(
        "update ohlc_bars set high = kept.high, low = kept.low, close = kept.close, volume = kept.volume from kept "
        "where ohlc_bars.timeframe = 'd1' and ohlc_bars.ts = kept.ts"
    )
    assert found(filled) == before


def test_w20_a_thin_session_of_a_liquid_symbol_is_marked(filled: Rig) -> None:
    """A quarter of its bars is not there; of a symbol that often lacks some, that is nothing."""
    filled.change(f"delete from ohlc_bars where timeframe = 'm15' and ts >= '{DAY}T14:00Z' and ts < '{DAY}T15:30Z'")
    filled.change("update series set density = 1 where timeframe = 'm15'")
    thin = [one for one in found(filled) if one[0] == "W20"]
    detail = filled.query("select detail from bar_warnings where rule = 'W20'")
    filled.change("update series set density = 0.8 where timeframe = 'm15'")

    assert thin == [("W20", "m15", DAY)]
    assert detail == [("20 of 26 bars; the symbol usually has 100.0 %",)]
    assert [one for one in found(filled) if one[0] == "W20"] == []


def test_what_cannot_be_compared_is_left_alone(filled: Rig) -> None:
    """A session that is not covered whole, one outside of the window, and days of another feed."""
    filled.change("update ohlc_bars set volume = volume * 3 where timeframe = 'd1'")
    filled.change(
        f"update series set covered = covered - tstzmultirange(tstzrange('{DAY}T15:00Z', '{DAY}T15:15Z')) "
        "where timeframe = 'm15'"
    )
    some = {date for rule, _, date in found(filled, days("2026-08-04", "2026-08-07")) if rule == "W12"}
    filled.change("delete from bar_warnings")
    filled.change("update series set feed = 'iex' where timeframe = 'd1'")

    assert some == {"2026-08-04", "2026-08-06"}
    assert [one for one in found(filled) if one[0] in ("W12", "W17")] == []


def test_the_schedule_compares_the_last_sessions_once_an_hour(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked; what it finds is told once and kept."""
    monkeypatch.setattr(schedule, "LOOKED_ACROSS", timedelta(days=36_500))
    filled.change(f"update ohlc_bars set volume = volume * 3 where timeframe = 'd1' and ts = '{DAY}'")

    async def look_for_a_while() -> None:
        client = filled.client()
        looking = Schedule(
            filled.database, Clients(client), filled.settings, filled.listener, every=timedelta(milliseconds=50)
        )
        try:
            task = asyncio.create_task(looking.run())
            while len(filled.listener.notes) < 4:  # some looks, and a word about what is odd
                await asyncio.sleep(0.05)
            looking.stop()
            await task
        finally:
            await client.aclose()

    asyncio.run(look_for_a_while())

    odd = [text for text in filled.listener.notes if "look odd" in text]
    assert len(odd) == 1
    assert "bar_warnings" in odd[0]
    assert filled.query("select count(*) from bar_warnings where rule = 'W12' and ts = %s", DAY) == [(1,)]
