"""Routing: each part of a window goes to one provider, and a series keeps to what it holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.capabilities import CRYPTO, US_STOCKS, Capabilities
from barfill.core.ranges import Range, Ranges
from barfill.core.routing import Policy, Roster, Routing, policy_of, route
from barfill.core.timeframe import Timeframe
from tests.core.strategies import paged_capabilities

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEN_YEARS = Range(NOW - timedelta(days=3650), NOW)
D1, M15, H1, W1 = Timeframe.D1, Timeframe.M15, Timeframe.H1, Timeframe.W1


def provider(name: str, **changes: object) -> Capabilities:
    return replace(paged_capabilities(), provider=name, history_start=None, **changes)  # type: ignore[arg-type]


def routed(
    order: list[Capabilities],
    windows: dict[Timeframe, Range] | None = None,
    *,
    asset_type: str = "stock",
    policies: dict[Timeframe, Policy] | None = None,
    kept: list[Capabilities] | None = None,
) -> Routing:
    wanted = windows if windows is not None else {D1: TEN_YEARS}
    roster = Roster(tuple(order), kept=tuple(kept or ()))
    return route(wanted, roster, asset_type=asset_type, policies=policies or {}, now=NOW)


def asked(found: Routing, timeframe: Timeframe = D1) -> dict[str, Range]:
    """Who is asked for what of a timeframe."""
    return {one.capabilities.provider: one.windows[timeframe] for one in found.routes if timeframe in one.windows}


def test_the_first_that_has_it_is_asked() -> None:
    """A kind of symbol or a timeframe that the first lacks is the next one's."""
    order = [
        provider("crypto", asset_types=CRYPTO),
        provider("days", timeframes=frozenset({D1})),
        provider("all", feed="iex"),
    ]

    found = routed(order, {D1: TEN_YEARS, M15: TEN_YEARS, H1: TEN_YEARS, W1: TEN_YEARS})

    assert {one.capabilities.provider: set(one.windows) for one in found.routes} == {
        "days": {D1, W1},
        "all": {M15, H1},
    }


def test_what_nobody_has_is_told() -> None:
    """Crypto where only stocks can be had."""
    found = routed([provider("stocks", asset_types=US_STOCKS)], {D1: TEN_YEARS, M15: TEN_YEARS}, asset_type="crypto")

    assert (found.routes, found.unserved) == ((), (D1, M15))


def test_what_lies_before_the_plans_history_is_asked_of_who_has_it_on_the_same_feed() -> None:
    """The cut is a Monday, so that no week is made of two providers' days; another feed is not the same."""
    two_years = timedelta(days=730)
    order = [
        provider("short", history_length=two_years),
        provider("iex", feed="iex"),
        provider("adjusted", adjusted={D1: "split"}),
        provider("long"),
    ]

    parts = asked(routed(order))

    assert set(parts) == {"short", "long"}
    assert parts["short"].start == parts["long"].end
    assert parts["short"].start.weekday() == 0
    assert timedelta() <= parts["short"].start - (NOW - two_years) <= timedelta(days=8)


def test_a_series_keeps_to_its_feed_and_basis() -> None:
    """Whoever comes first in the order later on does not change what a series holds."""
    order = [provider("first"), provider("second", feed="iex"), provider("third", adjusted={D1: "split"})]

    assert set(asked(routed(order))) == {"first"}
    assert set(asked(routed(order, policies={D1: ("iex", "raw")}))) == {"second"}
    assert set(asked(routed(order, policies={D1: ("sip", "split")}))) == {"third"}


def test_what_no_provider_has_of_a_series_kind_goes_to_the_first_all_the_same() -> None:
    """It is refused there with a text that says how to choose (R37): nothing is mixed, and nothing is silent."""
    assert set(asked(routed([provider("first"), provider("second")], policies={D1: ("kraken", "raw")}))) == {"first"}


def test_who_brought_a_series_is_asked_for_it_though_the_order_does_not_name_him() -> None:
    """And for nothing else: a new series is the order's, and so is one that the order has too."""
    order, kept = [provider("first")], [provider("named", adjusted={D1: "split"}), provider("sip")]
    windows = {D1: TEN_YEARS, M15: TEN_YEARS}

    found = routed(order, windows, policies={D1: ("sip", "split"), M15: ("sip", "raw")}, kept=kept)

    assert {one.capabilities.provider: set(one.windows) for one in found.routes} == {"first": {M15}, "named": {D1}}
    assert set(asked(routed(order, kept=kept))) == {"first"}
    assert routed([], kept=kept).unserved == (D1,)


def test_a_pair_that_has_begun_on_a_venue_goes_on_there() -> None:
    """Each venue is a market of its own: other timeframes of the pair are asked of the same."""
    order = [provider("coinbase", asset_types=CRYPTO, feed="coinbase")]
    kept = [provider("kraken", asset_types=CRYPTO, feed="kraken")]
    windows = {D1: TEN_YEARS, M15: TEN_YEARS}

    found = routed(order, windows, asset_type="crypto", policies={D1: ("kraken", "raw")}, kept=kept)

    assert {one.capabilities.provider: set(one.windows) for one in found.routes} == {"kraken": {D1, M15}}


def test_derived_bars_have_the_basis_of_what_they_are_made_of() -> None:
    """Weeks of adjusted days are adjusted."""
    assert policy_of(provider("one", adjusted={D1: "split"}), W1) == ("sip", "split")
    assert policy_of(provider("one", adjusted={D1: "split"}), H1) == ("sip", "raw")


HISTORIES = st.one_of(st.none(), st.integers(1, 5000).map(lambda count: timedelta(days=count)))


@given(
    histories=st.lists(HISTORIES, min_size=1, max_size=4),
    feeds=st.lists(st.sampled_from(["sip", "iex"]), min_size=4, max_size=4),
    length=st.integers(1, 4000),
    timeframe=st.sampled_from([D1, M15, W1]),
)
def test_each_instant_is_asked_of_exactly_one_provider(
    histories: list[timedelta | None], feeds: list[str], length: int, timeframe: Timeframe
) -> None:
    """The parts are the window, do not overlap, and are all on the feed of the first."""
    order = [
        provider(f"p{number}", history_length=history, feed=feeds[number]) for number, history in enumerate(histories)
    ]
    window = Range(NOW - timedelta(days=length), NOW)

    found = routed(order, {timeframe: window})

    parts = asked(found, timeframe)
    assert Ranges(parts.values()) == Ranges([window])
    assert sum(((part.end - part.start) for part in parts.values()), timedelta()) == window.end - window.start
    assert {one.capabilities.feed for one in found.routes} == {feeds[0]}
    assert found.unserved == ()


@pytest.mark.parametrize("order", [[], [provider("none", timeframes=frozenset())]])
def test_without_a_provider_nothing_is_served(order: list[Capabilities]) -> None:
    """No route, and no crash."""
    assert routed(order).unserved == (D1,)
