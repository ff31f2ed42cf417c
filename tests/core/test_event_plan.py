"""What is asked of a provider's events: nothing twice once it is settled, all of it else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.corporate import EventKind
from barfill.core.event_plan import AHEAD, RESTATEMENT, AskedDays, EventsAsk, EventsOffer, plan_asks

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
TODAY = NOW.date()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
WANTED = (date(2025, 1, 1), date(2027, 1, 26))
MARKET = EventsOffer(symbols_per_call=1, market_rows_per_year=1_500, page_size=1_000)


def plan(
    offer: EventsOffer = MARKET,
    asked: list[AskedDays] | None = None,
    *,
    count: int = 100,
    added_at: datetime = LONG_AGO,
    fresh_h: float = 0,
) -> list[EventsAsk]:
    return plan_asks(
        EventKind.SPLITS,
        offer,
        wanted=WANTED,
        added_at=dict.fromkeys(range(count), added_at),
        asked=asked or [],
        now=NOW,
        fresh_for=timedelta(hours=fresh_h),
    )


def test_the_market_is_asked_where_that_is_cheaper() -> None:
    """Two years of splits are some pages: few calls for 100 symbols, more than one for one symbol."""
    whole, one = plan(), plan(count=1)

    assert [ask.symbol_ids for ask in whole] == [None, None, None]
    assert (whole[0].end, whole[-1].first) == (WANTED[1], WANTED[0])
    assert one == [EventsAsk(EventKind.SPLITS, *WANTED, (0,))]


def test_who_cannot_be_asked_for_the_market_is_asked_symbol_by_symbol() -> None:
    """One call each, for all days at once."""
    asks = plan(EventsOffer(symbols_per_call=1, market_rows_per_year=None, page_size=1_000), count=3)

    assert [ask.symbol_ids for ask in asks] == [(0,), (1,), (2,)]


def test_a_second_run_asks_for_the_recent_past_and_what_is_announced() -> None:
    """Days older than the restatement window at the time of asking are settled."""
    (ask,) = plan(asked=[AskedDays(None, *WANTED, NOW - timedelta(days=1))])

    assert (ask.first, ask.end) == (TODAY - timedelta(days=1) - RESTATEMENT, WANTED[1])


def test_what_was_just_asked_is_left_alone_for_some_hours() -> None:
    """Unless somebody wants it now."""
    asked = [AskedDays(None, *WANTED, NOW - timedelta(hours=1))]

    assert plan(asked=asked, fresh_h=6) == []
    assert plan(asked=asked) != []


def test_a_new_day_makes_nothing_due_that_is_fresh() -> None:
    """The days ahead move on with the date; who is asked once a week is not asked for one day more each day."""
    yesterday = NOW - timedelta(days=1)
    asked = [AskedDays(None, WANTED[0], yesterday.date() + AHEAD, yesterday)]

    assert WANTED[1] == TODAY + AHEAD
    assert plan(asked=asked, fresh_h=7 * 24) == []
    assert plan(asked=asked, fresh_h=6) != []


def test_a_new_symbol_is_asked_for_all_its_days() -> None:
    """A question to the market from before it was on record has kept nothing of it."""
    asked = [AskedDays(None, *WANTED, NOW - timedelta(days=1))]

    (ask,) = plan(asked=asked, count=1, added_at=NOW - timedelta(hours=1))

    assert ask == EventsAsk(EventKind.SPLITS, *WANTED, (0,))


@pytest.mark.parametrize(("days_max", "asks"), [(14, 54), (None, 3)])
def test_questions_are_no_longer_than_a_provider_takes(days_max: int | None, asks: int) -> None:
    """Each as long as can be, the newest first."""
    found = plan(EventsOffer(symbols_per_call=0, market_rows_per_year=100, page_size=1_000, days_per_call_max=days_max))

    assert len(found) == asks
    assert all(one.first == other.end for one, other in pairwise(found))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, 0, 1]), st.integers(-60, 900), st.integers(1, 400), st.integers(0, 500)),
        max_size=5,
    ),
    st.booleans(),
)
def test_after_a_plan_is_carried_out_only_the_unsettled_is_left(
    ledger: list[tuple[int | None, int, int, int]], is_for_market: bool
) -> None:
    """Whatever was asked before: the asks and what is settled are all that is wanted, and then nothing is due."""
    asked = [
        AskedDays(
            who,
            WANTED[0] + timedelta(days=start),
            WANTED[0] + timedelta(days=start + length),
            NOW - timedelta(days=ago),
        )
        for who, start, length, ago in ledger
    ]
    offer = MARKET if is_for_market else EventsOffer(symbols_per_call=5, market_rows_per_year=None, page_size=10)

    asks = plan(offer, asked, count=2)
    done = [
        AskedDays(who, ask.first, ask.end, NOW)
        for ask in asks
        for who in (ask.symbol_ids if ask.symbol_ids is not None else (None,))
    ]

    assert plan(offer, [*asked, *done], count=2, fresh_h=1) == []
    assert all(WANTED[0] <= ask.first < ask.end <= WANTED[1] for ask in asks)
